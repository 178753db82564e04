"""The wall clock; shells only."""

import time

from schemas.words import MAX_AHEAD


def now_us() -> int:
    """Return this moment, microseconds UTC."""
    return time.time_ns() // 1_000


def not_after() -> int:
    """Return the latest believable event time at this moment, microseconds."""
    return now_us() + MAX_AHEAD


def not_after_message(millis: int | None) -> int | None:
    """Return the latest believable event time of a message by Kafka's stamp on it, microseconds.

    Not by this moment's clock: every stage, and every reading again, must decide alike.
    None where the message has no stamp.
    """
    return None if millis is None or millis < 0 else millis * 1_000 + MAX_AHEAD
