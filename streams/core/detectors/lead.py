"""Which of several streams of forced orders rose first, and whether chance would order them so.

    r_i(t) = n_i(t) - share_i n(t)      g(t) = d/dt ln n(t), smoothed
    S_i    = sum over t of g(t) r_i(t)  > 0: i has more of the orders while they rise

S is the score test for a lag between curves of one shape: given the seconds' totals, who has
them must not go with the slope. Block shifts keep what each stream excites of its own: the
residuals r are turned against g by whole blocks of seconds with orders, and p is the share of turns
(none included) at which the largest S_i is as large. Source: time-shift tests, detection.md section
1 (arXiv 2512.17372); no chance enters. What runs with the level itself is taken out of g, so
that a stream whose share grows with the flood does not lead thereby.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.core.detectors import recent
from streams.core.detectors.recent import Counts

Floats = NDArray[np.float64]

#: Seconds looked at before and after onset, together what is kept; width of smoothing; turns.
BEFORE_S, AFTER_S = 300, 600
SMOOTH_S = 8
TURNS = 40
#: Fewer orders of a stream, or seconds with any in a block, tell nothing.
LEAST_ORDERS, LEAST_BLOCK_S = 30, 3


class Lead(NamedTuple):
    """Names, first to last, and the p-value of there being an order at all."""

    order: list[str]
    p_value: float


def of_venues(
    counts_of: Mapping[str, Counts], onset: int, now: int, before: Lead | None = None
) -> Lead | None:
    """Return the lead order of complete venues around an onset, seconds; None without one.

    `before` is what was told before: it stays once AFTER_S have passed, or nothing can be told.
    A common shock and contagion look the same here, and so do a slow engine and a late clock.
    """
    first = onset - BEFORE_S
    if now >= onset + AFTER_S:
        return before
    orders_of = {name: recent.series(counts_of[name], first, now) for name in sorted(counts_of)}
    if any(counts_of[name].batched >= first for name in orders_of):
        return before
    return _order(orders_of) or before


def of_assets(counts_of: Mapping[str, Counts], onset: int, now: int) -> Lead | None:
    """Return the lead order of assets around a market-wide onset, seconds; None without one.

    Only assets whose orders are known from two minutes before to two minutes after it.
    """
    known = {n: c for n, c in counts_of.items() if c.start <= onset - 120 and c.end > onset + 120}
    if not known:
        return None
    first = max(onset - BEFORE_S, *(c.start for c in known.values()))
    last = min(now, onset + AFTER_S - 1, *(c.end - 1 for c in known.values()))
    return _order({name: recent.series(known[name], first, last) for name in sorted(known)})


def _order(orders_of: Mapping[str, Floats]) -> Lead | None:
    orders_of = {name: orders for name, orders in orders_of.items() if orders.sum() >= LEAST_ORDERS}
    led = lead(np.stack(list(orders_of.values()))) if len(orders_of) > 1 else None
    if led is None:
        return None
    names, (scores, p_value) = list(orders_of), led
    return Lead([names[n] for n in np.argsort(-scores, kind="stable")], p_value)


def lead(orders: Floats) -> tuple[Floats, float] | None:
    """Return S by stream over its share, and p; `orders` by stream and second."""
    total = orders.sum(axis=0)
    active = np.flatnonzero(total > 0)
    block = len(active) // TURNS
    if block < LEAST_BLOCK_S:
        return None
    active = active[len(active) - block * TURNS :]
    level = np.log(_smoothed(total))
    root = np.sqrt(total[active])
    slope = _apart(np.gradient(level)[active], level[active], root)
    share = orders[:, active].sum(axis=1) / total[active].sum()
    unit = (orders[:, active] - share[:, None] * total[active]) / root
    turned = np.stack([np.roll(unit, -block * turn, axis=1) for turn in range(TURNS)])
    scores = np.einsum("tvk,k->tv", turned, slope * root)
    most = np.round((scores / np.sqrt(share * (1 - share))).max(axis=1), 9)
    return scores[0] / share, float((most >= most[0]).sum() / TURNS)


def _smoothed(total: Floats) -> Floats:
    """Return the total, smoothed both ways, above zero."""
    reach = np.arange(-3 * SMOOTH_S, 3 * SMOOTH_S + 1)
    weight = np.exp(-0.5 * (reach / SMOOTH_S) ** 2)
    padded = np.pad(total, len(reach) // 2, mode="edge")
    return np.convolve(padded, weight / weight.sum(), "valid") + 1 / SMOOTH_S


def _apart(slope: Floats, level: Floats, root: Floats) -> Floats:
    """Return the slope less what a line in the level says of it, weighted by orders."""
    known = np.stack([np.ones_like(level), level], axis=1) * root[:, None]
    fit = np.linalg.lstsq(known, slope * root, rcond=None)[0]
    return np.asarray(slope - fit[0] - fit[1] * level, np.float64)
