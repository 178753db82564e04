"""The threshold that meets a budget of false alarms, from history with known truth."""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from streams.evaluate.events import (
    REARM_S,
    WEEKLY,
    Floats32,
    High,
    Truth,
    Watch,
    alarms_of_high,
    false_alarms,
    high,
)

#: Candidates inside the bracket that the interval is read from.
_GRID = 40


class Threshold(msgspec.Struct, frozen=True):
    """A threshold, its 95 % interval over weeks, and the false alarms a week it had there."""

    value: float
    low: float
    high: float
    false_a_week: float


def threshold(
    series: Sequence[tuple[Truth, Floats32]],
    budget: float = 1.0,
    rearm_below: float = 1.4,
    rearm_s: int = REARM_S,
    watch: Watch = WEEKLY,
    seed: int = 1,
) -> Threshold:
    """Return `lowest` with its interval, a bootstrap over weeks."""
    first, last = _bracket(series, watch)
    cut = _cut(series, first - rearm_below)
    value = _lowest(cut, (first, last), budget, rearm_below, rearm_s, watch)
    spread = 0.12 * max(1.0, abs(value))
    grid = np.linspace(max(first, value - spread), min(last, value + spread), _GRID)
    counts = np.stack([_counts(cut, float(h), rearm_below, rearm_s, watch) for h in grid])
    picks = np.random.default_rng(seed).integers(0, counts.shape[1], (500, counts.shape[1]))
    drawn = np.array([grid[_first_within(counts[:, p].mean(axis=1), budget)] for p in picks])
    return Threshold(
        value,
        min(value, float(np.quantile(drawn, 0.025))),
        max(value, float(np.quantile(drawn, 0.975))),
        float(_counts(cut, value, rearm_below, rearm_s, watch).mean()),
    )


def lowest(
    series: Sequence[tuple[Truth, Floats32]],
    budget: float = 1.0,
    rearm_below: float = 1.4,
    rearm_s: int = REARM_S,
    watch: Watch = WEEKLY,
) -> float:
    """Return the lowest threshold with at most `budget` false alarms a week on `series`.

    By bisection on realised false alarms.
    """
    first, last = _bracket(series, watch)
    cut = _cut(series, first - rearm_below)
    return _lowest(cut, (first, last), budget, rearm_below, rearm_s, watch)


Cut = Sequence[tuple[Truth, High]]


def _cut(series: Sequence[tuple[Truth, Floats32]], floor: float) -> Cut:
    # A little lower, for what rounding takes.
    return [(truth, high(score, floor - 1e-3)) for truth, score in series]


def _lowest(
    series: Cut, bracket: tuple[float, float], budget: float, rearm_below: float, rearm_s: int,
    watch: Watch,
) -> float:  # fmt: skip
    first, last = bracket
    for _ in range(16):
        middle = (first + last) / 2
        within = _counts(series, middle, rearm_below, rearm_s, watch).mean() <= budget
        first, last = (first, middle) if within else (middle, last)
    return last


def _counts(
    series: Cut,
    at: float,
    rearm_below: float,
    rearm_s: int,
    watch: Watch,
) -> npt.NDArray[np.float64]:
    return np.concatenate(
        [_weekly(truth, score, at, rearm_below, rearm_s, watch) for truth, score in series]
    )


def _weekly(
    truth: Truth, score: High, at: float, rearm_below: float, rearm_s: int, watch: Watch
) -> npt.NDArray[np.float64]:
    weeks = (score.seconds - watch.skip) // watch.block
    false = false_alarms(truth, alarms_of_high(score, at, rearm_below, rearm_s), watch)
    week = (false - watch.skip) // watch.block
    return np.bincount(week[week < weeks], minlength=weeks).astype(np.float64)


def _bracket(series: Sequence[tuple[Truth, Floats32]], watch: Watch) -> tuple[float, float]:
    """Return scores that are passed often, and hardly ever."""
    sample = np.concatenate([score[watch.skip :: 7] for _, score in series])
    return float(np.quantile(sample, 0.98)), float(max(score.max() for _, score in series)) + 0.01


def _first_within(means: npt.NDArray[np.float64], budget: float) -> int:
    inside = np.flatnonzero(means <= budget)
    return int(inside[0]) if len(inside) else len(means) - 1
