"""Market-wide onset: the second largest excess over own thresholds, calibrated by itself.

BTC   ─────[t0 ─────── end]──────────
ETH   ──────────[t0 ──────────]──────   market cascade: t0 of the second, t95 of the last
SOL   ───────────────────────────[─]─   one alone: neither reward nor penalty
"""

from collections.abc import Sequence

import numpy as np

from streams.evaluate.calibrate import Threshold, threshold
from streams.evaluate.events import Figures, Truth, Weeks, alarms, figures, judge
from streams.evaluate.protocol import Found, History, Score, rows, seen
from streams.evaluate.scores import Floats32
from streams.simulate.market.feeds import FeedRule
from streams.simulate.market.params import Market

#: Lower than an asset's budget: detection.md 8.3.5 loses no recall at a quarter a week.
BUDGET = 0.5
#: The product ends a market episode 300 s after the score was last above its threshold.
REARM_BELOW, REARM_S = 0.0, 300


def truth(assets: Sequence[Truth]) -> Truth:
    """Pool the assets' truths; cascades of one asset alone, and grey bursts, become grey."""
    spans = sorted(
        (int(t0), int(t95), int(end), n)
        for n, one in enumerate(assets)
        for t0, t95, end in one.cascades
    )
    groups: list[list[tuple[int, int, int, int]]] = []
    for span in spans:
        if groups and span[0] <= max(s[2] for s in groups[-1]):
            groups[-1].append(span)
        else:
            groups.append([span])
    wide, alone = [], []
    for group in groups:
        second = next((s for s in group if s[3] != group[0][3]), None)
        last = max(s[2] for s in group)
        if second is None:
            alone.append((group[0][0], last))
        else:
            wide.append((second[0], max(s[1] for s in group), last))
    grey = [(int(a), int(b)) for one in assets for a, b in one.grey]
    total = np.sum([one.usd for one in assets], axis=0)
    return Truth(rows(wide, 3), rows(sorted(alone + grey), 2), total)


def second_largest(excess: Sequence[Floats32]) -> Floats32:
    """Return the second largest of the assets' excesses in each second."""
    first = second = np.full(len(excess[0]), -np.inf, np.float32)
    for one in excess:
        second = np.maximum(second, np.minimum(first, one))
        first = np.maximum(first, one)
    return second


def evaluate(
    market: Market,
    calibration: Sequence[Sequence[History]],
    test: Sequence[Sequence[History]],
    rule: FeedRule,
    score: Score,
    by_own: Sequence[Found],
    budget: float = BUDGET,
) -> tuple[Threshold, Weeks, Figures]:
    """Judge the pooled score; histories by seed, each all assets, and `by_own` by asset."""

    def pooled(seed: Sequence[History]) -> tuple[Truth, Floats32]:
        excess = [
            score.parts[0](seen(market, h, rule, False)) - np.float32(one.threshold.value)
            for h, one in zip(seed, by_own, strict=True)
        ]
        return truth([h.truth for h in seed]), second_largest(excess)

    made = threshold([pooled(seed) for seed in calibration], budget, REARM_BELOW, REARM_S)
    truths, called = [], []
    for n, seed in enumerate(test):
        pooled_truth, series = pooled(seed)
        truths.append((n, pooled_truth))
        called.append(alarms(series, made.value, REARM_BELOW, REARM_S))
    weeks = judge(truths, called)
    return made, weeks, figures(weeks)
