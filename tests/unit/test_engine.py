"""What the engine takes in, refuses, and says."""

import random

import msgspec
import pytest
from nights import START, Event, clocked, liquidation, night

from schemas.bars import Bar
from schemas.findings import CascadeFinding, MarketFinding
from schemas.market import Liquidation
from schemas.status import FeedStatus
from schemas.words import SECOND
from streams.core import engine, pipeline
from streams.core.params import FlowParams, MarketParams, OnsetParams, Params, VolatilityParams
from streams.core.shard import INPUTS, Finding, Shard

PARAMS = Params(onset=OnsetParams(min_history_s=300))
#: Of one liquidity, whatever is usual.
CASCADE = {"*": {"full": 5.6, "mixed": 5.3, "throttled": 4.1}}


def alive(second: int) -> FeedStatus:
    return FeedStatus(producer="test", state="alive", ts_event=second * SECOND)


def tell_all(shard: Shard, second: int) -> list[Finding]:
    steps = [engine.step(PARAMS, shard, t, alive(second)) for t in INPUTS for _ in (1, 2)]
    return [finding for step in steps for finding in step.findings]


def test_a_second_closes_only_when_every_input_has_passed_it() -> None:
    shard = Shard()
    for topic, second in (("liquidations", 100), ("bars", 50), ("whale_transfers", 80)):
        assert shard.frontier == 0
        for _ in ("leaps", "is believed"):
            engine.step(PARAMS, shard, topic, alive(START + second))
    assert shard.frontier == START + 49


def test_a_record_before_its_own_inputs_frontier_is_late_and_counted() -> None:
    shard = Shard()
    tell_all(shard, START + 100)
    old = liquidation(START + 98, 0, 1e4, "BTC", "bybit")
    assert engine.step(PARAMS, shard, "liquidations", old).refused == "late"
    assert shard.late == {"liquidations": 1}
    fresh = liquidation(START + 99, 0, 1e4, "BTC", "bybit")
    assert engine.step(PARAMS, shard, "liquidations", fresh).refused is None


def test_the_same_event_twice_is_a_duplicate() -> None:
    shard = Shard()
    order = liquidation(START, 0, 1e4, "BTC", "bybit")
    assert engine.step(PARAMS, shard, "liquidations", order).refused is None
    assert engine.step(PARAMS, shard, "liquidations", order).refused == "duplicate"


def test_no_tier_is_called_before_the_baseline_has_its_history() -> None:
    patient = Params(onset=OnsetParams(min_history_s=86_400, least_history_s=86_400))
    state = pipeline.State()
    findings = [
        record
        for topic, item in clocked(night())
        for _, record in pipeline.step(patient, state, topic, item).outputs
        if isinstance(record, CascadeFinding)
    ]
    assert findings == []


def test_bankruptcy_price_never_feeds_slippage() -> None:
    """Liquidations carry absurd bankruptcy prices here; the move must come from fills."""
    draw = random.Random(1)
    shard = Shard()
    findings: list[CascadeFinding] = []
    for second in range(START, START + 1200):
        outputs = tell_all(shard, second - 1)
        findings += [f for f in outputs if isinstance(f, CascadeFinding)]
        for number in range(40 if second > START + 900 else draw.random() < 0.05):
            order = liquidation(second, number, 5e3, "BTC", "bybit")
            engine.step(PARAMS, shard, "liquidations", order)
        fill = 1000.0 if second < START + 905 else 990.0
        bar = Bar(
            venue="bybit",
            instrument="BTC-USDT-PERP",
            asset="BTC",
            ts_open=second * SECOND,
            width=SECOND,
            high=fill,
            low=fill,
            quantity=1.0,
            buy_usd=fill,
            sell_usd=0.0,
            trades=1,
        )
        engine.step(PARAMS, shard, "bars", bar)
    # Bankruptcy prices were 100.0, 9,000 bps below. The fills fell by 100 bps.
    assert {f.drawdown_bps for f in findings} <= {0.0, 100.0}
    assert 100.0 in {f.drawdown_bps for f in findings}


