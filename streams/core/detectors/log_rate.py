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

from schemas.words import THROTTLED, FeedClass
from streams.core.detectors.prior import DAY, Prior, drawn, shrunk
from streams.core.detectors.rate_state import (
    Absence,
    RateState,
    Usual,
    feed_class,
    history_s,
    speaking_shares,
)
from streams.core.detectors.venue_rates import (
    VenueRate,
    VenueSecond,
    by_venue,
    decay,
    gain_over,
    venue_of,
)
from streams.core.params import OnsetParams


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
    share_n, share_w = speaking_shares(state)
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
    shares = speaking_shares(state)
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
        usual = shrunk(prior, usual, speaking_shares(state), history_s(state), params.baseline_s)
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
