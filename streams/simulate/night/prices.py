"""Each asset's price, second by second: noise, news, cascade impact, whales' own selling."""

from collections.abc import Iterable

import numpy as np

from streams.simulate.night.forced import Burst, Forced
from streams.simulate.night.setting import DAY, PROFILES, Floats, Profile, generator, time_of_day

#: BTC's own daily volatility (log) beside what is planted, and the day's slow fall.
MARKET_VOL = 0.016
SLOW_FALL = 0.022
NEWS_STAYS = 0.6
NEWS_REVERT_S = 1200.0


def bridge(rng: np.random.Generator, daily_vol: float) -> Floats:
    """Return a log-price noise path that ends where it began, so a night's fall is planned."""
    steps = rng.standard_t(4, DAY) / np.sqrt(2) * np.sqrt(time_of_day()) * daily_vol / np.sqrt(DAY)
    walk: Floats = np.cumsum(steps)
    walk -= walk[-1] * np.arange(1, DAY + 1) / DAY
    return walk


def news(bursts: Iterable[Burst]) -> Floats:
    """Return BTC's log price moved by the ordinary bursts' news: quick, then partly taken back."""
    moved = np.zeros(DAY)
    for burst in bursts:
        t = np.arange(DAY - burst.at)
        arrived = np.minimum(1, t / (0.6 * burst.seconds))
        fades = NEWS_STAYS + (1 - NEWS_STAYS) * np.exp(-t / NEWS_REVERT_S)
        moved[burst.at :] += burst.log_move * arrived * fades
    return moved


def log_prices(seed: int, forced: Forced) -> dict[str, Floats]:
    """Return every asset's log price in USD, each second, before whales sell."""
    market = bridge(generator(seed, 10), MARKET_VOL) + news(forced.bursts)
    market -= SLOW_FALL * np.arange(DAY) / DAY
    return {
        p.asset: np.log(p.price)
        + p.beta * market
        + bridge(generator(seed, 11, k), p.own_vol)
        + forced.cascade_log_price[p.asset]
        for k, p in enumerate(PROFILES)
    }


def pressed(profile: Profile, sold_usd: Floats) -> Floats:
    """Return the log-price effect of `sold_usd` each second, half of it lasting."""
    per_usd = 0.01 / profile.depth_usd
    lasting = np.cumsum(sold_usd) * per_usd
    recent = lasting - np.concatenate([np.zeros(1800), lasting[:-1800]])
    impact: Floats = -(0.5 * lasting + 0.5 * recent) * 0.6
    return impact
