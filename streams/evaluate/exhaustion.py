"""Is "exhausted" calibrated? A stated probability of re-ignition against what followed.

The product's own lifecycle (streams.core.detectors.episode) is stepped through every episode. Each
time it says exhausted, streams.core.detectors.reignition states a probability, here with weights
fitted on the calibration seeds and, beside it, with those that the product ships.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from streams.core.detectors import episode as life
from streams.core.detectors import reignition
from streams.core.detectors.reignition import FEATURES, SHARE, WITHIN_S
from streams.core.params import EpisodeParams, OnsetParams, ReignitionParams
from streams.evaluate.binomial import clopper_pearson
from streams.evaluate.events import SKIP, Floats
from streams.evaluate.protocol import History
from streams.evaluate.scores import Floats32, Shown, second_usd

_RIDGE = 1.0


class Ends(NamedTuple):
    """One row each time an episode was called exhausted: FEATURES, and whether it flared up."""

    known: Floats
    again: Floats


def ends(past: History, feed: Shown, score: Floats32, at: float) -> Ends:
    """Step the lifecycle through a history whose cascade threshold is `at`."""
    usd = second_usd(feed).tolist()
    onset, params = OnsetParams(), EpisodeParams()
    known: list[list[float]] = []
    again: list[bool] = []
    free, last = SKIP, len(score) - WITHIN_S - 1
    for first in np.flatnonzero(score[:last] >= at - onset.watch_below).tolist():
        if first < free:
            continue
        it = life.Episode(onset=first)
        for second in range(first, last):
            free, worth = second + 1, usd[second]
            now = life.Second(second, float(score[second]), at, worth > 0, worth, None, None)
            phases = life.step(onset, params, it, "long", now)
            if "exhausted" in phases:
                known.append(reignition.known(it, now))
                again.append(_flares_up(past.truth.usd, first, second))
            if it.phase == "closed":
                break
    return Ends(np.array(known).reshape(-1, len(FEATURES)), np.array(again, np.float64))


def _flares_up(total: Floats, first: int, now: int) -> bool:
    so_far = total[now + 1] - total[first]
    return bool(total[now + 1 + WITHIN_S] - total[now + 1] >= SHARE * so_far)


def fitted(rows: Ends) -> Floats:
    """Return the logistic weights of `rows`, by Newton's steps with a small ridge."""
    weights = np.zeros(len(FEATURES))
    ridge = _RIDGE * np.eye(len(FEATURES))
    ridge[0, 0] = 0
    for _ in range(30):
        p = stated(weights.tolist(), rows.known)
        slope = rows.known.T @ (rows.again - p) - ridge @ weights
        curve = (rows.known * (p * (1 - p))[:, None]).T @ rows.known + ridge
        weights = weights + np.linalg.solve(curve + 1e-9 * np.eye(len(weights)), slope)
    return weights


def stated(weights: Sequence[float], known: Floats) -> Floats:
    """Return the probability of re-ignition that each row states, as the product does."""
    return np.array([reignition.probability(weights, row) for row in known.tolist()])


def joined(rows: Sequence[Ends]) -> Ends:
    """Return the rows of several histories as one."""
    return Ends(np.concatenate([r.known for r in rows]), np.concatenate([r.again for r in rows]))


def bins(likely: Floats, happened: Floats, width: float = 0.1) -> list[dict[str, Any]]:
    """Return mean stated and observed share by bin of what was stated, with its interval."""
    rows = []
    number = np.minimum(np.floor(likely / width + 1e-9), round(1 / width) - 1)
    for n in sorted(set(number.tolist())):
        of = number == n
        hits = int(happened[of].sum())
        rows.append(
            {"from": round(n * width, 3), "n": int(of.sum()),
             "predicted": float(likely[of].mean()), "observed": hits / int(of.sum()),
             "observed_interval": clopper_pearson(hits, int(of.sum()))}
        )  # fmt: skip
    return rows


def report(calibration: Ends, test: Ends) -> dict[str, Any]:
    """Fit on one, state on the other; every figure of exhaustion."""
    weights = fitted(calibration)
    likely = stated(weights.tolist(), test.known)
    made = bins(likely, test.again)
    base = float(calibration.again.mean())
    return {
        "ends": len(likely),
        "reignited": float(test.again.mean()) if len(likely) else None,
        "weights": dict(zip(FEATURES, weights.tolist(), strict=True)),
        "shipped": _shipped(test),
        "brier": float(((likely - test.again) ** 2).mean()),
        "brier_base": float(((base - test.again) ** 2).mean()),
        "bins": made,
        "worst_error": _worst(made),
    }


def _shipped(test: Ends) -> dict[str, Any]:
    weights = ReignitionParams().weights["full"]
    likely = stated(weights, test.known)
    return {
        "weights": dict(zip(FEATURES, weights, strict=True)),
        "brier": float(((likely - test.again) ** 2).mean()),
        "worst_error": _worst(bins(likely, test.again)),
    }


def _worst(made: list[dict[str, Any]]) -> float | None:
    return max((abs(b["predicted"] - b["observed"]) for b in made if b["n"] >= 50), default=None)
