"""Every number of the simulated market, and the presets; detection.md sections 1 and 3."""

from typing import Literal

import msgspec
from msgspec.structs import replace

Preset = Literal["normal", "nov", "oct10"]
#: Shares of the forced orders and of common taker flow; the first is the throttled one.
VENUE_SHARES = (0.45, 0.30, 0.25)
VENUES = ("binance", "bybit", "okx")
#: Leverage classes that positions are opened with, and their weights by USD.
LEVERAGE = (5.0, 10.0, 20.0, 25.0, 50.0, 100.0)
LEVERAGE_WEIGHT = (0.34, 0.30, 0.16, 0.11, 0.06, 0.03)


class AssetParams(msgspec.Struct, frozen=True):
    """One asset.

    `s_day` own volatility (log per root day), `beta` to BTC's whole return, `depth_usd`
    that moves the price 1 % over all venues, `omega` long USD opened a second, `short` of
    that again opened short, `order_usd` mean forced order, `median_day_usd` forced long USD
    of a median day of `normal` (the yardstick of labels and planted giants).
    """

    asset: str
    price: float
    s_day: float
    beta: float
    depth_usd: float
    omega: float
    order_usd: float
    median_day_usd: float
    short: float = 0.12


class News(msgspec.Struct, frozen=True):
    """A planned shock: `asset` index, `at` second, log `size`, `seconds` it is spread over."""

    asset: int
    at: int
    size: float
    seconds: int


class Market(msgspec.Struct, frozen=True):
    """The whole market; times in seconds, sizes as shares, rates per day."""

    assets: tuple[AssetParams, ...]
    #: Spread of a forced order's USD (log).
    order_size_sd: float = 1.8
    vol_level: float = 0.85
    vol_tau: float = 8 * 3600.0
    vol_sd: float = 0.40
    own_vol_tau: float = 6 * 3600.0
    own_vol_sd: float = 0.30
    news_rate: float = 1.0
    own_news_rate: float = 0.5
    news_size: float = 0.004
    news_pareto: float = 2.6
    news_cap: float = 0.06
    news_down: float = 0.55
    news_seconds: float = 120.0
    news_seconds_sd: float = 0.9
    planned: tuple[News, ...] = ()
    appetite_tau: float = 36 * 3600.0
    appetite_sd: float = 0.55
    appetite_level: float = 0.0
    margin: float = 0.004
    hold_tau: float = 10 * 3600.0
    mark_tau: float = 6.0
    cause_tau: float = 6.0
    #: 1: what BTC's forced orders do to another asset's price counts as impact there too.
    contagion_endogenous: float = 0.0
    engine_tau: float = 8.0
    engine_cap: float = 0.015
    stress_cap: float = 1.7
    stress_up: float = 20.0
    stress_down: float = 240.0
    transient: float = 0.75
    revert_tau: float = 1200.0
    fund_depths: float = 0.3
    whale_rate: float = 9.0
    whale_size: float = 0.06
    whale_pareto: float = 1.5
    whale_cap: float = 3.0
    whale_sells: float = 0.12
    whale_delay: float = 420.0
    whale_delay_sd: float = 0.6
    whale_impact: float = 1.0
    echo: float = 0.30
    echo_tau: float = 180.0
    flow_per_move: float = 0.35
    flow_noise: float = 0.0013
    venue_noise: float = 0.006


# detection.md 3 has omega 3.0e4/1.5e4/1.6e3 and a stress cap of 3. With these equations that
# overshoots its own results (cascades x 1.7, median fall 4-15 %), so both are lower here.
BTC = AssetParams("BTC", 92_000.0, 0.020, 0.0, 150e6, 2.55e4, 9e3, 61e6)
ETH = AssetParams("ETH", 3_020.0, 0.018, 0.95, 70e6, 1.11e4, 7e3, 46e6)
SOL = AssetParams("SOL", 142.0, 0.030, 1.1, 9e6, 1.38e3, 3e3, 9e6)

NORMAL = Market(assets=(BTC, ETH, SOL))


def _day(
    scale: float, omega: float, rest: float, short: float, order: float
) -> tuple[AssetParams, ...]:
    """Return five assets whose books and positions are `scale` times those of `normal`.

    The three beside BTC and ETH stand for all others, `rest` times deeper again. `omega`
    is leverage in proportion to the book, `short` the short share, `order` the order size.
    """
    others = (SOL, replace(SOL, asset="XRP", price=2.1), replace(SOL, asset="DOGE", price=0.158))
    rows = [(BTC, scale), (ETH, scale), *((row, scale * rest) for row in others)]
    return tuple(
        replace(
            row,
            depth_usd=row.depth_usd * times,
            omega=row.omega * times * omega,
            median_day_usd=row.median_day_usd * times,
            short=short,
            order_usd=row.order_usd * order,
        )
        for row, times in rows
    )


#: A day like 18 or 21 November 2025: two falls of BTC by news, more leverage on both sides.
NOV = Market(
    assets=_day(scale=1.6, omega=1.2, rest=2.4, short=0.95, order=0.8),
    news_rate=0.0,
    own_news_rate=0.0,
    planned=(News(0, 27_240, -0.018, 600), News(0, 47_400, -0.024, 900)),
    appetite_sd=0.2,
    vol_sd=0.15,
    own_vol_sd=0.15,
)
#: 10 October 2025: news at 14:57, the fall from 20:50 (detection.md 1). Section 3 proposed a
#: stress cap of 30 and omega x 1.4: that empties BTC's book by 75-92 % and reaches $5B at
#: most, so the market is larger instead and its stress milder.
OCT10 = Market(
    assets=_day(scale=7.4, omega=1.4, rest=3.5, short=1.2, order=0.6),
    news_rate=0.0,
    own_news_rate=0.0,
    planned=(
        News(0, 53_820, -0.015, 1800),
        News(0, 60_000, -0.015, 900),
        News(0, 67_000, -0.015, 1200),
        News(0, 75_000, -0.035, 600),
        News(0, 80_000, -0.02, 1200),
    ),
    appetite_sd=0.2,
    stress_cap=2.5,
    engine_cap=0.03,
)


def preset(name: Preset) -> Market:
    """Return a preset market."""
    return {"normal": NORMAL, "nov": NOV, "oct10": OCT10}[name]
