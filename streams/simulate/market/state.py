"""What the simulated market is made of: its numbers, its state, and the tape it leaves.

Sides are indexed 0 long (liquidation sells), 1 short (liquidation buys). Prices are log
prices relative to the start. Arrays are (asset, ...), and by second where they end in T.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streams.simulate.market.params import LEVERAGE, VENUE_SHARES, Market

Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]
Rng = np.random.Generator

DAY = 86_400
BINS = 8192
MAX_NEWS = 64
MAX_SALES = 64
#: Columns of a whale row.
WHALE_COLUMNS = ("asset", "at", "usd", "venue", "sells", "sold_usd", "sell_at", "sell_seconds")


class Numbers(NamedTuple):
    """`Market` as numba takes it: scalars, and one array a column of the asset table."""

    s_day: Floats
    beta: Floats
    depth: Floats
    omega: Floats
    short: Floats
    vol_level: float
    vol_tau: float
    vol_sd: float
    own_vol_tau: float
    own_vol_sd: float
    appetite_tau: float
    appetite_sd: float
    appetite_level: float
    margin: float
    hold_tau: float
    mark_tau: float
    cause_tau: float
    contagion_endogenous: float
    engine_tau: float
    engine_cap: float
    stress_cap: float
    stress_up: float
    stress_down: float
    transient: float
    revert_tau: float
    fund_depths: float
    whale_rate: float
    whale_size: float
    whale_pareto: float
    whale_cap: float
    whale_sells: float
    whale_delay: float
    whale_delay_sd: float
    whale_impact: float
    echo: float
    echo_tau: float
    flow_per_move: float
    flow_noise: float
    venue_noise: float


class State(NamedTuple):
    """What a second hands to the next; (asset,), (asset, side) or as said."""

    x: Floats
    mark: Floats
    passing: Floats
    stress: Floats
    minute_ago: Floats  # (asset, 60): log price ring
    quarter_ago: Floats  # (asset, 15): log price at the last 15 minutes
    vol: Floats  # (asset + 1,): log vol, the last one common
    appetite: Floats
    sigma: Floats
    levels: Floats  # (asset, side, leverage, BINS) in units of `scale`
    scale: Floats  # (1,)
    queue: Floats
    queue_endo: Floats
    queue_bankrupt: Floats  # USD x log bankruptcy price
    pushed: Floats  # EW log move a second that impact caused, in the side's direction
    drifted: Floats  # EW log move a second that anything else caused, downwards
    active: Floats  # (2,): slots in use at most, of news and of sales
    news: Floats  # (MAX_NEWS, 3): asset, seconds left, log move a second
    sales: Floats  # (MAX_SALES, 5): asset, venue, starts in, seconds left, USD a second
    echoes: Floats  # (asset, venue)
    fund: Floats
    adl: Floats  # (asset, side) USD closed by ADL, the side that was made to close
    fund_loss: Floats


class Tape(NamedTuple):
    """What a run leaves; USD a second by (asset, side, T) unless said otherwise."""

    forced: Floats32
    endo: Floats32
    price: Floats32  # (asset, T) log price
    bankrupt: Floats32  # (asset, side, T) log bankruptcy price of what is sold
    taker: Floats32  # (asset, T) signed taker USD over all venues
    flow: Floats  # (asset, venue, minutes) signed taker USD
    whales: Floats  # (n, len(WHALE_COLUMNS))
    fund: Floats  # (asset,) insurance fund at the end
    fund_loss: Floats
    adl: Floats


def numbers(market: Market) -> Numbers:
    """Return `market` in the form the loop takes."""
    rows = market.assets
    values: dict[str, Any] = {
        "s_day": np.array([a.s_day for a in rows]),
        "beta": np.array([a.beta for a in rows]),
        "depth": np.array([a.depth_usd for a in rows]),
        "omega": np.array([a.omega for a in rows]),
        "short": np.array([a.short for a in rows]),
    }
    for name in Numbers._fields:
        if name not in values:
            values[name] = float(getattr(market, name))
    return Numbers(**values)


def fresh(p: Numbers, rng: Rng) -> State:
    """Return an empty book at log price 0, with volatility and appetite as they usually are."""
    n = len(p.beta)
    return State(
        x=np.zeros(n), mark=np.zeros(n), passing=np.zeros(n), stress=np.ones(n),
        minute_ago=np.zeros((n, 60)), quarter_ago=np.zeros((n, 15)),
        vol=rng.normal(size=n + 1) * np.array([p.own_vol_sd] * n + [p.vol_sd]),
        appetite=rng.normal(size=n) * p.appetite_sd, sigma=np.zeros(n),
        levels=np.zeros((n, 2, len(LEVERAGE), BINS)), scale=np.ones(1),
        queue=np.zeros((n, 2)), queue_endo=np.zeros((n, 2)), queue_bankrupt=np.zeros((n, 2)),
        pushed=np.zeros((n, 2)), drifted=np.zeros(n),
        active=np.zeros(2), news=np.zeros((MAX_NEWS, 3)), sales=np.zeros((MAX_SALES, 5)),
        echoes=np.zeros((n, len(VENUE_SHARES))), fund=p.fund_depths * p.depth,
        adl=np.zeros((n, 2)), fund_loss=np.zeros(n),
    )  # fmt: skip
