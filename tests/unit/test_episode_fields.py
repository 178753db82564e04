"""Fields that explain an episode, as its findings tell them."""

from collections import Counter

import msgspec
import pytest
from nights import PARAMS, START, Event, clocked, complete_night, night

from schemas.findings import AssetPulse, CascadeFinding
from schemas.market import Liquidation, OpenInterest
from schemas.status import FeedStatus
from schemas.words import SECOND
from streams.core import engine, pipeline
from streams.core.detectors import lead
from streams.core.shard import INPUTS, Shard


def findings(events: list[Event]) -> list[CascadeFinding]:
    state = pipeline.State()
    return [
        record
        for topic, item in clocked(events)
        for _, record in pipeline.step(PARAMS, state, topic, item).outputs
        if isinstance(record, CascadeFinding)
    ]


def behind(events: list[Event], venue: str, seconds: int) -> list[Event]:
    """The same night where one venue's forced orders come so much later."""
    late = []
    for second, topic, record in events:
        if isinstance(record, Liquidation) and record.venue == venue:
            at = record.ts_event + seconds * SECOND
            moved = msgspec.structs.replace(record, ts_event=at, ts_recv=at)
            late.append((second + seconds, topic, moved))
        else:
            late.append((second, topic, record))
    return sorted(late, key=lambda event: event[0])


@pytest.fixture(scope="module")
def whole() -> list[CascadeFinding]:
    return findings(complete_night())


@pytest.fixture(scope="module")
def throttled() -> list[CascadeFinding]:
    return findings(night())


def test_a_branching_ratio_needs_every_venue_complete_and_enough_orders(
    whole: list[CascadeFinding], throttled: list[CascadeFinding]
) -> None:
    assert {f.branching_ratio for f in throttled} == {None}
    # Of a watch nothing is told.
    assert {f.branching_ratio for f in whole if f.phase == "watch"} == {None}
    for finding in whole:
        if finding.phase in ("peak", "exhausted", "closed"):
            assert finding.branching_ratio is not None
            assert finding.branching_low is not None
            assert finding.branching_high is not None
            assert finding.branching_low <= finding.branching_ratio <= finding.branching_high
        if finding.orders < 100:
            assert finding.branching_ratio is None
    assert {f.phase for f in whole} >= {"watch", "onset", "peak", "exhausted", "closed"}


def test_impact_is_the_move_over_the_forced_dollars_and_from_above_where_they_are_a_lower_bound(
    whole: list[CascadeFinding], throttled: list[CascadeFinding]
) -> None:
    last = [f for f in whole if f.asset == "BTC"][-1]
    assert last.drawdown_bps is not None
    exact = pytest.approx(last.drawdown_bps / (last.notional_usd / 1e6), abs=1e-4)
    assert last.impact_bps_per_musd == last.impact_low_bps_per_musd == exact
    dim = [f for f in throttled if f.asset == "BTC"][-1]
    assert dim.drawdown_bps is not None
    assert dim.impact_low_bps_per_musd is not None
    assert dim.impact_bps_per_musd is not None
    assert dim.impact_high_bps_per_musd is not None
    seen = dim.drawdown_bps / (dim.notional_usd / 1e6)
    assert dim.impact_low_bps_per_musd < dim.impact_bps_per_musd < dim.impact_high_bps_per_musd
    assert dim.impact_high_bps_per_musd <= seen


def test_without_an_estimate_only_an_upper_bound_of_the_impact_is_told() -> None:
    hushed = [
        (second, topic, msgspec.structs.replace(record, coverage="unknown"))
        if isinstance(record, Liquidation)
        else (second, topic, record)
        for second, topic, record in night()
    ]
    last = [f for f in findings(hushed) if f.asset == "BTC"][-1]
    assert last.drawdown_bps is not None
    assert (last.impact_bps_per_musd, last.impact_low_bps_per_musd) == (None, None)
    bound = last.drawdown_bps / (last.notional_usd / 1e6)
    assert last.impact_high_bps_per_musd == pytest.approx(bound, abs=1e-4)


def test_without_trades_nothing_is_said_of_prices(whole: list[CascadeFinding]) -> None:
    """Of ETH there are liquidations with bankruptcy prices only."""
    for finding in (f for f in whole if f.asset == "ETH"):
        assert finding.impact_high_bps_per_musd is None
        assert finding.levels_swept is None
        assert finding.price_worst is None


