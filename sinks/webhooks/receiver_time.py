"""What a receiver's answer says of time: how long to wait, and how wrong our clock is."""

import calendar
import re
from email.utils import parsedate_to_datetime

from schemas.words import SECOND

#: A receiver that asks for a longer pause than this is asked again after it.
MAX_PAUSE_US = 24 * 3_600 * SECOND
#: A signature that is further from a receiver's clock is refused, seconds.
#: Source: Standard Webhooks 1.0.0, whose libraries allow five minutes.
TOLERANCE_S = 300
#: With what a signature of another time is refused.
_REFUSED = frozenset({400, 401, 403})


def pause_us(retry_after: str, date: str, ts_unix: int) -> int:
    """Return how long a Retry-After header (seconds, or a date) asks us to wait, at most a day.

    A date counts from the receiver's own `date` header, else from `ts_unix`, seconds UTC. 0 when
    it is absent or cannot be read. Source: RFC 9110, 10.2.3.
    """
    text = retry_after.strip()
    if re.fullmatch(r"[0-9]{1,4000}", text):
        return min(int(text) * SECOND, MAX_PAUSE_US)
    until = _unix(text)
    if until is None:
        return 0
    return min(max(0, until - (_unix(date) or ts_unix)) * SECOND, MAX_PAUSE_US)


def behind_s(status: int, date: str, ts_unix: int) -> int:
    """Return how far our clock is behind the receiver's where that may be why it refused, else 0.

    Seconds, negative when ours is ahead. `date` is its header, `ts_unix` when we signed.
    """
    its_unix = _unix(date) if status in _REFUSED else None
    behind = 0 if its_unix is None else its_unix - ts_unix
    return behind if abs(behind) > TOLERANCE_S else 0


def _unix(date: str) -> int | None:
    try:
        return calendar.timegm(parsedate_to_datetime(date).utctimetuple())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
