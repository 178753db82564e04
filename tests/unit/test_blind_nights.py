"""Nights whose feeds fail or lie: the cascade is called as if nothing were, or people are told."""

import random
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec
import pytest
from nights import NIGHT, PARAMS, PRODUCERS, START, Item, alive, play, with_feeds

from schemas.bars import Bar
from schemas.findings import Alert, CascadeFinding
from schemas.status import FeedStatus
from schemas.words import SECOND
from streams.core import engine, pipeline
from streams.core.params import Params
from streams.core.shard import INPUTS, Shard
from streams.process.clock import not_after
from streams.sources.ndjson import ndjson_source
from streams.sources.pace import paced

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "nights"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason=f"the handed nights are not at {CASES}")
WHOLE = with_feeds({}, {})


def findings(outputs: list[msgspec.Struct]) -> set[bytes]:
    return {msgspec.json.encode(record) for record in outputs}


def unlike(outputs: list[msgspec.Struct]) -> list[msgspec.Struct]:
    """The cascade's findings without what they say of feeds."""
    return [
        msgspec.structs.replace(record, silent=[], lead_venues=[], lead_p_value=None)
        for record in outputs
        if isinstance(record, CascadeFinding)
    ]


def with_words(extra: list[tuple[str, FeedStatus]], at: float) -> list[Item]:
    cut = int(len(WHOLE) * at)
    return [*WHOLE[:cut], *extra, *WHOLE[cut:]]


@pytest.mark.parametrize("ahead", [15, 290, 86_400])
@pytest.mark.parametrize("topic", list(PRODUCERS))
def test_one_word_from_the_future_changes_no_finding(topic: str, ahead: int) -> None:
    leap = alive(PRODUCERS[topic], 1_470 + ahead)
    assert findings(play(with_words([(topic, leap)], 0.6))) == findings(play(WHOLE))


@pytest.mark.parametrize("topic", list(PRODUCERS))
def test_words_of_ten_years_ago_from_a_stranger_change_no_finding(topic: str) -> None:
    old = alive("stranger", -10 * 31_536_000)
    again = [(topic, old)] * 5
    assert findings(play(with_words(again, 0.5))) == findings(play(WHOLE))


@pytest.mark.parametrize("seed", range(3))
def test_words_of_ten_thousand_strangers_change_no_finding(seed: int) -> None:
    draw = random.Random(seed)
    items: list[Item] = []
    for topic, record in WHOLE:
        items.append((topic, record))
        if isinstance(record, FeedStatus) and draw.random() < 0.3:
            second = record.ts_event // SECOND - START + draw.choice([-7, 0, 3, 400, 90_000])
            items += [(topic, alive(f"s{draw.random()}", second)) for _ in range(4)]
    assert findings(play(items)) == findings(play(WHOLE))


def test_without_any_whale_feed_cascades_are_concluded_and_one_alert_says_so() -> None:
    part = play([item for item in WHOLE if item[0] != "whale_transfers"])
    assert unlike(part) == unlike(play(WHOLE))
    assert len(unlike(part)) > 4
    [alert] = [r for r in part if isinstance(r, Alert) and r.kind == "feed.silent"]
    assert "nobody speaks on whale_transfers" in alert.text
    assert alert.ts_detect - alert.ts_event <= 91 * SECOND


def test_without_any_trades_cascades_are_called_and_findings_say_what_was_missing() -> None:
    part = [
        r for r in play([i for i in WHOLE if i[0] != "trades"]) if isinstance(r, CascadeFinding)
    ]
    assert [f.phase for f in part if f.asset == "BTC"][:2] == ["watch", "onset"]
    assert all("bars/nobody" in f.silent for f in part)


def test_trades_that_stop_without_a_word_are_told_and_waited_for_no_longer_than_that() -> None:
    dies_at = (START + 1_300) * SECOND
    items = [
        (topic, record)
        for topic, record in WHOLE
        if topic != "trades" or getattr(record, "ts_event", 0) < dies_at
    ]
    part = play(items)
    onsets = [f for f in part if isinstance(f, CascadeFinding) and f.phase == "onset"]
    assert {f.asset for f in onsets} == {"BTC", "ETH"}
    assert all(f.silent == ["bars/rollup"] for f in onsets)
    [alert] = [r for r in part if isinstance(r, Alert) and r.kind == "feed.silent"]
    assert "rollup" in alert.title
    assert dies_at - 2 * SECOND <= alert.ts_event < dies_at


