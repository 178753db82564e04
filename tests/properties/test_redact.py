"""No secret survives redaction, however a library writes it and wherever it cuts it off."""

import base64
import json
from contextlib import contextmanager
from unittest import mock
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import redact
from schemas.redact import keep_login, keep_path, keep_secret, redacted

SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=["Cs"]), min_size=8, max_size=60)  # fmt: skip
WRITTEN = {
    "plain": str,
    "repr": repr,
    "ascii": ascii,
    "bytes": lambda s: repr(s.encode()),
    "json": json.dumps,
    "percent": lambda s: quote(s, safe=""),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
}


@contextmanager
def nothing_known():
    """What other tests and examples kept must not help or hinder."""
    with mock.patch.multiple(redact, _windows=set(), _whole=set(), _whole_pattern=None):
        yield


@given(SECRETS, st.sampled_from(sorted(WRITTEN)), st.text(max_size=20), st.text(max_size=20))
def test_a_kept_secret_is_in_no_text_in_no_form(secret, form, before, after):
    written = WRITTEN[form](secret)
    with nothing_known():
        keep_secret(secret)
        shown = redacted(before + written + after)
        assert written not in shown
        assert secret not in shown


@given(SECRETS, st.data())
def test_a_secret_cut_off_by_a_library_is_not_shown_either(secret, data):
    start = data.draw(st.integers(0, len(secret) - 8))
    end = data.draw(st.integers(start + 8, len(secret)))
    with nothing_known():
        keep_secret(secret)
        if not any(secret[start : start + 8] in phrase for phrase in redact._PUBLIC):
            assert redacted(f"Got more than: {secret[start:end]}") == "Got more than: ***"


@given(st.text(max_size=200))
def test_text_without_secrets_is_left_as_it_is(text):
    with nothing_known():
        keep_secret("correct horse battery staple")
        if not any(sign in text for sign in ("whsec_", "://")):
            assert redacted(text) == text


@pytest.mark.parametrize(
    "url",
    [
        "http://me:s3cr3t-p4ssw0rd@db:8123/undertow",
        "http://me:s3cr3t-p4ssw0rd@db:port/undertow",
        "http://me:s3cr3t-p4ssw0rd/with#all?of@them@db:8123/",
        "http://me:s3cr3t-p4ssw0rd%2F%40@db",
        "http://db:8123/?user=me&password=s3cr3t-p4ssw0rd",
    ],
)
def test_the_password_of_a_url_is_kept_even_of_one_that_cannot_be_parsed(url):
    with nothing_known():
        keep_login(url)
        for text in (url, unquote(url), f"ValueError: 's3cr3t-p4ssw0rd' in {url!r}"):
            assert "s3cr3t" not in redacted(text)
        basic = base64.b64encode(b"me:s3cr3t-p4ssw0rd").decode()
        if url.endswith("@db:8123/undertow"):
            assert basic not in redacted(f"Authorization: Basic {basic}")


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("https://hooks.slack.com/services/T0SEKRET/B0SEKRET/xoxSEKRETxyz", ("T0SEKRET", "xoxSEKRET")),
        ("https://api.telegram.org/bot123456:AAsekretSEKRETsekret/sendMessage", ("AAsekret",)),
        ("https://discord.com/api/webhooks/112233445566/sekretTOKEN_9", ("112233445566", "sekretTOKEN")),
        ("https://relay.example/a/b?key=sekret99&x=1#frag-sekret", ("sekret99", "frag-sekret")),
        ("https://relay.example/p%C3%A4th-s%C3%A9kret", ("s%C3%A9kret", "sékret")),
    ],
)  # fmt: skip
def test_every_piece_of_a_webhooks_path_is_a_secret_and_its_host_is_not(url, secrets):
    with nothing_known():
        keep_path(url)
        for text in (
            f"POST {url} failed",
            url[:-3],
            repr(url.encode()),
            f"GET {url.split('/', 3)[3]}",
        ):
            shown = redacted(text)
            assert not any(secret in shown for secret in secrets)
        assert url.split("/")[2] in redacted(f"POST {url} failed")


@pytest.mark.parametrize(
    "text",
    [
        "Got unexpected extra argument (https://relay.example/sekret/path#whsec_c2VrcmV0)",
        "https://hooks.slack.com/services/T0/B0/sekret: 404",
        "https://discordapp.com/api/webhooks/1/sekret, 401",
        "cannot connect to kafka://me:sekret@broker:9092",
        "token 123456789:sekretsekretsekretsekretsekretsekret was refused",
        "the secret whsec_sekret+/= does not fit",
    ],
)
def test_what_looks_like_a_secret_is_masked_though_nobody_named_it(text):
    with nothing_known():
        assert "sekret" not in redacted(text)


def test_a_short_password_takes_no_other_word_with_it():
    with nothing_known():
        keep_secret("data")
        assert redacted("the database has data in data_dir") == "the database has *** in data_dir"
        keep_secret("abc")
        assert redacted("abc") == "abc"
