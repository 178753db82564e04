"""A feed that falls silent is told, lowers coverage, and holds nobody up for ever."""

import random

import msgspec
import pytest
from nights import PARAMS, PRODUCERS, START, Item, alive, liquidation, play, with_feeds

from schemas.findings import Alert, CascadeFinding, MarketFinding, WhaleFinding
from schemas.words import SECOND, FeedState
from streams.core import engine, pipeline
from streams.core.alerts import alert_of
from streams.core.detectors import darkness
from streams.core.shard import INPUTS, Finding, Shard

AWAY = {"whale_transfers": (1_380, 1_950)}
ALONE = {"liquidations": (1_560, 1_980), **AWAY}


def cascades(findings: list[msgspec.Struct]) -> list[CascadeFinding]:
    return [f for f in findings if isinstance(f, CascadeFinding)]


def test_an_input_on_which_all_are_silent_holds_conclusions_back_no_longer_than_the_bound() -> None:
    state = pipeline.State()
    for topic, record in with_feeds({"whale_transfers": (1_000, 10**6)}, {}):
        pipeline.step(PARAMS, state, topic, record)
        heard = state.shard.inputs["liquidations"].now // SECOND - START
        if 1_000 < heard <= 1_000 + PARAMS.stale_after_s:
            assert state.shard.frontier <= START + 1_000
    assert state.shard.frontier == START + 2_438


def test_findings_without_an_input_are_the_same_and_say_which_feed_was_silent() -> None:
    whole, part = play(with_feeds({}, {})), play(with_feeds(AWAY, {}))
    assert len(cascades(part)) == len(cascades(whole)) > 4
    pairs = [sorted(cascades(f), key=lambda x: x.finding_id) for f in (whole, part)]
    for one, other in zip(*pairs, strict=True):
        assert other.silent == ["whale_transfers/chain"]
        assert msgspec.structs.replace(other, silent=[]) == one
    [verdict] = [f for f in part if isinstance(f, WhaleFinding)]
    assert (verdict.coverage, verdict.silent) == ("unknown", ["whale_transfers/chain"])
    market = next(f for f in part if isinstance(f, MarketFinding))
    assert (market.coverage, market.silent) == ("latest_per_second", ["whale_transfers/chain"])


