"""The ordinary tape: who takes, how much, at what price, on each venue."""

from dataclasses import dataclass

import numpy as np

from streams.simulate.night.setting import (
    DAY,
    FORCED_SHARE,
    TAPE_SHARE,
    Flags,
    Floats,
    Ints,
    Profile,
    time_of_day,
    wandering,
)

#: Prints of the whole night, both venues, all assets.
TRADES = 500_000
#: Spread of one taker order's USD (log), and the half spread it crosses (log).
SIZE_SD = 0.6
HALF_SPREAD = 1e-5
#: Taker imbalance shared by both venues: per deviation of the half-minute return, and the sd
#: of what does not show in the price, relaxing over two minutes; never above LEAN_MOST.
LEAN, HIDDEN_LEAN, LEAN_MOST = 0.16, 0.32, 0.7
#: A venue's own taker imbalance (sd), relaxing over a minute.
OWN_LEAN = 0.03
#: Share of forced selling left in the net flow: the rest meets takers who buy the fall.
UNMET = 0.45


@dataclass(frozen=True)
class Flow:
    """One asset on one venue, each second: prints, share of sells, mean USD of a print."""

    prints: Floats
    sells: Floats
    mean_usd: Floats


@dataclass(frozen=True)
class Draw:
    """Trades of one block in time order: milliseconds of the night, price, base units, side."""

    at_ms: Ints
    price: Floats
    quantity: Floats
    sells: Flags


def _deviations(log_price: Floats) -> Floats:
    """Return the half-minute return around each second over its usual size, within 3."""
    ahead = np.concatenate([log_price[15:], np.full(15, log_price[-1])])
    behind = np.concatenate([np.full(15, log_price[0]), log_price[:-15]])
    moved = ahead - behind
    usual = float(np.quantile(np.abs(moved), 0.68))
    turn: Floats = np.clip(moved / usual, -3, 3)
    return turn


def flows(
    rng: np.random.Generator,
    profile: Profile,
    log_price: Floats,
    forced_usd: Floats,
    whale_usd: dict[str, Floats],
) -> dict[str, Flow]:
    """Compose both venues' taker flow of one asset.

    Common flow leans with the price and carries all forced selling, whichever venue forced
    it, because arbitrage evens it out within seconds; noise and whales stay on their venue.
    """
    turn = _deviations(log_price)
    busy = time_of_day() * np.exp(wandering(rng, 1800, 0.25)) * (1 + 0.4 * np.abs(turn))
    stress = forced_usd / max(1.0, float(forced_usd.max()))
    busy *= 1 + 3 * stress
    busy /= busy.mean()
    lean = LEAN * turn + wandering(rng, 120, HIDDEN_LEAN)
    # In a cascade the price is the forced orders' doing, which are added by themselves.
    lean = np.clip(lean, -LEAN_MOST, LEAN_MOST) / (1 + 5 * stress)
    out = {}
    for venue, share in TAPE_SHARE.items():
        base = share * profile.tape_usd * busy
        wander = wandering(rng, 60, OWN_LEAN)
        net = base * (lean + wander) - UNMET * share * forced_usd - whale_usd[venue]
        # Enough that taker sells at least cover what the venue itself forced.
        least = max(share, 2 * FORCED_SHARE[venue] - UNMET * share)
        gross = base + least * forced_usd + whale_usd[venue]
        prints = busy * (1 + whale_usd[venue] / base)
        prints *= TRADES * profile.tape_trades * share / prints.sum()
        sells = np.clip((1 - net / gross) / 2, 0.02, 0.98)
        out[venue] = Flow(prints, sells, gross / prints)
    return out


def draw(
    rng: np.random.Generator, profile: Profile, flow: Flow, log_price: Floats, lo: int, hi: int
) -> Draw:
    """Draw the trades of seconds [lo, hi)."""
    counts = rng.poisson(flow.prints[lo:hi])
    second = np.repeat(np.arange(lo, hi, dtype=np.int64), counts)
    n = len(second)
    at_ms = np.sort(second * 1000 + rng.integers(0, 1000, n))
    sells = rng.random(n) < flow.sells[second]
    size = np.exp(rng.normal(-SIZE_SD * SIZE_SD / 2, SIZE_SD, n)) * flow.mean_usd[second]
    crossed = np.where(sells, -HALF_SPREAD, HALF_SPREAD) + rng.normal(0, 2e-5, n)
    price = price_at(profile, log_price, at_ms, crossed)
    step = 10.0**-profile.quantity_dp
    return Draw(at_ms, price, np.maximum(size / price, step), sells)


def price_at(profile: Profile, log_price: Floats, at_ms: Ints, shift: Floats) -> Floats:
    """Return prices on the venue's tick at `at_ms`, between the path's seconds."""
    second = at_ms // 1000
    after = np.minimum(second + 1, DAY - 1)
    part = at_ms % 1000 / 1000
    level = log_price[second] + (log_price[after] - log_price[second]) * part
    price: Floats = np.exp(level + shift).round(profile.price_dp)
    return price
