"""What is called before an asset has a history of its own, and how it is marked."""

from collections.abc import Iterator

import pytest
from nights import clocked, liquidation, night

from schemas.findings import CascadeFinding
from schemas.market import Liquidation
from schemas.status import FeedStatus
from schemas.words import SECOND
from streams.core import engine, pipeline
from streams.core.alerts import alert_of
from streams.core.detectors import prior
from streams.core.detectors.prior import Prior, PriorParams
from streams.core.params import OnsetParams, Params
from streams.core.shard import Shard

PARAMS, START = Params(), 1_763_683_200
USUAL = PARAMS.prior.of("BTC")["full"]
#: A mean rate is that with its bursts, four times the usual of which they are cut.
TENFOLD = 40


def findings_of(params: Params) -> list[CascadeFinding]:
    state = pipeline.State()
    return [
        record
        for topic, item in clocked(night())
        for _, record in pipeline.step(params, state, topic, item).outputs
        if isinstance(record, CascadeFinding)
    ]


def at_rate(times: float, first: int, last: int) -> Iterator[Liquidation]:
    """BTC's orders of the assumed usual size, at so many times its rate."""
    per_second, due = times * USUAL.orders / 86_400, 0.0
    for second in range(START + first, START + last):
        due += per_second
        for number in range(int(due)):
            yield liquidation(second, number, USUAL.usd / USUAL.orders, "BTC", "bybit")
        due -= int(due)


def called(orders: list[Liquidation], seconds: int) -> list[CascadeFinding]:
    by_second: dict[int, list[Liquidation]] = {}
    for order in orders:
        by_second.setdefault(order.ts_event // SECOND, []).append(order)
    shard, findings = Shard(), []
    for second in range(START, START + seconds):
        for order in by_second.get(second, []):
            findings += engine.step(PARAMS, shard, "liquidations", order).findings
        for topic in ("liquidations", "bars", "whale_transfers"):
            feed_status = FeedStatus(producer="f", state="alive", ts_event=(second + 1) * SECOND)
            findings += engine.step(PARAMS, shard, topic, feed_status).findings
    return [f for f in findings if isinstance(f, CascadeFinding) and f.phase == "onset"]


def test_a_cascade_after_25_minutes_of_history_is_called_and_marked_young() -> None:
    findings = findings_of(PARAMS)
    onsets = [f for f in findings if f.phase == "onset"]
    assert {f.asset for f in onsets} == {"BTC", "ETH"}
    assert all(f.young and 1_400 < f.history_s < 1_600 for f in onsets)
    alert = alert_of(onsets[0])
    assert alert is not None
    assert alert.history_s == onsets[0].history_s
    assert "young" in alert.text


def test_nothing_is_called_before_the_least_history() -> None:
    assert findings_of(Params(onset=OnsetParams(least_history_s=2_400))) == []


@pytest.mark.parametrize("first", [600, 2_400])
def test_ten_times_the_assumed_rate_for_minutes_is_called_in_the_first_hour(first: int) -> None:
    """Far below what a threshold over seven days asks for, so it is another score's."""
    orders = [*at_rate(1, 0, first), *at_rate(TENFOLD, first, first + 420)]
    [onset] = called(orders, first + 480)
    assert (onset.score_name, onset.young) == ("Z60", True)
    assert onset.log_rate < PARAMS.threshold("BTC", USUAL.orders, "full") - 0.5
    assert onset.ts_detect < (START + first + 420) * SECOND


def test_ten_times_the_assumed_rate_for_less_than_five_minutes_is_an_ordinary_burst() -> None:
    assert called([*at_rate(1, 0, 600), *at_rate(TENFOLD, 600, 880)], 960) == []


def test_after_the_first_hour_ten_times_the_rate_is_no_cascade() -> None:
    assert called([*at_rate(1, 0, 4_000), *at_rate(TENFOLD, 4_000, 4_420)], 4_480) == []


def test_single_orders_minutes_apart_are_no_cascade_of_a_thin_asset() -> None:
    """Each is far above an assumed usual of one in hours; a real recorder's quiet hours hold them."""
    orders = [
        liquidation(START + second, 0, 2e5, "PEPE", "bybit") for second in range(400, 3_600, 200)
    ]
    assert called(orders, 3_600) == []


def test_the_assumed_mean_rate_from_the_first_minute_on_calls_nothing() -> None:
    assert called(list(at_rate(TENFOLD / 10, 0, 4_000)), 4_000) == []


def test_a_young_baseline_that_bursts_have_swollen_hardly_raises_the_threshold() -> None:
    """It lowers the score already."""
    guess, week = Prior(orders=800.0, usd=1e6, order_usd=1e3), 7 * 86_400
    at = [prior.drawn(guess, 5_000.0, age, week) for age in (0, 43_200, 3 * 86_400, week)]
    assert at == sorted(at)
    assert (at[0], at[-1]) == (pytest.approx(800.0), 5_000.0)
    assert at[1] < 1_600.0
    assert prior.drawn(guess, 0.0, 0, week) == 0.0


def test_what_was_seen_outweighs_what_is_assumed_until_after_seven_days_nothing_is_left() -> None:
    guess = Prior(orders=86_400.0, usd=86_400e3, order_usd=1e3, weight_s=3_600.0)
    seen, both = (0.1, 100.0), (1.0, 1.0)
    week = 7 * 86_400
    assert prior.shrunk(guess, seen, both, 0, week) == (1.0, 1_000.0)
    assert prior.shrunk(guess, seen, both, 3_600, week)[0] == pytest.approx(0.55, abs=0.01)
    assert prior.shrunk(guess, seen, both, week, week) == seen
    # Of venues that are out nothing is expected.
    assert prior.shrunk(guess, seen, (0.5, 0.5), 0, week)[0] == 0.5


def test_an_asset_that_nobody_named_is_thin_and_each_class_of_feed_has_its_own() -> None:
    params = PriorParams()
    for asset, other in (("BTC", "SOL"), ("SOL", "PEPE")):
        for feed in ("full", "throttled"):
            assert params.of(asset)[feed].orders > params.of(other)[feed].orders  # type: ignore[index]
    assert params.of("BTC")["full"].orders > params.of("BTC")["throttled"].orders
