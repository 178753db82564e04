"""The whale test's figures against its bars (detection.md 2.5 and 5.3), each with its interval.

Rates: bootstrap over weeks of a seed, all its assets together. Bins: Clopper-Pearson, as if
inflows were independent. Flags: bootstrap over paths, whose addresses share inflows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streams.core.detectors import whale_evidence
from streams.core.detectors.whale_evidence import Evidence
from streams.core.params import WhaleParams
from streams.evaluate.binomial import clopper_pearson
from streams.evaluate.events import Floats, Ints
from streams.evaluate.whale_paths import Flags, Judged

WEEK_MIN = 7 * 1440
DRAWS = 2_000
INFLOWS, ADDRESSES = 30, 100
Pair = tuple[float, float]


def report(by_seed: Mapping[int, Sequence[Judged]], params: WhaleParams) -> dict[str, Any]:
    """Return every figure, with its 95 % interval under the same name and `_interval`."""
    paths, block = _by_week(by_seed)
    figures = tested(by_seed) | _posterior(paths, block)
    for name, share in (("hoarder", 0.0), ("quarter", 0.25), ("seller", 0.5)):
        figures |= _flags(f"{name}_flag", paths, share, params)
    return figures | _chain(paths, block)


def _by_week(by_seed: Mapping[int, Sequence[Judged]]) -> tuple[list[Judged], Ints]:
    paths = [path for seed in by_seed.values() for path in seed]
    weeks = [
        path.minute // WEEK_MIN + 100 * n
        for n, seed in enumerate(by_seed.values())
        for path in seed
    ]
    return paths, np.concatenate(weeks)


def tested(by_seed: Mapping[int, Sequence[Judged]]) -> dict[str, Any]:
    """Return what the test alone does: false positives and power, with their intervals."""
    paths, block = _by_week(by_seed)
    p, shifted, sells, crowded = (
        _joined(paths, name) for name in ("p", "p_shifted", "sells", "crowded")
    )
    known = ~np.isnan(p)
    figures: dict[str, Any] = {
        "inflows": len(p),
        "not_testable": int((~known).sum()),
        "sellers": int(sells.sum()),
        "base_rate": float(sells.mean()),
        "auc": _auc(p[known & sells], p[known & ~sells]),
        "ks": _from_uniform(shifted[~np.isnan(shifted)]),
    }
    groups = {
        "fpr": (shifted, ~np.isnan(shifted)),
        "null": (p, known & ~sells & ~crowded),
        "crowded_null": (p, known & ~sells & crowded),
        "power": (p, known & sells),
    }
    for name, (values, of) in groups.items():
        if not of.any():
            continue
        for level in (0.05, 0.01):
            hit = values[of] <= level
            figures |= _rate(f"{name}_{round(level * 100):02d}", hit, block[of])
    return figures


def _joined(paths: Sequence[Judged], name: str) -> npt.NDArray[Any]:
    return np.concatenate([getattr(path, name) for path in paths])


def _auc(ones: Floats, others: Floats) -> float:
    """Return P(a seller's p-value is below a hoarder's), ties as half."""
    order = np.sort(others)
    below = np.searchsorted(order, ones, "left") + np.searchsorted(order, ones, "right")
    return float(1 - below.mean() / (2 * len(order)))


def _from_uniform(p: Floats) -> float:
    """Return the largest distance of the p-values' distribution from the uniform one."""
    order, n = np.sort(p), len(p)
    above, below = np.arange(1, n + 1) / n - order, order - np.arange(n) / n
    return float(max(above.max(), below.max())) if n else float("nan")


def _rate(name: str, hit: Flags | Floats, block: Ints) -> dict[str, Any]:
    return {name: float(hit.mean()), f"{name}_interval": _over_weeks(hit, block)}


def _over_weeks(values: Flags | Floats, block: Ints) -> Pair:
    """Return the 95 % interval of a mean by bootstrap over weeks."""
    _, week = np.unique(block, return_inverse=True)
    total, count = np.bincount(week, values), np.bincount(week)
    picks = np.random.default_rng(1).integers(0, len(total), (DRAWS, len(total)))
    means = total[picks].sum(axis=1) / count[picks].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def online(path: Judged) -> Floats:
    """Return the posterior that each finding of a path would carry; NaN where it has none."""
    evidence = Evidence()
    values = [
        None if np.isnan(p) else whale_evidence.learn(evidence, float(p), float(share))
        for p, share in zip(path.p, path.credit, strict=True)
    ]
    return np.array([np.nan if x is None else x for x in values])


