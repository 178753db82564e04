"""Alarms against truth: event-level figures with week-block intervals (detection.md 2.2-2.4).

        t0-300        t0          t50        t95   end      end+1800
──────────[ found if the first alarm is here  ]──────────────)──── false outside
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numba as nb
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

WEEK = 7 * 86_400
BEFORE = 300
AFTER = 1800
#: As OnsetParams.again_s: then an episode that is still open is called again.
REARM_S = 120
#: Baselines start empty, so alarms and episodes of the first day are not counted.
SKIP = 86_400


class Watch(NamedTuple):
    """From which second on a series is judged, and the length of a block, seconds."""

    skip: int = SKIP
    block: int = WEEK


#: Weeks from the second day on; other cuts are for recordings too short for that.
WEEKLY = Watch()


class Truth(NamedTuple):
    """One asset and side of one seed: what an alarm can be right or wrong about.

    `cascades` (n, 3): t0, t95, end; `grey` (n, 2): t0, end; `usd` (T + 1,) running total of
    what was forced.
    """

    cascades: Ints
    grey: Ints
    usd: Floats


class Weeks(NamedTuple):
    """One detector's record on some (seed, asset) series.

    `false` (blocks,) counted false alarms and `watched` (blocks,) asset-weeks; one row a
    cascade: its `block`, whether `caught`, `delay` (s, NaN if missed), `left` (share of the
    forced USD still to come, 0 if missed). A block is one week of one seed, all assets.
    """

    false: Floats
    watched: Floats
    block: Ints
    caught: npt.NDArray[np.bool_]
    delay: Floats
    left: Floats


class Interval(msgspec.Struct, frozen=True):
    """A figure with its 95 % interval over week blocks."""

    value: float
    low: float
    high: float


class Figures(msgspec.Struct, frozen=True):
    """What a detector did: false alarms an asset-week, shares of cascades, delays (s)."""

    false_a_week: Interval
    recall: Interval
    within_60_s: Interval
    within_120_s: Interval
    rem_usd: Interval
    delay_quartiles: tuple[float, float, float]
    cascades: int
    asset_weeks: float


@nb.njit(cache=True, nogil=True)
def alarms(score: Floats32, at: float, rearm_below: float, rearm_s: int) -> Ints:
    """Return the seconds at which `score` reaches `at`; armed again after `rearm_s` below."""
    seconds = np.empty(len(score) // (rearm_s + 1) + 1, np.int64)
    n, calm, armed = 0, 0, True
    low = at - rearm_below
    for t in range(len(score)):
        if armed:
            if score[t] >= at:
                seconds[n] = t
                n += 1
                armed, calm = False, 0
        elif score[t] < low:
            calm += 1
            if calm >= rearm_s:
                armed = True
        else:
            calm = 0
    return seconds[:n]


class High(NamedTuple):
    """Of a series the seconds, rising, in which it was at `floor` or above, and its values there.

    All that matters to alarms at thresholds from `floor` + `rearm_below` on.
    """

    at: Ints
    score: Floats32
    floor: float
    seconds: int


def high(score: Floats32, floor: float) -> High:
    """Return a series without its calm: alarms at many thresholds cost a tenth then."""
    at = np.flatnonzero(score >= floor)
    return High(at, score[at], floor, len(score))


def alarms_of_high(series: High, at: float, rearm_below: float, rearm_s: int) -> Ints:
    """Return `alarms` of the series that `series` was taken from."""
    if at - rearm_below < series.floor:
        raise ValueError("the series was cut above where alarms are armed again")
    return _alarms_of_high(series.at, series.score, at, at - rearm_below, rearm_s)


@nb.njit(cache=True, nogil=True)
def _alarms_of_high(second: Ints, score: Floats32, at: float, low: float, rearm_s: int) -> Ints:
    seconds = np.empty(len(score), np.int64)
    n, calm, armed, before, rearm_s = 0, 0, True, -1, max(rearm_s, 1)
    for i in range(len(score)):
        if not armed:
            calm += second[i] - before - 1
            armed = calm >= rearm_s
        before = second[i]
        if armed:
            if score[i] >= at:
                seconds[n] = second[i]
                n += 1
                armed, calm = False, 0
        elif score[i] < low:
            calm += 1
            armed = calm >= rearm_s
        else:
            calm = 0
    return seconds[:n].copy()


def false_alarms(truth: Truth, at: Ints, watch: Watch = WEEKLY) -> Ints:
    """Return the alarms that belong to no cascade and no grey episode."""
    at = at[at >= watch.skip]
    excused = np.zeros(len(at), np.bool_)
    spans = [truth.cascades[:, [0, 2]], truth.grey]
    for first, last in np.concatenate(spans) if len(truth.cascades) else truth.grey:
        excused |= (at >= first - BEFORE) & (at <= last + AFTER)
    return at[~excused]


def judge(
    truths: Sequence[tuple[int, Truth]], called: Sequence[Ints], watch: Watch = WEEKLY
) -> Weeks:
    """Judge alarms, one array for each (seed index, truth); all series are equally long."""
    weeks = (len(truths[0][1].usd) - 1 - watch.skip) // watch.block
    blocks = weeks * (1 + max(seed for seed, _ in truths))
    false, watched = np.zeros(blocks), np.zeros(blocks)
    rows: list[tuple[int, bool, float, float]] = []
    for (seed, truth), at in zip(truths, called, strict=True):
        watched[seed * weeks : (seed + 1) * weeks] += watch.block / WEEK
        week = (false_alarms(truth, at, watch) - watch.skip) // watch.block
        np.add.at(false, seed * weeks + week[week < weeks], 1)
        for t0, t95, _ in truth.cascades:
            block = (t0 - watch.skip) // watch.block
            if 0 <= block < weeks:
                rows.append((seed * weeks + block, *outcome(truth, at, t0, t95)))
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    return Weeks(
        false, watched, np.array(columns[0], np.int64), np.array(columns[1], np.bool_),
        np.array(columns[2], np.float64), np.array(columns[3], np.float64),
    )  # fmt: skip


def outcome(truth: Truth, at: Ints, t0: int, t95: int) -> tuple[bool, float, float]:
    """Return of one cascade whether it was caught, the delay (s), and the share of damage left."""
    i = int(np.searchsorted(at, t0 - BEFORE))
    if i == len(at) or at[i] > t95:
        return False, float("nan"), 0.0
    whole = truth.usd[t95 + 1] - truth.usd[t0]
    left = truth.usd[t95 + 1] - truth.usd[max(int(at[i]) + 1, t0)]
    return True, float(at[i] - t0), float(left / whole)


def figures(weeks: Weeks, seed: int = 1, draws: int = 2000) -> Figures:
    """Summarise, with percentile intervals of a bootstrap over week blocks.

    Without a cascade only the false alarms are a number.
    """
    picks = _picks(len(weeks.false), seed, draws)
    false_a_week = weeks.false[picks].sum(1) / weeks.watched[picks].sum(1)
    hit = np.nan_to_num(weeks.delay, nan=np.inf)

    def share(values: npt.NDArray[np.bool_] | Floats) -> Interval:
        if not len(values):
            return Interval(float("nan"), float("nan"), float("nan"))
        return _interval(float(values.mean()), _means(weeks.block, values, picks))

    known = hit if len(hit) else np.array([np.nan])
    quartiles = np.quantile(known, [0.25, 0.5, 0.75], method="nearest")
    return Figures(
        false_a_week=_interval(float(weeks.false.sum() / weeks.watched.sum()), false_a_week),
        recall=share(weeks.caught),
        within_60_s=share(hit <= 60),
        within_120_s=share(hit <= 120),
        rem_usd=share(weeks.left),
        delay_quartiles=(float(quartiles[0]), float(quartiles[1]), float(quartiles[2])),
        cascades=len(hit),
        asset_weeks=float(weeks.watched.sum()),
    )


def difference(
    one: Weeks,
    other: Weeks,
    of: Callable[[Weeks], npt.NDArray[np.bool_] | Floats],
    seed: int = 1,
    draws: int = 2000,
) -> Interval:
    """Return mean(of(one)) - mean(of(other)) over the same cascades, paired by week block."""
    gain = np.asarray(of(one), np.float64) - np.asarray(of(other), np.float64)
    picks = _picks(len(one.false), seed, draws)
    return _interval(float(gain.mean()), _means(one.block, gain, picks))


def _picks(blocks: int, seed: int, draws: int) -> Ints:
    return np.random.default_rng(seed).integers(0, blocks, (draws, blocks))


def _means(block: Ints, values: npt.NDArray[np.bool_] | Floats, picks: Ints) -> Floats:
    """Return the mean of `values` in each draw of blocks."""
    blocks = picks.shape[1]
    total = np.bincount(block, values, blocks)[picks].sum(1)
    count = np.bincount(block, minlength=blocks)[picks].sum(1)
    means: Floats = total / np.maximum(count, 1)
    return means


def _interval(value: float, draws: Floats) -> Interval:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(value, float(low), float(high))
