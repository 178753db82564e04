"""Simulated markets and feeds whose numbers are drawn anew, by seed: others than fitted on.

    sizes      an order's mean (times e^±.5 an asset) and spread, what moves a price
    rates      positions opened, leverage, volatility, news, share of shorts
    coverage   shares of the venues, and what they show
    batches    rows of orders worth so many USD, stamped when the last of them came

Three assets stand for the classes of liquidity; the thin one is SOL's book by the ratio of the
prior's rates (`core/detectors/prior.py`), more restless.
"""

from typing import NamedTuple

import numba as nb
import numpy as np
from msgspec.structs import replace

from schemas.words import FeedClass
from streams.core.shipped import ByVenue
from streams.evaluate import scores
from streams.evaluate.scores import Flags, Floats, Ints, Shown
from streams.simulate.market import feeds
from streams.simulate.market.feeds import FeedRule, Orders
from streams.simulate.market.params import BTC, NORMAL, SOL, AssetParams, Market
from streams.simulate.market.state import Rng

_TO_SOL = 1 / 24
THIN = replace(
    SOL, asset="PEPE", price=1e-5, s_day=0.045, beta=1.2, depth_usd=SOL.depth_usd * _TO_SOL,
    omega=SOL.omega * _TO_SOL, order_usd=1.1e3, median_day_usd=SOL.median_day_usd * _TO_SOL,
)  # fmt: skip
#: By class of liquidity, BTC first: it moves the others.
ASSETS: dict[str, AssetParams] = {"deep": BTC, "liquid": SOL, "thin": THIN}
#: A recorder's rows hold so many USD, or so many mean orders where these are less.
BATCH_USD, BATCH_ORDERS = 30_000.0, 10.0


class Feed(NamedTuple):
    """What an asset's venues show: by which rule, and whose thresholds.

    `batch`: a recorder's rows are so many times the usual ones; 0: every order is told by itself.
    """

    name: str
    rule: FeedRule
    feed_class: FeedClass
    batch: float = 0.0


def market(seed: int) -> Market:
    """Return a market of three assets with parameters of its own."""
    rng = feeds.generator(seed, 20)
    return replace(
        NORMAL,
        assets=tuple(_asset(rng, row) for row in ASSETS.values()),
        order_size_sd=float(rng.uniform(1.4, 2.1)),
        vol_level=NORMAL.vol_level * _times(rng, 0.2),
        vol_sd=float(rng.uniform(0.25, 0.55)),
        news_rate=NORMAL.news_rate * _times(rng, 0.4),
        own_news_rate=NORMAL.own_news_rate * _times(rng, 0.4),
        news_size=NORMAL.news_size * _times(rng, 0.2),
        news_pareto=float(rng.uniform(2.2, 3.2)),
        appetite_sd=float(rng.uniform(0.35, 0.75)),
        hold_tau=NORMAL.hold_tau * _times(rng, 0.4),
        engine_tau=NORMAL.engine_tau * _times(rng, 0.3),
        stress_cap=float(rng.uniform(1.4, 2.0)),
        transient=float(rng.uniform(0.65, 0.85)),
    )


def _asset(rng: Rng, row: AssetParams) -> AssetParams:
    """Scale an asset's book and positions together, its leverage by little: cascades depend on it.

    Redrawn in the same order for every asset.
    """
    scale, leverage = _times(rng, 0.5), _times(rng, 0.15)
    return replace(
        row,
        s_day=row.s_day * _times(rng, 0.2),
        depth_usd=row.depth_usd * scale,
        omega=row.omega * scale * leverage,
        order_usd=row.order_usd * _times(rng, 0.5),
        median_day_usd=row.median_day_usd * scale,
        short=float(rng.uniform(0.12, 1.0)),
    )


def _times(rng: Rng, sd: float) -> float:
    return float(np.exp(sd * rng.standard_normal()))


def feeds_of(seed: int) -> tuple[Feed, ...]:
    """Return the feeds that a market is seen by: one or three venues, shares drawn anew."""
    rng = feeds.generator(seed, 21)
    shares = tuple(float(x) for x in rng.dirichlet((3.0, 2.0, 2.0)))
    one, batch = rng.random(2) < 0.5, _times(rng, 0.5)
    latest: FeedRule = FeedRule((1.0,), ("latest_per_second",))
    largest: FeedRule = FeedRule((1.0,), ("largest_per_second",))
    if not one[0]:
        latest = FeedRule(shares, ("latest_per_second",) * 3)
    if not one[1]:
        largest = FeedRule(shares, ("largest_per_second",) * 3)
    return (
        Feed("full", FeedRule(shares, ("full",) * 3), "full"),
        Feed("mixed", FeedRule(shares, ("latest_per_second", "full", "full")), "mixed"),
        Feed("latest", latest, "throttled"),
        Feed("largest", largest, "throttled"),
        Feed("batched", FeedRule((1.0,), ("latest_per_second",)), "throttled", batch),
    )


def by_venue(feed: Feed, usual_orders: float) -> ByVenue:
    """Return what is usual at a feed's venues, about as `rate_state.venues` learns it."""
    each = list(zip(feed.rule.shares, feed.rule.coverage, strict=True))
    complete = sum(share for share, coverage in each if coverage == "full")
    throttled = (share for share, coverage in each if coverage != "full")
    return ByVenue(usual_orders * complete, tuple(usual_orders * share for share in throttled))


def shown(feed: Feed, orders: Orders, row: AssetParams, seed: int, seconds: int) -> Shown:
    """Return what a feed shows of an asset's true orders on one side; `seed` one of the series."""
    rng = feeds.generator(seed, 22)
    parts = np.cumsum(feed.rule.shares)[:-1]
    venue = np.searchsorted(parts, rng.random(len(orders.at)), side="right").astype(np.int8)
    kept = feeds.shown(orders._replace(venue=venue), feed.rule, seed)
    if not feed.batch:
        return scores.shown(kept.at, kept.venue, kept.usd, feed.rule.coverage, seconds)
    of_row = min(BATCH_USD, BATCH_ORDERS * row.order_usd) * feed.batch
    at, usd, many = _collected(kept.at, kept.usd, of_row)
    return scores.shown(at, kept.venue, usd, feed.rule.coverage, seconds, many)


@nb.njit(cache=True, nogil=True)
def _collected(at: Ints, usd: Floats, of_row: float) -> tuple[Ints, Floats, Flags]:
    """Move orders to the second in which their row is full, each to its row's mean worth.

    The last orders, which fill no row, stay where they are.
    """
    when, worth, many = at.copy(), usd.copy(), np.zeros(len(at), np.bool_)
    first, total = 0, 0.0
    for i in range(len(at)):
        total += usd[i]
        if total < of_row:
            continue
        when[first : i + 1], worth[first : i + 1] = at[i], total / (i + 1 - first)
        many[first : i + 1] = i > first
        first, total = i + 1, 0.0
    return when, worth, many
