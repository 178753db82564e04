"""Words and records that lie, however drawn: the clean night's findings, or people are told."""

from collections import Counter
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from nights import PARAMS, PRODUCERS, START, Item, alive, night

from schemas import codec
from schemas.codec import InvalidRecord
from schemas.findings import Alert, CascadeFinding, WhaleFinding
from schemas.status import FeedStatus
from schemas.words import MAX_AHEAD, SECOND
from streams.core import pipeline

SECONDS, BURST_AT = 1_100, 700
SLOW = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
)
#: From two minutes back to a day ahead, the near more often.
SKEWS = st.one_of(st.integers(-120, 120), st.integers(120, 90_000))


def whole_night() -> list[Item]:
    """A night with a word of each topic's producer a second."""
    rows = [
        (second + 1, 0, topic, alive(name, second))
        for topic, name in PRODUCERS.items()
        for second in range(SECONDS + 20)
    ]
    rows += [
        (second - START, 1, topic, record)  # type: ignore[misc]
        for second, topic, record in night(seconds=SECONDS, burst_at=BURST_AT)
    ]
    return [(topic, record) for _, _, topic, record in sorted(rows, key=lambda row: row[:3])]


WHOLE = whole_night()


class Outcome(msgspec.Struct):
    """What a night led to: conclusions, assets called, refusals by reason, alerts on feeds."""

    findings: list[bytes]
    called: set[str]
    refused: Counter[str]
    feed_alerts: list[str]


def outcome(items: list[Item]) -> Outcome:
    state, ended = pipeline.State(), Outcome([], set(), Counter(), [])
    for topic, record in items:
        step = pipeline.step(PARAMS, state, topic, record)
        if step.refused:
            ended.refused[step.refused] += 1
        for _, output in step.outputs:
            if isinstance(output, Alert) and output.kind.startswith("feed."):
                ended.feed_alerts.append(output.kind)
            elif isinstance(output, CascadeFinding | WhaleFinding):
                ended.findings.append(msgspec.json.encode(output))
                if output.__class__ is CascadeFinding and output.phase == "onset":
                    ended.called.add(output.asset)
    return ended


CLEAN = outcome(WHOLE)


def unnamed(findings: list[bytes]) -> list[Any]:
    """Findings without the names of feeds that were silent."""
    return [msgspec.json.decode(finding) | {"silent": []} for finding in findings]


def must_be_clean_or_told(items: list[Item], rejected: int = 0) -> None:
    """Findings are those of the clean night, but for who fell silent; or a word was refused.

    People hear of either.
    """
    ended = outcome(items)
    if ended.findings != CLEAN.findings:
        if not ended.refused and not rejected:
            # A stranger that keeps pace and stops is no liar: it is named, nothing else changes.
            assert unnamed(ended.findings) == unnamed(CLEAN.findings), "changed, nothing refused"
        assert ended.feed_alerts, f"findings changed, nobody hears of it: {ended.refused}"


def test_the_clean_night_calls_both_assets_and_tells_of_no_feed() -> None:
    assert CLEAN.called == {"BTC", "ETH"}
    assert CLEAN.feed_alerts == []
    assert not CLEAN.refused


def with_clock(topic: str, record: Any, skew: int) -> Any:
    """The record as a clock `skew` seconds off stamps it; None where a shell refuses to read it."""
    not_after = record.ts_event + MAX_AHEAD
    try:
        moved = msgspec.structs.replace(record, ts_event=record.ts_event + skew * SECOND)
        return codec.decode(topic, codec.encode(moved), not_after=not_after)
    except (InvalidRecord, ValueError):
        return None


LIE = st.fixed_dictionaries(
    {
        "at": st.floats(0.02, 0.98),
        "topic": st.sampled_from(list(PRODUCERS)),
        "kind": st.sampled_from(["skewed", "regressing", "repeated", "stranger"]),
        "skew": SKEWS,
        "count": st.integers(1, 40),
    }
)


