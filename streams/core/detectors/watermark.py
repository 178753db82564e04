"""How far event time has come on one input partition. Data says so, not a clock.

producer A   alive 10 ──── alive 11 ──── silent 12          recovered 90
producer B   alive 10 ─────────── alive 11 ── silent 12     recovered 90
now             10            10    11      12  (held)          90
dark                                        [12 ................ 90)

producer C   alive 11 (and no more)             held for silent until it speaks again
producer D   alive 11 ── 12 ── 13 ── ... ── 72 ┘ 60 s of D's words later

A word is evidence, not an order. One that leaps waits for the next of its producer:

producer E   alive 10 ── alive 9,000 ── record 11 ── alive 11      refuted, told, forgotten
producer F   alive 10 ── alive 9,000 ── record 9,001 ── alive 9,001          9,000, then 9,001
"""

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.status import FeedStatus
from schemas.words import SECOND

#: Not heard from yet.
UNHEARD = -1
#: Producers that one input may have; more would grow the state without end.
PRODUCERS = 64
#: Names of a single word that are remembered: the second makes a producer.
STRANGERS = 4_096
#: Silences remembered of each producer.
SILENCES = 8
#: One word moves the run by this much at most: a single clock that leaps silences nobody.
_STRIDE = 10 * SECOND
#: A word further ahead of all before it waits for the next, unless its producer's last step was
#: half as long; none longer than _LONGEST goes without.
_LEAP = 10 * SECOND
_LONGEST = 60 * SECOND
#: Where no record and nobody else speaks for a leap, its producer's words must have gone on so far.
_PATIENCE = 10 * SECOND
#: A newcomer holds nobody back before its words have come so far.
_TRIAL = 10 * SECOND
#: Nobody is waited for, or heard, who is so far behind.
_BEHIND = 86_400 * SECOND


class Pending(msgspec.Struct):
    """A word that leaps, and what came since near or beyond it, and clearly before it.

    That is records and words of other producers.
    """

    #: `word` as stored.
    status: FeedStatus = msgspec.field(name="word")
    support: int = 0
    against: int = 0


class InputClock(msgspec.Struct):
    """Event time of one topic partition: the minimum over its live producers.

    `now` (microseconds) never goes back; `dark` lists spans in which every producer was
    silent, as [from, to) in seconds: nobody watched, so they are neither calm nor history.
    `lead` is the latest time told by anyone, `run` how far it has come in strides, and
    `spoke` where the run stood at each producer's last word that went on. `quiet` has each
    producer's own last silences as [from, to) in seconds, `to` 0 while it lasts; `hushed` the
    parts of a partitioned producer that said so; `joined` the second of a newcomer's first
    word, `trial` those that have not kept pace yet; `steps` each producer's last step; `pending`
    are words that wait to be believed, `met` the only word so far of names not heard yet;
    `began` is the first word that was believed.
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
    trial: list[str] = []
    steps: dict[str, int] = {}
    pending: dict[str, Pending] = {}
    met: dict[str, int] = {}
    began: int = 0

    def frontier(self, grace: int) -> int:
        """Return the first second that may still receive records; `grace` in microseconds."""
        return (self.now - grace) // SECOND if self.now else 0

    def covered(self, second: int) -> int:
        """Return `second` less all dark time before it: the time that was watched."""
        return second - sum(max(0, min(second, end) - start) for start, end in self.dark)


class Observed(NamedTuple):
    """Whether `now` moved, and an earlier word that what came since has refuted.

    `refused` says why the word is not heard at all, as `refusal` does.
    """

    moved: bool
    refuted: FeedStatus | None = None
    refused: str | None = None


def refusal(clock: InputClock, status: FeedStatus, stale_after_s: int) -> str | None:
    """Return why a word is not heard at all: "crowded", "behind", or None where it is.

    "crowded": there is no room for its producer, as all known ones are alive. "behind": it
    tells of a time so long gone by that of the others that nobody can wait for it.
    """
    if status.ts_event < clock.lead - _BEHIND:
        return "behind"
    full = status.producer not in clock.heard and len(clock.heard) >= PRODUCERS
    return "crowded" if full and not not_awaited_now(clock, stale_after_s) else None


def note(clock: InputClock, ts_event: int) -> None:
    """Hold a record's time against the words that wait."""
    for pending in clock.pending.values():
        if ts_event >= pending.status.ts_event - _LEAP:
            pending.support += 1
        else:
            pending.against += 1


def note_all(clock: InputClock, ts_event: NDArray[np.int64]) -> None:
    """Do for many records what `note` does for one."""
    for pending in clock.pending.values():
        support = int(np.count_nonzero(ts_event >= pending.status.ts_event - _LEAP))
        pending.support += support
        pending.against += len(ts_event) - support


