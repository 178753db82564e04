"""Z30: how far liquidations run above their usual rate, in nats.

    Z = 1/2 ln((C30 + 1/30) / (muN + 1/30)) + 1/2 ln((W10 + m/10) / (muW + m/10))

C30: orders a second (30 s memory), W10: winsorised USD a second (10 s memory), both
corrected for venues that show one order a second; muN, muW: their 7-day baseline; m:
the running mean order. One statistic for every coverage. Source: detection.md section 8.
"""

import math
from collections.abc import Collection

import msgspec

from schemas.words import THROTTLED, Coverage, FeedClass, least_complete
from streams.params import OnsetParams


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


class RateState(msgspec.Struct):
    """One asset and position side. `at` is the last second folded in, `age` in seconds.

    `venues` are streams by name, as `stream_of` gives it; `active` is the share of seconds
    in which any of them showed an order (30 s memory).
    """

    venues: dict[str, VenueRate] = {}
    mean_order_usd: float = 0.0
    orders_seen: int = 0
    mu_orders: float = 0.0
    mu_usd: float = 0.0
    at: int = 0
    age: int = 0
    score: float = 0.0
    active: float = 0.0


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


def feed_class(state: RateState, silent: Collection[str] = ()) -> FeedClass:
    """Return which thresholds apply: all venues complete, some, or none; `silent` ones left out."""
    heard = [v for n, v in state.venues.items() if venue_of(n) not in silent] if silent else ()
    complete = [v.coverage == "full" for v in heard or state.venues.values()]
    if all(complete):
        return "full"
    return "mixed" if any(complete) else "throttled"


def coverage(state: RateState) -> Coverage:
    """Return the coverage of the venues' sum: that of the least complete one."""
    return least_complete(v.coverage for v in state.venues.values())


def only_latest(state: RateState) -> bool:
    """Return whether every stream shows the latest order of a second and no other."""
    return all(v.coverage == "latest_per_second" for v in state.venues.values())


def saturated(params: OnsetParams, state: RateState) -> list[str]:
    """Return the throttled venues that showed an order in nearly every second of a window.

    Their correction is then at its limit: Z is a floor and measures how long, not how much.
    """
    limit30, limit10 = 1 - 0.5 / params.tau_count_s, 1 - 0.5 / params.tau_usd_s
    return sorted(
        {
            venue_of(name)
            for name, v in state.venues.items()
            if v.coverage in THROTTLED and (v.b30 >= limit30 or v.b10 >= limit10)
        }
    )


def unthrottle(active_share: float, tau_s: int) -> float:
    """Return k(b) = -ln(1-b)/b, which undoes "one order a second" until b nears 1.

    If a venue shows at most one order a second, P(a second is active) = 1-exp(-rate).
    """
    b = min(active_share, 1.0 - 0.5 / tau_s)
    return -math.log1p(-b) / b if b > 1e-9 else 1.0


def step(
    params: OnsetParams,
    state: RateState,
    second: int,
    elapsed_s: int,
    shown: dict[str, VenueSecond],
) -> tuple[RateState, float]:
    """Fold one closed second in and return the state with its score Z (nats).

    `elapsed_s` is watched time since the last folded second (dark time left out); empty
    seconds in between need no step of their own. State is handed over, not copied.
    """
    if elapsed_s > 1:
        _drift_baseline(params, state, elapsed_s - 1)
    _decay(params, state, elapsed_s)
    if shown:
        state.active += 1.0 / params.tau_count_s
    cap = params.winsor_orders * state.mean_order_usd
    for venue in sorted(shown):
        _add(params, state, venue, shown[venue], cap)
    rate_n, rate_w = _corrected(state, params, "60")
    _learn_baseline(params, state, rate_n, rate_w, 1)
    state.at = second
    state.score = _score(params, state)
    return state, state.score


