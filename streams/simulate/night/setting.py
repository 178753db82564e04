"""What the generated night is set in: its assets, its clock, its random numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: 2025-11-21T00:00:00Z, in microseconds and milliseconds UTC.
START_US = 1_763_683_200_000_000
START_MS = START_US // 1000
DAY = 86_400

#: Share of each venue in forced orders, and in ordinary taker volume.
FORCED_SHARE = {"binance": 0.35, "bybit": 0.65}
TAPE_SHARE = {"binance": 0.55, "bybit": 0.45}
VENUES = ("binance", "bybit")


@dataclass(frozen=True)
class Profile:
    """One asset's nature on the night.

    `price` USD at the start; `price_dp`, `quantity_dp` decimals on the wire; `beta` to BTC;
    `own_vol` log per day; `calm` and `cascade` shares of forced USD; `mean_order_usd` of one
    forced order; `tape_trades` share of prints; `tape_usd` taker USD per second, both venues;
    `depth_usd` that moves the price 1 % (detection.md, section 3, scaled to two venues).
    """

    asset: str
    symbol: str
    price: float
    price_dp: int
    quantity_dp: int
    beta: float
    own_vol: float
    calm: float
    cascade: float
    mean_order_usd: float
    tape_trades: float
    tape_usd: float
    depth_usd: float


PROFILES: tuple[Profile, ...] = (
    Profile("BTC", "BTCUSDT", 92_000, 1, 3, 1.00, 0.0, 0.42, 0.475, 7000, 0.33, 220e3, 150e6),
    Profile("ETH", "ETHUSDT", 3_020, 2, 3, 1.15, 0.010, 0.25, 0.265, 5400, 0.22, 110e3, 70e6),
    Profile("SOL", "SOLUSDT", 142, 2, 1, 1.25, 0.015, 0.08, 0.080, 3600, 0.09, 40e3, 22e6),
    Profile("XRP", "XRPUSDT", 2.1, 4, 1, 1.15, 0.015, 0.055, 0.050, 3000, 0.07, 26e3, 16e6),
    Profile("DOGE", "DOGEUSDT", 0.158, 5, 0, 1.30, 0.018, 0.045, 0.033, 2400, 0.06, 18e3, 10e6),
    Profile("BNB", "BNBUSDT", 900, 2, 2, 0.90, 0.012, 0.018, 0.019, 1300, 0.04, 12e3, 9e6),
    Profile("ADA", "ADAUSDT", 0.46, 4, 0, 1.25, 0.018, 0.016, 0.019, 1300, 0.03, 8e3, 6e6),
    Profile("LINK", "LINKUSDT", 13.5, 3, 2, 1.25, 0.018, 0.016, 0.019, 1300, 0.03, 8e3, 6e6),
    Profile("AVAX", "AVAXUSDT", 14.2, 3, 1, 1.30, 0.018, 0.016, 0.019, 1300, 0.03, 7e3, 5e6),
    Profile("SUI", "SUIUSDT", 1.65, 4, 1, 1.40, 0.020, 0.024, 0.023, 1600, 0.04, 10e3, 6e6),
    Profile("HYPE", "HYPEUSDT", 38, 3, 2, 1.10, 0.025, 0.030, 0.0, 2000, 0.03, 9e3, 6e6),
    Profile("PEPE", "1000PEPEUSDT", 0.0048, 7, 0, 1.40, 0.025, 0.025, 0.0, 1600, 0.03, 7e3, 5e6),
)
BY_ASSET = {p.asset: p for p in PROFILES}


def generator(seed: int, *path: int) -> np.random.Generator:
    """Return the PCG64 generator of one named branch of the night, so branches never shift."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *path])))


def time_of_day() -> Floats:
    """Return activity relative to its daily mean, each second (detection.md, section 3)."""
    d = np.arange(DAY) / DAY
    daily: Floats = np.sin(2 * np.pi * (d - 0.35))
    twice: Floats = np.sin(4 * np.pi * (d - 0.1))
    busy: Floats = 1 + 0.35 * daily + 0.15 * twice
    return busy


def wandering(rng: np.random.Generator, tau_s: int, sd: float) -> Floats:
    """Return a stationary Ornstein-Uhlenbeck path, each second, relaxing over `tau_s`.

    Drawn on a coarse grid and interpolated, because nothing here looks below `tau_s`/5.
    """
    step = max(1, tau_s // 5)
    knots = DAY // step + 2
    keep = float(np.exp(-step / tau_s))
    kicks = rng.normal(0, sd * np.sqrt(1 - keep * keep), knots).tolist()
    level, path = float(rng.normal(0, sd)), []
    for kick in kicks:
        path.append(level)
        level = keep * level + kick
    between: Floats = np.interp(np.arange(DAY), np.arange(knots) * step, np.asarray(path))
    return between


def clock_second(times: Sequence[int]) -> int:
    """Return the second of the night of (hour, minute)."""
    hour, minute = times
    return hour * 3600 + minute * 60