def step(
    clock: InputClock, status: FeedStatus, stale_after_s: int, trusted: bool = False
) -> Observed:
    """Take in one FeedStatus; return whether the clock's `now` moved, and what it refuted.

    A producer that says nothing new while another's time runs on for `stale_after_s` is held
    for silent; one that lags but goes on is waited for. A newcomer is not, before it has kept
    pace for a while. The parts of one producer are one voice. A word that is refused is not
    heard, or takes the place of the longest held. `trusted`: words of our own stages, made of
    words that were held against their records, are believed however far they leap.
    """
    if trusted:
        return Observed(_accept(clock, status, stale_after_s))
    refused = refusal(clock, status, stale_after_s)
    if refused is not None:
        return Observed(False, refused=refused)
    refuted = None
    moved = False
    # What only repeats an earlier word is no evidence on one that came since.
    voice = _voice(status) if clock.pending else ""
    if voice in clock.pending and status.ts_event > _last(clock, status):
        waiting = clock.pending[voice]
        if _contradicts(waiting, status):
            refuted = clock.pending.pop(voice).status
        elif _suffices(clock, waiting, status):
            moved = _accept(clock, clock.pending.pop(voice).status, stale_after_s)
        elif status.state != "silent":
            return Observed(False)
    if clock.pending:
        _hold_against(clock, status, voice)
    if not _leaps(clock, status):
        if not _met_before(clock, status):
            return Observed(moved, refuted)
        moved = _accept(clock, status, stale_after_s) or moved
    elif status.state == "silent" and status.producer in clock.heard:
        # That it stops is believed, when it does not.
        last = max(clock.heard[status.producer])
        silent = msgspec.structs.replace(status, ts_event=max(last, clock.now))
        moved = _accept(clock, silent, stale_after_s) or moved
    else:
        _make_room(clock)
        clock.pending[_voice(status)] = Pending(status)
    return Observed(moved, refuted)


def _voice(status: FeedStatus) -> str:
    return f"{status.producer}\x1f{status.part}"


def _make_room(clock: InputClock) -> None:
    """Forget the first word that waits, of a name never heard if there is one, when many do."""
    if len(clock.pending) >= PRODUCERS:
        strangers = (v for v, p in clock.pending.items() if p.status.producer not in clock.heard)
        del clock.pending[next(strangers, next(iter(clock.pending)))]


def _met_before(clock: InputClock, status: FeedStatus) -> bool:
    """Return whether a producer is known, if only by one earlier word; remember it otherwise."""
    name = status.producer
    before = clock.met.pop(name, None) if clock.met else None
    if name in clock.heard or (before is not None and status.ts_event > before):
        return True
    clock.met[name] = status.ts_event
    if len(clock.met) > STRANGERS:
        del clock.met[next(iter(clock.met))]
    return False


def _contradicts(waiting: Pending, status: FeedStatus) -> bool:
    """Return whether what came since a word speaks against it, or its producer's next one does."""
    goes_on = status.ts_event >= waiting.status.ts_event - _LEAP
    return not goes_on or waiting.against > waiting.support


def _suffices(clock: InputClock, waiting: Pending, status: FeedStatus) -> bool:
    """Return whether a leap that nothing speaks against may be believed by its next word.

    After a silence that is known it was to be expected.
    """
    expected = not clock.heard or clock.dark_since is not None
    gone_on = status.ts_event - waiting.status.ts_event
    return expected or waiting.support > 0 or gone_on >= _PATIENCE


def _hold_against(clock: InputClock, status: FeedStatus, voice: str) -> None:
    """Hold a word's time against those of other producers that wait."""
    for name, pending in clock.pending.items():
        if name != voice and pending.status.producer != status.producer:
            if status.ts_event >= pending.status.ts_event - _LEAP:
                pending.support += 1
            elif status.ts_event > _last(clock, status):
                pending.against += 1


def _last(clock: InputClock, status: FeedStatus) -> int:
    """Return the time of a producer's (or its part's) last word that is believed."""
    parts = clock.heard.get(status.producer, ())
    return parts[status.part] if status.part < len(parts) == status.parts else UNHEARD


def _leaps(clock: InputClock, status: FeedStatus) -> bool:
    # No step is shorter: mostly that is all there is to look at.
    if status.ts_event <= clock.lead + _LEAP:
        return False
    step = min(max(_LEAP, 2 * clock.steps.get(status.producer, 0)), _LONGEST)
    return status.ts_event > max(_last(clock, status), clock.lead) + step


