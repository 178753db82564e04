"""Orders a second of the last quarter of an hour; nothing older is kept.

start               start + len(orders) - 1
  │ 0 2 0 0 1 7 31 …  │      the newest KEEP_S; a longer gap begins anew
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.core.detectors.venue_rates import VenueSecond

KEEP_S = 900


class Counts(msgspec.Struct, array_like=True):
    """Orders of each second from `start` on; `batched`: the last second with a row of several.

    Such a row was collected over a time that is not told.
    """

    start: int = 0
    orders: list[int] = []
    batched: int = 0

    @property
    def end(self) -> int:
        """The second after the last one."""
        return self.start + len(self.orders)


def step(recent: dict[str, Counts], second: int, shown: Mapping[str, VenueSecond]) -> None:
    """Add a closed second; throttled streams are left out: their counts are no counts."""
    for venue, seen in shown.items():
        if seen.coverage != "full":
            continue
        kept = recent.get(venue)
        if kept is None:
            kept = recent[venue] = Counts()
        orders = sum(count for count, _ in seen.entries)
        if orders > len(seen.entries):
            kept.batched = second
        gap = second - kept.end
        if gap < KEEP_S:
            kept.orders += [0] * gap
        else:
            kept.start, kept.orders = second, []
        kept.orders.append(orders)
        _prune(kept)


def follow(kept: Counts, last: int, orders: Sequence[int]) -> None:
    """Add the orders of the seconds up to `last`; what lies before a gap is not kept."""
    first = last - len(orders) + 1
    if first > kept.end:
        kept.start, kept.orders = first, []
    kept.orders += orders[max(kept.end - first, 0) :]
    _prune(kept)


def series(counts: Counts, first: int, last: int) -> NDArray[np.float64]:
    """Return the orders of each of the seconds [first, last]; 0 where none are kept."""
    made = np.zeros(last - first + 1)
    low, high = max(first, counts.start), min(last + 1, counts.end)
    if low < high:
        made[low - first : high - first] = counts.orders[low - counts.start : high - counts.start]
    return made


def added(counts_of: Mapping[str, Counts], first: int, last: int) -> list[int]:
    """Return the orders of all venues in each of the seconds [first, last].

    Empty where rows of several came: when each of their orders happened is not told.
    """
    if any(counts.batched >= first for counts in counts_of.values()):
        return []
    total = sum((series(counts, first, last) for counts in counts_of.values()), np.zeros(1))
    return [int(orders) for orders in total.tolist()]


def _prune(kept: Counts) -> None:
    over = len(kept.orders) - KEEP_S
    if over > 0:
        del kept.orders[:over]
        kept.start += over
