"""Market-wide onset: breadth, or the second largest excess over own thresholds.

Each is fitted to half of the market's budget; the larger excess over both decides. Its rival is
a plain rule, dollars of five minutes over all assets, fitted to the whole of it.

BTC   ─────[t0 ─────── end]──────────
ETH   ──────────[t0 ──────────]──────   market cascade: t0 of the second, t95 of the last
SOL   ───────────────────────────[─]─   one alone: neither reward nor penalty
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from streams.core.params import MarketParams
from streams.evaluate import breadth_scores
from streams.evaluate.calibrate import Threshold, threshold
from streams.evaluate.events import Figures, Floats, Truth, alarms, figures, judge
from streams.evaluate.protocol import Found, History, Score, rows, seen
from streams.evaluate.scores import Floats32, second_usd
from streams.simulate.market.feeds import FeedRule
from streams.simulate.market.params import Market

#: Lower than an asset's budget: detection.md 8.3.5 loses no recall at a quarter a week.
BUDGET = 0.5
#: The product ends a market episode 300 s after the score was last above its threshold.
REARM_BELOW, REARM_S = 0.0, 300


class Scored(NamedTuple):
    """One seed: its pooled truth, both scores a second, and the rival's, ln USD."""

    truth: Truth
    majors: Floats32
    breadth: Floats32
    dollars: Floats32


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
) -> tuple[dict[str, Threshold], Figures, Figures]:
    """Judge both scores, and the rival; histories by seed, each all assets, `by_own` by asset.

    Thresholds are by name of the score.
    """

    def scored(seed: Sequence[History]) -> Scored:
        views = [seen(market, h, rule, False) for h in seed]
        excess = [
            score.parts[0](view) - np.float32(one.threshold.value)
            for view, one in zip(views, by_own, strict=True)
        ]
        feeds = {market.assets[n].asset: view.feed for n, view in enumerate(views)}
        broad = breadth_scores.of_feeds(feeds, MarketParams(), len(excess[0]))
        pooled = np.stack([second_usd(view.feed) for view in views]).sum(axis=0, dtype=np.float64)
        return Scored(
            truth([h.truth for h in seed]), second_largest(excess), broad, five_minutes(pooled)
        )

    known = [scored(seed) for seed in calibration]
    made = {
        "majors": _fitted(known, lambda s: s.majors, budget / 2),
        "breadth": _fitted(known, lambda s: s.breadth, budget / 2),
        "pooled dollars": _fitted(known, lambda s: s.dollars, budget),
    }
    truths, called, rival = [], [], []
    for n, one in enumerate(map(scored, test)):
        series = np.maximum(
            one.majors - np.float32(made["majors"].value),
            one.breadth - np.float32(made["breadth"].value),
        )
        truths.append((n, one.truth))
        called.append(alarms(series, 0.0, REARM_BELOW, REARM_S))
        rival.append(alarms(one.dollars, made["pooled dollars"].value, REARM_BELOW, REARM_S))
    return made, figures(judge(truths, called)), figures(judge(truths, rival))


def five_minutes(usd: Floats) -> Floats32:
    """Return ln(1 + USD of the last five minutes) in each second, of USD a second."""
    total = np.concatenate([np.zeros(300), np.cumsum(usd)])
    return np.asarray(np.log1p(np.maximum(total[300:] - total[:-300], 0.0)), np.float32)


def _fitted(
    known: Sequence[Scored], series: Callable[[Scored], Floats32], budget: float
) -> Threshold:
    return threshold([(one.truth, series(one)) for one in known], budget, REARM_BELOW, REARM_S)
