"""The night's forced orders as rates: calm, ordinary bursts, and two planted cascades."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streams.simulate.night.cascade import HORIZON, Swept, lagged, sweep, trigger
from streams.simulate.night.setting import (
    DAY,
    FORCED_SHARE,
    PROFILES,
    START_US,
    Floats,
    Profile,
    clock_second,
    generator,
    time_of_day,
    wandering,
)

#: What a day like it showed: press totals of 2025-11-20/21 (detection.md, section 1), USD.
OBSERVED_USD = 905e6
CALM_SHARE = 0.28
CALM_LONG = 0.62
#: An ordinary burst never exceeds this many times the asset's calm rate.
BURST_MOST = 26.0
#: No wave is followed further than this (seconds), so that a re-ignition has its own.
WAVE_MOST = 1200
#: Forced USD of a planted wave is at least this many times the calm rate.
PLANT_LEAST = 60.0


@dataclass(frozen=True)
class Wave:
    """One planned wave of a market-wide cascade; falls in log price of BTC, `share` of USD."""

    cascade: int
    at: int
    share: float
    shock: float
    impact: float


WAVES = (
    Wave(1, clock_second((7, 34)), 0.31, 0.005, 0.017),
    Wave(2, clock_second((13, 10)), 0.39, 0.006, 0.025),
    Wave(2, clock_second((13, 31)), 0.30, 0.004, 0.018),
)


@dataclass(frozen=True)
class Burst:
    """One exogenous burst: `height` times the calm rate by asset, price moved by news."""

    at: int
    seconds: int
    position_side: str
    log_move: float
    height: dict[str, float]


@dataclass
class Forced:
    """True forced-order rates (orders per second, both venues) and what moved the price."""

    long_rate: dict[str, Floats] = field(default_factory=dict)
    short_rate: dict[str, Floats] = field(default_factory=dict)
    cascade_usd: dict[str, Floats] = field(default_factory=dict)
    cascade_log_price: dict[str, Floats] = field(default_factory=dict)
    bursts: list[Burst] = field(default_factory=list)
    giants: list[tuple[str, int, float]] = field(default_factory=list)
    planted: list[dict[str, Any]] = field(default_factory=list)

    def taken_usd(self, asset: str) -> Floats:
        """Return the USD that cascades sell on the tape each second, giants over a minute."""
        usd = self.cascade_usd[asset].copy()
        for owner, at, giant in self.giants:
            if owner == asset:
                usd[at : at + 60] += giant / 60
        return usd


def force(seed: int) -> Forced:
    """Draw the whole night's forced selling."""
    forced = Forced(bursts=_bursts(generator(seed, 1)))
    waves = [_run_wave(generator(seed, 2, k), wave) for k, wave in enumerate(WAVES)]
    forced.giants = _giants(generator(seed, 3), waves)
    for k, profile in enumerate(PROFILES):
        _one_asset(generator(seed, 4, k), profile, waves, forced)
    return forced


def _bursts(rng: np.random.Generator) -> list[Burst]:
    """Draw about one burst every two hours, away from the planted waves."""
    bursts = []
    for slot in range(12):
        at = slot * 7200 + int(rng.integers(2400 if slot == 0 else 300, 6900))
        if any(w.at - 3600 < at < w.at + 3600 for w in WAVES):
            continue
        falls = slot % 4 != 3
        size = float(rng.uniform(0.3, 1.0))
        height = {p.asset: BURST_MOST * size * float(rng.uniform(0.2, 0.7)) for p in PROFILES}
        height[PROFILES[int(rng.integers(0, 5))].asset] = BURST_MOST * size
        move = (-1 if falls else 1) * 0.006 * size * float(rng.uniform(0.6, 1.2))
        side = "long" if falls else "short"
        bursts.append(Burst(at, int(rng.integers(60, 121)), side, move, height))
    return bursts