def lied(lies: list[dict[str, Any]]) -> list[Item]:
    """The night with lies beside its own words."""
    added: dict[int, list[Item]] = {}
    for number, lie in enumerate(lies):
        at, topic = int(lie["at"] * len(WHOLE)), lie["topic"]
        second = _second_at(at)
        for n in range(lie["count"]):
            name, skew = PRODUCERS[topic], lie["skew"]
            if lie["kind"] == "stranger":
                name = f"stranger-{number}-{n if n % 2 else 0}"
            elif lie["kind"] == "regressing":
                skew = -abs(skew) - n
            elif lie["kind"] == "repeated":
                skew = 0
            elif n:
                break  # one word of its own: more are a clock that is wrong, another test's
            added.setdefault(at, []).append((topic, alive(name, max(second + skew, -900))))
    return [item for at, own in enumerate(WHOLE) for item in (*added.get(at, ()), own)]


def _second_at(at: int) -> int:
    for _, record in reversed(WHOLE[: at + 1]):
        if isinstance(record, FeedStatus):
            return record.ts_event // SECOND - START
    return 0


@SLOW
@example([{"at": 0.6, "topic": "liquidations", "kind": "skewed", "skew": 86_400, "count": 1}])
@example([{"at": 0.6, "topic": "trades", "kind": "stranger", "skew": 86_400, "count": 40}])
@given(st.lists(LIE, min_size=1, max_size=6))
def test_words_that_lie_change_no_finding_or_people_hear_of_it(lies: list[dict[str, Any]]) -> None:
    must_be_clean_or_told(lied(lies))


@SLOW
@example("liquidations", 86_400, 0.5)
@example("trades", -120, 0.3)
@example("liquidations", -120, 0.0)
@given(st.sampled_from(list(PRODUCERS)), SKEWS, st.floats(0.0, 0.9))
def test_a_producer_whose_clock_is_wrong_from_some_moment_on_hides_no_cascade_in_silence(
    topic: str, skew: int, since: float
) -> None:
    """Words and records alike; what the decoder refuses is a dead letter."""
    items: list[Item] = []
    rejected = 0
    for at, (where, record) in enumerate(WHOLE):
        if where == topic and at > since * len(WHOLE):
            stamped = with_clock(where, record, skew)
            if stamped is None:
                rejected += 1
                continue
            record = stamped
        items.append((where, record))
    ended = outcome(items)
    if not ended.called >= CLEAN.called:
        assert ended.refused.total() + rejected > 0
        assert ended.feed_alerts, (ended.called, ended.refused)


@SLOW
@example("liquidations", -120, 0.9)
@given(st.sampled_from(["trades", "liquidations"]), SKEWS, st.floats(0.0, 1.0))
def test_records_alone_that_lie_hide_no_cascade_in_silence(
    topic: str, skew: int, share: float
) -> None:
    items: list[Item] = []
    rejected = 0
    for number, (where, record) in enumerate(WHOLE):
        lies = where == topic and not isinstance(record, FeedStatus)
        if lies and number * 0.618034 % 1 < share:
            stamped = with_clock(where, record, skew)
            if stamped is None:
                rejected += 1
                continue
            record = stamped
        items.append((where, record))
    ended = outcome(items)
    if not ended.called >= CLEAN.called:
        assert ended.refused.total() + rejected > 0
        assert rejected or ended.feed_alerts, (ended.called, ended.refused)


def test_ten_thousand_names_change_no_finding() -> None:
    items: list[Item] = []
    names = 0
    for topic, record in WHOLE:
        items.append((topic, record))
        if isinstance(record, FeedStatus):
            second = record.ts_event // SECOND - START
            for n in range(4):
                items.append((topic, alive(f"name-{names + n}", second + n - 2)))
            names += 4
    assert names > 10_000
    must_be_clean_or_told(items)
