"""Z30 with baselines by venue, for whole histories in which venues fall silent.

Equals streams/core/detectors/log_rate.py stepped second by second (a test holds them together).
Without a silence it is `scores.z30`, which is cheaper.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numba as nb
import numpy as np
import numpy.typing as npt

from schemas.words import FeedClass
from streams.core.detectors.log_rate import LEAST_SHARE, LONG
from streams.core.detectors.prior import Prior
from streams.core.params import OnsetParams
from streams.evaluate.scores import DAY, Bytes, Either, Flags, Floats, Floats32, Ints, Shown, k_of

_MUTE, _LEAST_AGE = OnsetParams().mute_orders, OnsetParams().min_history_s
_WINSOR, _MEMORY = OnsetParams().winsor_orders, OnsetParams().mean_order_memory
#: Columns of a venue's row: orders 30 s, their active share; USD 10 s, its active share; at 60 s.
_FADES = (30.0, 30.0, 10.0, 10.0, 60.0, 60.0, 60.0)
#: Feed classes as numbers, the more complete the lower.
CLASSES: tuple[FeedClass, ...] = ("full", "mixed", "throttled")


class Silence(NamedTuple):
    """Venues, by index, that tell nothing in seconds [start, stop)."""

    venues: tuple[int, ...]
    start: int
    stop: int


class Judged(NamedTuple):
    """By second, (T,): Z in nats, the class of feed by those that speak, share of active seconds.

    `latest`: every venue that speaks shows the latest order of a second and no other;
    `usual_orders` are those a day would have, were all venues heard, by prior and baselines.
    """

    score: Either
    feed_class: Bytes
    active: Floats32
    latest: Flags
    usual_orders: Floats32


def z30(
    feed: Shown, silences: Sequence[Silence], declared: bool, kind: type[np.floating] = np.float32,
    priors: Mapping[FeedClass, Prior] = {},
) -> Judged:  # fmt: skip
    """Return Z30 of a feed; `declared`: the venues' own words say that they are silent."""
    away = np.zeros((len(feed.throttled), feed.seconds), np.bool_)
    if declared:
        for silence in silences:
            away[list(silence.venues), silence.start : silence.stop] = True
    score, active = np.empty(feed.seconds, kind), np.empty(feed.seconds, np.float32)
    feed_class, latest = np.empty(feed.seconds, np.int8), np.empty(feed.seconds, np.bool_)
    usual_orders = np.empty(feed.seconds, np.float32)
    rows = [msgspec.structs.astuple(priors[c]) if c in priors else (0.0,) * 5 for c in CLASSES]
    _stepped(
        feed.at, feed.venue, feed.usd, feed.throttled, feed.latest, away, np.array(rows), score,
        feed_class, active, latest, usual_orders,
    )  # fmt: skip
    return Judged(score, feed_class, active, latest, usual_orders)


@nb.njit(cache=True, nogil=True)
def _stepped(
    at: Ints, venue: Bytes, usd: Floats, throttled: Flags, latest: Flags,
    away: npt.NDArray[np.bool_], priors: Floats, out: Either, out_class: Bytes,
    out_active: Floats32, out_latest: Flags, out_usual: Floats32,
) -> None:  # fmt: skip
    n = len(throttled)
    rate, keep = np.zeros((n, 7)), 1 - 1 / np.array(_FADES)
    # By venue: usual orders, usual USD, age, what it would have shown since its last order.
    usual = np.zeros((n, 4))
    back, missed = np.full(n, -1), np.zeros(n)
    # By venue: met, silent, speaks in this second.
    flags = np.zeros((n, 3), np.bool_)
    mean, active, seen, i = 0.0, 0.0, 0, 0
    for t in range(len(out)):
        rate *= keep
        active *= keep[0]
        flags[:, 2] = False
        j = i
        while j < len(at) and at[j] == t:
            flags[venue[j], 2] = True
            j += 1
        for v in range(n):
            missed[v] += away[v, t]
            if flags[v, 2] and not flags[v, 0]:
                flags[v, 0], usual[v, 2] = True, t - missed[v]
            if flags[v, 0]:
                _come_and_go(rate, usual, back, flags, v, away[v, t])
        active += (j > i) / 30
        cap = _WINSOR * mean
        spoken = j > i
        if spoken and not seen and priors[0, 3]:
            first = 2
            for v in range(n):
                first = 0 if flags[v, 2] and not throttled[v] else first
            mean, seen = priors[first, 2], int(priors[first, 4])
            cap = _WINSOR * mean
        while i < j:
            v = venue[i]
            total, count = 0.0, 0
            while i < j and venue[i] == v:
                each = min(usd[i], cap) if cap > 0 else usd[i]
                total += each
                count += 1
                seen += 1
                mean += (each - mean) / min(seen, _MEMORY)
                i += 1
            rate[v] += np.array([count, 1.0, total, 1.0, count, total, 1.0]) / np.array(_FADES)
        if spoken and n > 1:
            _miss(rate, throttled, usual, flags)
        _learn(rate, throttled, usual, back, flags, away[:, t], mean)
        out_active[t] = active
        out_class[t], out_latest[t] = _kinds(throttled, latest, flags)
        prior = priors[out_class[t]]
        out[t], out_usual[t] = _score(rate, throttled, usual, back, flags, mean, prior)


@nb.njit(cache=True, nogil=True)
def _come_and_go(
    rate: Floats, usual: Floats, back: npt.NDArray[np.int64], flags: Flags, v: int, away: bool
) -> None:
    if back[v] >= 0:
        back[v] += 1
        if back[v] > LONG * 60:
            back[v] = -1
    if flags[v, 2]:
        usual[v, 3] = 0.0
    before = flags[v, 1]
    flags[v, 1] = (away and not flags[v, 2]) or usual[v, 3] >= _MUTE
    if flags[v, 1] != before or away:
        rate[v] = 0.0
        back[v] = -1 if flags[v, 1] else 0


