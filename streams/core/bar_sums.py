"""Trades added to the sums of their bars, one behind the other, compiled."""

import numpy as np
from numpy.typing import NDArray

from schemas.scan.bytes_at import compiled
from schemas.scan.columns import Columns
from schemas.words import GRID

#: high, low, quantity, buy_usd, sell_usd, trades, open, close, ts_first, ts_last
Sums = list[float]
#: Sums of no trade: the first one is its high and its low, and lies before and behind all.
NOTHING = [-np.inf, np.inf, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, np.inf, -np.inf]


def added(begun: list[Sums | None], bar: NDArray[np.intp], of: Columns) -> list[Sums]:
    """Return the sums of bars behind trades; `bar` is each trade's place in `begun`."""
    if begun.count(None) == len(begun):
        sums = np.tile(NOTHING, (len(begun), 1))
    else:
        sums = np.array([NOTHING if so_far is None else so_far for so_far in begun])
    usd = np.rint(of.usd * GRID) / GRID
    _add(sums, bar, of.price, of.quantity, usd, of.buys, of.ts_event)
    return sums.tolist()  # type: ignore[no-any-return]


@compiled
def _add(
    sums: NDArray[np.float64], bar: NDArray[np.intp], price: NDArray[np.float64],
    quantity: NDArray[np.float64], usd: NDArray[np.float64], buys: NDArray[np.bool_],
    ts_event: NDArray[np.int64],
) -> None:  # fmt: skip
    for n in range(len(bar)):
        of, ts = sums[bar[n]], np.float64(ts_event[n])
        of[0], of[1] = max(of[0], price[n]), min(of[1], price[n])
        of[2] += quantity[n]
        of[3 if buys[n] else 4] += usd[n]
        of[5] += 1
        if ts < of[8]:
            of[6], of[8] = price[n], ts
        if ts >= of[9]:
            of[7], of[9] = price[n], ts
