"""What Z30 keeps of one asset and position side, and what that tells beside the score."""

from typing import NamedTuple

import msgspec

from schemas.words import THROTTLED, Coverage, FeedClass, Throttle, least_complete
from streams.core.detectors.venue_rates import VenueRate, venue_of
from streams.core.params import OnsetParams
from streams.core.shipped import ByVenue


class Usual(msgspec.Struct):
    """One venue's usual orders and winsorised USD a second, learnt from `age` watched seconds.

    `out`: it tells nothing now, by its feed's word or, with `unheard` orders expected of it
    since its last one, by what the others show. `back_s`: watched seconds since it came back,
    None where that is long ago. `batched`: it has shown rows of many orders, so that its own
    pauses say nothing.
    """

    orders: float = 0.0
    usd: float = 0.0
    age: int = 0
    out: bool = False
    unheard: float = 0.0
    back_s: int | None = None
    batched: bool = False


class Absence(NamedTuple):
    """A venue whose feed was silent since the last step: for how long, and whether it still is."""

    seconds: int
    lasts: bool


class RateState(msgspec.Struct):
    """One asset and position side. `at` is the last second folded in, `age` in seconds.

    `venues` are streams by name, as `stream_of` gives it, `usual` the baselines of venues;
    `minute_score` is Z over 60 s on both halves, kept while the baseline is young, and `above_s`
    for how long it has not been below `young_nats`;
    `expected_orders` are those a usual day would have, were all venues heard, by prior and
    baselines; `usual_orders`, by which thresholds go, are these less what swells a young baseline;
    `active` is the share of seconds in which any of them showed an order (30 s memory).
    """

    venues: dict[str, VenueRate] = {}
    usual: dict[str, Usual] = {}
    mean_order_usd: float = 0.0
    orders_seen: int = 0
    at: int = 0
    age: int = 0
    score: float = 0.0
    active: float = 0.0
    usual_orders: float = 0.0
    expected_orders: float = 0.0
    minute_score: float = 0.0
    above_s: int = 0


def feed_class(state: RateState) -> FeedClass:
    """Return which thresholds apply: all venues complete, some, or none; those out left out."""
    heard = [v for n, v in state.venues.items() if not _is_out(state, n)]
    complete = [v.coverage == "full" for v in heard or state.venues.values()]
    if all(complete):
        return "full"
    return "mixed" if any(complete) else "throttled"


def venues(state: RateState) -> ByVenue | None:
    """Return what is usual at venues that are not out, by prior and baselines; None: unlearnt."""
    heard = {venue: usual.orders for venue, usual in state.usual.items() if not usual.out}
    learnt = sum(heard.values())
    if not learnt:
        return None
    complete = {venue_of(n) for n, v in state.venues.items() if v.coverage == "full"}
    each = {venue: state.expected_orders * heard[venue] / learnt for venue in sorted(heard)}
    throttled = tuple(orders for venue, orders in each.items() if venue not in complete)
    return ByVenue(sum(orders for venue, orders in each.items() if venue in complete), throttled)


def missing_share(state: RateState) -> float:
    """Return the share of the usual USD (or orders, where none is known) of venues that are out."""
    orders, usd = speaking_shares(state)
    return 1.0 - (usd if any(usual.usd for usual in state.usual.values()) else orders)


def speaking_shares(state: RateState) -> tuple[float, float]:
    """Return the shares of usual orders and USD of venues that are not out."""
    out = [usual for usual in state.usual.values() if usual.out]
    if not out:
        return 1.0, 1.0
    orders = sum(usual.orders for usual in state.usual.values())
    usd = sum(usual.usd for usual in state.usual.values())
    return (
        1.0 - sum(usual.orders for usual in out) / orders if orders else 1.0,
        1.0 - sum(usual.usd for usual in out) / usd if usd else 1.0,
    )


def usual_usd_per_min(state: RateState) -> float | None:
    """Return what the venues that speak force in a usual minute, winsorised USD; None unlearnt."""
    speaking = [usual.usd for usual in state.usual.values() if not usual.out and usual.age]
    return round(60.0 * sum(speaking), 2) if any(speaking) else None


def history_s(state: RateState) -> int:
    """Return for how many seconds the baselines of the venues that speak were watched, at most."""
    return max((usual.age for usual in state.usual.values() if not usual.out), default=state.age)


def mute(params: OnsetParams, state: RateState) -> list[str]:
    """Return the venues that show nothing while the others do, though no feed says so."""
    return sorted(v for v, usual in state.usual.items() if usual.unheard >= params.mute_orders)


def _is_out(state: RateState, stream: str) -> bool:
    usual = state.usual.get(venue_of(stream))
    return usual is not None and usual.out


def coverage(state: RateState) -> Coverage:
    """Return the coverage of the venues' sum: that of the least complete one."""
    return least_complete(v.coverage for v in state.venues.values())


def throttle(state: RateState) -> Throttle | None:
    """Return whether a throttled feed is of rows of many orders, or of latest ones only."""
    if feed_class(state) != "throttled":
        return None
    if only_latest(state):
        return "latest"
    return (
        "batched"
        if any(usual.batched and not usual.out for usual in state.usual.values())
        else None
    )


def only_latest(state: RateState) -> bool:
    """Return whether every stream shows the latest order of a second only; those out left out.

    A recorder's rows of many are no such feed: how many seconds had an order cannot be told.
    """
    heard = {n: v for n, v in state.venues.items() if not _is_out(state, n)}
    if any(state.usual[venue_of(n)].batched for n in heard if venue_of(n) in state.usual):
        return False
    return bool(heard) and all(v.coverage == "latest_per_second" for v in heard.values())


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
