"""What feeds show of a tape: orders, venues, coverage rules, planted giants, faults."""

from typing import Any, NamedTuple

import numba as nb
import numpy as np
import numpy.typing as npt

from schemas.words import Coverage
from streams.simulate.market.params import VENUE_SHARES, Market
from streams.simulate.market.state import DAY, Floats, Rng, Tape

Ints = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

#: Planted single orders (detection.md 8.2): a week and asset, and their size in median days.
GIANTS_A_WEEK = 3.0
GIANT_LEAST, GIANT_PARETO, GIANT_MOST = 0.08, 1.2, 1.0


class Orders(NamedTuple):
    """Forced orders of one asset and side in time order: second, venue index, USD, planted."""

    at: Ints
    venue: npt.NDArray[np.int8]
    usd: Floats
    giant: Flags


class FeedRule(NamedTuple):
    """Which venue an order comes through, and what each shows of a second's orders.

    `shares` of the orders by venue; `coverage` by venue.
    """

    shares: tuple[float, ...]
    coverage: tuple[Coverage, ...]


#: The coverages that detection.md 8.2 compares, and the one it left open (three_*).
RULES: dict[str, FeedRule] = {
    "full": FeedRule(VENUE_SHARES, ("full", "full", "full")),
    "45_latest": FeedRule(VENUE_SHARES, ("latest_per_second", "full", "full")),
    "45_largest": FeedRule(VENUE_SHARES, ("largest_per_second", "full", "full")),
    "100_latest": FeedRule((1.0,), ("latest_per_second",)),
    "100_largest": FeedRule((1.0,), ("largest_per_second",)),
    "three_latest": FeedRule(VENUE_SHARES, ("latest_per_second",) * 3),
    "three_largest": FeedRule(VENUE_SHARES, ("largest_per_second",) * 3),
}


def draw(market: Market, tape: Tape, asset: int, side: int, seed: int) -> Orders:
    """Draw all forced orders behind a tape; seconds without one hand their USD on.

    Orders N ~ Poisson(USD / mean order), sizes lognormal and scaled to the second's USD.
    """
    rng = generator(seed, 2, asset, side)
    forced = tape.forced[asset, side]
    mean = market.assets[asset].order_usd
    count = int(forced.sum(dtype=np.float64) / mean * 1.05) + 10_000
    at, usd = np.empty(count, np.int32), np.empty(count)
    used = _draw(rng, forced, mean, market.order_size_sd, at, usd)
    if used < 0:
        raise ValueError("more orders than room for them")
    at, usd = at[:used].copy(), usd[:used].copy()
    shares = np.cumsum(VENUE_SHARES)
    venue = np.searchsorted(shares[:-1], rng.random(used), side="right").astype(np.int8)
    return Orders(at, venue, usd, np.zeros(used, np.bool_))


@nb.njit(cache=True, nogil=True)
def _draw(
    rng: Rng, forced: npt.NDArray[np.float32], mean: float, size_sd: float, at: Ints, usd: Floats
) -> int:
    used, pending = 0, 0.0
    for t in range(len(forced)):
        pending += forced[t]
        n = rng.poisson(forced[t] / mean) if forced[t] > 0 else 0
        if n == 0:
            continue
        if used + n > len(at):
            return -1
        total = 0.0
        for i in range(used, used + n):
            at[i] = t
            usd[i] = np.exp(size_sd * rng.standard_normal())
            total += usd[i]
        for i in range(used, used + n):
            usd[i] *= pending / total
        used += n
        pending = 0.0
    return used


def with_giants(market: Market, orders: Orders, asset: int, seconds: int, seed: int) -> Orders:
    """Add planted single huge orders, which are no cascades; they leave the price alone."""
    rng = generator(seed, 3, asset)
    n = rng.poisson(GIANTS_A_WEEK * seconds / (7 * DAY))
    size = np.minimum(GIANT_LEAST * (1 - rng.random(n)) ** (-1 / GIANT_PARETO), GIANT_MOST)
    at = np.sort(rng.integers(0, seconds, n)).astype(np.int32)
    venue = rng.choice(len(VENUE_SHARES), n, p=VENUE_SHARES).astype(np.int8)
    usd = size * market.assets[asset].median_day_usd
    both = Orders(
        np.concatenate([orders.at, at]),
        np.concatenate([orders.venue, venue]),
        np.concatenate([orders.usd, usd]),
        np.concatenate([orders.giant, np.ones(n, np.bool_)]),
    )
    order = np.argsort(both.at, kind="stable")
    return picked(both, order)


def picked(orders: Orders, rows: npt.NDArray[Any]) -> Orders:
    """Return the orders of an index or a mask."""
    return Orders(orders.at[rows], orders.venue[rows], orders.usd[rows], orders.giant[rows])


def shown(orders: Orders, rule: FeedRule, seed: int) -> Orders:
    """Return what feeds under `rule` show; `latest` is any order of the second, at random."""
    # Where there are fewer venues, the last one carries what the missing ones did.
    venue = np.minimum(orders.venue, np.int8(len(rule.shares) - 1))
    kept = np.ones(len(venue), np.bool_)
    rng = generator(seed, 4)
    lot = rng.random(len(venue))
    for v, coverage in enumerate(rule.coverage):
        if coverage == "full":
            continue
        at_venue = np.flatnonzero(venue == v)
        rank = orders.usd if coverage == "largest_per_second" else lot
        kept[at_venue] = False
        kept[at_venue[_best_of_second(orders.at[at_venue], rank[at_venue])]] = True
    return picked(orders._replace(venue=venue), kept)


@nb.njit(cache=True, nogil=True)
def _best_of_second(at: Ints, rank: Floats) -> Ints:
    best = np.empty(len(at), np.int32)
    n = 0
    for i in range(len(at)):
        if i > 0 and at[i] == at[i - 1]:
            if rank[i] > rank[best[n - 1]]:
                best[n - 1] = i
        else:
            best[n] = i
            n += 1
    return best[:n].copy()


def generator(seed: int, *path: int) -> Rng:
    """Return the PCG64 generator of one named branch of a run, so that branches never shift."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *path])))
