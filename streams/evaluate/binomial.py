"""Exact intervals for shares of a count."""

from collections.abc import Callable
from math import lgamma

import numpy as np


def clopper_pearson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a binomial share; by bisection on its tails."""
    half = (1 - level) / 2
    low = 0.0 if hits == 0 else _solve(lambda p: _at_least(hits, n, p) < half)
    high = 1.0 if hits == n else _solve(lambda p: 1 - _at_least(hits + 1, n, p) > half)
    return low, high


def _at_least(hits: int, n: int, p: float) -> float:
    k = np.arange(hits, n + 1)
    ways = lgamma(n + 1) - np.array([lgamma(i + 1) + lgamma(n - i + 1) for i in k.tolist()])
    return float(np.exp(ways + k * np.log(p) + (n - k) * np.log1p(-p)).sum())


def _solve(too_low: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if too_low(middle) else (low, middle)
    return (low + high) / 2
