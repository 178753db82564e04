"""Thresholds as they are shipped, by liquidity and by what an asset's venues show.

    usual orders ──> threshold of complete venues ──> what is left of such a burst where venues
                                                      show one order a second

Chosen for one false alarm a week and asset on simulated markets with redrawn numbers (METHOD.md,
"Thresholds elsewhere").
"""

import math
from typing import NamedTuple

DAY = 86_400.0
#: At so many usual forced orders a day of a position side; between them by the logarithm.
USUAL_ORDERS = (100.0, 300.0, 900.0, 2_700.0, 8_100.0)
ByRate = tuple[float, float, float, float, float]
#: "throttled" is one venue that carries everything, "latest" such a one that shows each second's
#: latest order, "batched" one with rows of many; "flow" is of Z30+flow. None is below 4: else one
#: large order calls an asset that nobody has heard of.
DEFAULT_BY_RATE: dict[str, ByRate] = {
    "full": (4.0, 4.1, 4.8, 5.4, 6.0),
    "throttled": (4.0, 4.0, 4.35, 4.45, 4.5),
    "latest": (4.0, 4.0, 4.65, 5.0, 5.0),
    "batched": (4.0, 4.0, 4.2, 4.25, 4.3),
    "flow": (7.3, 7.3, 8.2, 8.7, 8.8),
}
#: Of deep assets (`PriorParams.deep`): at the same usual orders they burst more.
DEFAULT_BY_RATE_DEEP: dict[str, ByRate] = {
    "full": (4.6, 5.0, 5.4, 6.35, 7.2),
    "throttled": (4.0, 4.15, 4.6, 4.7, 4.7),
    "latest": (4.0, 4.0, 4.65, 5.0, 5.0),
    "batched": (4.0, 4.05, 4.3, 4.35, 4.35),
    "flow": (7.4, 7.4, 8.5, 8.9, 9.0),
}


class ByVenue(NamedTuple):
    """Usual orders a day: of complete venues together, of each that shows one a second."""

    complete: float
    throttled: tuple[float, ...]


class ThrottledRate(NamedTuple):
    """What a venue of one order a second shows of x orders a second: `scale` ln(1 + `slope` x).

    As `venue_rates.unthrottle` counts them. Bursts come in clusters, so it falls behind long
    before every second has an order. Fitted to thresholds on simulated markets, to .06 nats on
    mixed feeds and .13 on several venues that show the largest order (METHOD.md).
    """

    scale: float = 0.7
    slope: float = 1.6


def by_rate(thresholds: tuple[float, ...], usual_orders: float) -> float:
    """Return the threshold at so many usual orders a day, between those of USUAL_ORDERS."""
    if usual_orders <= USUAL_ORDERS[0]:
        return thresholds[0]
    for n in range(1, len(USUAL_ORDERS)):
        if usual_orders <= USUAL_ORDERS[n]:
            below, above = USUAL_ORDERS[n - 1], USUAL_ORDERS[n]
            share = math.log(usual_orders / below) / math.log(above / below)
            return thresholds[n - 1] + share * (thresholds[n] - thresholds[n - 1])
    return thresholds[-1]


def shown_of(rate: ThrottledRate, full: float, venues: ByVenue) -> float:
    """Return what a burst of `full` nats at every venue comes to by what they show of it, nats."""
    usual = venues.complete + sum(venues.throttled)
    if usual <= 0.0:
        return full
    shown = venues.complete * math.exp(full)
    for orders in venues.throttled:
        burst = orders / DAY * math.exp(full)
        shown += DAY * min(burst, rate.scale * math.log1p(rate.slope * burst))
    return math.log(shown / usual)
