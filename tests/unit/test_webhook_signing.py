"""Signatures, checked by the standardwebhooks library, which shares no code with ours."""

import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from sinks.webhooks.signing import new_secret, secret_key, sign, verify

BODY = '{"type":"cascade.onset","data":{"text":"é ₿"}}'.encode()


def now() -> int:
    return int(time.time())


def test_the_library_verifies_what_we_sign() -> None:
    secret = new_secret()
    headers = sign(secret, "alert-1", now(), BODY)
    assert Webhook(secret).verify(BODY, headers)["type"] == "cascade.onset"


def test_a_signature_equals_the_published_example() -> None:
    # From the test suite of the reference libraries.
    headers = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("body", "change"),
    [
        (BODY + b" ", {}),
        (BODY, {"webhook-id": "alert-2"}),
        (BODY, {"webhook-timestamp": str(now() - 1)}),
    ],
    ids=["body", "id", "timestamp"],
)
def test_a_change_to_anything_signed_is_noticed(body: bytes, change: dict[str, str]) -> None:
    secret = new_secret()
    headers = sign(secret, "alert-1", now(), BODY) | change
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, headers)


def test_another_secret_does_not_verify() -> None:
    headers = sign(new_secret(), "alert-1", now(), BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)


def test_secrets_are_fresh_and_hold_32_bytes() -> None:
    assert new_secret() != new_secret()
    assert len(secret_key(new_secret())) == 32


def test_a_secret_without_base64_padding_is_read_as_the_library_reads_it() -> None:
    secret = new_secret().rstrip("=")
    Webhook(secret).verify(BODY, sign(secret, "alert-1", now(), BODY))


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_!!!!", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjU"])
def test_a_malformed_secret_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=r"secret|whsec_") as caught:
        secret_key(text)
    assert text.removeprefix("whsec_") == "" or text.removeprefix("whsec_") not in str(caught.value)


@pytest.mark.parametrize("webhook_id", ["", "a.b", "a\r\nx-evil: 1", "a b", "é", "a" * 201])
def test_an_id_that_would_be_ambiguous_or_split_a_header_is_refused(webhook_id: str) -> None:
    with pytest.raises(ValueError, match="webhook id"):
        sign(new_secret(), webhook_id, now(), BODY)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({}, ""),
        ({"webhook-id": "alert-2"}, "signature is another"),
        ({"webhook-timestamp": str(now() - 400)}, "away from now"),
        ({"webhook-timestamp": "soon"}, "missing"),
        ({"webhook-signature": "v1,AAAA v1a,BBBB"}, "signature is another"),
    ],
)
def test_our_own_receiver_verifies_what_the_library_verifies(
    change: dict[str, str], complaint: str
) -> None:
    secret = new_secret()
    signed = {name.title(): value for name, value in sign(secret, "alert-1", now(), BODY).items()}
    headers = signed | {name.title(): value for name, value in change.items()}
    if not complaint:
        assert verify(secret, headers, BODY, now()) == "alert-1"
        assert Webhook(secret).verify(BODY, {k.lower(): v for k, v in headers.items()})
        return
    with pytest.raises(ValueError, match=complaint):
        verify(secret, headers, BODY, now())
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, {k.lower(): v for k, v in headers.items()})
