"""How many dead letters a stream may cost: one that changes its format costs one a frame. Pure.

So many of a minute are told one by one, the others counted, and told by one letter at its end.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

#: Of a stream, and how long its minute is, seconds.
MOST, MINUTE_S = 60, 60.0


class Totals(NamedTuple):
    """Records that a stream gave, and items of it that could not be read, so far."""

    records: int
    refused: int


class _Minute(msgspec.Struct):
    ends: float
    before: Totals
    latest: Totals
    frame: bytes


class Uncounted(NamedTuple):
    """What a stream's minute had beyond the letters told: why, and the last frame."""

    stream: str
    reason: str
    frame: bytes


class Complaints:
    """The minutes of one feed's streams; times are steady seconds."""

    def __init__(self) -> None:
        self._minutes: dict[str, _Minute] = {}

    def admits(self, stream: str, refused: int, totals: Totals, frame: bytes, now: float) -> int:
        """Return how many of a frame's `refused` items are told; `totals` have them already."""
        minute = self._minutes.get(stream)
        if minute is None:
            before = totals._replace(refused=totals.refused - refused)
            minute = self._minutes[stream] = _Minute(now + MINUTE_S, before, before, frame)
        left = MOST - (minute.latest.refused - minute.before.refused)
        minute.latest, minute.frame = totals, frame
        return min(max(left, 0), refused)

    def over(self, now: float) -> Iterator[Uncounted]:
        """Yield what the minutes that are over had beyond what was told, and forget them."""
        for stream, minute in list(self._minutes.items()):
            if now < minute.ends:
                continue
            del self._minutes[stream]
            refused = minute.latest.refused - minute.before.refused
            items = refused + minute.latest.records - minute.before.records
            if refused > MOST:
                share = f"{refused} of {items} items ({refused / items:.0%}) could not be read"
                yield Uncounted(
                    stream, f"{share} within a minute: {refused - MOST} not told", minute.frame
                )
