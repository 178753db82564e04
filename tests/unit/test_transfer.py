"""Markets and feeds drawn anew, and what is counted of thresholds carried over to them."""

import numpy as np
import pytest

from streams.core.detectors import log_rate, rate_state
from streams.core.detectors.rate_state import RateState
from streams.core.detectors.venue_rates import VenueSecond
from streams.core.params import Params
from streams.evaluate import pass_marks, redrawn, transfer
from streams.evaluate.transfer import Outcome
from streams.simulate.market.feeds import Orders


def test_a_seed_draws_one_market_and_another_seed_another() -> None:
    assert redrawn.market(3) == redrawn.market(3)
    assert redrawn.feeds_of(3) == redrawn.feeds_of(3)
    one, other = redrawn.market(3), redrawn.market(4)
    for name in ("order_size_sd", "vol_level", "news_rate", "news_pareto", "engine_tau"):
        assert getattr(one, name) != getattr(other, name)
    assert {asset.asset for asset in one.assets} == {"BTC", "SOL", "PEPE"}


def test_every_asset_is_of_the_class_of_liquidity_that_it_stands_for() -> None:
    for liquidity, row in redrawn.ASSETS.items():
        assert Params().prior.liquidity(row.asset) == liquidity


def test_the_shares_of_venues_are_a_whole() -> None:
    for seed in range(20):
        for feed in redrawn.feeds_of(seed):
            assert sum(feed.rule.shares) == pytest.approx(1.0)
            assert len(feed.rule.shares) == len(feed.rule.coverage)


def test_batches_hold_all_dollars_and_orders_in_fewer_seconds() -> None:
    at = np.arange(0, 3_000, 3, dtype=np.int32)
    orders = Orders(at, np.zeros(1_000, np.int8), np.full(1_000, 5e3), np.zeros(1_000, np.bool_))
    feed = redrawn.feeds_of(3)[-1]
    shown = redrawn.shown(feed, orders, redrawn.ASSETS["deep"], 3, 3_600)
    assert shown.usd.sum() == pytest.approx(5e6)
    assert len(shown.at) == 1_000
    assert len(np.unique(shown.at)) < 400
    assert shown.batched.mean() > 0.9
    assert np.all(np.diff(shown.at) >= 0)


def test_a_redrawn_feeds_venues_are_those_that_the_product_learns() -> None:
    """Shares of a calm tape: `rate_state.venues` beside what thresholds are judged with."""
    mixed = redrawn.feeds_of(3)[1]
    at = np.sort(np.random.default_rng(1).integers(0, 3 * 86_400, 6_000)).astype(np.int32)
    orders = Orders(at, np.zeros(6_000, np.int8), np.full(6_000, 5e3), np.zeros(6_000, np.bool_))
    view = redrawn.shown(mixed, orders, redrawn.ASSETS["deep"], 3, 3 * 86_400)
    state, before = RateState(), -1
    for second in np.unique(view.at).tolist():
        rows = np.flatnonzero(view.at == second)
        shown: dict[str, VenueSecond] = {}
        for row in rows.tolist():
            number = int(view.venue[row])
            one = VenueSecond(coverage=mixed.rule.coverage[number])
            shown.setdefault(f"v{number}", one).entries.append((1, float(view.usd[row])))
        log_rate.step(Params().onset, state, second, second - before, shown)
        before = second
    learnt, assumed = rate_state.venues(state), redrawn.by_venue(mixed, state.expected_orders)
    assert learnt is not None
    assert learnt.complete == pytest.approx(assumed.complete, rel=0.1)
    assert learnt.throttled == pytest.approx(assumed.throttled, rel=0.1)


def outcome(seed: int, false: int, feed: str = "full", liquidity: str = "deep") -> Outcome:
    return Outcome(seed, liquidity, feed, "shipped", 5.0, false, 8.0, [True, False], [0.9, 0.0])


def test_false_alarms_recall_and_damage_are_those_of_all_markets() -> None:
    rows = transfer.table([outcome(1, 4), outcome(2, 12), outcome(2, 0, "batched")])["shipped"]
    row = rows["deep"]["full"]
    assert row["false_alarms_per_week"] == 1.0
    assert row["false_alarms_per_week_interval"] == [0.5, 1.5]
    assert row["recall"] == 0.5
    assert row["damage_to_come"] == 0.45
    assert row["cascades"] == 4
    assert rows["deep"]["all"]["false_alarms_per_week"] == pytest.approx(16 / 24)


def test_markets_within_are_counted_over_all_their_assets_and_feeds() -> None:
    outcomes = [outcome(1, 8), outcome(1, 8, "batched"), outcome(2, 16), outcome(2, 2, "batched")]
    assert transfer.within(outcomes, "shipped") == 0.5


def test_the_worst_feed_of_a_class_has_a_bar_of_its_own() -> None:
    row = {"false_alarms_per_week": 1.0}
    by_feed = {"full": row, "batched": {"false_alarms_per_week": 1.4}, "all": row}
    marks = pass_marks.transfer(
        {"transfer": {"shipped": {"thin": by_feed}}, "within": {"shipped": 0.8}}
    )
    assert [mark["reached"] for mark in marks] == [True, False, False]
    assert "batched" in marks[1]["bar"]
