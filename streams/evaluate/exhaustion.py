"""Is "exhausted" calibrated? A stated probability of re-ignition against what followed.

The product's own lifecycle (streams.detectors.episode) is stepped through every called
episode. Each time it says exhausted, a probability is stated that of all that was forced
since onset, another fifth will follow within half an hour; logistic in what is known then,
fitted on the calibration seeds. Without it an end is a guess: detection.md section 1 (.165).
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from streams.detectors import episode as life
from streams.evaluate.binomial import clopper_pearson
from streams.evaluate.events import Floats, Ints
from streams.evaluate.protocol import History
from streams.evaluate.scores import Floats32, Shown, second_usd
from streams.params import EpisodeParams, OnsetParams

WITHIN_S = 1800
SHARE = 0.20
LONGEST_S = 6 * 3600
_RIDGE = 1.0
FEATURES = ("intercept", "excess", "largest_excess", "log_age_600_s", "log_waves")


class Ends(NamedTuple):
    """One row each time an episode was called exhausted: FEATURES, and whether it flared up."""

    known: Floats
    again: Floats


def ends(past: History, feed: Shown, score: Floats32, at: float, found: Ints) -> Ends:
    """Step the lifecycle from each alarm in `found` (score `at` or above) to its close."""
    usd = second_usd(feed)
    onset, params = OnsetParams(), EpisodeParams()
    known, again, free = [], [], 0
    for first in found.tolist():
        if first < free:
            continue
        last = min(first + LONGEST_S, len(score) - WITHIN_S - 1)
        span = zip(score[first:last].tolist(), usd[first:last].tolist(), strict=True)
        it, highest = life.Episode(onset=first, tier="cascade", phase="onset"), -math.inf
        for second, (z, worth) in enumerate(span, start=first):
            highest = max(highest, z - at)
            now = life.Second(second, z, at, int(worth > 0), worth, None, None)
            it, phases = life.step(onset, params, it, "long", now)
            if "exhausted" in phases:
                age = max(second - first, 1) / 600
                known.append([1.0, z - at, highest, math.log(age), math.log(it.wave)])
                again.append(_flares_up(past.truth.usd, first, second))
            free = second
            if "closed" in phases:
                break
    return Ends(np.array(known).reshape(-1, len(FEATURES)), np.array(again, np.float64))


def _flares_up(total: Floats, first: int, now: int) -> bool:
    so_far = total[now + 1] - total[max(first - 300, 0)]
    return bool(total[now + 1 + WITHIN_S] - total[now + 1] >= SHARE * so_far)


def fitted(rows: Ends) -> Floats:
    """Return the logistic weights of `rows`, by Newton's steps with a small ridge."""
    weights = np.zeros(len(FEATURES))
    ridge = _RIDGE * np.eye(len(FEATURES))
    ridge[0, 0] = 0
    for _ in range(30):
        p = stated(weights, rows.known)
        slope = rows.known.T @ (rows.again - p) - ridge @ weights
        curve = (rows.known * (p * (1 - p))[:, None]).T @ rows.known + ridge
        weights = weights + np.linalg.solve(curve + 1e-9 * np.eye(len(weights)), slope)
    return weights


def stated(weights: Floats, known: Floats) -> Floats:
    """Return the probability of re-ignition that each row states."""
    return np.asarray(1 / (1 + np.exp(-np.clip(known @ weights, -30, 30))), np.float64)


def joined(rows: Sequence[Ends]) -> Ends:
    """Return the rows of several histories as one."""
    return Ends(np.concatenate([r.known for r in rows]), np.concatenate([r.again for r in rows]))


def bins(likely: Floats, happened: Floats, width: float = 0.1) -> list[dict[str, Any]]:
    """Return mean stated and observed share by bin of what was stated, with its interval."""
    found = []
    number = np.minimum(np.floor(likely / width + 1e-9), round(1 / width) - 1)
    for n in sorted(set(number.tolist())):
        of = number == n
        hits = int(happened[of].sum())
        found.append(
            {"from": round(n * width, 3), "n": int(of.sum()),
             "predicted": float(likely[of].mean()), "observed": hits / int(of.sum()),
             "observed_interval": clopper_pearson(hits, int(of.sum()))}
        )  # fmt: skip
    return found


def report(calibration: Ends, test: Ends) -> dict[str, Any]:
    """Fit on one, state on the other; every figure of exhaustion."""
    weights = fitted(calibration)
    likely = stated(weights, test.known)
    made = bins(likely, test.again)
    base = float(calibration.again.mean())
    return {
        "ends": len(likely),
        "reignited": float(test.again.mean()) if len(likely) else None,
        "weights": dict(zip(FEATURES, weights.tolist(), strict=True)),
        "brier": float(((likely - test.again) ** 2).mean()),
        "brier_base": float(((base - test.again) ** 2).mean()),
        "bins": made,
        "worst_error": max(
            (abs(b["predicted"] - b["observed"]) for b in made if b["n"] >= 50), default=None
        ),
    }