def _run_wave(rng: np.random.Generator, wave: Wave) -> dict[str, Swept]:
    """Sweep BTC, then every asset that it drags along with a delay of seconds to a minute."""
    btc = sweep(rng, trigger(rng, wave.shock, 0), wave.impact, float(rng.uniform(0.0036, 0.0041)))
    swept = {"BTC": btc}
    for p in PROFILES[1:]:
        lag = int(rng.integers(6, 80))
        drive = p.beta * (trigger(rng, wave.shock, lag) + 0.25 * lagged(btc.log_price, lag))
        if not p.cascade:
            swept[p.asset] = Swept(np.zeros(HORIZON), 2.5 * p.beta * 0.25 * btc.log_price)
            continue
        swept_here = sweep(
            rng, drive, p.beta * wave.impact * 0.8, float(rng.uniform(0.0039, 0.0044))
        )
        dragged = swept_here.log_price.copy()
        dragged[:HORIZON] += drive
        dragged[HORIZON:] += drive[-1]
        swept[p.asset] = Swept(swept_here.share, dragged)
    shock = np.full(DAY, -wave.shock)
    shock[:HORIZON] = trigger(rng, wave.shock, 0)
    swept["BTC"] = Swept(btc.share, btc.log_price + shock)
    return swept


def _giants(
    rng: np.random.Generator, waves: list[dict[str, Swept]]
) -> list[tuple[str, int, float]]:
    """Draw the few accounts that fail whole: (asset, second, USD), one above $15M."""
    giants = []
    for wave, swept in zip(WAVES, waves, strict=True):
        for asset in ("BTC", "ETH"):
            top = asset == "BTC" and wave.share == max(w.share for w in WAVES)
            usd = rng.uniform(20e6, 34e6) if top else rng.uniform(2e6, 6e6)
            at = wave.at + int(np.argmax(swept[asset].share)) + int(rng.integers(5, 60))
            giants.append((asset, at, float(usd)))
    return giants


def _calm_shape(
    rng: np.random.Generator, profile: Profile, bursts: list[Burst]
) -> tuple[Floats, Floats]:
    """Return long and short calm rates relative to their mean, bursts included."""
    base = time_of_day() * np.exp(wandering(rng, 1800, 0.25) + wandering(rng, 180, 0.25) - 0.06)
    sides = {"long": base.copy(), "short": base.copy()}
    for burst in bursts:
        t = np.arange(burst.seconds)
        swell = np.minimum(1, t / 12) * np.minimum(1, (burst.seconds - t) / 25)
        sides[burst.position_side][burst.at : burst.at + burst.seconds] += (
            burst.height[profile.asset] * swell
        )
    if not profile.cascade:
        # A cascade brushes assets that it does not catch: a hard negative, not planted.
        for wave in WAVES:
            sides["long"][wave.at + 20 : wave.at + 110] += rng.uniform(0.5, 1) * BURST_MOST
    return sides["long"], sides["short"]


def observed_rate(rate: Floats) -> Floats:
    """Return expected visible orders per second of a true rate: Bybit all, Binance <= one."""
    throttled: Floats = 1 - np.exp(-FORCED_SHARE["binance"] * rate)
    return FORCED_SHARE["bybit"] * rate + throttled