def _add(params: OnsetParams, state: RateState, venue: str, seen: VenueSecond, cap: float) -> None:
    rate = state.venues.get(venue)
    known = rate is not None
    if rate is None:
        rate = state.venues[venue] = VenueRate(coverage=seen.coverage)
    rate.coverage = seen.coverage
    orders, usd = 0, 0.0
    # Sorted, so that the arrival order within a second cannot change the mean.
    for count, worth in sorted(seen.entries, key=lambda e: (e[1] is None, e[1] or 0.0, e[0])):
        orders += count
        if worth is None:
            continue
        each = worth / count if not cap else min(worth / count, cap)
        usd += each * count
        state.orders_seen += count
        gain = count / min(max(state.orders_seen, count), params.mean_order_memory)
        state.mean_order_usd += (each - state.mean_order_usd) * min(gain, 1.0)
    over = active = 1
    if seen.coverage in THROTTLED and orders > len(seen.entries):
        # Of one order a second, a row of many was collected since the row before it.
        over = max(rate.idle, 1) if known else orders
        active = min(orders, over)
    rate.idle = 0
    gain30, gain10 = _gain(params.tau_count_s, over), _gain(params.tau_usd_s, over)
    gain60 = _gain(params.tau_baseline_input_s, over)
    rate.n30 += orders * gain30
    rate.n60 += orders * gain60
    rate.w10 += usd * gain10
    rate.w60 += usd * gain60
    rate.b30 += active * gain30
    rate.b10 += active * gain10
    rate.b60 += active * gain60


def _gain(tau: int, over_s: int) -> float:
    """Return what is left of a unit that came evenly over the last `over_s` seconds."""
    return 1.0 / tau if over_s == 1 else (1.0 - (1.0 - 1.0 / tau) ** over_s) / over_s


def _decay(params: OnsetParams, state: RateState, seconds: int) -> None:
    q30 = (1.0 - 1.0 / params.tau_count_s) ** seconds
    q10 = (1.0 - 1.0 / params.tau_usd_s) ** seconds
    q60 = (1.0 - 1.0 / params.tau_baseline_input_s) ** seconds
    state.active *= q30
    for rate in state.venues.values():
        rate.idle += seconds
        rate.n30 *= q30
        rate.b30 *= q30
        rate.w10 *= q10
        rate.b10 *= q10
        rate.n60 *= q60
        rate.w60 *= q60
        rate.b60 *= q60


def _corrected(state: RateState, params: OnsetParams, window: str) -> tuple[float, float]:
    """Return (orders, USD) a second over all venues, each undone of its throttle."""
    orders = usd = 0.0
    for name in sorted(state.venues):
        rate = state.venues[name]
        throttled = rate.coverage in THROTTLED
        if window == "60":
            k_n = k_w = unthrottle(rate.b60, params.tau_baseline_input_s) if throttled else 1.0
            orders += rate.n60 * k_n
            usd += rate.w60 * k_w
        else:
            orders += rate.n30 * (unthrottle(rate.b30, params.tau_count_s) if throttled else 1.0)
            usd += rate.w10 * (unthrottle(rate.b10, params.tau_usd_s) if throttled else 1.0)
    return orders, usd


def _learn_baseline(
    params: OnsetParams, state: RateState, rate_n: float, rate_w: float, seconds: int
) -> None:
    """Move the baseline towards winsorised rates held for `seconds`."""
    tau = params.tau_baseline_input_s
    rate_n = min(rate_n, 8 * state.mu_orders + 4 / tau)
    rate_w = min(rate_w, 8 * state.mu_usd + 4 * state.mean_order_usd / tau)
    age = state.age + seconds
    keep = state.age / age if age < params.baseline_s else math.exp(-seconds / params.baseline_s)
    state.mu_orders = state.mu_orders * keep + rate_n * (1 - keep)
    state.mu_usd = state.mu_usd * keep + rate_w * (1 - keep)
    state.age = age


def _drift_baseline(params: OnsetParams, state: RateState, seconds: int) -> None:
    """Let `seconds` empty seconds pass: the 60 s rates fade, the baseline averages them."""
    q = 1.0 - 1.0 / params.tau_baseline_input_s
    mean_fade = q * (1 - q**seconds) / (1 - q) / seconds
    rate_n, rate_w = _corrected(state, params, "60")
    _learn_baseline(params, state, rate_n * mean_fade, rate_w * mean_fade, seconds)


def _score(params: OnsetParams, state: RateState) -> float:
    rate_n, rate_w = _corrected(state, params, "onset")
    floor_n = 1.0 / params.tau_count_s
    breadth = math.log((rate_n + floor_n) / (state.mu_orders + floor_n))
    floor_w = state.mean_order_usd / params.tau_usd_s
    if floor_w <= 0.0:
        return 0.5 * breadth
    return 0.5 * breadth + 0.5 * math.log((rate_w + floor_w) / (state.mu_usd + floor_w))
