"""Inputs on which nobody speaks: waited for up to a bound, then gone on without.

    input A   alive 100 │ silent 101                          recovered 900 │ 930
    others    ......... │ ............... 191 │ ............................ │ ....
    closed    as A says │ nothing         │ on, without A                    │ as A says

    input B   alive 100 │ (no more)           of B too, once the others' time ran on so far
    input C             │ (nobody, ever)      of C too, from the others' first word on

Words decide, in event time, never a clock. What A tells of [101 + bound, 930) is late whenever
it comes, so that inputs read up to `SKEW_S` apart close the same seconds alike.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from schemas.findings import FeedFinding
from schemas.identity import natural_id
from schemas.status import FeedStatus
from schemas.words import SECOND
from streams.core.detectors import faults, watermark
from streams.core.detectors.rate_state import Absence
from streams.core.detectors.watermark import InputClock, Observed

#: Shells do not let one input run further ahead of another than this, event seconds.
SKEW_S = 30

#: So begin the names of feeds of forced orders.
FORCED = "liquidations/"

#: Stands for the feed of an input on which none has ever spoken.
NOBODY = "nobody"

Clocks = dict[str, InputClock]


class Dark(msgspec.Struct):
    """An input that is dark: since which second, and where the others' runs stood then."""

    since: int
    runs: dict[str, int]
    left_out: bool = False


class Darkness(msgspec.Struct):
    """Dark inputs by name, and the second from which one that came back counts again.

    `marks`: where the inputs' runs stood at each input's last word. `awaited`: inputs that are
    not left out unless they say so. A shell that reads each input by itself waits there by its
    own clock: that one of them lags is no sign that nobody speaks.
    """

    dark: dict[str, Dark] = {}
    resumes: dict[str, int] = {}
    marks: dict[str, dict[str, int]] = {}
    awaited: set[str] = set()
    doubts: faults.Doubts = msgspec.field(default_factory=faults.Doubts)
    late_shares: dict[str, faults.LateShare] = {}


def step(
    inputs: Clocks, state: Darkness, topic: str, status: FeedStatus, stale_after_s: int
) -> Observed:
    """Take in a word on `topic`; tell whether the frontier may have moved, and what it refuted."""
    clock = inputs[topic]
    unheard = not clock.heard
    observed = watermark.step(clock, status, stale_after_s, trusted=_is_ours(topic, status))
    if observed.refused is not None or not clock.heard:
        return observed
    runs = {name: other.run for name, other in inputs.items()}
    state.marks[topic] = runs
    moved = observed.moved
    if clock.dark_since is not None and topic not in state.dark:
        state.dark[topic] = Dark(clock.dark_since, runs)
    elif clock.dark_since is None and topic in state.dark:
        gone = state.dark.pop(topic)
        awaited = unheard and topic in state.awaited
        second = clock.dark[-1][1] if clock.dark else gone.since
        passed = _others_run(inputs, gone.runs, topic)
        long_gone = second - gone.since >= stale_after_s and passed >= stale_after_s - SKEW_S
        if long_gone and not awaited:
            state.resumes[topic] = second + SKEW_S
            clock.dark.append((second, second + SKEW_S))
    if unheard:
        moved = True
    for name in inputs:
        if name != topic or state.dark:
            moved = _leave_out(inputs, state, name, status, stale_after_s) or moved
    return Observed(moved, observed.refuted)


def _is_ours(topic: str, status: FeedStatus) -> bool:
    return topic == "bars" and status.producer == "rollup"


def _leave_out(
    inputs: Clocks, state: Darkness, name: str, status: FeedStatus, stale_after_s: int
) -> bool:
    """Go on without an input once the others' time ran on for too long; return if so."""
    clock, dark, bound = inputs[name], state.dark.get(name), stale_after_s + SKEW_S
    if dark is not None:
        unsaid = not clock.heard and name in state.awaited
        if dark.left_out or unsaid or _others_run(inputs, dark.runs, name) < bound:
            return False
        dark.left_out = not _has_told_of(inputs, name, bound)
        return dark.left_out
    if name not in state.marks:
        # Nobody has spoken here yet.
        state.marks[name] = {other: c.run for other, c in inputs.items()}
        clock.dark_since = status.ts_event // SECOND
        state.dark[name] = Dark(clock.dark_since, state.marks[name])
        return False
    # Its silence is told as any other's; it is waited for a while longer.
    ran_on = _others_run(inputs, state.marks[name], name)
    if name in state.awaited or ran_on < stale_after_s or _has_told_of(inputs, name, stale_after_s):
        return False
    watermark.stall(clock, stale_after_s)
    since = clock.lead // SECOND if clock.dark_since is None else clock.dark_since
    out = ran_on >= bound and not _has_told_of(inputs, name, bound)
    state.dark[name] = Dark(since, state.marks[name], left_out=out)
    return out


def frontier(inputs: Clocks, state: Darkness, grace: int) -> int:
    """Return the first second that may still receive records, 0 when there is none to name."""
    if not state.dark and not state.resumes:
        return max(min(clock.now for clock in inputs.values()) - grace, 0) // SECOND
    first = None
    for name, clock in inputs.items():
        if name in state.dark and state.dark[name].left_out:
            continue
        reached = max(clock.frontier(grace), state.resumes.get(name, 0))
        if first is None or reached < first:
            first = reached
    return first or 0


def is_late(
    inputs: Clocks, state: Darkness, topic: str, second: int, grace: int, stale_after_s: int
) -> bool:
    """Return whether a record of `second` comes when its input no longer counts there."""
    if second < inputs[topic].frontier(grace) or second < state.resumes.get(topic, 0):
        return True
    gone = state.dark.get(topic)
    awaited = topic in state.awaited and not inputs[topic].heard
    if gone is None or awaited or second < gone.since + stale_after_s:
        return False
    returns = watermark.returns_at(inputs[topic])
    return returns is None or second < returns


