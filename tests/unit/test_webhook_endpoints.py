"""WEBHOOK_URLS, and that nothing printed gives a secret away."""

import pytest

from sinks.webhooks.endpoints import Endpoint, parse_endpoints
from sinks.webhooks.signing import new_secret

SECRET = new_secret()


def test_endpoints_are_separated_by_commas_or_space() -> None:
    text = f" https://a.example/x#{SECRET},\n https://b.example:8443/y?z=1#{SECRET} "
    assert [e.url for e in parse_endpoints(text)] == [
        "https://a.example/x",
        "https://b.example:8443/y?z=1",
    ]


def test_no_text_is_no_endpoints() -> None:
    assert parse_endpoints(" \n") == []


def test_only_a_named_host_may_be_private_or_plain_http() -> None:
    text = f"http://127.0.0.1:8080/#{SECRET} https://a.example/#{SECRET} http://[::1]/#{SECRET}"
    endpoints = parse_endpoints(text, allow_private=["127.0.0.1", "[::1]"])
    assert [e.allow_private for e in endpoints] == [True, False, True]


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("https://a.example/x", "does not start with whsec_"),
        ("https://a.example/x#whsec_short", "secret|base64"),
        (f"ftp://a.example/x#{SECRET}", "not a URL like"),
        (f"a.example/x#{SECRET}", "not a URL like"),
        (f"https://#{SECRET}", "not a URL"),
        (f"https://a.example:99999/#{SECRET}", "not a URL"),
        (f"http://a.example/x#{SECRET}", "http is only for hosts named"),
        (f"https://me:pw@a.example/x#{SECRET}", "user name or password"),
        (f"https://10.0.0.1/x#{SECRET}", "not a public address"),
        (f"https://good.example/x#{SECRET}", "is there twice"),
    ],
)
def test_an_error_says_which_endpoint_and_quotes_no_secret(entry: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        parse_endpoints(f"https://good.example/x#{SECRET},{entry}")
    message = str(caught.value)
    assert message.startswith("webhook endpoint 2: ")
    assert SECRET not in message
    assert "pw" not in message
    assert "/x" not in message.replace("https://host/path", "")


def test_neither_secret_nor_path_is_printed() -> None:
    endpoint = Endpoint("https://hooks.example/T0/secret-path", SECRET)
    for text in (repr(endpoint), str(endpoint), str([endpoint]), str(endpoint.__rich_repr__())):
        assert SECRET not in text
        assert "secret-path" not in text
        assert "hooks.example" in text


def test_the_name_outlives_a_new_secret_and_tells_urls_apart() -> None:
    first = Endpoint("https://a.example/x", SECRET)
    assert first.name == Endpoint("https://a.example/x", new_secret()).name
    assert first.name != Endpoint("https://a.example/y", SECRET).name
