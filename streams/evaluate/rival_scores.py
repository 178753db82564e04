"""What else calls an onset: scores of whole histories in the form of `scores`, for comparison.

Sources: detection.md, sections 0, 1, 4.1 and 8.2.
"""

import math

import numba as nb
import numpy as np

from streams.evaluate.scores import Floats, Floats32, Ints, Shown, second_counts, second_usd


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
