"""Z30: how far liquidations run above their usual rate, in nats.

    Z = 1/2 ln((C30 + 1/30) / (muN + 1/30)) + 1/2 ln((W10 + m/10) / (muW + m/10))

C30: orders a second (30 s memory), W10: winsorised USD a second (10 s memory), both
corrected for venues that show one order a second; muN, muW: their 7-day baseline; m:
the running mean order. One statistic for every coverage. Source: detection.md section 8.

A baseline belongs to a venue. Those that speak are compared with their own, so that a venue
that tells nothing leaves both sides of the fraction:

    both speak   C = binance + bybit     mu = mu(binance) + mu(bybit)
    one is out   C = binance             mu = mu(binance)         missing_share = mu(bybit) / all
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from schemas.words import THROTTLED, Coverage, FeedClass, Throttle, least_complete
from streams.core.detectors.prior import DAY, Prior, drawn, shrunk
from streams.core.detectors.venue_rates import (
    VenueRate,
    VenueSecond,
    by_venue,
    decay,
    gain_over,
    venue_of,
)
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
    orders, usd = _speaking_shares(state)
    return 1.0 - (usd if any(usual.usd for usual in state.usual.values()) else orders)


def _speaking_shares(state: RateState) -> tuple[float, float]:
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


def step(
    params: OnsetParams,
    state: RateState,
    second: int,
    elapsed_s: int,
    shown: Mapping[str, VenueSecond],
    away: Mapping[str, Absence] = {},
    priors: Mapping[FeedClass, Prior] = {},
) -> float:
    """Fold one closed second in and return the score Z (nats).

    `elapsed_s` is watched time since the last folded second (dark time left out); empty
    seconds in between need no step of their own. `away` are venues whose feed was silent in
    that time; of one never met, the seconds are all those since `state` was begun. `priors`
    say what to expect by class of feed while baselines are young.
    """
    if elapsed_s > 1:
        _learn_empty(params, state, elapsed_s - 1, away)
    decay(params, state.venues, elapsed_s)
    state.active *= (1.0 - 1.0 / params.tau_count_s) ** elapsed_s
    _come_and_go(params, state, elapsed_s, shown, away)
    if shown:
        state.active += 1.0 / params.tau_count_s
    if priors and shown and not state.orders_seen:
        throttled = all(seen.coverage != "full" for seen in shown.values())
        if first := priors.get("throttled" if throttled else "full"):
            state.mean_order_usd, state.orders_seen = first.order_usd, first.weight_orders
    cap = params.winsor_orders * state.mean_order_usd
    for stream in sorted(shown):
        _add(params, state, stream, shown[stream], cap)
    _miss(params, state, shown)
    _learn(params, state, by_venue(params, state.venues, "60"), 1, away)
    state.at = second
    state.score = _score(params, state, priors)
    if priors and history_s(state) < params.min_history_s:
        state.minute_score = _minute_score(params, state, priors)
        is_above = state.minute_score >= params.young_nats
        # A pause may have gone below: orders minutes apart are never high for minutes.
        lasts = is_above and elapsed_s <= params.tau_count_s
        state.above_s = state.above_s + elapsed_s if lasts else int(is_above)
    return state.score


def _come_and_go(
    params: OnsetParams,
    state: RateState,
    elapsed_s: int,
    shown: Mapping[str, VenueSecond],
    away: Mapping[str, Absence],
) -> None:
    """Note which venues are out from now on, which are new, and which are back."""
    speaking = {venue_of(stream) for stream in shown}
    for venue in sorted(speaking - state.usual.keys()):
        missed = away[venue].seconds if venue in away else 0
        # Watched from the first, and quiet until now.
        state.usual[venue] = Usual(age=max(0, state.age - missed))
    for venue, usual in state.usual.items():
        absence = away.get(venue)
        silent = absence is not None and absence.lasts and venue not in speaking
        if usual.back_s is not None:
            usual.back_s += elapsed_s
            if usual.back_s > LONG * params.tau_baseline_input_s:
                usual.back_s = None
        if venue in speaking:
            usual.unheard = 0.0
        was_out, usual.out = usual.out, silent or usual.unheard >= params.mute_orders
        if usual.out != was_out or (absence is not None and absence.seconds):
            _begin_anew(state, venue)
            usual.back_s = None if usual.out else 0


#: After so many memories of a window nothing is left of what went before it.
LONG = 10


def _begin_anew(state: RateState, venue: str) -> None:
    """Empty a venue's windows: in them are seconds in which nobody listened to it."""
    for stream, rate in state.venues.items():
        if venue_of(stream) == venue:
            state.venues[stream] = VenueRate(coverage=rate.coverage, idle=rate.idle)


def _miss(params: OnsetParams, state: RateState, shown: Mapping[str, VenueSecond]) -> None:
    """Count what a venue would have shown this second, had it risen as the others did.

    At most one order a second counts, so that a burst on one venue alone silences no other.
    """
    if len(state.usual) < 2 or not shown:
        return
    speaking = {venue_of(stream) for stream in shown}
    rates = by_venue(params, state.venues, "onset")
    for venue, usual in state.usual.items():
        if venue in speaking or usual.batched:
            continue
        others = [v for v, u in state.usual.items() if v != venue and not u.out]
        usually = sum(state.usual[v].orders for v in others)
        if usually > 0.0:
            now = sum(rates[v][0] for v in others if v in rates)
            usual.unheard += min(usual.orders * now / usually, 1.0)


