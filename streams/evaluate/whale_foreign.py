"""Another market for the whale test than the simulator's: flows by the minute, deposits planted.

    common flow (slow and fast parts, restless hours) ──┬─ share, lag ──> venue 1 ── + own flow
                                                        └─ share, lag ──> venue 2 ── + own flow ...
    deposit ── waits ──> sold in uneven pieces on its venue ── echo ──> the other venues

Nothing here is the simulator's: venues' own flow lasts for minutes and is restless by itself,
common flow reaches some venues a minute late, sizes are lognormal, sales last up to forty minutes
and may end after the test's window. `own` says how much noise there is.
"""

from typing import NamedTuple

import msgspec
import numba as nb
import numpy as np
import numpy.typing as npt

from streams.core.detectors.flow import FlowMatrix
from streams.core.params import WhaleParams
from streams.evaluate import whale_paths
from streams.evaluate.events import Floats
from streams.evaluate.whale_paths import Deposits, Judged, Sales

Rng = np.random.Generator
#: Levels of venues' own flow that are judged.
LEVELS = (0.35, 0.7, 1.4)
DAY_MIN = 1440


class ForeignMarket(msgspec.Struct, frozen=True):
    """Times in minutes, dollars as shares of the USD that move the price by 1 % (`depth`)."""

    shares: tuple[float, ...] = (0.40, 0.25, 0.20, 0.15)
    #: How much of the common flow comes to a venue a minute late.
    late: tuple[float, ...] = (0.0, 0.3, 0.15, 0.5)
    depth: float = 100e6
    #: Common flow of a minute over all venues, its part that lasts, and for how long.
    common: float = 0.02
    lasting: float = 0.5
    lasting_min: float = 40.0
    #: A venue's own flow of a minute, as a multiple of its share of the common one.
    own: float = 1.0
    own_again: float = 0.4
    tails: float = 3.0
    restless_sd: float = 0.5
    restless_min: float = 180.0
    deposits_a_day: float = 9.0
    in_falls: float = 3.0
    median: float = 0.15
    size_sd: float = 0.8
    least: float = 0.05
    sells: float = 0.15
    sold: tuple[float, float] = (0.3, 1.0)
    wait_min: float = 10.0
    lasts_min: tuple[float, float] = (3.0, 40.0)
    echo: float = 0.2
    echo_min: float = 2.0
    impact: float = 0.3


class ForeignPath(NamedTuple):
    """One asset: the tape as each venue's test reads it, the deposits, and what is sold of them."""

    laid: list[FlowMatrix]
    deposits: Deposits
    sales: Sales
    sold_usd: Floats


def judged(market: ForeignMarket, seed: int, days: int, params: WhaleParams) -> Judged:
    """Test one path's deposits."""
    made = path(market, seed, days)
    rng = np.random.default_rng([seed, 99])
    return whale_paths.path(params, made.laid, made.deposits, made.sales, [], rng)


def path(market: ForeignMarket, seed: int, days: int) -> ForeignPath:
    """Draw one asset's `days`; the same seed gives the same path."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 7])))
    minutes, shares = days * DAY_MIN, np.array(market.shares)
    busy = 1 + 0.4 * np.sin(2 * np.pi * (np.arange(minutes) / DAY_MIN - 0.3))
    restless = busy * np.exp(_ar(rng.normal(size=minutes), market.restless_min, market.restless_sd))
    fast, slow = _heavy(rng, market, minutes), _ar(rng.normal(size=minutes), market.lasting_min, 1)
    lasting = market.lasting
    common = restless * (np.sqrt(1 - lasting**2) * fast + lasting * slow)
    common *= market.common * market.depth
    flows = np.empty((len(shares), minutes))
    for v, (share, late) in enumerate(zip(shares, market.late, strict=True)):
        here = (1 - late) * common + late * np.concatenate([[0.0], common[:-1]])
        loud = busy * np.exp(_ar(rng.normal(size=minutes), market.restless_min, market.restless_sd))
        keep = market.own_again
        again = _filtered(_heavy(rng, market, minutes) * np.sqrt(1 - keep * keep), keep)
        own = market.own * market.common * market.depth * loud * again
        flows[v] = share * (here + own)
    price = market.impact * 0.01 / market.depth * flows.sum(axis=0)
    price = np.cumsum(price + 4e-4 * restless * rng.normal(size=minutes))
    deposits, sales, sold_usd = _deposits(rng, market, price)
    _sell(rng, market, sales, sold_usd, flows)
    total, mid = flows.sum(axis=0), np.exp(price)
    laid = [
        FlowMatrix(0, flow, total - flow, np.ones(minutes, np.bool_), mid, True) for flow in flows
    ]
    return ForeignPath(laid, deposits, sales, sold_usd)


def noise(market: ForeignMarket, seed: int, days: int, params: WhaleParams) -> float:
    """Return a venue's usual own flow over a window against what a median seller sells there."""
    made, window_min = path(market, seed, days), params.window_min
    sums = []
    for laid, share in zip(made.laid, market.shares, strict=True):
        usual = laid.here - laid.elsewhere * share / (1 - share)
        total = np.concatenate([[0.0], np.cumsum(usual)])
        moved = np.abs(total[window_min:] - total[:-window_min])
        sums.append(float(np.median(moved)) / 0.6745)
    return float(np.dot(sums, market.shares) / np.median(made.sold_usd))


