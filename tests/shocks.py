"""Forced orders of several streams in one shock, for tests: with or without one ahead."""

import numpy as np
from numpy.typing import NDArray

SHARES = (0.45, 0.33, 0.22)
WARM_S = 100
Floats = NDArray[np.float64]


def shock(ahead_s: int = 0) -> Floats:
    """Orders a second: calm, up in 20 s, down over minutes; with its warm-up."""
    since = np.arange(WARM_S + 900) - WARM_S - 300 + ahead_s
    fall = np.where(since > 20, np.exp(-np.maximum(since - 20, 0) / 120), 1.0)
    return np.asarray(0.5 + 15 * np.clip(since / 20, 0, 1) * fall, np.float64)


def exciting(draw: np.random.Generator, rate: Floats, ratio: float) -> Floats:
    """Orders a second where each sets off `ratio` others of its own venue within seconds."""
    born = np.repeat(np.arange(len(rate)), draw.poisson(rate * (1 - ratio))) + 0.5
    every = [born]
    while len(born):
        children = draw.poisson(ratio, len(born))
        born = np.repeat(born, children) + draw.exponential(5.0, children.sum())
        born = born[born < len(rate)]
        every.append(born)
    counts = np.bincount(np.concatenate(every).astype(int), minlength=len(rate))
    return counts[WARM_S:].astype(float)


def venues(draw: np.random.Generator, rates: list[Floats], ratio: float = 0.0) -> Floats:
    return np.stack([exciting(draw, r * s, ratio) for r, s in zip(rates, SHARES, strict=True)])
