"""What is wrong with a feed that speaks: words nobody believes, and records that come too late.

    words     leap, refuted . leap, refuted . leap, refuted ──> doubted     once an hour at most
    records   5 min of event time, a twentieth of them late ──> late ... a hundredth ──> recovered

By event time, as all is: what is told here is the same however often it is read.
"""

import msgspec

from schemas.findings import FeedFinding
from schemas.identity import natural_id
from schemas.words import SECOND

#: Refuted words of one producer within HOUR_S that people hear of; one may be anybody's slip.
DOUBTS = 3
HOUR_S = 3_600
#: Producers whose doubts are counted; names cost nothing to make up.
DOUBTED = 64
#: Seconds over which the share of late records is taken, and how many records it takes to judge.
SPAN_S = 300
ENOUGH = 100
#: From this share on it is told, and below this one it is over.
LATE_SHARE, PUNCTUAL_SHARE = 0.05, 0.01


class Doubts(msgspec.Struct):
    """By producer: the hour, and its refuted words within it."""

    counts: dict[str, tuple[int, int]] = {}


class LateShare(msgspec.Struct):
    """Records of one input since second `since`: how many, how many late; `alerted` since when."""

    since: int = 0
    records: int = 0
    late: int = 0
    alerted: int | None = None


def doubt(state: Doubts, producer: str, reached: int) -> FeedFinding | None:
    """Count a refuted word, `reached` seconds into event time; return what is to be told of it."""
    hour = reached // HOUR_S
    before, count = state.counts.pop(producer, (hour, 0))
    count = count + 1 if before == hour else 1
    state.counts[producer] = hour, count
    if len(state.counts) > DOUBTED:
        del state.counts[next(iter(state.counts))]
    if count != DOUBTS:
        return None
    return FeedFinding(
        finding_id=natural_id("feed", producer, "doubted", hour),
        producer=producer,
        state="doubted",
        reason=f"{count} of its words leapt ahead of its records within an hour and were refuted;"
        " its clock may be wrong, and its words are in dead_letters",
        ts_event=reached * SECOND,
        ts_detect=reached * SECOND,
    )


def count(state: LateShare, records: int, late: int) -> None:
    """Add records of an input to those that its late share is taken of."""
    state.records += records
    state.late += late


def look(state: LateShare, topic: str, reached: int) -> FeedFinding | None:
    """Judge the share once SPAN_S have passed; `reached` is the input's event time in seconds."""
    # An input whose time leapt ahead is judged by that of the others.
    if not state.since or reached < state.since:
        state.since = reached
    if reached < state.since + SPAN_S or state.records < ENOUGH:
        return None
    share, since = state.late / state.records, state.since
    records, late = state.records, state.late
    state.since, state.records, state.late = reached, 0, 0
    if state.alerted is None and share >= LATE_SHARE:
        state.alerted = since
        return _late_finding(
            topic, "late", since, reached,
            f"{share:.0%} of {records:,} records of {topic} came after their second was judged"
            f" ({late:,}): they are stored and judged by nobody. Their feed's words run ahead of"
            " them, or grace is too short: `undertow feeds --lateness` recommends one",
        )  # fmt: skip
    if state.alerted is not None and share <= PUNCTUAL_SHARE:
        since, state.alerted = state.alerted, None
        return _late_finding(topic, "recovered", since, reached, "")
    return None


def _late_finding(topic: str, news: str, since: int, reached: int, reason: str) -> FeedFinding:
    name = f"late-{topic.replace('_', '-')}"
    return FeedFinding(
        finding_id=natural_id("feed", name, news, since),
        producer=name,
        state="late" if news == "late" else "recovered",
        reason=reason,
        ts_event=(since if news == "late" else reached) * SECOND,
        ts_detect=reached * SECOND,
    )