@nb.njit(cache=True, nogil=True)
def _kinds(throttled: Flags, latest: Flags, flags: Flags) -> tuple[int, bool]:
    """Return the class of feed of the venues that speak, and whether all show the latest only."""
    speaking = complete = only_latest = met = 0
    for v in range(len(throttled)):
        met += flags[v, 0]
        if flags[v, 0] and not flags[v, 1]:
            speaking += 1
            complete += not throttled[v]
            only_latest += latest[v]
    if not speaking:
        return 0, False
    return 0 if complete == speaking else (1 if complete else 2), only_latest == speaking


@nb.njit(cache=True, nogil=True)
def _shares(usual: Floats, flags: Flags) -> tuple[float, float]:
    """Return the shares of usual orders and USD of venues that are not silent."""
    whole_n = whole_w = silent_n = silent_w = 0.0
    for v in range(len(usual)):
        if flags[v, 0]:
            whole_n, whole_w = whole_n + usual[v, 0], whole_w + usual[v, 1]
            if flags[v, 1]:
                silent_n, silent_w = silent_n + usual[v, 0], silent_w + usual[v, 1]
    return 1 - silent_n / whole_n if whole_n else 1.0, 1 - silent_w / whole_w if whole_w else 1.0


@nb.njit(cache=True, nogil=True)
def _of(rate: Floats, throttled: bool, column: int, share: int, tau: float) -> float:
    return float(rate[column] * (k_of(rate[share], tau) if throttled else 1.0))


@nb.njit(cache=True, nogil=True)
def _miss(rate: Floats, throttled: Flags, usual: Floats, flags: Flags) -> None:
    for v in range(len(throttled)):
        if not flags[v, 0] or flags[v, 2]:
            continue
        now = usually = 0.0
        for other in range(len(throttled)):
            if other != v and flags[other, 0] and not flags[other, 1]:
                now += _of(rate[other], throttled[other], 0, 1, 30.0)
                usually += usual[other, 0]
        if usually > 0:
            usual[v, 3] += min(usual[v, 0] * now / usually, 1.0)


@nb.njit(cache=True, nogil=True)
def _learn(
    rate: Floats, throttled: Flags, usual: Floats, back: npt.NDArray[np.int64], flags: Flags,
    away: Flags, mean: float,
) -> None:  # fmt: skip
    orders = usd = known_n = known_w = 0.0
    for v in range(len(throttled)):
        if flags[v, 0] and not flags[v, 1] and back[v] < 0:
            orders += _of(rate[v], throttled[v], 4, 6, 60.0)
            usd += _of(rate[v], throttled[v], 5, 6, 60.0)
            known_n, known_w = known_n + usual[v, 0], known_w + usual[v, 1]
    share_n, share_w = _shares(usual, flags)
    cap_n, cap_w = 8 * known_n + share_n * 4 / 60, 8 * known_w + share_w * 4 * mean / 60
    keep_n = cap_n / orders if orders > cap_n else 1.0
    keep_w = cap_w / usd if usd > cap_w else 1.0
    for v in range(len(throttled)):
        if not flags[v, 0] or flags[v, 1] or back[v] >= 0 or away[v]:
            continue
        age = usual[v, 2] + 1
        stay = usual[v, 2] / age if age < 7 * DAY else np.exp(-1 / (7 * DAY))
        new_n = keep_n * _of(rate[v], throttled[v], 4, 6, 60.0)
        new_w = keep_w * _of(rate[v], throttled[v], 5, 6, 60.0)
        usual[v, 0] = usual[v, 0] * stay + new_n * (1 - stay)
        usual[v, 1] = usual[v, 1] * stay + new_w * (1 - stay)
        usual[v, 2] = age


@nb.njit(cache=True, nogil=True)
def _score(
    rate: Floats, throttled: Flags, usual: Floats, back: npt.NDArray[np.int64], flags: Flags,
    mean: float, prior: Floats,
) -> tuple[float, float]:  # fmt: skip
    oldest = usual[:, 2].max()
    rate_n = rate_w = base_n = base_w = 0.0
    for v in range(len(throttled)):
        if not flags[v, 0] or flags[v, 1] or usual[v, 2] < min(_LEAST_AGE, oldest):
            continue
        rate_n += _of(rate[v], throttled[v], 0, 1, 30.0)
        rate_w += _of(rate[v], throttled[v], 2, 3, 10.0)
        base_n += usual[v, 0] * (1.0 if back[v] < 0 else 1 - (1 - 1 / 30) ** (back[v] + 1))
        base_w += usual[v, 1] * (1.0 if back[v] < 0 else 1 - (1 - 1 / 10) ** (back[v] + 1))
    share_n, share_w = _shares(usual, flags)
    weight = prior[3] * max(0.0, 1 - oldest / (7 * DAY))
    if weight:
        base_n = (base_n * oldest + prior[0] / DAY * share_n * weight) / (oldest + weight)
        base_w = (base_w * oldest + prior[1] / DAY * share_w * weight) / (oldest + weight)
    share_n, share_w = max(share_n, LEAST_SHARE), max(share_w, LEAST_SHARE)
    floor_n, floor_w = share_n / 30, share_w * mean / 10
    breadth = np.log((rate_n + floor_n) / (base_n + floor_n))
    worth = np.log((rate_w + floor_w) / (base_w + floor_w)) if floor_w > 0 else 0.0
    return float(0.5 * breadth + 0.5 * worth), float(DAY * base_n / share_n)
