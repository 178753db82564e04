"""Who may ask an HTTP endpoint of ours: whoever shows the one token, wherever it is set."""

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Mapping
from contextlib import suppress


def is_loopback(host: str) -> bool:
    """Return whether an address or name is this machine's own."""
    if host.lower() == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def why_not_bound(host: str, token: str) -> str | None:
    """Return why `host` must not be listened on, None where it may."""
    if token or is_loopback(host):
        return None
    return "an address that other machines reach needs http_token"


def is_allowed(token: str, headers: Mapping[str, str]) -> bool:
    """Return whether a request shows the token, or none is asked for (`token` is empty).

    It may come as `Authorization: Bearer`, as the password of `Authorization: Basic` or in
    `X-ClickHouse-Key`, as ClickHouse's clients send passwords.
    """
    if not token:
        return True
    shown = [headers.get("X-ClickHouse-Key") or ""]
    scheme, _, rest = (headers.get("Authorization") or "").partition(" ")
    if scheme.lower() == "bearer":
        shown.append(rest.strip())
    elif scheme.lower() == "basic":
        with suppress(binascii.Error, UnicodeDecodeError):
            shown.append(base64.b64decode(rest, validate=True).decode().partition(":")[2])
    # Bytes: compare_digest refuses text that is not ASCII.
    return any(hmac.compare_digest(word.encode(), token.encode()) for word in shown)