def _deposits(rng: Rng, market: ForeignMarket, price: Floats) -> tuple[Deposits, Sales, Floats]:
    minutes = len(price)
    fell = np.zeros(minutes)
    fell[15:] = price[:-15] - price[15:]
    often = np.where(fell > fell.std(), market.in_falls, 1.0) * market.deposits_a_day / DAY_MIN
    minute = np.flatnonzero(rng.random(minutes) < often)
    n = len(minute)
    usd = market.median * np.exp(market.size_sd * rng.normal(size=n))
    usd = market.depth * np.maximum(usd, market.least)
    venue = rng.choice(len(market.shares), n, p=market.shares)
    sells = rng.random(n) < market.sells
    first = minute + 1 + rng.gamma(2.0, market.wait_min / 2, n).astype(np.int64)
    last = np.minimum(first + rng.uniform(*market.lasts_min, n).astype(np.int64), minutes - 1)
    sold_usd = usd * rng.uniform(*market.sold, n)
    # What would be sold after the tape's end is not.
    sells &= first < last
    sale = np.where(sells, np.cumsum(sells) - 1, -1)
    sales = Sales(venue[sells], first[sells] * 60, last[sells] * 60)
    return Deposits(minute.astype(np.float64), venue, usd, sale), sales, sold_usd[sells]


def _sell(rng: Rng, market: ForeignMarket, sales: Sales, sold_usd: Floats, flows: Floats) -> None:
    """Take what is sold out of its venue's flow in uneven pieces, its echo out of the others'."""
    fades = np.exp(-np.arange(10) / market.echo_min)
    fades /= fades.sum()
    for venue, first_s, last_s, usd in zip(*sales, sold_usd, strict=True):
        first, last = first_s // 60, last_s // 60
        pieces = rng.exponential(size=last - first)
        pieces *= usd / pieces.sum()
        flows[venue, first:last] -= pieces
        echo = market.echo * np.convolve(pieces, fades)[: flows.shape[1] - first]
        for other, share in enumerate(market.shares):
            if other != venue:
                part = share / (1 - market.shares[venue])
                flows[other, first : first + len(echo)] -= part * echo


def _heavy(rng: Rng, market: ForeignMarket, n: int) -> Floats:
    """Return heavy-tailed draws of variance one."""
    return np.asarray(rng.standard_t(market.tails, n) / np.sqrt(market.tails / (market.tails - 2)))


def _ar(steps: Floats, memory: float, sd: float) -> Floats:
    keep = float(np.exp(-1 / memory))
    return _filtered(steps * sd * np.sqrt(1 - keep * keep), keep)


@nb.njit(cache=True, nogil=True)
def _filtered(steps: npt.NDArray[np.float64], keep: float) -> npt.NDArray[np.float64]:
    out = np.empty_like(steps)
    last = 0.0
    for i in range(len(steps)):
        last = keep * last + steps[i]
        out[i] = last
    return out
