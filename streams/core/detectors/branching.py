"""Branching ratio: how many orders one forced order sets off, with its interval.

    N_t ~ mu + s A_t        A_t = sum over k >= 1 of (1-q) q^(k-1) N_(t-k),   q = exp(-1/tau)
    n = s / (1 - f + s f)   f = 1 - tau (1-q): the share of offspring within the same second

Maximum quasi-likelihood over mu, s and a few memories tau; the 95 % interval is where the profile
lies near its top, further upwards because estimates near 1 fall short. The moment form (Fano) of
detection.md section 1 needs windows far longer than tau, which an episode does not have. Either
reads any drift of the outer rate as offspring: news that swells and ebbs looks self-exciting.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.core.detectors import recent
from streams.core.detectors.recent import KEEP_S, Counts

Floats = NDArray[np.float64]

#: Memories tried, seconds, and ratios; 1 stands for 1 or more.
TAUS = (1.5, 3.0, 6.0, 12.0, 25.0, 50.0)
RATIOS = np.linspace(0.0, 1.0, 51)
#: Fewer orders or seconds tell nothing.
LEAST_ORDERS, LEAST_S = 100, 60
#: Falls of the profile in units of its dispersion. 1.92 is chi-square's; 3.0 was chosen on
#: simulated Hawkes processes of seed 6, where 1.92 covered a ratio of 0.9 too seldom.
_DROP_LOW, _DROP_HIGH = 1.92, 3.0


class Ratio(NamedTuple):
    """A branching ratio and its 95 % interval."""

    point: float
    low: float
    high: float


def of_episode(counts_of: Mapping[str, Counts], onset: int, now: int) -> Ratio | None:
    """Return the ratio of an episode's last quarter of an hour at most; seconds.

    None where rows of several orders came: when each of them happened is not told.
    """
    start = now - KEEP_S + 1
    every = np.array(recent.added(counts_of, start, now), np.float64)
    first = max(onset - start, 0)
    return ratio(every[:first], every[first:])


def ratio(before: Floats, orders: Floats) -> Ratio | None:
    """Return the ratio of orders a second, with those of the seconds `before` them.

    None where there are too few.
    """
    if len(orders) < LEAST_S or orders.sum() < LEAST_ORDERS:
        return None
    fits = [_profile(before, orders, tau) for tau in TAUS]
    likely = np.stack([fit[0] for fit in fits])
    best = np.unravel_index(int(np.argmax(likely)), likely.shape)
    spread = max(1.0, float(fits[best[0]][1][best[1]]))
    below = (likely.max() - likely.max(axis=0)) / spread
    low = float(RATIOS[np.flatnonzero(below <= _DROP_LOW)[0]])
    high = float(RATIOS[np.flatnonzero(below <= _DROP_HIGH)[-1]])
    return Ratio(round(float(RATIOS[best[1]]), 3), round(low, 3), round(high, 3))


def _profile(before: Floats, orders: Floats, tau: float) -> tuple[Floats, Floats]:
    """Return, by ratio, the log-likelihood at its best mu, and the dispersion there."""
    q = np.exp(-1 / tau)
    within = 1 - tau * (1 - q)
    slope = RATIOS * (1 - within) / (1 - RATIOS * within)
    past = _past(np.concatenate([before, orders]), q)[len(before) :]
    pull = slope[:, None] * past
    floor = 1e-6 * orders.mean()
    mu = np.maximum(orders.mean() - slope * past.mean(), 0.02 * orders.mean())
    for _ in range(12):
        share = orders / (mu[:, None] + pull)
        # Newton's step for ln mu, which keeps mu above zero.
        first = mu * (share.sum(axis=1) - len(orders))
        second = mu * mu * (share / (mu[:, None] + pull)).sum(axis=1) - first
        step = np.where(second > 0, first / np.maximum(second, 1e-12), np.sign(first))
        mu = np.maximum(mu * np.exp(np.clip(step, -2, 2)), floor)
    level = mu[:, None] + pull
    likely = (orders * np.log(level)).sum(axis=1) - level.sum(axis=1)
    return likely, ((orders - level) ** 2 / level).sum(axis=1) / (len(orders) - 2)


def _past(orders: Floats, q: float) -> Floats:
    past, decayed = np.empty(len(orders)), 0.0
    for t, seen in enumerate(orders.tolist()):
        past[t] = decayed
        decayed = q * decayed + (1 - q) * seen
    return past