def test_a_shell_that_reads_each_input_by_itself_waits_for_one_that_only_lags() -> None:
    late = [item for item in WHOLE if item[0] != "trades"]
    state = pipeline.State()
    state.shard.away.awaited = {"bars"}
    outputs = [
        o for topic, record in late for o in pipeline.step(PARAMS, state, topic, record).outputs
    ]
    assert outputs == []
    for topic, record in WHOLE:
        if topic == "trades":
            outputs += pipeline.step(PARAMS, state, topic, record).outputs
    assert unlike([record for _, record in outputs]) == unlike(play(WHOLE))


@pytest.mark.parametrize("behind", [1, 3 * 86_400])
def test_bars_of_one_trades_partition_may_come_days_after_those_of_another(behind: int) -> None:
    """After an outage rollup takes its partitions one after the other."""
    shard = Shard()
    shard.away.awaited = set(INPUTS)
    refused = set()
    for topic in ("liquidations", "whale_transfers"):
        for second in (0, 1):
            step = engine.step(PARAMS, shard, topic, alive("x", second))
            refused.add(step.refused)
    for part, last in ((0, behind), (1, 0), (1, behind)):
        bar = a_bar(START + last - 1)
        spoken = msgspec.structs.replace(alive("rollup", last), part=part, parts=2)
        refused |= {engine.step(PARAMS, shard, "bars", r).refused for r in (bar, spoken)}
    assert refused == {None}
    assert shard.inputs["bars"].now == (START + behind) * SECOND


def a_bar(second: int) -> Bar:
    return Bar(
        venue="bybit", instrument="BTC-USDT-PERP", asset="BTC", ts_open=second * SECOND,
        width=SECOND, high=2.0, low=1.0, quantity=1.0, buy_usd=2.0, sell_usd=0.0, trades=1,
    )  # fmt: skip


@cache
def handed(folder: str) -> list[Item]:
    return list(paced(ndjson_source(CASES / folder), not_after()))


def concluded(items: list[Item]) -> tuple[list[msgspec.Struct], list[str]]:
    """What follows from a night, and why words and records of it were refused."""
    state, outputs, refused = pipeline.State(), list[msgspec.Struct](), list[str]()
    for topic, record in items:
        step = pipeline.step(Params(), state, topic, record)
        outputs += [r for t, r in step.outputs if t != "bars"]
        refused += [step.refused] if step.refused else []
    return outputs, refused


@cache
def played(folder: str) -> list[msgspec.Struct]:
    return concluded(handed(folder))[0]


def onset_of(outputs: list[msgspec.Struct]) -> CascadeFinding:
    return next(r for r in outputs if isinstance(r, CascadeFinding) and r.phase == "onset")


def handed_at(hour: int, minute: int, second: int = 0) -> int:
    """A time of the handed nights, which are of one evening, microseconds."""
    return int(datetime(2025, 1, 13, hour, minute, second, tzinfo=UTC).timestamp()) * SECOND


def without_venue(venue: str, since: int, until: int, is_said: bool) -> list[Item]:
    """The handed night of two venues, one of which tells nothing for a while."""
    items: list[Item] = []
    for topic, record in handed("two_venues_base"):
        name = record.producer if isinstance(record, FeedStatus) else getattr(record, "venue", "")
        if topic == "liquidations" and name == venue and since <= record.ts_event < until:
            if is_said and record.ts_event < since + SECOND and isinstance(record, FeedStatus):
                items.append((topic, msgspec.structs.replace(record, state="silent")))
            continue
        items.append((topic, record))
    return items


@needs_cases
@pytest.mark.parametrize(
    "folder", ["poison_word_plus_1_day", "poison_word_plus_290s", "phantom_replay_producer"]
)
def test_a_handed_night_with_one_wrong_word_gives_the_very_findings_of_the_night_without(
    folder: str,
) -> None:
    assert unlike(played(folder)) == unlike(played("two_venues_base"))


