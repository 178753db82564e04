"""Standard Webhooks 1.0.0 symmetric signatures (`v1`).

The stdlib signs because the `standardwebhooks` library takes text and a datetime whose
zone it overwrites, and accepts broken base64 as a shorter secret; what we send is bytes
and whole seconds. The library verifies in the tests, so two independent implementations
must agree. Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping

#: How far from now a receiver takes a signature for. Source: the spec, "Verifying signatures".
TOLERANCE_S = 300

_PREFIX = "whsec_"
# The id is followed by a full stop in the signed text, so it may not contain one.
_WEBHOOK_ID = re.compile(r"[A-Za-z0-9_:-]{1,200}")


def new_secret() -> str:
    """Return a fresh random secret (32 bytes), one for each endpoint."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check_webhook_id(webhook_id: str) -> str:
    """Return `webhook_id`; raises ValueError when it cannot be signed unambiguously."""
    if not _WEBHOOK_ID.fullmatch(webhook_id):
        raise ValueError(f"webhook id {webhook_id!r} is not 1-200 of A-Z a-z 0-9 _ : -")
    return webhook_id


def secret_key(secret: str) -> bytes:
    """Decode `whsec_...`; raises ValueError, which never quotes it, when it is not one."""
    text = secret.removeprefix(_PREFIX)
    if text == secret:
        raise ValueError(f"the secret does not start with {_PREFIX}")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"what follows {_PREFIX} is not base64") from None
    if not 24 <= len(key) <= 64:
        raise ValueError(f"the secret holds {len(key)} bytes, not 24 to 64")
    return key


def sign(secret: str, webhook_id: str, ts_unix: int, body: bytes) -> dict[str, str]:
    """Return the three `webhook-*` headers for one attempt at `ts_unix` (seconds UTC).

    Raises ValueError for a malformed secret or id.
    """
    signed = f"{check_webhook_id(webhook_id)}.{ts_unix}.".encode() + body
    digest = hmac.new(secret_key(secret), signed, hashlib.sha256).digest()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(ts_unix),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


def verify(secret: str, headers: Mapping[str, str], body: bytes, now_unix: int) -> str:
    """Return the id of a webhook that was signed with `secret` no more than five minutes ago.

    As a receiver does; names of `headers` in any case. Raises ValueError, which says what is wrong.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        webhook_id, stamp, signatures = (
            given[f"webhook-{name}"] for name in ("id", "timestamp", "signature")
        )
        ts_unix = int(stamp)
    except (KeyError, ValueError):
        raise ValueError("webhook-id, webhook-timestamp or webhook-signature is missing") from None
    if abs(now_unix - ts_unix) > TOLERANCE_S:
        raise ValueError(f"signed {abs(now_unix - ts_unix)} s away from now")
    wanted = sign(secret, webhook_id, ts_unix, body)["webhook-signature"].encode()
    # A receiver whose secret is being changed gets several, one must fit.
    if not any(hmac.compare_digest(wanted, one.encode()) for one in signatures.split()):
        raise ValueError("the signature is another")
    return webhook_id
