"""Nights whose feeds fail or lie: the cascade is called as if nothing were, or people are told."""

import random
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


def played(folder: str) -> list[msgspec.Struct]:
    state, outputs = pipeline.State(), list[msgspec.Struct]()
    for topic, record in paced(ndjson_source(CASES / folder), not_after()):
        outputs += [
            r for t, r in pipeline.step(Params(), state, topic, record).outputs if t != "bars"
        ]
    return outputs


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
    base, part = (
        next(r for r in played(f) if isinstance(r, CascadeFinding) and r.phase == "onset")
        for f in ("two_venues_base", folder)
    )
    assert abs(part.ts_event - base.ts_event) <= 5 * SECOND
    assert part.silent == [silent]


def test_the_night_is_one_with_a_cascade() -> None:
    assert any(topic == "liquidations" for _, topic, _ in NIGHT)
