"""Inputs on which every producer is silent: waited for up to a bound, then gone on without.

    input A   alive 100 │ silent 101                          recovered 900 │ 1020
    others    ......... │ ............... 521 │ ............................ │ .....
    closed    as A says │ nothing         │ on, without A                    │ as A says

A's own words and the others' decide, in event time. What A tells of [101 + bound, 1020) is
late whenever it comes, so that inputs read up to `SKEW_S` apart close the same seconds alike.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from schemas.findings import FeedFinding
from schemas.identity import natural_id
from schemas.status import FeedStatus
from schemas.words import SECOND
from streams.core.detectors import watermark
from streams.core.detectors.log_rate import Absence
from streams.core.detectors.watermark import InputClock

#: Shells do not let one input run further ahead of another than this, event seconds.
SKEW_S = 120

#: So begin the names of feeds of forced orders.
FORCED = "liquidations/"

Clocks = dict[str, InputClock]


class Dark(msgspec.Struct):
    """An input that is dark: since which second, and where the others' runs stood then."""

    since: int
    runs: dict[str, int]
    left_out: bool = False


class Darkness(msgspec.Struct):
    """Dark inputs by name, and the second from which one that came back counts again."""

    dark: dict[str, Dark] = {}
    resumes: dict[str, int] = {}


def observe(
    inputs: Clocks, state: Darkness, topic: str, status: FeedStatus, stale_after_s: int
) -> bool:
    """Take in a word on `topic`; return whether the frontier may have moved."""
    clock = inputs[topic]
    moved = watermark.observe(clock, status, stale_after_s)
    if clock.dark_since is not None and topic not in state.dark:
        state.dark[topic] = Dark(clock.dark_since, {n: c.run for n, c in inputs.items()})
    elif clock.dark_since is None and topic in state.dark:
        gone = state.dark.pop(topic)
        second = status.ts_event // SECOND
        passed = _others_run(inputs, gone, topic)
        if second - gone.since >= stale_after_s and passed >= stale_after_s - SKEW_S:
            state.resumes[topic] = second + SKEW_S
            clock.dark.append((second, second + SKEW_S))
    for name, dark in state.dark.items():
        if not dark.left_out and _others_run(inputs, dark, name) >= stale_after_s + SKEW_S:
            dark.left_out = moved = True
    return moved


def frontier(inputs: Clocks, state: Darkness, grace_s: int) -> int:
    """Return the first second that may still receive records, 0 when there is none to name."""
    waited_for = [
        name for name in inputs if name not in state.dark or not state.dark[name].left_out
    ]
    return min(
        (max(inputs[n].frontier(grace_s), state.resumes.get(n, 0)) for n in waited_for), default=0
    )


def is_late(
    inputs: Clocks, state: Darkness, topic: str, second: int, grace_s: int, stale_after_s: int
) -> bool:
    """Return whether a record of `second` comes when its input no longer counts there."""
    if second < inputs[topic].frontier(grace_s) or second < state.resumes.get(topic, 0):
        return True
    gone = state.dark.get(topic)
    return gone is not None and second >= gone.since + stale_after_s


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
        if clock.quiet
        for name in watermark.silent_within(clock, first, last)
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


def news(
    inputs: Clocks, topic: str, before: dict[str, int], status: FeedStatus, stale_after_s: int
) -> Iterator[FeedFinding]:
    """Yield what a word on `topic` changed in who is silent, unless another input told it first."""
    clock = inputs[topic]
    after = watermark.lasting(clock)
    others = [c for name, c in inputs.items() if name != topic]
    for name in sorted(after.keys() - before.keys()):
        if any(after[name] in (s for s, _ in c.quiet.get(name, ())) for c in others):
            continue
        by_word = name == status.producer
        since = after[name] * SECOND
        yield FeedFinding(
            finding_id=natural_id("feed", name, "silent", after[name]),
            producer=name,
            state="silent",
            reason=status.reason
            if by_word
            else f"no word for {stale_after_s} s of the others' time",
            ts_event=since,
            ts_detect=since if by_word else since + stale_after_s * SECOND,
        )
    for name in sorted(before.keys() - after.keys()):
        if any(before[name] in (s for s, end in c.quiet.get(name, ()) if end) for c in others):
            continue
        yield FeedFinding(
            finding_id=natural_id("feed", name, "recovered", before[name]),
            producer=name,
            state="recovered",
            reason="",
            ts_event=status.ts_event,
            ts_detect=status.ts_event,
        )


def _others_run(inputs: Clocks, dark: Dark, topic: str) -> int:
    """Return how far the live input that ran furthest has run since, seconds in strides."""
    return max(
        (
            (clock.run - dark.runs.get(name, 0)) // SECOND
            for name, clock in inputs.items()
            if name != topic and clock.dark_since is None
        ),
        default=0,
    )