def _posterior(paths: Sequence[Judged], block: Ints) -> dict[str, Any]:
    likely = np.concatenate([online(path) for path in paths])
    sells = _joined(paths, "sells")
    known = ~np.isnan(likely)
    likely, sells, block = likely[known], sells[known], block[known]
    base = float(sells.mean())
    loss, base_loss = (likely - sells) ** 2, (base - sells) ** 2
    bins: list[dict[str, Any]] = []
    for low in range(0, 100, 10):
        of = np.minimum(np.floor(likely * 10), 9) == low // 10
        n, hits = int(of.sum()), int(sells[of].sum())
        if n:
            predicted, observed = float(likely[of].mean()), hits / n
            bins.append(
                {"from": low / 100, "n": n, "predicted": predicted, "observed": observed,
                 "observed_interval": clopper_pearson(hits, n)}
            )  # fmt: skip
    large = [abs(b["predicted"] - b["observed"]) for b in bins if b["n"] >= 50]
    return {
        "posterior_inflows": len(likely),
        "posterior_bins": bins,
        "reliability_error": max(large, default=float("nan")),
        "brier": float(loss.mean()),
        "brier_base": float(base_loss.mean()),
        "brier_gain": float((base_loss - loss).mean()),
        "brier_gain_interval": _over_weeks(base_loss - loss, block),
    }


def _flags(name: str, paths: Sequence[Judged], share: float, params: WhaleParams) -> dict[str, Any]:
    """Let addresses of INFLOWS inflows each, in order of time, sell after a `share` of them."""
    rates, when = [], []
    for number, path in enumerate(paths):
        draw = np.random.default_rng([7, number])
        known = ~np.isnan(path.p)
        ones, others = np.flatnonzero(path.sells & known), np.flatnonzero(~path.sells & known)
        sold = round(share * INFLOWS)
        if len(ones) < sold or len(others) < INFLOWS - sold:
            continue
        drawn = [
            _flagged_at(path, draw.choice(ones, sold, False), draw.choice(others, INFLOWS - sold,
                        False), params)
            for _ in range(ADDRESSES)
        ]  # fmt: skip
        rates.append(np.mean([n is not None for n in drawn]))
        when += [n for n in drawn if n is not None]
    picks = np.random.default_rng(1).integers(0, len(rates), (DRAWS, len(rates)))
    low, high = np.quantile(np.array(rates)[picks].mean(axis=1), [0.025, 0.975])
    return {
        name: float(np.mean(rates)),
        f"{name}_interval": (float(low), float(high)),
        f"{name}_median_inflows": float(np.median(when)) if when else None,
    }


def _flagged_at(path: Judged, sold: Ints, kept: Ints, params: WhaleParams) -> int | None:
    """Return at which inflow the product's e-value reaches the flag, or None."""
    evidence = Evidence()
    for n, i in enumerate(np.sort(np.concatenate([sold, kept])), start=1):
        minute = int(path.minute[i])
        span = (minute, minute + 1 + params.window_min)
        whale_evidence.multiply(
            evidence, "it", float(path.p[i]), float(path.credit[i]), span, minute
        )
        if (whale_evidence.e_of(evidence, "it") or 0.0) >= whale_evidence.FLAG_AT:
            return n
    return None


def _chain(paths: Sequence[Judged], block: Ints) -> dict[str, Any]:
    """Inflow, own selling by the test, planted onset; beside the onsets after placebos."""
    p, onset, placebo = (_joined(paths, name) for name in ("p", "onset", "onset_placebo"))
    rates: dict[str, Any] = {}
    for name, of in (("any", ~np.isnan(p)), ("selling", p <= 0.01)):
        if of.any():
            rates |= _rate(f"onset_after_{name}", onset[of], block[of])
            rates |= _rate(f"onset_placebo_{name}", placebo[of], block[of])
            excess = onset[of].astype(float) - placebo[of]
            rates |= _rate(f"onset_excess_{name}", excess, block[of])
    return rates
