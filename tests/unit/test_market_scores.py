"""The batch scores are the detector's, and see what each feed shows."""

import numpy as np
import pytest

from streams.core.detectors import log_rate, rate_state, taker, venue_rates
from streams.core.params import FlowParams, OnsetParams
from streams.evaluate import rival_scores, scores

VENUES = ("a", "b", "c")


def random_feed(seed: int, seconds: int, coverage: tuple[str, ...]) -> scores.Shown:
    """Quiet orders at random, one an active second on throttled venues, and a busy stretch."""
    rng = np.random.default_rng(seed)
    rate = np.full((3, seconds), 0.02)
    rate[:, seconds // 2 : seconds // 2 + 120] = 3.0
    counts = rng.poisson(rate)
    for v, rule in enumerate(coverage):
        counts[v] = counts[v] if rule == "full" else np.minimum(counts[v], 1)
    venue, at = (np.repeat(x.ravel(), counts.ravel()) for x in np.indices(counts.shape))
    usd = np.exp(8 + 1.8 * rng.normal(size=len(at)))
    return scores.shown(at.astype(np.int32), venue.astype(np.int8), usd, coverage, seconds)  # type: ignore[arg-type]


def stepped(feed: scores.Shown, coverage: tuple[str, ...]) -> np.ndarray:
    state, series, i = rate_state.RateState(), [], 0
    for second in range(feed.seconds):
        seen: dict[str, venue_rates.VenueSecond] = {}
        while i < len(feed.at) and feed.at[i] == second:
            v = int(feed.venue[i])
            entry = seen.setdefault(VENUES[v], venue_rates.VenueSecond(coverage=coverage[v]))  # type: ignore[arg-type]
            entry.entries.append((1, float(feed.usd[i])))
            i += 1
        series.append(log_rate.step(OnsetParams(), state, second, 1, seen))
    return np.array(series)


@pytest.mark.parametrize(
    "coverage",
    [
        ("full", "full", "full"),
        ("latest_per_second", "full", "full"),
        ("latest_per_second", "largest_per_second", "latest_per_second"),
    ],
)
def test_the_batch_z30_is_the_detector_stepped_second_by_second(coverage: tuple[str, ...]) -> None:
    feed = random_feed(seed=5, seconds=20_000, coverage=coverage)
    both = scores.halves(feed, 30, 10, kind=np.float64)
    batch = (both.orders + both.usd) / 2
    first = int(feed.at[0])
    assert np.abs(batch - stepped(feed, coverage))[first:].max() < 1e-9
    assert batch.max() > 3


def test_rows_of_many_orders_count_over_the_time_they_were_collected_in() -> None:
    """The batch form and the detector take a recorder's rows alike."""
    rng = np.random.default_rng(3)
    at = np.sort(rng.choice(20_000, 400, replace=False))
    at = np.concatenate([at, np.arange(10_000, 10_100, 4)])
    number = rng.integers(1, 9, len(at))
    worth = np.exp(8 + rng.normal(size=len(at)))
    columns = (np.repeat(column, number) for column in (at, np.zeros_like(at), worth))
    second, venue, usd = columns
    feed = scores.shown(
        second.astype(np.int32), venue.astype(np.int8), usd, ("latest_per_second",), 20_000,
        np.repeat(number > 1, number),
    )  # fmt: skip
    rows: dict[int, list[tuple[int, float | None]]] = {}
    for n, t in enumerate(at.tolist()):
        rows.setdefault(t, []).append((int(number[n]), float(worth[n] * number[n])))
    state, series = rate_state.RateState(), []
    for t in range(20_000):
        entries = {"a": venue_rates.VenueSecond("latest_per_second", rows[t])} if t in rows else {}
        series.append(log_rate.step(OnsetParams(), state, t, 1, entries))
    both = scores.halves(feed, 30, 10, kind=np.float64)
    batch = (both.orders + both.usd) / 2
    first = int(feed.at[0])
    assert np.abs(batch - np.array(series))[first:].max() < 1e-9
    unspread = scores.halves(feed._replace(batched=feed.batched[:0]), 30, 10, kind=np.float64)
    assert np.abs((unspread.orders + unspread.usd) / 2 - batch)[first:].max() > 0.3


def test_taker_selling_counts_only_where_every_venue_shows_the_latest_order() -> None:
    sold = np.zeros(20_000, np.float32)
    sold[10_000:10_120] = -5e5
    sold += np.random.default_rng(1).normal(0, 1e4, 20_000).astype(np.float32)
    mixed = random_feed(5, 20_000, ("latest_per_second", "full", "largest_per_second"))
    assert np.array_equal(scores.z30_flow(mixed, sold), scores.z30(mixed))
    dim = random_feed(5, 20_000, ("latest_per_second",) * 3)
    added = scores.z30_flow(dim, sold) - scores.z30(dim)
    assert added[10_060:10_120].min() > 1
    assert added[:10_000].max() < 0.3
    assert (added >= 0).all()


def test_the_batch_z30_with_flow_is_the_detector_stepped_second_by_second() -> None:
    net = np.random.default_rng(2).normal(0, 1e4, 20_000)
    net[10_000:10_120] -= 5e5
    net = net.astype(np.float32)
    coverage = ("latest_per_second",) * 3
    feed = random_feed(5, 20_000, coverage)
    batch = scores.z30_flow(feed, net) - scores.z30(feed)
    params, tape, rate, i = FlowParams(), taker.TakerState(at=-1), rate_state.RateState(), 0
    for second in range(20_000):
        seen: dict[str, venue_rates.VenueSecond] = {}
        while i < len(feed.at) and feed.at[i] == second:
            seen[VENUES[feed.venue[i]]] = venue_rates.VenueSecond("latest_per_second", [(1, 1e3)])
            i += 1
        log_rate.step(OnsetParams(), rate, second, 1, seen)
        taker.step(params, tape, second, float(net[second]))
        more = taker.added(params, tape, second, "long", rate.active)
        assert (more is None) == (second < 3_599)
        assert more is None or abs(more - batch[second]) < 1e-5
    assert batch.max() > 1


def test_seconds_without_a_bar_are_zero_flow_however_they_are_passed() -> None:
    params = FlowParams(min_history_s=10, stale_s=100)
    one, other = taker.TakerState(at=99), taker.TakerState(at=99)
    for second in range(100, 200):
        for state in (one, other):
            taker.step(params, state, second, -1e5)
    for second in range(200, 230):
        taker.added(params, one, second, "long", 1.0)
    for state in (one, other):
        taker.step(params, state, 230, 3e4)
    assert one == other
    assert taker.added(params, one, 331, "long", 1.0) is None


@pytest.mark.parametrize(
    "score",
    [
        rival_scores.lr10,
        rival_scores.z_ewma,
        rival_scores.glr,
        rival_scores.hawkes,
        rival_scores.bocpd,
        rival_scores.fixed_usd,
    ],
)
def test_every_rival_rises_in_a_busy_stretch(score) -> None:  # type: ignore[no-untyped-def]
    series = score(random_feed(6, 20_000, ("full", "full", "full")))
    assert series.shape == (20_000,)
    assert np.isfinite(series).all()
    assert series[10_030:10_120].max() > np.quantile(series[2_000:9_900], 0.999)


def test_an_empty_feed_scores_nothing() -> None:
    nothing = np.empty(0)
    empty = scores.shown(nothing.astype(np.int32), nothing.astype(np.int8), nothing, ("full",), 500)
    assert not scores.z30(empty).any()
    assert not rival_scores.fixed_usd(empty).any()


def test_change_points_survive_a_flood_and_see_the_next_one() -> None:
    rng = np.random.default_rng(8)
    counts = rng.poisson(0.05, 60_000)
    for start in (20_000, 50_000):
        counts[start : start + 60] = 900
    at = np.repeat(np.arange(60_000, dtype=np.int32), counts)
    feed = scores.shown(
        at, np.zeros(len(at), np.int8), np.full(len(at), 1e3), ("full",), len(counts)
    )
    score = rival_scores.bocpd(feed)
    assert score[20_030] > 5
    assert score[50_030] > 5
    assert score[40_000:50_000].max() < 3
