"""An asset's thresholds moved towards a budget of alarms, by the largest excess of each day.

    second ──> largest excess of the open block ── block over ──> maxima of its class of feed
                                                                      │ 14 or more
    threshold = that of Params + moved <── at most .1 nats a block ── quantile, drawn towards 0

A day without an alarm has the chance e^(-budget / 7), so that quantile of daily maxima is the
threshold that keeps the budget. Nobody labels alarms: true ones use it up as well. Excess is of
the score over the threshold of Params, whichever score decided, so that all move alike.
"""

import math
from typing import NamedTuple

import msgspec

from schemas.words import FeedClass
from streams.core.params import SelfCalibrationParams

WEEK = 7 * 86_400
#: The largest excess of a block in which nothing was forced, nats.
NOTHING = -10.0
#: A block of which less was watched says nothing.
WATCHED = 0.99
#: A smaller move is none, nats.
LEAST_MOVE = 0.005


class Blocks(msgspec.Struct):
    """One asset. `block`: the open one's number, `covered`: watched seconds as it began.

    `mixed`: the class of feed changed in it. `moved`: nats added to thresholds by class of feed.
    """

    block: int = 0
    covered: int = 0
    feed_class: FeedClass | None = None
    mixed: bool = False
    peak: float = NOTHING
    maxima: dict[FeedClass, list[float]] = {}
    moved: dict[FeedClass, float] = {}


class Move(NamedTuple):
    """What was added to a class's threshold, what is now, and from how many blocks."""

    feed_class: FeedClass
    before: float
    after: float
    blocks: int


def note(
    params: SelfCalibrationParams, state: Blocks, at: tuple[int, int], feed_class: FeedClass,
    excess: float,
) -> None:  # fmt: skip
    """Take in a judged second's excess over the threshold of Params.

    `at`: the second, and the watched time up to it.
    """
    if state.feed_class is None:
        state.block, state.covered = at[0] // params.block_s, at[1]
    state.mixed = state.mixed or state.feed_class not in (None, feed_class)
    state.feed_class = feed_class
    state.peak = max(state.peak, excess)


def close(params: SelfCalibrationParams, state: Blocks, second: int, covered: int) -> Move | None:
    """End the open block once it is over, and return the move it leads to, if any.

    Not to be called while an episode is open or a feed is silent: the block then lasts until
    neither is so.
    """
    block, feed_class = second // params.block_s, state.feed_class
    if feed_class is None or block <= state.block:
        return None
    watched = (covered - state.covered) / max(1, second - state.block * params.block_s)
    if watched >= WATCHED and not state.mixed:
        empty = min(block - state.block - 1, params.blocks)
        of_class = state.maxima.get(feed_class, [])
        of_class = [*of_class, round(state.peak, 6), *[NOTHING] * empty]
        state.maxima[feed_class] = of_class[-params.blocks :]
    first = block * params.block_s
    state.block, state.covered, state.peak = block, covered - (second - first), NOTHING
    state.mixed = False
    return _moved(params, state, feed_class)


def _moved(params: SelfCalibrationParams, state: Blocks, feed_class: FeedClass) -> Move | None:
    maxima, before = state.maxima.get(feed_class, []), state.moved.get(feed_class, 0.0)
    if len(maxima) < params.least_blocks:
        return None
    weight = len(maxima) / (len(maxima) + params.weight_blocks)
    target = weight * quantile(maxima, math.exp(-params.budget * params.block_s / WEEK))
    after = before + min(max(target - before, -params.step), params.step)
    after = round(min(max(after, -params.reach), params.reach), 6)
    if abs(after - before) < LEAST_MOVE:
        return None
    state.moved[feed_class] = after
    return Move(feed_class, before, after, len(maxima))


def quantile(maxima: list[float], chance: float) -> float:
    """Return what a maximum stays below with a chance, between its neighbours in order."""
    ranked = sorted(maxima)
    at = min(max(chance * (len(ranked) + 1) - 1, 0.0), len(ranked) - 1.0)
    low = int(at)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (at - low) * (ranked[high] - ranked[low])
