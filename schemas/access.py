"""Who may ask an HTTP endpoint of ours, and how many at once.

Whoever shows the one token, wherever it is set; never a web page of another's, which a
browser on this machine would send here, and names what it is in `Origin`, `Sec-Fetch-Site`
or, bound anew to 127.0.0.1, in `Host`.
"""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import resource
from collections.abc import Iterator, Mapping
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
    secret = token.encode()
    return any(hmac.compare_digest(sent, secret) for one in shown for sent in _as_sent(one))


def pass_of(token: str, what: str) -> str:
    """Return what lets whoever has it see `what` alone; empty where no token is asked for."""
    if not token:
        return ""
    return hmac.new(token.encode(), f"see {what}".encode(), hashlib.sha256).hexdigest()[:32]


def why_foreign(headers: Mapping[str, str], loopback: bool) -> str | None:
    """Return why a request is another page's doing, None where it may be answered.

    `loopback` says that the endpoint listens to this machine alone.
    """
    host = headers.get("Host") or ""
    if loopback and not is_loopback(hostname(host)):
        return f"Host {host!r} is not this machine"
    origin = headers.get("Origin")
    if origin is not None and origin.partition("://")[2].lower() != host.lower():
        return f"Origin {origin!r} is another's page"
    site = headers.get("Sec-Fetch-Site") or "none"
    if site not in ("none", "same-origin"):
        return f"Sec-Fetch-Site {site!r} is another's page"
    return None


def hostname(host: str) -> str:
    """Take the port off a Host header."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def most_connections(at_most: int = 256) -> int:
    """Return how many connections one endpoint may hold: a quarter of the descriptors.

    There are as many of those as the system lets us have, once this has been asked.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return at_most if soft == resource.RLIM_INFINITY else max(1, min(at_most, soft // 4))


def _as_sent(text: str) -> Iterator[bytes]:
    """Yield the bytes a header may have been: one server reads them as UTF-8, one as Latin-1."""
    for encoding, errors in (("utf-8", "surrogateescape"), ("latin-1", "strict")):
        with suppress(UnicodeEncodeError):
            yield text.encode(encoding, errors)
