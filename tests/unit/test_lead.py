"""Who rose first: no order where there is none, and the planted one where there is."""

import numpy as np
import pytest
from numpy.typing import NDArray

from streams.detectors import lead
from streams.detectors.recent import Counts

SHARES = (0.45, 0.33, 0.22)
WARM_S = 100
Floats = NDArray[np.float64]


def shock(ahead_s: int = 0) -> Floats:
    """Orders a second: calm, up in 20 s, down over minutes; with its warm-up."""
    since = np.arange(WARM_S + 900) - WARM_S - 300 + ahead_s
    fall = np.where(since > 20, np.exp(-np.maximum(since - 20, 0) / 120), 1.0)
    return np.asarray(0.5 + 15 * np.clip(since / 20, 0, 1) * fall, np.float64)


def exciting(draw: np.random.Generator, rate: Floats, ratio: float) -> Floats:
    """Orders a second where each sets off `ratio` others of its own venue within seconds."""
    born = np.repeat(np.arange(len(rate)), draw.poisson(rate * (1 - ratio))) + 0.5
    every = [born]
    while len(born):
        children = draw.poisson(ratio, len(born))
        born = np.repeat(born, children) + draw.exponential(5.0, children.sum())
        born = born[born < len(rate)]
        every.append(born)
    counts = np.bincount(np.concatenate(every).astype(int), minlength=len(rate))
    return counts[WARM_S:].astype(float)


def venues(draw: np.random.Generator, rates: list[Floats], ratio: float = 0.0) -> Floats:
    return np.stack([exciting(draw, r * s, ratio) for r, s in zip(rates, SHARES, strict=True)])


def p_values(rates: list[Floats], ratio: float, seconds: int, tries: int) -> Floats:
    draw = np.random.default_rng(31)
    found = [lead.lead(venues(draw, rates, ratio)[:, :seconds]) for _ in range(tries)]
    return np.array([p for _, p in (f for f in found if f is not None)])


@pytest.mark.parametrize("seconds", [360, 600])
@pytest.mark.parametrize("ratio", [0.0, 0.6])
def test_a_common_shock_without_a_lead_has_uniform_p_values(ratio: float, seconds: int) -> None:
    found = p_values([shock()] * 3, ratio, seconds, 300)
    assert len(found) > 290
    # Four standard errors above the level, and not all large either.
    for level in (0.05, 0.1, 0.5):
        error = (level * (1 - level) / 300) ** 0.5
        assert (found <= level).mean() <= level + 4 * error
    assert (found <= 0.5).mean() > 0.3


def test_a_share_that_grows_with_the_flood_is_no_lead() -> None:
    more = shock() * np.where(shock() > 3, 2.0, 1.0)
    assert (p_values([more, shock(), shock()], 0.0, 360, 200) <= 0.05).mean() <= 0.1


def test_a_venue_ten_seconds_ahead_is_found_first_and_not_by_chance() -> None:
    draw = np.random.default_rng(32)
    found = [lead.lead(venues(draw, [shock(), shock(10), shock()])[:, :420]) for _ in range(100)]
    told = [f for f in found if f is not None]
    assert np.mean([np.argmax(scores) == 1 for scores, _ in told]) > 0.95
    assert np.mean([p <= 0.05 for _, p in told]) > 0.8


def test_venues_are_named_from_first_to_last_and_kept_when_the_onset_is_long_past() -> None:
    draw = np.random.default_rng(33)
    orders = venues(draw, [shock(-8), shock(8), shock(0)])
    held = {}
    for name, row in zip(("bybit", "okx", "bitget"), orders.astype(int).tolist(), strict=True):
        held[name] = Counts(1_000, row)
    told = lead.of_venues(held, 1_300, 1_600)
    assert told is not None
    assert told.order == ["okx", "bitget", "bybit"]
    assert told.p_value == 1 / lead.TURNS
    assert lead.of_venues(held, 1_300, 1_900, told) is told
    assert lead.of_venues({"bybit": held["bybit"]}, 1_300, 1_600) is None
    held["okx"].batched = 1_500
    assert lead.of_venues(held, 1_300, 1_600) is None


def test_a_minute_of_few_orders_has_no_order() -> None:
    assert lead.lead(np.ones((2, lead.TURNS * lead.LEAST_BLOCK_S - 1))) is None