def _one_asset(
    rng: np.random.Generator, profile: Profile, waves: list[dict[str, Swept]], forced: Forced
) -> None:
    """Scale one asset's rates so that what the feeds SHOW meets the night's totals."""
    asset, size = profile.asset, profile.mean_order_usd
    long_shape, short_shape = _calm_shape(rng, profile, forced.bursts)
    long_shape, short_shape = CALM_LONG * long_shape, (1 - CALM_LONG) * short_shape
    calm_target = OBSERVED_USD * CALM_SHARE * profile.calm / sum(p.calm for p in PROFILES)
    calm = calm_target / size / float(observed_rate(long_shape + short_shape).sum())
    for _ in range(4):
        shown = float(observed_rate(calm * (long_shape + short_shape)).sum())
        calm *= calm_target / size / shown
    wave_shape = np.zeros(DAY)
    forced.cascade_log_price[asset] = np.zeros(DAY)
    for wave, swept in zip(WAVES, waves, strict=True):
        wave_shape[wave.at : wave.at + HORIZON] += wave.share * swept[asset].share
        forced.cascade_log_price[asset][wave.at :] += swept[asset].log_price[: DAY - wave.at]
    forced.short_rate[asset] = calm * short_shape
    calm_all = calm * (long_shape + short_shape)
    wave_rate = _cascade_rate(profile, wave_shape, calm_all, forced.giants)
    forced.long_rate[asset] = calm * long_shape + wave_rate
    forced.cascade_usd[asset] = wave_rate * size
    _plant(profile, forced, calm * CALM_LONG * size)


def _cascade_rate(
    profile: Profile, shape: Floats, calm_all: Floats, giants: list[tuple[str, int, float]]
) -> Floats:
    """Return true cascade orders per second whose visible part meets the asset's share."""
    share = profile.cascade / sum(p.cascade for p in PROFILES)
    target = OBSERVED_USD * (1 - CALM_SHARE) * share
    target -= sum(usd for asset, _, usd in giants if asset == profile.asset)
    if not profile.cascade:
        return np.zeros(DAY)
    orders, calm_shown = target / profile.mean_order_usd, float(observed_rate(calm_all).sum())
    scale = orders
    for _ in range(8):
        shown = float(observed_rate(calm_all + scale * shape).sum()) - calm_shown
        scale *= orders / shown
    return scale * shape


def _plant(profile: Profile, forced: Forced, calm_usd_per_s: float) -> None:
    """Record each cascade of this asset that is one by its own forced USD (both venues, true).

    A wave runs from 2 % to 95 % of its USD (detection.md, section 2.1); a cascade with a
    re-ignition is one entry from its first onset to its last end, with its `waves`.
    """
    usd = forced.cascade_usd[profile.asset].copy()
    for asset, at, giant in forced.giants:
        if asset == profile.asset:
            usd[at] += giant
    for number in sorted({w.cascade for w in WAVES}):
        spans = [_bounds(usd, w) for w in WAVES if w.cascade == number and profile.cascade]
        spans = [s for s in spans if s[3] / (s[2] - s[0]) >= PLANT_LEAST * calm_usd_per_s]
        if not spans:
            continue
        top = max(spans, key=lambda s: usd[s[1]])
        forced.planted.append(
            {
                "kind": "cascade",
                "asset": profile.asset,
                "position_side": "long",
                "onset_us": _us(spans[0][0]),
                "peak_us": _us(top[1]),
                "end_us": _us(spans[-1][2]),
                "notional_usd": sum(s[3] for s in spans),
                "waves": [[_us(s[0]), _us(s[1]), _us(s[2])] for s in spans],
                "wave_usd": [s[3] for s in spans],
                "times_calm": max(s[3] / (s[2] - s[0]) for s in spans) / calm_usd_per_s,
            }
        )


def _bounds(usd: Floats, wave: Wave) -> tuple[int, int, int, float]:
    """Return onset, peak and end second of one wave, and its USD."""
    part = usd[wave.at : wave.at + WAVE_MOST]
    grown = np.cumsum(part)
    if grown[-1] <= 0:
        return wave.at, wave.at, wave.at + 1, 0.0
    onset, end = np.searchsorted(grown, [0.02 * grown[-1], 0.95 * grown[-1]])
    # The peak is of the market's selling, so one giant account does not decide it.
    capped = np.minimum(part, np.quantile(part, 0.999))
    peak = int(np.argmax(np.convolve(capped, np.ones(15), "same")))
    return wave.at + int(onset), wave.at + peak, wave.at + int(end), float(grown[-1])


def _us(second: int) -> int:
    return START_US + second * 1_000_000
