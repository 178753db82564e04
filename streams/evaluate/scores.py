"""Onset scores of whole histories: one value a second for one asset and position side.

Input is a `Shown` feed in time order; output float32 (T,). Z30 equals
streams/core/detectors/log_rate.py stepped second by second (a test holds them together); its
rivals are in `rival_scores`. Sources: detection.md, sections 1, 8.1 and 8.2.
"""

import math
from typing import NamedTuple

import numba as nb
import numpy as np
import numpy.typing as npt

from schemas.words import THROTTLED, Coverage

Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.int8]
Flags = npt.NDArray[np.bool_]
#: float32, or float64 where a test asks for every digit.
Either = npt.NDArray[np.floating]

DAY = 86_400
#: How much the taker term of `z30_flow` counts; chosen on development seeds alone.
FLOW_WEIGHT = 2.0
_NONE: Flags = np.zeros(0, np.bool_)


class Shown(NamedTuple):
    """What the feeds showed: by order, the second, venue index and USD; and the length T.

    Sorted by second, venue, USD, so that no arrival order can matter. `batched`: orders of rows
    that stand for several, which were collected since the venue's row before; empty: none.
    """

    at: Ints
    venue: Bytes
    usd: Floats
    throttled: Flags
    latest: Flags
    seconds: int
    batched: Flags = _NONE


class Halves(NamedTuple):
    """The two log-rates that Z averages, (T,) nats, float32 unless asked otherwise.

    `usual`: what they were compared with, orders a second.
    """

    orders: Either
    usd: Either
    usual: Either


def shown(
    at: Ints,
    venue: npt.NDArray[np.int8],
    usd: Floats,
    coverage: tuple[Coverage, ...],
    seconds: int,
    batched: Flags = _NONE,
) -> Shown:
    """Return orders in the form and order the scores take."""
    order = np.lexsort((usd, venue, at))
    throttled = np.array([c in THROTTLED for c in coverage])
    latest = np.array([c == "latest_per_second" for c in coverage])
    rows = batched[order] if batched.any() else _NONE
    return Shown(at[order], venue[order], usd[order], throttled, latest, seconds, rows)


def halves(
    feed: Shown,
    tau_orders: int,
    tau_usd: int,
    winsor: float = 50.0,
    baseline_s: int = 7 * DAY,
    kind: type[np.floating] = np.float32,
) -> Halves:
    """Return the corrected log-rates of orders and of USD winsorised at `winsor` mean orders."""
    orders, usd, usual = (np.empty(feed.seconds, kind) for _ in range(3))
    _halves(
        feed.at, feed.venue, feed.usd, feed.throttled, feed.batched, float(tau_orders),
        float(tau_usd), winsor, float(baseline_s), orders, usd, usual,
    )  # fmt: skip
    return Halves(orders, usd, usual)


def z30(feed: Shown) -> Floats32:
    """Return Z30 of detection.md 8.1."""
    return mean_of(halves(feed, 30, 10))


def mean_of(both: Halves) -> Floats32:
    """Return the mean of two halves."""
    return np.asarray((both.orders + both.usd) / 2, np.float32)


@nb.njit(cache=True, nogil=True)
def k_of(b: float, tau: float) -> float:
    b = min(b, 1.0 - 0.5 / tau)
    return -math.log1p(-b) / b if b > 1e-9 else 1.0


