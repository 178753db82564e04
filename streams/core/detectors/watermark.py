"""How far event time has come on one input partition. Data says so, not a clock.

producer A   alive 10 ──── alive 11 ──── silent 12          recovered 90
producer B   alive 10 ─────────── alive 11 ── silent 12     recovered 90
now             10            10    11      12  (held)          90
dark                                        [12 ................ 90)

producer C   alive 11 (and no more)             held for silent until it speaks again
producer D   alive 11 ── 12 ── 13 ── ... ── 312 ┘ 300 s of D's words later
"""

import msgspec

from schemas.status import FeedStatus
from schemas.words import SECOND

#: Not heard from yet.
UNHEARD = -1
#: Producers that one input may have; more would grow the state without end.
PRODUCERS = 64
#: Silences remembered of each producer.
SILENCES = 8
#: One word moves the run by this much at most: a single clock that leaps silences nobody.
_STRIDE = 10 * SECOND


class InputClock(msgspec.Struct):
    """Event time of one topic partition: the minimum over its live producers.

    `now` (microseconds) never goes back; `dark` lists spans in which every producer was
    silent, as [from, to) in seconds: nobody watched, so they are neither calm nor history.
    `lead` is the latest time told by anyone, `run` how far it has come in strides, and
    `spoke` where the run stood at each producer's last word. `quiet` has each producer's
    own last silences as [from, to) in seconds, `to` 0 while it lasts; `hushed` the parts of
    a partitioned producer that said so; `joined` the second of a newcomer's first word.
    """

    heard: dict[str, list[int]] = {}
    silent: list[str] = []
    now: int = 0
    dark_since: int | None = None
    dark: list[tuple[int, int]] = []
    lead: int = 0
    run: int = 0
    spoke: dict[str, int] = {}
    quiet: dict[str, list[tuple[int, int]]] = {}
    hushed: dict[str, list[int]] = {}
    joined: dict[str, int] = {}

    def frontier(self, grace_s: int) -> int:
        """Return the first second that may still receive records."""
        return self.now // SECOND - grace_s if self.now else 0

    def covered(self, second: int) -> int:
        """Return `second` less all dark time before it: the time that was watched."""
        return second - sum(max(0, min(second, end) - start) for start, end in self.dark)


def crowded(clock: InputClock, producer: str, stale_after_s: int) -> bool:
    """Return whether there is no room for a producer: all known ones are alive."""
    full = producer not in clock.heard and len(clock.heard) >= PRODUCERS
    return full and not _held(clock, stale_after_s)


def observe(clock: InputClock, status: FeedStatus, stale_after_s: int) -> bool:
    """Take in one FeedStatus; return whether the clock's `now` moved.

    A producer that says nothing while another's time runs on for `stale_after_s` is held
    for silent; one that lags but speaks is waited for. The parts of one producer are one
    voice. A crowded clock hears no newcomer, or one in place of the longest held.
    """
    if crowded(clock, status.producer, stale_after_s):
        return False
    if status.producer not in clock.heard and len(clock.heard) >= PRODUCERS:
        _drop(clock, min(_held(clock, stale_after_s), key=lambda n: (clock.spoke.get(n, 0), n)))
    if status.producer not in clock.heard and clock.run >= stale_after_s * SECOND:
        clock.joined[status.producer] = status.ts_event // SECOND
    parts = clock.heard.setdefault(status.producer, [UNHEARD] * status.parts)
    if len(parts) != status.parts:
        parts[:] = [UNHEARD] * status.parts
    if status.part < len(parts):
        parts[status.part] = max(parts[status.part], status.ts_event)
    _run_on(clock, status)
    silent = _says_silent(clock, status)
    if not silent and status.producer in clock.silent:
        clock.silent.remove(status.producer)
    moved = _advance(clock, stale_after_s)
    if silent and status.producer not in clock.silent:
        clock.silent.append(status.producer)
        moved = _advance(clock, stale_after_s) or moved
    held = _held(clock, stale_after_s)
    _note_darkness(clock, status, held)
    _note_silences(clock, status, held)
    return moved


def lasting(clock: InputClock) -> dict[str, int]:
    """Return the producers that are silent now, with the second since which they are."""
    return {name: spans[-1][0] for name, spans in clock.quiet.items() if not spans[-1][1]}


def silent_within(clock: InputClock, first: int, last: int) -> list[str]:
    """Return the producers that were silent at some time of the seconds [first, last].

    The same whenever it is asked, once the clock has passed `last`.
    """
    return [
        name
        for name, spans in clock.quiet.items()
        if any(start <= last and (not end or end > first) for start, end in spans)
    ]


def unheard_spans(clock: InputClock, producer: str) -> list[tuple[int, int]]:
    """Return when a producer told nothing, as [from, to) in seconds, `to` 0 while it lasts."""
    before = [(0, clock.joined[producer])] if producer in clock.joined else []
    return before + clock.quiet.get(producer, [])


def _says_silent(clock: InputClock, status: FeedStatus) -> bool:
    """Return whether the producer is silent by its word: all parts of it, if it has several."""
    if status.parts == 1:
        return status.state == "silent"
    parts = set(clock.hushed.get(status.producer, ()))
    parts = parts | {status.part} if status.state == "silent" else parts - {status.part}
    if parts:
        clock.hushed[status.producer] = sorted(parts)
    else:
        clock.hushed.pop(status.producer, None)
    return len(parts) == status.parts


def _note_silences(clock: InputClock, status: FeedStatus, held: set[str]) -> None:
    if not held and not clock.quiet:
        return
    silent = lasting(clock)
    for name in held - silent.keys():
        since = min(clock.heard[name]) // SECOND
        clock.quiet[name] = [*clock.quiet.get(name, [])[1 - SILENCES :], (max(since, 0), 0)]
    for name in silent.keys() - held:
        # Not before what this input has passed: those seconds were closed without it.
        end = max(status.ts_event, clock.now) // SECOND
        clock.quiet[name][-1] = (silent[name], max(end, silent[name] + 1))


def _run_on(clock: InputClock, status: FeedStatus) -> None:
    if status.ts_event > clock.lead:
        clock.run += min(status.ts_event - clock.lead, _STRIDE)
        clock.lead = status.ts_event
    clock.spoke[status.producer] = clock.run


def _held(clock: InputClock, stale_after_s: int) -> set[str]:
    """Return the producers for which nobody waits: silent by their word, or stale."""
    since = clock.run - stale_after_s * SECOND
    return {
        name for name in clock.heard if name in clock.silent or clock.spoke.get(name, 0) < since
    }


def _drop(clock: InputClock, producer: str) -> None:
    del clock.heard[producer]
    clock.quiet.pop(producer, None)
    clock.hushed.pop(producer, None)
    clock.spoke.pop(producer, None)
    clock.joined.pop(producer, None)
    if producer in clock.silent:
        clock.silent.remove(producer)


def _advance(clock: InputClock, stale_after_s: int) -> bool:
    held = _held(clock, stale_after_s)
    live = [min(parts) for name, parts in clock.heard.items() if name not in held]
    reached = min(live, default=UNHEARD)
    if reached <= clock.now:
        return False
    clock.now = reached
    return True


def _note_darkness(clock: InputClock, status: FeedStatus, held: set[str]) -> None:
    everyone_silent = len(held) == len(clock.heard)
    second = status.ts_event // SECOND
    if everyone_silent and clock.dark_since is None:
        clock.dark_since = second
    elif not everyone_silent and clock.dark_since is not None:
        if second > clock.dark_since:
            clock.dark.append((clock.dark_since, second))
        clock.dark_since = None
