"""Who rose first: no order where there is none, and the planted one where there is."""

import numpy as np
import pytest
from shocks import SHARES, Floats, shock, venues

from streams.core.detectors import lead
from streams.core.detectors.recent import Counts


def p_values(rates: list[Floats], ratio: float, seconds: int, tries: int) -> Floats:
    draw = np.random.default_rng(31)
    leads = [lead.lead(venues(draw, rates, ratio)[:, :seconds]) for _ in range(tries)]
    return np.array([p for _, p in (f for f in leads if f is not None)])


@pytest.mark.parametrize("seconds", [360, 600])
@pytest.mark.parametrize("ratio", [0.0, 0.6])
def test_a_common_shock_without_a_lead_has_uniform_p_values(ratio: float, seconds: int) -> None:
    p = p_values([shock()] * 3, ratio, seconds, 300)
    assert len(p) > 290
    # Four standard errors above the level, and not all large either.
    for level in (0.05, 0.1, 0.5):
        error = (level * (1 - level) / 300) ** 0.5
        assert (p <= level).mean() <= level + 4 * error
    assert (p <= 0.5).mean() > 0.3


def test_a_share_that_grows_with_the_flood_is_no_lead() -> None:
    more = shock() * np.where(shock() > 3, 2.0, 1.0)
    assert (p_values([more, shock(), shock()], 0.0, 360, 200) <= 0.05).mean() <= 0.1


def test_assets_of_other_sizes_and_other_swings_have_no_order_in_a_common_shock() -> None:
    height = np.log(shock() / shock().min()) / np.log(shock().max() / shock().min())
    rates = [
        c * np.exp(b * height) / s
        for c, b, s in zip((0.05, 0.03, 0.02), (5.5, 6.0, 7.0), SHARES, strict=True)
    ]
    p = p_values(rates, 0.6, 900, 200)
    assert len(p) > 190
    assert (p <= 0.05).mean() <= 0.1
    assert (p <= 0.5).mean() > 0.2


def test_a_venue_ten_seconds_ahead_is_found_first_and_not_by_chance() -> None:
    draw = np.random.default_rng(32)
    leads = [lead.lead(venues(draw, [shock(), shock(10), shock()])[:, :420]) for _ in range(100)]
    stated = [f for f in leads if f is not None]
    assert np.mean([np.argmax(scores) == 1 for scores, _ in stated]) > 0.95
    assert np.mean([p <= 0.05 for _, p in stated]) > 0.8


def test_venues_are_named_from_first_to_last_and_kept_when_the_onset_is_long_past() -> None:
    draw = np.random.default_rng(33)
    orders = venues(draw, [shock(-8), shock(8), shock(0)])
    counts = {}
    for name, row in zip(("bybit", "okx", "bitget"), orders.astype(int).tolist(), strict=True):
        counts[name] = Counts(1_000, row)
    leader = lead.of_venues(counts, 1_300, 1_600)
    assert leader is not None
    assert leader.order == ["okx", "bitget", "bybit"]
    assert leader.p_value == 1 / lead.TURNS
    assert lead.of_venues(counts, 1_300, 1_900, leader) is leader
    assert lead.of_venues({"bybit": counts["bybit"]}, 1_300, 1_600) is None
    counts["okx"].batched = 1_500
    assert lead.of_venues(counts, 1_300, 1_600) is None


def test_a_minute_of_few_orders_has_no_order() -> None:
    assert lead.lead(np.ones((2, lead.TURNS * lead.LEAST_BLOCK_S - 1))) is None
