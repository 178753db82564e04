"""Onset scores of whole histories: one value a second for one asset and position side.

Input is a `Shown` feed in time order; output float32 (T,). Z30 equals
streams/core/detectors/log_rate.py stepped second by second (a test holds them together); the
rest are its rivals. Sources: detection.md, sections 1, 4.1, 8.1 and 8.2.
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


def lr10(feed: Shown) -> Floats32:
    """Return the order log-rate over a 24 h baseline that Z30 replaced (section 0)."""
    return np.asarray(_lr(second_counts(feed), 10.0, 86_400.0), np.float32)


@nb.njit(cache=True, nogil=True)
def _lr(n: Floats32, tau: float, baseline: float) -> Floats32:
    out = np.empty(len(n), np.float32)
    fast = mu = 0.0
    for t in range(len(n)):
        fast += (n[t] - fast) / tau
        mu += (min(n[t], 5 * mu + 3) - mu) / min(t + 1.0, baseline)
        out[t] = np.log((fast + 0.1) / (mu + 0.1))
    return out


def z_ewma(feed: Shown) -> Floats32:
    """Return the z-score of log USD (30 s) against its 24 h mean and spread (section 1).

    The spread is at least half a nat: where most minutes are empty it would die out.
    """
    usd = second_usd(feed)
    unit = float(feed.usd.mean()) / 30 if len(feed.usd) else 1.0
    return np.asarray(_z_ewma(usd, unit), np.float32)


@nb.njit(cache=True, nogil=True)
def _z_ewma(usd: Floats32, unit: float) -> Floats32:
    out = np.empty(len(usd), np.float32)
    fast = mean = 0.0
    spread = 1.0
    for t in range(len(usd)):
        fast += (usd[t] - fast) / 30
        x = np.log(1 + fast / unit)
        s = np.sqrt(max(spread, 0.25))
        d = min(max(x - mean, -3 * s), 3 * s)
        out[t] = (x - mean) / s
        gain = 1 / min(t + 1.0, 86_400.0)
        mean += d * gain
        spread += (d * d - spread) * gain
    return out


def glr(feed: Shown) -> Floats32:
    """Return ln(1 + max over windows of the Poisson likelihood ratio) (section 1)."""
    return np.asarray(_glr(second_counts(feed), np.array([5, 15, 60, 300, 900])), np.float32)


@nb.njit(cache=True, nogil=True)
def _glr(n: Floats32, windows: Ints) -> Floats32:
    out = np.empty(len(n), np.float32)
    total = np.zeros(len(windows))
    mu = 0.0
    for t in range(len(n)):
        mu += (min(n[t], 5 * mu + 3) - mu) / min(t + 1.0, 86_400.0)
        best = 0.0
        for j in range(len(windows)):
            total[j] += n[t] - (n[t - windows[j]] if t >= windows[j] else 0)
            usual = max(mu, 1e-6) * windows[j]
            if total[j] > usual:
                best = max(best, total[j] * np.log(total[j] / usual) - total[j] + usual)
        out[t] = np.log(1 + best)
    return out


def hawkes(feed: Shown) -> Floats32:
    """Return the log intensity of an exponential Hawkes process (5 and 40 s) over its base."""
    return np.asarray(_hawkes(second_counts(feed)), np.float32)


@nb.njit(cache=True, nogil=True)
def _hawkes(n: Floats32) -> Floats32:
    out = np.empty(len(n), np.float32)
    quick = slow = mu = 0.0
    for t in range(len(n)):
        quick = quick * np.exp(-1 / 5) + n[t]
        slow = slow * np.exp(-1 / 40) + n[t]
        mu += (min(n[t], 5 * mu + 3) - mu) / min(t + 1.0, 86_400.0)
        level = 0.1 * mu + 0.45 * (quick / 5 + slow / 40)
        out[t] = np.log((level + 0.1) / (mu + 0.1))
    return out


def bocpd(feed: Shown) -> Floats32:
    """Return the log run-length-averaged rate of Bayesian change-point detection (section 1).

    5 s bins, hazard 1/1440, Gamma-Poisson predictive; at most 60 run lengths are kept (120
    gave the same alarms).
    """
    counts = second_counts(feed)
    bins = counts[: len(counts) // 5 * 5].reshape(-1, 5).sum(axis=1)
    level = _bocpd(bins, 60, 1 / 1440)
    out = np.full(feed.seconds, level[0] if len(level) else 0.0, np.float32)
    # A bin is known when it has ended.
    out[4 : 4 + 5 * len(level)] = np.repeat(level, 5)[: len(out) - 4]
    return out


@nb.njit(cache=True, nogil=True)
def _bocpd(n: Floats32, most: int, hazard: float) -> Floats32:
    out = np.empty(len(n), np.float32)
    weight, shape, rate = np.zeros(most + 1), np.zeros(most + 1), np.zeros(most + 1)
    like = np.zeros(most + 1)
    weight[0], used, mu = 1.0, 1, 0.05
    shape[0], rate[0] = 0.5, 0.5 / mu
    for t in range(len(n)):
        total = born = 0.0
        _predicted(n[t], weight[:used], shape, rate, like)
        for j in range(used):
            mass = weight[j] * like[j]
            born += mass * hazard
            weight[j] = mass * (1 - hazard)
            total += mass
        if used > most:
            least = np.argmin(weight[:used])
            used -= 1
            weight[least], shape[least], rate[least] = weight[used], shape[used], rate[used]
        level = 0.0
        for j in range(used):
            weight[j] /= total
            shape[j] += n[t]
            rate[j] += 1
            level += weight[j] * shape[j] / rate[j]
        weight[used], shape[used], rate[used] = born / total, 0.5, 0.5 / mu
        level += weight[used] * mu
        used += 1
        mu += (min(n[t], 5 * mu + 3) - mu) / min(t + 1.0, 17_280.0)
        mu = max(mu, 1e-3)
        out[t] = np.log((level + 0.5) / (mu + 0.5))
    return out


@nb.njit(cache=True, nogil=True)
def _predicted(x: float, weight: Floats, shape: Floats, rate: Floats, out: Floats) -> None:
    """Give each run length's negative binomial probability of x, up to a common factor.

    The factor makes the best one 1 where x is large: all would be 0 in a flood otherwise.
    """
    best = -np.inf
    for j in range(len(weight)):
        a, b = shape[j], rate[j]
        if x > 12:
            out[j] = (
                _lgamma(a + x) - _lgamma(a) - _lgamma(x + 1)
                + a * math.log(b / (b + 1)) - x * math.log(b + 1)
            )  # fmt: skip
            if weight[j] > 0:
                best = max(best, out[j])
        else:
            out[j] = math.exp(a * math.log(b / (b + 1)))
            for i in range(int(x)):
                out[j] *= (a + i) / ((i + 1) * (b + 1))
    if x > 12:
        for j in range(len(weight)):
            out[j] = math.exp(min(out[j] - best, 0.0))


@nb.njit(cache=True, nogil=True)
def _lgamma(x: float) -> float:
    """Stirling's series, shifted above 7: error below 1e-8, several times faster than libm."""
    shift = 0.0
    if x < 7:
        product = 1.0
        while x < 7:
            product *= x
            x += 1
        shift = math.log(product)
    y = 1 / (x * x)
    return (
        (x - 0.5) * math.log(x) - x + 0.9189385332046727
        + (1 / 12 - y * (1 / 360 - y / 1260)) / x - shift
    )  # fmt: skip


def fixed_usd(feed: Shown, window_s: int = 300) -> Floats32:
    """Return ln(1 + USD of the last `window_s`): the rule "more than $X in Y minutes"."""
    total = np.cumsum(second_usd(feed), dtype=np.float64)
    total[window_s:] -= total[:-window_s].copy()
    return np.log1p(np.maximum(total, 0)).astype(np.float32)
