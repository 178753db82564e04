"""Trades in columns added to the sums of their bars, one behind the other, compiled.

`streams.core.fold` is given this loop by who runs it: the core loads no compiler.
"""

import numpy as np
from numpy.typing import NDArray

from schemas.scan.bytes_at import compiled


@compiled
def add_each(
    sums: NDArray[np.float64], bar: NDArray[np.intp], price: NDArray[np.float64],
    quantity: NDArray[np.float64], usd: NDArray[np.float64], buys: NDArray[np.bool_],
    ts_event: NDArray[np.int64],
) -> None:  # fmt: skip
    """Add each trade to row `bar` of `sums`, whose columns are those of `fold.Sums`."""
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