def test_the_range_swept_is_that_of_the_drawdown(whole: list[CascadeFinding]) -> None:
    last = [f for f in whole if f.asset == "BTC"][-1]
    assert last.price_before is not None
    assert last.price_worst is not None
    assert last.levels_swept is not None
    assert last.drawdown_bps == pytest.approx(
        (1 - last.price_worst / last.price_before) * 1e4, abs=0.01
    )
    assert 0 < last.levels_swept <= last.drawdown_bps / 10 + 2


def test_the_venue_that_rose_first_is_named_first_where_two_are_complete(
    throttled: list[CascadeFinding],
) -> None:
    cascade_findings = findings(behind(complete_night(), "binance", 10))
    last = [f for f in cascade_findings if f.asset == "ETH"][-1]
    assert last.lead_venues == ["bybit", "binance"]
    assert last.lead_p_value is not None
    assert last.lead_p_value <= 0.05
    # A venue that shows its latest order only cannot lead or follow.
    assert {tuple(f.lead_venues) for f in throttled} == {()}
    assert {f.lead_p_value for f in throttled} == {None}


def test_pulses_tell_each_second_of_orders_once_where_every_venue_is_complete() -> None:
    shard, pulses, forced = Shard(), [], Counter[int]()
    orders = [r for _, _, r in complete_night() if isinstance(r, Liquidation) and r.asset == "ETH"]
    for second in range(START, START + 2_400):
        for order in (o for o in orders if o.ts_event // SECOND == second):
            engine.step(PARAMS, shard, "liquidations", order)
            forced[second] += 1
        feed_status = FeedStatus(producer="test", state="alive", ts_event=(second + 1) * SECOND)
        for topic in INPUTS:
            cascade_findings = engine.step(PARAMS, shard, topic, feed_status).findings
            pulses += [finding for finding in cascade_findings if isinstance(finding, AssetPulse)]
    histories: dict[int, int] = {}
    for pulse in pulses:
        first = pulse.ts_event // SECOND - len(pulse.orders) + 1
        for second, count in enumerate(pulse.orders, first):
            assert second not in histories
            histories[second] = count
    assert len(pulses[0].orders) == lead.BEFORE_S
    assert histories == {second: forced[second] for second in histories}
    assert sum(histories.values()) > 0.9 * sum(forced.values())


def read(second: int, quantity: float, venue: str = "binance") -> Event:
    at = (START + second) * SECOND
    reading = OpenInterest(
        event_id=f"{venue}{second}", venue=venue, instrument="BTC-USDT-PERP", asset="BTC",
        venue_symbol="BTCUSDT", quantity=quantity, notional_usd=None, ts_event=at, ts_recv=at,
    )  # fmt: skip
    return START + second, "liquidations", reading


def with_readings(*readings: Event) -> list[CascadeFinding]:
    cascade_findings = findings(sorted([*night(), *readings], key=lambda event: event[0]))
    return [f for f in cascade_findings if f.asset == "BTC" and f.phase != "watch"]


def test_open_interest_that_is_gone_is_told_in_base_units_since_the_last_reading_before() -> None:
    plain = with_readings()
    began = plain[0].ts_onset // SECOND - START
    ended = plain[-1].ts_event // SECOND - START
    cascade_findings = with_readings(
        read(began - 300, 1_000.0), read(began - 100, 800.0, "bybit"), read(began + 1, 700.0),
        read(began + 2, 740.0, "bybit"), read(ended, 1.0, "okx"),
    )  # fmt: skip
    assert {f.open_interest_drop for f in plain} == {None}
    assert cascade_findings[-1].open_interest_drop == 0.2
    assert cascade_findings[-1].ts_open_interest == (START + began + 1) * SECOND
    assert [
        msgspec.structs.replace(f, open_interest_drop=None, ts_open_interest=None)
        for f in cascade_findings
    ] == plain


def test_open_interest_read_long_before_or_not_since_tells_nothing() -> None:
    began = with_readings()[0].ts_onset // SECOND - START
    stale = with_readings(read(began - 901, 1_000.0), read(began + 5, 700.0))
    only_before = with_readings(read(began - 10, 1_000.0))
    assert {f.open_interest_drop for f in stale + only_before} == {None}
