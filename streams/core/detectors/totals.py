"""What throttled feeds left out: a coverage-corrected total beside what was seen.

    hidden = sum over shown orders of (k(b30) - 1) * USD                 (venue_rates.unthrottle)
    estimate = seen + hidden * middle        interval: seen + hidden * (low, high)

`seen` is certain: nothing was liquidated less. The multipliers, by rule and by hidden / seen,
come from decimating complete tapes with each rule (`tests/bench/totals.py`). Streams add with
their errors held for one: what fills one venue's second fills the others'.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from schemas.words import THROTTLED, Coverage
from streams.core.params import TotalsParams

#: A venue that was out may have shown this many times its usual share.
MISSING_AT_MOST = 3.0


class Seen(msgspec.Struct, array_like=True):
    """One stream since onset: USD seen, and USD hidden before calibration."""

    coverage: Coverage
    usd: float = 0.0
    hidden: float = 0.0


class Total(NamedTuple):
    """USD: what was seen, the estimate, and its 95 % interval; None where it cannot be told."""

    seen: float
    estimate: float | None
    low: float | None
    high: float | None


def add(seen: Seen, usd: float, factor: float) -> None:
    """Add one second's USD; `factor` is k(b) of its stream then."""
    seen.usd += usd
    if seen.coverage in THROTTLED:
        seen.hidden += (factor - 1.0) * usd


def total(params: TotalsParams, streams: Iterable[Seen], missing_usd: float | None = 0.0) -> Total:
    """Return the sum of streams; without an estimate where one's coverage is not known.

    `missing_usd` is expected of venues that were out; None where nothing tells how much.
    """
    usd = middle = below = above = 0.0
    known = missing_usd is not None
    for one in streams:
        usd += one.usd
        if one.coverage in THROTTLED:
            low, mid, high = _multipliers(params, one)
            middle += one.hidden * mid
            below += one.hidden * low
            above += one.hidden * high
        elif one.coverage == "unknown":
            known = False
    if not known or missing_usd is None:
        return Total(usd, None, None, None)
    middle += missing_usd
    above += MISSING_AT_MOST * missing_usd
    return Total(usd, round(usd + middle, 2), round(usd + below, 2), round(usd + above, 2))


def _multipliers(params: TotalsParams, one: Seen) -> tuple[float, float, float]:
    share = one.hidden / one.usd if one.usd > 0 else 0.0
    return params.multipliers[one.coverage][bisect_right(params.shares, share)]