def test_a_feed_that_falls_silent_is_told_once_and_once_more_when_it_is_back() -> None:
    alerts = [a for a in play(with_feeds(AWAY, {})) if isinstance(a, Alert) and "feed" in a.kind]
    assert [(a.kind, a.ts_event // SECOND - START) for a in alerts] == [
        ("feed.silent", 1_380),
        ("feed.recovered", 1_950),
    ]
    assert alerts[0].dedup_key == alerts[1].dedup_key


def test_a_feed_that_dies_without_a_word_is_told_after_the_bound() -> None:
    items: list[Item] = [
        (topic, alive(name, second))
        for second in range(400)
        for topic in INPUTS
        for name in ("a", "b")
        if name == "b" or (topic == "liquidations" and second <= 10)
    ]
    alerts = [a for a in play(items) if isinstance(a, Alert)]
    assert [(a.kind, a.ts_event // SECOND - START) for a in alerts] == [("feed.silent", 10)]
    assert "no word for 60 s" in alerts[0].text


@pytest.mark.parametrize("away", [AWAY, ALONE])
@pytest.mark.parametrize("seed", range(3))
def test_inputs_read_apart_give_the_same_findings_though_some_are_silent(away, seed) -> None:
    draw = random.Random(seed)
    lag = {topic: draw.randrange(darkness.SKEW_S - 4) for topic in PRODUCERS}
    together, apart = play(with_feeds(away, {})), play(with_feeds(away, lag))
    encoded = [sorted({msgspec.json.encode(f) for f in findings}) for findings in (together, apart)]
    assert encoded[0] == encoded[1]


def test_nothing_is_concluded_from_orders_that_nobody_could_see() -> None:
    """The feed goes in the middle of the cascade: the episode ends after it is back."""
    findings = cascades(play(with_feeds(ALONE, {})))
    ends = [f for f in findings if f.phase in ("exhausted", "closed")]
    assert ends
    back = (START + 1_980) * SECOND
    assert all(f.ts_event >= back and "liquidations/forced" in f.silent for f in ends)


def test_thresholds_follow_the_feeds_that_are_left() -> None:
    """Of a complete and a throttled venue the complete one falls silent."""
    shard = Shard()
    findings: list[Finding] = []
    for second in range(1_200):
        for topic in INPUTS:
            names = ("binance", "bybit") if topic == "liquidations" else ("x",)
            for name in names:
                state: FeedState = "silent" if name == "bybit" and second == 900 else "alive"
                if name != "bybit" or second <= 900:
                    findings += engine.step(
                        PARAMS, shard, topic, alive(name, second, state)
                    ).findings
        for number in range(1 if second > 1_000 else second % 60 == 0):
            for venue in ("binance", "bybit") if second <= 900 else ("binance",):
                order = liquidation(START + second, number, 5e3, "BTC", venue)
                engine.step(PARAMS, shard, "liquidations", order)
    classes = [f.feed_class for f in findings if isinstance(f, CascadeFinding)]
    assert classes
    assert set(classes) == {"throttled"}


def two_venues(silent_from: int | None) -> list[CascadeFinding]:
    """Two complete venues with half of all orders each; a cascade begins in second 5,000."""
    shard, findings = Shard(), list[Finding]()
    for second in range(5_200):
        for topic in INPUTS:
            for name in ("a", "b") if topic == "liquidations" else ("x",):
                gone = name == "b" and silent_from is not None and second >= silent_from
                if not gone or second == silent_from:
                    state: FeedState = "silent" if gone else "alive"
                    findings += engine.step(
                        PARAMS, shard, topic, alive(name, second, state)
                    ).findings
        burst = 5 * min((second - 5_000) // 5, 8) if second >= 5_000 else second % 40 == 0
        for number in range(burst):
            for venue in "ab" if silent_from is None or second < silent_from else "a":
                order = liquidation(START + second, 2 * number + (venue == "b"), 5e3, "BTC", venue)
                order = msgspec.structs.replace(order, coverage="full")
                engine.step(PARAMS, shard, "liquidations", order)
    return cascades(findings)


def test_a_cascade_is_called_as_soon_though_one_of_two_venues_is_silent() -> None:
    whole, half = two_venues(None), two_venues(4_800)
    first, second = (next(f for f in played if f.phase == "onset") for played in (whole, half))
    assert abs(second.ts_event - first.ts_event) <= 3 * SECOND
    assert (second.silent, second.coverage) == (["liquidations/b"], "unknown")
    assert second.missing_share == pytest.approx(0.5, abs=0.02)
    assert second.estimate_usd == pytest.approx(2 * second.notional_usd, rel=0.05)
    assert second.estimate_low_usd == second.notional_usd


def test_a_throttled_feed_at_its_limit_is_named_in_the_finding() -> None:
    shard = Shard()
    findings: list[Finding] = []
    for second in range(1_200):
        for topic in INPUTS:
            findings += engine.step(PARAMS, shard, topic, alive("x", second)).findings
        if second % 60 == 0 or second >= 900:
            order = liquidation(START + second, 0, 5e3, "BTC", "binance")
            engine.step(PARAMS, shard, "liquidations", order)
    named = [f.saturated for f in findings if isinstance(f, CascadeFinding)]
    assert ["binance"] in named
    texts = [a.text for f in findings if (a := alert_of(f)) is not None]
    assert any("binance at its limit of one order a second" in text for text in texts)


def test_an_input_whose_word_leapt_ahead_is_waited_for_until_the_others_are_past_it() -> None:
    """rollup folds a backlog in one go: its word says how far, and the others come after."""
    shard = Shard()
    bound = PARAMS.stale_after_s + darkness.SKEW_S
    for second in (0, 1, 1_000):
        engine.step(PARAMS, shard, "bars", alive("rollup", second))
    told_at = left_out = None
    for second in range(2_000):
        for topic in ("liquidations", "whale_transfers"):
            step = engine.step(PARAMS, shard, topic, alive("a", second))
            if told_at is None and step.findings:
                told_at = second
            if left_out is None and darkness.left_out(shard.away):
                left_out = second
    assert told_at == 1_000 + PARAMS.stale_after_s
    assert left_out == 1_000 + bound
    assert list(shard.away.dark) == ["bars"]
