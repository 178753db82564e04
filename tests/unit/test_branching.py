"""How many orders one sets off: an estimate whose interval is checked on known processes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from streams.core.detectors import branching, recent
from streams.core.detectors.recent import Counts
from streams.core.detectors.venue_rates import VenueSecond

BEFORE_S = 120


def hawkes(
    draw: np.random.Generator, ratio: float, memory_s: float, rate: float, seconds: int
) -> NDArray[np.float64]:
    """Orders a second of a Hawkes process at rest, drawn by its generations."""
    warm = 900
    born = draw.uniform(-warm, seconds, draw.poisson(rate * (1 - ratio) * (warm + seconds)))
    every = [born]
    while len(born):
        children = draw.poisson(ratio, len(born))
        born = np.repeat(born, children) + draw.exponential(memory_s, children.sum())
        born = born[born < seconds]
        every.append(born)
    at = np.floor(np.concatenate(every)).astype(int) + BEFORE_S
    return np.bincount(at[at >= 0], minlength=BEFORE_S + seconds).astype(float)


@pytest.mark.parametrize(("ratio", "width"), [(0.3, 0.95), (0.6, 0.80), (0.9, 0.50)])
@pytest.mark.parametrize(("memory_s", "rate"), [(2.0, 6.0), (10.0, 6.0)])
def test_the_interval_holds_the_ratio_that_made_the_orders(
    ratio: float, width: float, memory_s: float, rate: float
) -> None:
    draw = np.random.default_rng(11)
    ratios = []
    for _ in range(100):
        orders = hawkes(draw, ratio, memory_s, rate, 400)
        estimate = branching.ratio(orders[:BEFORE_S], orders[BEFORE_S:])
        assert estimate is not None
        ratios.append(estimate)
    assert np.mean([t.low <= ratio <= t.high for t in ratios]) >= 0.90
    assert abs(np.median([t.point for t in ratios]) - ratio) < 0.16
    assert np.mean([t.high - t.low for t in ratios]) < width


def test_independent_orders_are_not_called_nearly_critical() -> None:
    draw = np.random.default_rng(12)
    ratios = [branching.ratio(np.zeros(0), draw.poisson(6.0, 400).astype(float)) for _ in range(60)]
    assert np.mean([f is not None and f.low == 0.0 for f in ratios]) >= 0.9


def test_an_outer_rate_that_swells_and_ebbs_is_taken_for_offspring() -> None:
    """A limit that the field's docstring states: should it go, that must change too."""
    draw, t = np.random.default_rng(11), np.arange(400)
    swell = 0.5 + 20 * np.minimum(t / 20, 1) * np.exp(-np.maximum(t - 20, 0) / 60)
    ratio = branching.ratio(draw.poisson(0.5, 120).astype(float), draw.poisson(swell).astype(float))
    assert ratio is not None
    assert ratio.low > 0.8


def test_too_few_orders_have_no_ratio() -> None:
    assert branching.ratio(np.zeros(60), np.r_[np.full(99, 1.0), 0.0]) is None
    assert branching.ratio(np.zeros(60), np.full(59, 9.0)) is None


def test_orders_of_all_venues_count_and_rows_of_several_tell_nothing() -> None:
    draw = np.random.default_rng(13)
    whole = hawkes(draw, 0.6, 5.0, 6.0, 400).astype(int)
    one = draw.binomial(whole, 0.5)
    split = [one.tolist(), (whole - one).tolist()]
    counts = {str(n): Counts(10_000, orders) for n, orders in enumerate(split)}
    ratio_of_episode = branching.of_episode(counts, 10_000 + BEFORE_S, 9_999 + len(whole))
    padded = np.r_[np.zeros(recent.KEEP_S - len(whole)), whole[:BEFORE_S]].astype(float)
    assert ratio_of_episode == branching.ratio(padded, whole[BEFORE_S:].astype(float))
    recent.step(
        counts, 10_000 + len(whole), {"0": VenueSecond(coverage="full", entries=[(5, 1e4)])}
    )
    assert branching.of_episode(counts, 10_000 + BEFORE_S, 10_000 + len(whole)) is None


def test_only_complete_venues_and_a_quarter_of_an_hour_are_kept() -> None:
    counts: dict[str, Counts] = {}
    for second in range(2_000):
        for venue, coverage in (("bybit", "full"), ("binance:X", "latest_per_second")):
            shown = {venue: VenueSecond(coverage=coverage, entries=[(1, 5e3)])}  # type: ignore[arg-type]
            recent.step(counts, second, shown)
    assert list(counts) == ["bybit"]
    assert (counts["bybit"].start, counts["bybit"].end) == (2_000 - recent.KEEP_S, 2_000)
    assert recent.series(counts["bybit"], 1_995, 2_003).tolist() == [1.0] * 5 + [0.0] * 4