def test_a_finding_names_its_inputs() -> None:
    state = pipeline.State()
    findings = [
        record
        for topic, item in clocked(night())
        for _, record in pipeline.step(PARAMS, state, topic, item).outputs
        if isinstance(record, CascadeFinding)
    ]
    onset = next(f for f in findings if f.phase == "onset")
    tiers: dict[str, list[str | None]] = {}
    for finding in findings:
        tiers.setdefault(finding.episode_id, []).append(finding.tier)
    called = tiers[onset.episode_id]
    assert called == ["watch"] + ["cascade"] * (len(called) - 1) != ["watch"]
    assert onset.threshold_is_default
    assert onset.feed_class == "mixed"
    assert onset.coverage == "latest_per_second"
    assert onset.venues == ["binance", "bybit"]
    assert onset.params_version == PARAMS.version
    assert onset.ts_onset <= onset.ts_event < onset.ts_detect


def test_a_threshold_is_called_default_by_asset_and_class_of_feed() -> None:
    onset = msgspec.structs.replace(
        PARAMS.onset,
        thresholds_are_default=False,
        calibrated={"BTC": ("mixed",), "ETH": ("full",)},
    )
    market = MarketParams(thresholds_are_default=False, calibrated=("full",))
    state = pipeline.State()
    params = Params(onset=onset, market=market)
    findings = [
        record
        for topic, item in clocked(night())
        for _, record in pipeline.step(params, state, topic, item).outputs
    ]
    of_asset = {
        (f.asset, f.feed_class, f.threshold_is_default)
        for f in findings
        if isinstance(f, CascadeFinding)
    }
    assert of_asset == {("BTC", "mixed", False), ("ETH", "mixed", True)}
    assert [f.threshold_is_default for f in findings if isinstance(f, MarketFinding)] == [
        True,
        True,
    ]


def test_where_all_shows_the_latest_order_only_the_tape_is_read_too_and_the_finding_says_so() -> (
    None
):
    flow = FlowParams(min_history_s=300, cascade={"*": 3.0})
    low = {"*": {"full": 2.0, "mixed": 2.0, "throttled": 2.0}}
    patient = Params(onset=OnsetParams(min_history_s=300, cascade=low), flow=flow)
    calibrated = msgspec.structs.replace(
        patient, onset=msgspec.structs.replace(patient.onset, thresholds_are_default=False)
    )
    for params, name in ((patient, "Z30+flow"), (calibrated, "Z30")):
        state = pipeline.State()
        findings = [
            record
            for topic, item in clocked(dimmed(night()))
            for _, record in pipeline.step(params, state, topic, item).outputs
            if isinstance(record, CascadeFinding)
        ]
        onsets = {f.asset: (f.score_name, f.threshold) for f in findings if f.phase == "onset"}
        assert onsets["BTC"] == (name, 3.0 if name == "Z30+flow" else 2.0)
        # There is no tape of ETH.
        assert {f.score_name for f in findings if f.asset == "ETH"} == {"Z30"}


def dimmed(events: list[Event]) -> list[Event]:
    """The night through one venue that shows the first order of a second and asset."""
    shown: dict[tuple[int, str], Event] = {}
    kept = []
    for second, topic, record in events:
        if not isinstance(record, Liquidation):
            kept.append((second, topic, record))
        elif (second, record.asset) not in shown:
            dim = msgspec.structs.replace(record, venue="binance", coverage="latest_per_second")
            shown[second, record.asset] = (second, topic, dim)
    return sorted([*kept, *shown.values()], key=lambda e: e[0])


def test_volatility_is_taken_off_where_a_venue_is_complete_and_the_finding_says_so() -> None:
    for weight, name, lower in ((0.35, "Z30-vol", 0.19), (0.0, "Z30", 0.0)):
        usual = VolatilityParams(weight=weight, lower=0.19, min_history_min=5)
        onset = msgspec.structs.replace(PARAMS.onset, cascade=CASCADE)
        params = msgspec.structs.replace(PARAMS, volatility=usual, onset=onset)
        state = pipeline.State()
        findings = [
            record
            for topic, item in clocked(night())
            for _, record in pipeline.step(params, state, topic, item).outputs
            if isinstance(record, CascadeFinding)
        ]
        onsets = {f.asset: f for f in findings if f.phase == "onset"}
        assert (onsets["BTC"].score_name, onsets["BTC"].feed_class) == (name, "mixed")
        assert onsets["BTC"].threshold == pytest.approx(5.3 - lower)
        # There is no tape of ETH.
        assert {f.score_name for f in findings if f.asset == "ETH"} == {"Z30"}
