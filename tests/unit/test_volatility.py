"""What volatility takes off the score: the same in the product and in the evaluation."""

import numpy as np
import pytest

from streams.core.detectors import beyond_orders, volatility
from streams.core.detectors.episode import Second
from streams.core.detectors.rate_state import RateState
from streams.core.detectors.taker import TakerState
from streams.core.detectors.venue_rates import VenueRate
from streams.core.detectors.volatility import VolatilityState
from streams.core.params import OnsetParams, Params, VolatilityParams
from streams.evaluate import product, scores

PARAMS, DAY = VolatilityParams(), 1_440 * 60


def walk(seconds: int, sd: float, seed: int) -> np.ndarray:
    """Log price a second."""
    return 3.0 + np.cumsum(np.random.default_rng(seed).normal(0, sd, seconds))


def stepped(log_price: np.ndarray, start: int = 0) -> list[float | None]:
    """The product's values, of one fill a second."""
    state, findings = VolatilityState(), []
    for n, price in enumerate(np.exp(log_price).tolist(), start):
        volatility.step(PARAMS, state, n, price, price)
        findings.append(volatility.owed(PARAMS, state, n))
    return findings


def test_batch_and_product_take_off_the_same() -> None:
    price = walk(4 * 3_600, 1e-4, seed=1)
    price[7_200:] = price[7_200] + 5 * (price[7_200:] - price[7_200])
    values = stepped(price, start=60 * 28_000_000)
    batch = product.owed(price, np.float64)
    assert values[:3_660] == [None] * 3_660
    assert batch[3_660:] == pytest.approx([x for x in values if x is not None], abs=1e-9)


def test_what_is_taken_off_grows_with_restlessness_up_to_a_limit() -> None:
    calm = walk(6 * 3_600, 1e-5, seed=2)
    steps = walk(1_200, 1e-5, seed=3) - 3.0
    ends = [
        stepped(np.concatenate([calm, calm[-1] + factor * steps]))[-1]
        for factor in (1, 3, 10, 1e2, 1e3)
    ]
    known = [end for end in ends if end is not None]
    assert known == sorted(known)
    assert known[0] < 0.2 < known[2]
    assert known[-1] == PARAMS.weight * PARAMS.limit


def test_the_minute_that_runs_counts_as_if_it_had_ended() -> None:
    price = walk(2 * 3_600, 1e-5, seed=4)
    still = np.concatenate([price, np.full(60, price[-1])])
    moved = np.concatenate([price, np.full(60, price[-1] - 0.001)])
    calm, wild = stepped(still)[-1], stepped(moved)[-1]
    assert calm is not None
    assert wild is not None
    assert wild > calm + 0.1


def test_after_a_gap_in_the_tape_nothing_is_told_until_a_minute_has_ended() -> None:
    state = VolatilityState()
    for second, price in enumerate(np.exp(walk(2 * 3_600, 1e-4, seed=5)).tolist()):
        volatility.step(PARAMS, state, second, price, price)
    usual = state.usual
    assert volatility.owed(PARAMS, state, 7_200 + 11 * 60) is None
    # A price far from the last one is a new beginning, not a move.
    volatility.step(PARAMS, state, 9_000, 1.0, 1.0)
    assert volatility.owed(PARAMS, state, 9_000) is None
    assert volatility.owed(PARAMS, state, 9_060) is not None
    assert state.usual == pytest.approx(usual, rel=0.05)


def test_bars_of_a_minute_tell_what_bars_of_a_second_do() -> None:
    price = np.exp(walk(2 * 3_600, 1e-4, seed=6))
    fine, coarse = VolatilityState(), VolatilityState()
    for second, paid in enumerate(price.tolist()):
        volatility.step(PARAMS, fine, second, paid, paid)
        if second % 60 == 59:
            minute = price[second - 59 : second + 1]
            volatility.step(PARAMS, coarse, second, float(minute.max()), float(minute.min()))
    volatility.owed(PARAMS, fine, 7_200)
    volatility.owed(PARAMS, coarse, 7_200)
    assert (fine.recent, fine.usual, fine.mid) == (coarse.recent, coarse.usual, coarse.mid)


def test_a_calibrated_threshold_is_not_shifted_unless_the_shift_was_fitted_too() -> None:
    onset_params = OnsetParams(
        cascade={"*": dict.fromkeys(("full", "mixed", "throttled"), 5.0)},
        thresholds_are_default=False, calibrated={"BTC": ("full",)},
    )  # fmt: skip
    price = VolatilityState()
    for second, paid in enumerate(np.exp(walk(2 * 3_600, 1e-4, seed=8)).tolist()):
        volatility.step(PARAMS, price, second, paid, paid)
    fitted = VolatilityParams(lower_is_default=False)
    for params, feed_class, name in (
        (Params(), "full", "Z30-vol"),
        (Params(onset=onset_params), "full", "Z30"),
        (Params(onset=onset_params), "mixed", "Z30-vol"),
        (Params(onset=onset_params, volatility=fitted), "full", "Z30-vol"),
    ):
        now = Second(7_200, 6.0, 5.0, 1, 1e4, None, None)
        rate = RateState(venues={"bybit": VenueRate(coverage="full")})
        beyond_orders.add_flow(params, "BTC", "long", TakerState(), rate, now)
        beyond_orders.less_volatility(params, "BTC", price, feed_class, now)
        assert now.score_name == name
        assert (now.threshold == 5.0) == (name == "Z30")


def test_the_product_uses_it_where_a_venue_is_complete_or_flow_says_how_much() -> None:
    seconds = 3 * 3_600
    at, usd = np.arange(0, seconds, 50, dtype=np.int32), np.full(seconds // 50, 1e4)
    venue = (np.arange(len(at)) % 2).astype(np.int8)
    price = walk(seconds, 1e-4, seed=7)
    sold = np.full(seconds, -1e4, np.float32)
    less = product.owed(price)
    for coverage, added, owed in (
        (("full", "full"), False, True),
        (("full", "largest_per_second"), False, True),
        (("latest_per_second", "latest_per_second"), True, True),
        (("latest_per_second", "largest_per_second"), False, False),
        (("largest_per_second", "largest_per_second"), False, False),
    ):
        feed = scores.shown(at, venue, usd, coverage, seconds)
        expected = scores.z30_flow(feed, sold) if added else scores.z30(feed)
        expected = expected - less if owed else expected
        assert product.undertow(feed, sold, price) == pytest.approx(expected, abs=1e-6)
