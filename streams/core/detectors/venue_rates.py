"""One venue's rates as exponential sums, and how they undo a throttle of one order a second."""

import math
from collections.abc import Mapping

import msgspec

from schemas.words import THROTTLED, Coverage
from streams.core.params import OnsetParams


class VenueRate(msgspec.Struct):
    """One venue's exponential sums a second: orders n, winsorised USD w, active share b.

    `idle` is watched time since it last showed anything, seconds.
    """

    coverage: Coverage
    n30: float = 0.0
    w10: float = 0.0
    n60: float = 0.0
    w60: float = 0.0
    b30: float = 0.0
    b10: float = 0.0
    b60: float = 0.0
    idle: int = 0


class VenueSecond(msgspec.Struct):
    """What one venue showed in one second: each entry (orders, USD of all or None)."""

    coverage: Coverage
    entries: list[tuple[int, float | None]] = []


def stream_of(venue: str, instrument: str, coverage: Coverage) -> str:
    """Return what is counted as one: a venue, or where it is throttled one of its instruments.

    Venues show one order a second of each instrument, not of each coin.
    """
    return f"{venue}:{instrument}" if coverage in THROTTLED else venue


def venue_of(stream: str) -> str:
    """Return the venue of a stream."""
    return stream.partition(":")[0]


def unthrottle(active_share: float, tau_s: int) -> float:
    """Return k(b) = -ln(1-b)/b, which undoes "one order a second" until b nears 1.

    If a venue shows at most one order a second, P(a second is active) = 1-exp(-rate).
    """
    b = min(active_share, 1.0 - 0.5 / tau_s)
    return -math.log1p(-b) / b if b > 1e-9 else 1.0


def gain_over(tau: int, over_s: int) -> float:
    """Return what is left of a unit that came evenly over the last `over_s` seconds."""
    return 1.0 / tau if over_s == 1 else (1.0 - (1.0 - 1.0 / tau) ** over_s) / over_s


def decay(params: OnsetParams, rates: Mapping[str, VenueRate], seconds: int) -> None:
    """Let `seconds` pass in which nothing came."""
    q30 = (1.0 - 1.0 / params.tau_count_s) ** seconds
    q10 = (1.0 - 1.0 / params.tau_usd_s) ** seconds
    q60 = (1.0 - 1.0 / params.tau_baseline_input_s) ** seconds
    for rate in rates.values():
        rate.idle += seconds
        rate.n30 *= q30
        rate.b30 *= q30
        rate.w10 *= q10
        rate.b10 *= q10
        rate.n60 *= q60
        rate.w60 *= q60
        rate.b60 *= q60


def by_venue(
    params: OnsetParams, streams: Mapping[str, VenueRate], window: str
) -> dict[str, tuple[float, float]]:
    """Return (orders, USD) a second of each venue, its streams undone of their throttle."""
    rates: dict[str, tuple[float, float]] = {}
    for name in sorted(streams):
        rate = streams[name]
        throttled = rate.coverage in THROTTLED
        if window == "60":
            k_n = k_w = unthrottle(rate.b60, params.tau_baseline_input_s) if throttled else 1.0
            orders, usd = rate.n60 * k_n, rate.w60 * k_w
        else:
            orders = rate.n30 * (unthrottle(rate.b30, params.tau_count_s) if throttled else 1.0)
            usd = rate.w10 * (unthrottle(rate.b10, params.tau_usd_s) if throttled else 1.0)
        before = rates.get(venue_of(name), (0.0, 0.0))
        rates[venue_of(name)] = before[0] + orders, before[1] + usd
    return rates