@needs_cases
@pytest.mark.parametrize(
    ("folder", "silent"),
    [
        ("no_whale_feed", "whale_transfers/nobody"),
        ("trade_feed_dies_unsaid", "bars/t"),
        ("one_of_two_venues_silent_10min", "liquidations/binance"),
    ],
)
def test_a_handed_night_without_a_feed_is_called_within_seconds_of_the_night_with_it(
    folder: str, silent: str
) -> None:
    base, part = (onset_of(played(f)) for f in ("two_venues_base", folder))
    assert abs(part.ts_event - base.ts_event) <= 5 * SECOND
    assert part.silent == [silent]


@needs_cases
def test_the_handed_night_is_called_no_later_than_it_was_handed() -> None:
    onset = onset_of(played("two_venues_base"))
    assert handed_at(13, 41, 30) <= onset.ts_event <= handed_at(13, 41, 55)
    assert onset.silent == []


@needs_cases
@pytest.mark.parametrize("folder", ["poison_word_plus_1_day", "poison_word_plus_290s"])
def test_of_a_handed_night_with_one_word_from_the_future_that_word_alone_is_refused(
    folder: str,
) -> None:
    assert concluded(handed(folder))[1] == ["refuted"]


@needs_cases
@pytest.mark.parametrize(
    ("folder", "text"),
    [("no_whale_feed", "nobody speaks on whale_transfers"), ("trade_feed_dies_unsaid", "t tells")],
)
def test_a_handed_night_without_a_feed_has_one_alert_that_says_so(folder: str, text: str) -> None:
    [alert] = [r for r in played(folder) if isinstance(r, Alert) and r.kind.startswith("feed")]
    assert alert.kind == "feed.silent"
    assert text in alert.text


@needs_cases
@pytest.mark.parametrize(
    ("venue", "is_said", "since", "until"),
    [
        ("binance", True, (13, 40), (13, 43)),
        ("binance", False, (13, 11), (13, 45)),
        ("bybit", False, (13, 40), (13, 43)),
        ("bybit", True, (12, 41), (14, 30)),
        ("bybit", False, (13, 38), (15, 0)),
    ],
)
def test_a_handed_night_is_called_in_time_whichever_venue_is_silent_for_however_long(
    venue: str, is_said: bool, since: tuple[int, int], until: tuple[int, int]
) -> None:
    part, refused = concluded(without_venue(venue, handed_at(*since), handed_at(*until), is_said))
    onset = onset_of(part)
    assert abs(onset.ts_event - handed_at(13, 41, 44)) <= 25 * SECOND
    assert onset.silent == [f"liquidations/{venue}"]
    assert refused == []
    assert any(isinstance(r, Alert) and r.kind == "feed.silent" for r in part)


@needs_cases
@pytest.mark.parametrize("ahead", [15, 290, 86_400])
@pytest.mark.parametrize("topic", ["liquidations", "whale_transfers", "bars"])
def test_words_that_repeat_a_leap_change_no_finding_of_a_handed_night(
    topic: str, ahead: int
) -> None:
    items = handed("two_venues_base")
    at = next(
        i for i, (name, r) in enumerate(items)
        if name == topic and isinstance(r, FeedStatus) and r.ts_event >= handed_at(13, 38)
    )  # fmt: skip
    word = items[at][1]
    assert isinstance(word, FeedStatus)
    leaps: list[Item] = [
        (topic, msgspec.structs.replace(word, ts_event=word.ts_event + (ahead + n) * SECOND))
        for n in range(5)
    ]
    part, refused = concluded([*items[:at], *leaps, *items[at:]])
    assert findings(part) == findings(played("two_venues_base"))
    assert refused == ["refuted"]


@needs_cases
def test_records_behind_words_that_ran_ahead_for_half_a_minute_are_told_to_be_late() -> None:
    items = handed("two_venues_base")
    at = next(i for i, (_, r) in enumerate(items) if getattr(r, "ts_event", 0) > handed_at(13, 38))
    leaps: list[Item] = [
        (
            "liquidations",
            FeedStatus(
                producer="binance", state="alive", ts_event=handed_at(13, 38, n) + 86_400 * SECOND
            ),
        )
        for n in range(30)
    ]
    part, _ = concluded([*items[:at], *leaps, *items[at:]])
    assert "feed.late" in [r.kind for r in part if isinstance(r, Alert)]


def test_the_night_is_one_with_a_cascade() -> None:
    assert any(topic == "liquidations" for _, topic, _ in NIGHT)
