"""Orders a second of each complete venue, of the last quarter of an hour. Nothing older is kept."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.detectors.log_rate import VenueSecond

KEEP_S = 900


class Counts(msgspec.Struct, array_like=True):
    """One venue's seconds with orders, and how many; `batched`: the last with a row of several.

    Such a row was collected over a time that is not told.
    """

    at: list[int] = []
    orders: list[int] = []
    batched: int = 0


def take(recent: dict[str, Counts], second: int, shown: Mapping[str, VenueSecond]) -> None:
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
        kept.at.append(second)
        kept.orders.append(orders)
        if kept.at[0] <= second - KEEP_S:
            gone = bisect_right(kept.at, second - KEEP_S)
            del kept.at[:gone], kept.orders[:gone]


def series(counts: Counts, first: int, last: int) -> NDArray[np.float64]:
    """Return the orders of each of the seconds [first, last]."""
    made = np.zeros(last - first + 1)
    low, high = bisect_left(counts.at, first), bisect_right(counts.at, last)
    made[[second - first for second in counts.at[low:high]]] = counts.orders[low:high]
    return made