@nb.njit(cache=True, nogil=True)
def _halves(
    at: Ints, venue: Bytes, usd: Floats, throttled: Flags, batched: Flags, tau_n: float,
    tau_w: float, winsor: float, baseline: float, out_n: Either, out_w: Either,
    out_usual: Either,
) -> None:  # fmt: skip
    # The second of a venue's row before; -1: there was none.
    before = np.full(len(throttled), -1)
    # Rows by venue: orders, their active share; USD, its active share; the same at 60 s.
    rate = np.zeros((len(throttled), 7))
    fade_n, fade_w, fade = 1 - 1 / tau_n, 1 - 1 / tau_w, 1 - 1 / 60
    keep = np.array([fade_n, fade_n, fade_w, fade_w, fade, fade, fade])
    mean = mu_n = mu_w = 0.0
    seen, i, floor = 0, 0, 1 / tau_n
    for t in range(len(out_n)):
        rate *= keep
        cap = winsor * mean
        while i < len(at) and at[i] == t:
            v = venue[i]
            total, count, many = 0.0, 0, False
            while i < len(at) and at[i] == t and venue[i] == v:
                each = min(usd[i], cap) if cap > 0 else usd[i]
                total += each
                count += 1
                seen += 1
                mean += (each - mean) / min(seen, 5000)
                many = many or (len(batched) > 0 and batched[i])
                i += 1
            idle, before[v] = (t - before[v] if before[v] >= 0 else 0), t
            if many and throttled[v]:
                over = max(idle, 1) if idle else count
                _spread(rate, v, count, total, over, tau_n, tau_w)
                continue
            rate[v, 0] += count / tau_n
            rate[v, 1] += 1 / tau_n
            rate[v, 2] += total / tau_w
            rate[v, 3] += 1 / tau_w
            rate[v, 4] += count / 60
            rate[v, 5] += total / 60
            rate[v, 6] += 1 / 60
        n = w = n60 = w60 = 0.0
        for v in range(len(throttled)):
            if throttled[v]:
                k60 = k_of(rate[v, 6], 60.0)
                n += rate[v, 0] * k_of(rate[v, 1], tau_n)
                w += rate[v, 2] * k_of(rate[v, 3], tau_w)
                n60, w60 = n60 + rate[v, 4] * k60, w60 + rate[v, 5] * k60
            else:
                n, w = n + rate[v, 0], w + rate[v, 2]
                n60, w60 = n60 + rate[v, 4], w60 + rate[v, 5]
        age = t + 1
        stay = t / age if age < baseline else np.exp(-1 / baseline)
        mu_n = mu_n * stay + min(n60, 8 * mu_n + 4 / 60) * (1 - stay)
        mu_w = mu_w * stay + min(w60, 8 * mu_w + 4 * mean / 60) * (1 - stay)
        out_usual[t] = mu_n
        out_n[t] = np.log((n + floor) / (mu_n + floor))
        low = mean / tau_w
        out_w[t] = np.log((w + low) / (mu_w + low)) if low > 0 else 0.0


@nb.njit(cache=True, nogil=True)
def _spread(
    rate: Floats, v: int, count: int, total: float, over: int, tau_n: float, tau_w: float
) -> None:
    """Add a row of `count` orders that came evenly over the last `over` seconds."""
    active = min(count, over)
    gain_n = (1 - (1 - 1 / tau_n) ** over) / over
    gain_w = (1 - (1 - 1 / tau_w) ** over) / over
    gain = (1 - (1 - 1 / 60) ** over) / over
    rate[v, 0] += count * gain_n
    rate[v, 1] += active * gain_n
    rate[v, 2] += total * gain_w
    rate[v, 3] += active * gain_w
    rate[v, 4] += count * gain
    rate[v, 5] += total * gain
    rate[v, 6] += active * gain


def z30_flow(feed: Shown, taker_usd: Floats32, weight: float = FLOW_WEIGHT) -> Floats32:
    """Return Z30 plus what net taker selling adds where every venue shows the latest order.

    Z + weight * b30^2 * ln(1 + max(F, 0) / s): F net taker USD sold a second (30 s), s its
    usual size (7 d), b30 the share of active seconds. Above some four orders a second a
    such feed only says "yes"; the tape, which is not throttled, says how much. The largest
    order of a second says it too, and better: there, as on other feeds, this is Z30.
    `taker_usd` is signed, bought less sold, over all venues.
    """
    plain = z30(feed)
    if not feed.latest.all():
        return plain
    added = flow_excess(feed.at, taker_usd)
    return np.asarray(plain + np.float32(weight) * added, np.float32)


@nb.njit(cache=True, nogil=True)
def flow_excess(
    at: Ints, taker: Floats32, tau: float = 30.0, baseline: float = 7.0 * DAY
) -> Floats32:
    """Return b30^2 * ln(1 + max(F, 0) / s), (T,), of `z30_flow`."""
    out = np.empty(len(taker), np.float32)
    sold = usual = active = 0.0
    i = 0
    for t in range(len(taker)):
        seen = 0.0
        while i < len(at) and at[i] == t:
            seen = 1.0
            i += 1
        active += (seen - active) / tau
        sold += (-taker[t] - sold) / tau
        size = abs(sold)
        if t > 600:
            size = min(size, 5 * usual + 1000.0)
        usual += (size - usual) / min(t + 1.0, baseline)
        out[t] = active * active * np.log(1 + max(sold, 0.0) / (usual + 1.0))
    return out


def second_counts(feed: Shown) -> Floats32:
    """Return orders a second, (T,)."""
    return np.bincount(feed.at, minlength=feed.seconds).astype(np.float32)


def second_usd(feed: Shown) -> Floats32:
    """Return USD a second, (T,)."""
    return np.bincount(feed.at, feed.usd, feed.seconds).astype(np.float32)