def covers(inputs: Clocks, topic: str, second: int) -> bool:
    """Return whether somebody watched `topic` in a closed second."""
    clock = inputs[topic]
    if clock.dark_since is not None and second >= clock.dark_since:
        return False
    return not any(start <= second < end for start, end in clock.dark)


def silent_feeds(inputs: Clocks, first: int, last: int) -> list[str]:
    """Return "input/producer" of each feed silent at some time of the seconds [first, last]."""
    return sorted(
        f"{topic}/{name}"
        for topic, clock in inputs.items()
        if clock.quiet or not clock.heard
        for name in watermark.silent_within(clock, first, last) or [NOBODY] * (not clock.heard)
    )


def unseen(silent: Iterable[str]) -> list[str]:
    """Return those of silent feeds ("input/producer") that tell of forced orders."""
    return [feed for feed in silent if feed.startswith(FORCED)]


def absences(clock: InputClock, after: Mapping[str, int], second: int) -> dict[str, Absence]:
    """Return which venues told nothing since the second after which `after` says to look.

    By convention `binance` and `anything-binance` are feeds of the venue binance; it is away
    while all of them are. A venue without a feed of its name is not known to be away.
    """
    if not clock.quiet and not clock.joined:
        return {}
    away: dict[str, Absence] = {}
    for venue, last in after.items():
        feeds = [name for name in clock.heard if venue in name.split("-")]
        spans = [(last + 1, second + 1)] if feeds else []
        for name in feeds:
            spans = _overlap(spans, watermark.unheard_spans(clock, name))
        if spans:
            away[venue] = Absence(sum(b - a for a, b in spans), spans[-1][1] == second + 1)
    return away


def _overlap(spans: list[tuple[int, int]], others: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return where spans meet others; `to` 0 of the others is without end."""
    met = [(max(a, c), min(b, d) if d else b) for a, b in spans for c, d in others]
    return sorted((start, end) for start, end in met if start < end)


def lasting(inputs: Clocks) -> dict[str, dict[str, int]]:
    """Return, by input, the producers that are silent now and since which second."""
    silent = {}
    for name, clock in inputs.items():
        if clock.quiet:
            silent[name] = watermark.lasting(clock)
    return silent


def news(
    inputs: Clocks, before: dict[str, dict[str, int]], status: FeedStatus, stale_after_s: int
) -> Iterator[FeedFinding]:
    """Yield what a word changed in who is silent, unless another input told it first."""
    for topic, clock in inputs.items():
        if not clock.quiet:
            continue
        was, now = before.get(topic, {}), watermark.lasting(clock)
        others = [c for name, c in inputs.items() if name != topic]
        for name in sorted(now.keys() - was.keys()):
            if not any(now[name] in (s for s, _ in c.quiet.get(name, ())) for c in others):
                yield _fell_silent(name, now[name], status, stale_after_s)
        for name in sorted(was.keys() - now.keys()):
            if not any(was[name] in (s for s, end in c.quiet.get(name, ()) if end) for c in others):
                yield _came_back(name, was[name], clock.quiet[name][-1][1])


def unspoken(
    inputs: Clocks, before: Collection[str], state: Darkness, status: FeedStatus
) -> Iterator[FeedFinding]:
    """Yield, of inputs left out now and not `before`, those on which nobody ever spoke."""
    for topic in sorted(left_out(state).difference(before)):
        if not inputs[topic].heard:
            since = state.dark[topic].since
            yield FeedFinding(
                finding_id=natural_id("feed", topic, NOBODY, since),
                producer=f"{NOBODY}-{topic.replace('_', '-')}",
                state="silent",
                reason=f"nobody speaks on {topic}: concluded without",
                ts_event=since * SECOND,
                ts_detect=status.ts_event,
            )


def left_out(state: Darkness) -> set[str]:
    """Return the inputs that nothing waits for."""
    return {name for name, dark in state.dark.items() if dark.left_out}


def _fell_silent(name: str, since: int, status: FeedStatus, stale_after_s: int) -> FeedFinding:
    by_word = name == status.producer and status.state == "silent"
    why = status.reason if by_word else f"no word for {stale_after_s} s of the others' time"
    # Of a producer a part of which never spoke it is not known since when.
    ts_event = since * SECOND or status.ts_event
    return FeedFinding(
        finding_id=natural_id("feed", name, "silent", since),
        producer=name,
        state="silent",
        reason=why,
        ts_event=ts_event,
        ts_detect=ts_event if by_word or not since else (since + stale_after_s) * SECOND,
    )


def _came_back(name: str, since: int, second: int) -> FeedFinding:
    return FeedFinding(
        finding_id=natural_id("feed", name, "recovered", since),
        producer=name,
        state="recovered",
        reason="",
        ts_event=second * SECOND,
        ts_detect=second * SECOND,
    )


def _has_told_of(inputs: Clocks, name: str, bound_s: int) -> bool:
    """Return whether an input has spoken of what the others tell of now, so long ago it was.

    After an outage a word of rollup leaps over hours, which the others then have to run.
    """
    others = (c.lead for n, c in inputs.items() if n != name and c.dark_since is None)
    return max(others, default=0) - inputs[name].lead < bound_s * SECOND


def _others_run(inputs: Clocks, runs: Mapping[str, int], topic: str) -> int:
    """Return how far the live input that ran furthest has run since, seconds in strides."""
    most = 0
    for name, clock in inputs.items():
        if name != topic and clock.dark_since is None:
            ran = clock.run - runs.get(name, 0)
            if ran > most:
                most = ran
    return most // SECOND
