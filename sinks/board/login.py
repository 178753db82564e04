"""Who may read the board beyond loopback: whoever showed the token, for a month by a cookie.

An event stream of a browser cannot send a token. So the page sends it once, and gets a cookie
that says until when it holds, signed with the token: it outlives a restart, and a new token
ends it.
"""

import hashlib
import hmac
import time
from collections.abc import Mapping

from schemas.access import is_allowed

COOKIE = "undertow_board"
LASTS_S = 30 * 86_400


def cookie(token: str, now: float | None = None) -> str:
    """Return a cookie's value for whoever showed `token`."""
    until = str(int((time.time() if now is None else now) + LASTS_S))
    return f"{until}.{_signed(token, until)}"


def may_read(token: str, headers: Mapping[str, str], cookies: Mapping[str, str]) -> bool:
    """Return whether a request shows the token or a cookie of it, or none is asked for."""
    if is_allowed(token, headers):
        return True
    until, _, signature = cookies.get(COOKIE, "").partition(".")
    if not hmac.compare_digest(signature.encode(), _signed(token, until).encode()):
        return False
    return until.isdecimal() and int(until) > time.time()


def _signed(token: str, until: str) -> str:
    return hmac.new(token.encode(), f"board until {until}".encode(), hashlib.sha256).hexdigest()
