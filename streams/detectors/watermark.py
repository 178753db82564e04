"""How far event time has come on one input partition. Data says so, not a clock.

producer A   alive 10 ──── alive 11 ──── silent 12          recovered 90
producer B   alive 10 ─────────── alive 11 ── silent 12     recovered 90
now             10            10    11      12  (held)          90
dark                                        [12 ................ 90)
"""

import msgspec

from schemas.status import FeedStatus
from schemas.words import SECOND

#: Not heard from yet.
UNHEARD = -1


class InputClock(msgspec.Struct):
    """Event time of one topic partition: the minimum over its live producers.

    `now` (microseconds) never goes back; `dark` lists spans in which every producer was
    silent, as [from, to) in seconds: nobody watched, so they are neither calm nor history.
    """

    heard: dict[str, list[int]] = {}
    silent: list[str] = []
    now: int = 0
    dark_since: int | None = None
    dark: list[tuple[int, int]] = []

    def frontier(self, grace_s: int) -> int:
        """Return the first second that may still receive records."""
        return self.now // SECOND - grace_s if self.now else 0

    def covered(self, second: int) -> int:
        """Return `second` less all dark time before it: the time that was watched."""
        return second - sum(max(0, min(second, end) - start) for start, end in self.dark)


def observe(clock: InputClock, status: FeedStatus) -> bool:
    """Take in one FeedStatus; return whether the clock's `now` moved."""
    parts = clock.heard.setdefault(status.producer, [UNHEARD] * status.parts)
    if len(parts) != status.parts:
        parts[:] = [UNHEARD] * status.parts
    if status.part < len(parts):
        parts[status.part] = max(parts[status.part], status.ts_event)
    if status.state != "silent" and status.producer in clock.silent:
        clock.silent.remove(status.producer)
    moved = _advance(clock)
    if status.state == "silent" and status.producer not in clock.silent:
        clock.silent.append(status.producer)
        moved = _advance(clock) or moved
    _note_darkness(clock, status)
    return moved


def _advance(clock: InputClock) -> bool:
    live = [min(parts) for name, parts in clock.heard.items() if name not in clock.silent]
    reached = min(live, default=UNHEARD)
    if reached <= clock.now:
        return False
    clock.now = reached
    return True


def _note_darkness(clock: InputClock, status: FeedStatus) -> None:
    everyone_silent = len(clock.silent) == len(clock.heard)
    second = status.ts_event // SECOND
    if everyone_silent and clock.dark_since is None:
        clock.dark_since = second
    elif not everyone_silent and clock.dark_since is not None:
        if second > clock.dark_since:
            clock.dark.append((clock.dark_since, second))
        clock.dark_since = None
