"""Assets just met: stepped as the product does, from any second on."""

import numpy as np
import pytest

from streams.core.detectors import log_rate
from streams.core.detectors.rate_state import RateState
from streams.core.detectors.venue_rates import VenueSecond
from streams.core.params import Params
from streams.evaluate import first_hours, scores
from streams.evaluate.events import Truth
from streams.evaluate.first_hours import Alarms, Asset
from streams.evaluate.protocol import History, rows
from streams.simulate.market.feeds import Orders

QUIET, BURST, END = 30_000, 30_060, 33_000


def asset(seed: int = 4) -> Asset:
    """An asset with an order every other minute, and forty a second for a minute."""
    rng = np.random.default_rng(seed)
    calm = np.sort(rng.integers(0, END, END // 120))
    at = np.sort(np.concatenate([calm, np.repeat(np.arange(QUIET, BURST), 40)])).astype(np.int32)
    venue, usd = np.zeros(len(at), np.int8), np.full(len(at), 8_000.0)
    truth = Truth(rows([(QUIET, BURST, BURST)], 3), rows([], 2), np.arange(END + 1.0))
    price = np.zeros(END, np.float32)
    orders = Orders(at, venue, usd, np.zeros(len(at), np.bool_))
    history = History(seed, 0, truth, orders, price, price)
    return Asset("BTC", 0, history, scores.shown(at, venue, usd, ("full",), END), price)


@pytest.mark.parametrize("age_s", [600, 1_500, 4_500])
def test_a_burst_is_called_at_once_however_long_the_asset_is_known(age_s: int) -> None:
    at = first_hours.called(Params(), asset(), QUIET - age_s, END)
    assert len(at) == 1
    assert QUIET <= at[0] < QUIET + 10


def test_nothing_is_called_in_the_first_five_minutes() -> None:
    assert len(first_hours.called(Params(), asset(), QUIET - 200, BURST + 30)) == 0


def test_a_prior_of_many_orders_calls_later() -> None:
    late = first_hours.with_prior(Params(), 300.0)
    first = first_hours.called(Params(), asset(), QUIET - 1_500, END)
    then = first_hours.called(late, asset(), QUIET - 1_500, END)
    assert len(then) == 0 or then[0] > first[0]


def test_seconds_without_an_order_need_no_step() -> None:
    one, state, before = asset(), RateState(), -1
    priors = Params().prior.of("BTC")
    for second in range(QUIET - 5_000, QUIET):
        n = int((one.feed.at == second).sum())
        shown = {"v0": VenueSecond("full", [(1, 8_000.0)] * n)} if n else {}
        log_rate.step(Params().onset, state, second, 1, shown, {}, priors)
        before = second if n else before
    stepped = list(first_hours.scored(Params(), one, (QUIET - 5_000, QUIET), Alarms()))
    assert stepped[-1][0].second == before
    assert stepped[-1][1].usual_orders == pytest.approx(state.usual_orders, rel=0.02)