def _accept(clock: InputClock, status: FeedStatus, stale_after_s: int) -> bool:
    name = status.producer
    if name not in clock.heard:
        if len(clock.heard) >= PRODUCERS:
            not_awaited = not_awaited_now(clock, stale_after_s)
            _drop(clock, min(not_awaited, key=lambda n: (clock.spoke.get(n, 0), n)))
        if clock.run >= stale_after_s * SECOND:
            clock.joined[name] = status.ts_event // SECOND
            clock.trial.append(name)
    parts = clock.heard.setdefault(name, [UNHEARD] * status.parts)
    if len(parts) != status.parts:
        parts[:] = [UNHEARD] * status.parts
    goes_on = False
    if status.part < len(parts):
        last = parts[status.part]
        goes_on = status.ts_event > last
        if goes_on and last != UNHEARD:
            clock.steps[name] = status.ts_event - last
        parts[status.part] = max(last, status.ts_event)
    _run_on(clock, status, goes_on or status.state == "recovered")
    silent = _says_silent(clock, status)
    if not silent and name in clock.silent:
        clock.silent.remove(name)
    if clock.trial:
        _end_trial(clock, name)
    not_awaited = not_awaited_now(clock, stale_after_s)
    moved = _advance(clock, not_awaited)
    if silent and name not in clock.silent:
        clock.silent.append(name)
        not_awaited.add(name)
        moved = _advance(clock, not_awaited) or moved
    if not_awaited or clock.quiet or clock.dark_since is not None:
        _note_darkness(clock, status.ts_event // SECOND, not_awaited)
        _note_silences(clock, status.ts_event, not_awaited)
    return moved


def stall(clock: InputClock, stale_after_s: int) -> None:
    """Hold every producer for silent since its last word: the other inputs' time ran on."""
    gone = clock.run - stale_after_s * SECOND - 1
    clock.spoke = dict.fromkeys(clock.heard, gone)
    not_awaited = not_awaited_now(clock, stale_after_s)
    _note_darkness(clock, clock.lead // SECOND, not_awaited)
    _note_silences(clock, clock.lead, not_awaited)


def returns_at(clock: InputClock) -> int | None:
    """Return the earliest second that a word which still waits to be believed tells of."""
    return min((p.status.ts_event // SECOND for p in clock.pending.values()), default=None)


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


def _note_silences(clock: InputClock, ts_event: int, not_awaited: set[str]) -> None:
    silent = lasting(clock)
    for name in not_awaited - silent.keys():
        since = min(clock.heard[name]) // SECOND
        clock.quiet[name] = [*clock.quiet.get(name, [])[1 - SILENCES :], (max(since, 0), 0)]
    for name in silent.keys() - not_awaited:
        # Not before what this input has passed: those seconds were closed without it.
        end = max(ts_event, clock.now) // SECOND
        clock.quiet[name][-1] = (silent[name], max(end, silent[name] + 1))


def _run_on(clock: InputClock, status: FeedStatus, goes_on: bool) -> None:
    if not clock.began or status.ts_event > clock.lead + _BEHIND:
        clock.began = status.ts_event
    if status.ts_event > clock.lead:
        clock.run += min(status.ts_event - clock.lead, _STRIDE)
        clock.lead = status.ts_event
    if goes_on:
        clock.spoke[status.producer] = clock.run


def _end_trial(clock: InputClock, producer: str) -> None:
    """Let a newcomer count once its words have come far enough and lie near the others'."""
    if producer not in clock.trial:
        return
    reached = min(clock.heard[producer])
    kept_pace = reached - clock.joined[producer] * SECOND >= _TRIAL
    if kept_pace and reached >= clock.lead - _LONGEST:
        clock.trial.remove(producer)


def not_awaited_now(clock: InputClock, stale_after_s: int) -> set[str]:
    """Return the producers for which nobody waits: silent by their word, stale, or far behind."""
    since, least = clock.run - stale_after_s * SECOND, clock.lead - _BEHIND
    silent, spoke = clock.silent, clock.spoke
    gone = set()
    for name, parts in clock.heard.items():
        if name in silent or spoke.get(name, 0) < since or 0 < max(parts) < least:
            gone.add(name)
    return gone


def _drop(clock: InputClock, producer: str) -> None:
    del clock.heard[producer]
    for of in (clock.quiet, clock.hushed, clock.spoke, clock.joined, clock.steps):
        of.pop(producer, None)
    for names in (clock.silent, clock.trial):
        if producer in names:
            names.remove(producer)


def _advance(clock: InputClock, not_awaited: set[str]) -> bool:
    live = clock.heard
    if not_awaited:
        live = {name: parts for name, parts in live.items() if name not in not_awaited}
    # Newcomers count among themselves, where nobody else is left.
    if clock.trial:
        live = {name: parts for name, parts in live.items() if name not in clock.trial} or live
    reached = min(map(min, live.values()), default=UNHEARD)
    if reached <= clock.now:
        return False
    clock.now = reached
    return True


def _note_darkness(clock: InputClock, second: int, not_awaited: set[str]) -> None:
    everyone_silent = len(not_awaited) == len(clock.heard)
    if everyone_silent and clock.dark_since is None:
        clock.dark_since = second
    elif not everyone_silent and clock.dark_since is not None:
        if second > clock.dark_since:
            clock.dark.append((clock.dark_since, second))
        clock.dark_since = None
