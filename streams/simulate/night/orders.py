"""Forced orders drawn from their rates, one at a time: when, which side, how large."""

from dataclasses import dataclass

import numpy as np

from streams.simulate.night.forced import Forced
from streams.simulate.night.setting import FORCED_SHARE, Flags, Floats, Ints, Profile

#: Spread of one forced order's USD (log; detection.md, section 3), and the most it may be.
SIZE_SD = 1.8
MOST_USD = 6e6


@dataclass(frozen=True)
class Orders:
    """Forced orders of one block in time order: milliseconds of the night, side, USD."""

    at_ms: Ints
    long: Flags
    notional_usd: Floats


def draw(
    rng: np.random.Generator, profile: Profile, forced: Forced, venue: str, lo: int, hi: int
) -> Orders:
    """Draw the true forced orders of one venue in seconds [lo, hi)."""
    share, asset = FORCED_SHARE[venue], profile.asset
    parts, sides = [], []
    for rate, long in ((forced.long_rate[asset], True), (forced.short_rate[asset], False)):
        counts = rng.poisson(share * rate[lo:hi])
        parts.append(np.repeat(np.arange(lo, hi, dtype=np.int64), counts) * 1000)
        sides.append(np.full(len(parts[-1]), long))
    at_ms = np.concatenate(parts)
    at_ms += rng.integers(0, 1000, len(at_ms))
    size = np.exp(rng.normal(-SIZE_SD * SIZE_SD / 2, SIZE_SD, len(at_ms)))
    usd = np.minimum(size * profile.mean_order_usd, MOST_USD)
    side = np.concatenate(sides)
    if venue == "bybit":
        # Giants fall on the complete feed, so what the press saw is seen here.
        giants = [g for g in forced.giants if g[0] == asset and lo <= g[1] < hi]
        at_ms = np.concatenate([at_ms, np.asarray([g[1] * 1000 + 500 for g in giants], np.int64)])
        usd = np.concatenate([usd, np.asarray([g[2] for g in giants], np.float64)])
        side = np.concatenate([side, np.ones(len(giants), np.bool_)])
    order = np.argsort(at_ms, kind="stable")
    return Orders(at_ms[order], side[order], usd[order])


def latest_per_second(orders: Orders) -> Orders:
    """Return what Binance pushes: the last order of each second (wire-formats.md, 3.1)."""
    second = orders.at_ms // 1000
    last = np.append(second[1:] != second[:-1], True)[: len(second)]
    return Orders(orders.at_ms[last], orders.long[last], orders.notional_usd[last])
