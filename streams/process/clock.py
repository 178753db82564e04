"""The wall clock; shells only."""

import time

from schemas.words import MAX_AHEAD


def now_us() -> int:
    """Return this moment, microseconds UTC."""
    return time.time_ns() // 1_000


def not_after() -> int:
    """Return the latest believable event time at this moment, microseconds."""
    return now_us() + MAX_AHEAD