def _add(params: OnsetParams, state: RateState, stream: str, seen: VenueSecond, cap: float) -> None:
    rate = state.venues.get(stream)
    known = rate is not None
    if rate is None:
        rate = state.venues[stream] = VenueRate(coverage=seen.coverage)
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
        state.usual[venue_of(stream)].batched = True
    rate.idle = 0
    gain30, gain10 = gain_over(params.tau_count_s, over), gain_over(params.tau_usd_s, over)
    gain60 = gain_over(params.tau_baseline_input_s, over)
    rate.n30 += orders * gain30
    rate.n60 += orders * gain60
    rate.w10 += usd * gain10
    rate.w60 += usd * gain60
    rate.b30 += active * gain30
    rate.b10 += active * gain10
    rate.b60 += active * gain60


def _learn(
    params: OnsetParams,
    state: RateState,
    rates: Mapping[str, tuple[float, float]],
    seconds: int,
    away: Mapping[str, Absence],
) -> None:
    """Move baselines towards rates held for `seconds`, winsorised by their sum.

    A venue that is out, or back for too short a time to have filled its window, learns nothing.
    """
    tau = params.tau_baseline_input_s
    state.age += seconds
    learning = {v: u for v, u in state.usual.items() if not u.out and u.back_s is None}
    orders, usd = (sum(rates[v][i] for v in learning if v in rates) for i in (0, 1))
    share_n, share_w = _speaking_shares(state)
    cap_n = 8 * sum(u.orders for u in learning.values()) + share_n * 4 / tau
    cap_w = 8 * sum(u.usd for u in learning.values()) + share_w * 4 * state.mean_order_usd / tau
    keep_n = cap_n / orders if orders > cap_n else 1.0
    keep_w = cap_w / usd if usd > cap_w else 1.0
    for venue, usual in learning.items():
        watched = seconds - away[venue].seconds if venue in away else seconds
        if watched <= 0:
            continue
        age = usual.age + watched
        young = age < params.baseline_s
        keep = usual.age / age if young else math.exp(-watched / params.baseline_s)
        rate_n, rate_w = rates.get(venue, (0.0, 0.0))
        usual.orders = usual.orders * keep + rate_n * keep_n * (1 - keep)
        usual.usd = usual.usd * keep + rate_w * keep_w * (1 - keep)
        usual.age = age


def _learn_empty(
    params: OnsetParams, state: RateState, seconds: int, away: Mapping[str, Absence]
) -> None:
    """Let `seconds` empty seconds pass: the 60 s rates fade, the baselines average them."""
    q = 1.0 - 1.0 / params.tau_baseline_input_s
    mean_fade = q * (1 - q**seconds) / (1 - q) / seconds
    rates = by_venue(params, state.venues, "60")
    faded = {venue: (n * mean_fade, w * mean_fade) for venue, (n, w) in rates.items()}
    _learn(params, state, faded, seconds, away)


def _score(params: OnsetParams, state: RateState, priors: Mapping[FeedClass, Prior]) -> float:
    rates = by_venue(params, state.venues, "onset")
    oldest = max((usual.age for usual in state.usual.values()), default=0)
    rate_n = rate_w = usual_n = usual_w = 0.0
    for venue in sorted(state.usual):
        usual = state.usual[venue]
        # Beside known venues a newcomer's every order would be news.
        if usual.out or usual.age < min(params.min_history_s, oldest):
            continue
        orders, usd = rates.get(venue, (0.0, 0.0))
        rate_n += orders
        rate_w += usd
        usual_n += usual.orders * _heard(usual, params.tau_count_s)
        usual_w += usual.usd * _heard(usual, params.tau_usd_s)
    # The floor of one order a window is shared by the venues: those out take theirs along.
    shares = _speaking_shares(state)
    prior = priors.get(feed_class(state))
    if prior:
        usual_n, usual_w = shrunk(prior, (usual_n, usual_w), shares, oldest, params.baseline_s)
    share_n, share_w = (max(share, LEAST_SHARE) for share in shares)
    state.usual_orders = state.expected_orders = DAY * usual_n / share_n
    if prior:
        state.usual_orders = drawn(prior, state.expected_orders, oldest, params.baseline_s)
    floor_n = share_n / params.tau_count_s
    breadth = math.log((rate_n + floor_n) / (usual_n + floor_n))
    floor_w = share_w * state.mean_order_usd / params.tau_usd_s
    if floor_w <= 0.0:
        return 0.5 * breadth
    return 0.5 * breadth + 0.5 * math.log((rate_w + floor_w) / (usual_w + floor_w))


def _minute_score(
    params: OnsetParams, state: RateState, priors: Mapping[FeedClass, Prior]
) -> float:
    """Return Z with a minute's memory in both halves; like `_score`, but all are heard in full.

    A tenth of an order is its floor: where a prior is expected, one would hide ten times it.
    """
    rates, tau = by_venue(params, state.venues, "60"), params.tau_baseline_input_s
    speaking = [venue for venue, usual in state.usual.items() if not usual.out]
    seen = (sum(rates[v][i] for v in speaking if v in rates) for i in (0, 1))
    usual = (
        sum(state.usual[v].orders for v in speaking),
        sum(state.usual[v].usd for v in speaking),
    )
    if prior := priors.get(feed_class(state)):
        usual = shrunk(prior, usual, _speaking_shares(state), history_s(state), params.baseline_s)
    floors = (0.1 / tau, 0.1 * state.mean_order_usd / tau)
    return 0.5 * sum(
        math.log((now + floor) / (before + floor))
        for now, before, floor in zip(seen, usual, floors, strict=True)
        if floor > 0.0
    )


#: Of a smaller rest a single order would stand for so many that it passed a threshold.
LEAST_SHARE = 0.25


def _heard(usual: Usual, tau: int) -> float:
    """Return how much of a window a venue has filled since it came back."""
    return 1.0 if usual.back_s is None else 1.0 - (1.0 - 1.0 / tau) ** (usual.back_s + 1)
