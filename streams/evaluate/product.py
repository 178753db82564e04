"""What the product judges by, for whole histories: Z30, taker flow, and volatility.

    every venue throttled to the latest ──> Z30+flow-vol      flow says how much
    at least one venue complete         ──> Z30-vol
    otherwise                           ──> Z30               Z measures duration there

Equals the choice of detectors/beyond_orders.py where all is told (tests hold the parts together).
"""

from collections.abc import Mapping

import numba as nb
import numpy as np

from schemas.words import FeedClass
from streams.core.detectors.prior import Prior
from streams.core.params import VolatilityParams
from streams.evaluate import scores, venue_scores
from streams.evaluate.scores import Either, Floats32, Shown

_PARAMS = VolatilityParams()


def undertow(
    feed: Shown, taker_usd: Floats32, log_price: Floats32, priors: Mapping[FeedClass, Prior] = {}
) -> Floats32:
    """Return the product's score a second, (T,) nats."""
    plain = venue_scores.z30(feed, (), True, priors=priors).score
    if feed.latest.all():
        plain = plain + scores.FLOW_WEIGHT * scores.flow_excess(feed.at, taker_usd)
    elif feed.throttled.all():
        return np.asarray(plain, np.float32)
    return np.asarray(plain - owed(log_price), np.float32)


def owed(log_price: Either, kind: type[np.floating] = np.float32) -> Either:
    """Return what volatility takes off Z, (T,) nats, as detectors/volatility.py does."""
    minutes = log_price[: len(log_price) // 60 * 60].astype(np.float64).reshape(-1, 60)
    mid = np.log((np.exp(minutes.max(axis=1)) + np.exp(minutes.min(axis=1))) / 2)
    out = np.zeros(len(log_price), kind)
    _owed(
        log_price, mid, _PARAMS.weight, _PARAMS.tau_min, _PARAMS.baseline_min, _PARAMS.limit,
        _PARAMS.min_history_min, out,
    )  # fmt: skip
    return out


@nb.njit(cache=True, nogil=True)
def _owed(
    price: Either, mid: scores.Floats, weight: float, tau: int, baseline: int, limit: float,
    history: int, out: Either,
) -> None:  # fmt: skip
    recent = usual = 0.0
    for k in range(1, len(mid) + 1):
        # Moves up to minute k - 1 are known in minute k.
        if k > 1:
            move = abs(mid[k - 1] - mid[k - 2])
            recent += (move - recent) / min(k - 1, tau)
            move = min(move, 10 * usual + 1e-3)
            usual += (move - usual) / min(k - 1, baseline)
        if k - 1 < history:
            continue
        for t in range(k * 60, min(k * 60 + 60, len(out))):
            now = recent + (abs(price[t] - mid[k - 1]) - recent) / tau
            wild = np.log((now + 1e-6) / (usual + 1e-6))
            out[t] = weight * min(max(wild, -limit), limit)
