"""Market-wide onset: breadth, or the second largest excess over own thresholds.

Each is fitted to half of the market's budget; the larger excess over both decides.

BTC   ─────[t0 ─────── end]──────────
ETH   ──────────[t0 ──────────]──────   market cascade: t0 of the second, t95 of the last
SOL   ───────────────────────────[─]─   one alone: neither reward nor penalty
"""

from collections.abc import Sequence

import numpy as np

from streams.core.params import MarketParams
from streams.evaluate import breadth_scores
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
) -> tuple[dict[str, Threshold], Weeks, Figures]:
    """Judge both scores; histories by seed, each all assets, and `by_own` by asset.

    Thresholds are by name of the score.
    """

    def both(seed: Sequence[History]) -> tuple[Truth, Floats32, Floats32]:
        views = [seen(market, h, rule, False) for h in seed]
        excess = [
            score.parts[0](view) - np.float32(one.threshold.value)
            for view, one in zip(views, by_own, strict=True)
        ]
        feeds = {market.assets[n].asset: view.feed for n, view in enumerate(views)}
        broad = breadth_scores.of_feeds(feeds, MarketParams(), len(excess[0]))
        return truth([h.truth for h in seed]), second_largest(excess), broad

    known = [both(seed) for seed in calibration]
    series_of = {
        "majors": [(pooled, majors) for pooled, majors, _ in known],
        "breadth": [(pooled, broad) for pooled, _, broad in known],
    }
    made = {
        name: threshold(series, budget / 2, REARM_BELOW, REARM_S)
        for name, series in series_of.items()
    }
    truths, called = [], []
    for n, seed in enumerate(test):
        pooled, majors, broad = both(seed)
        series = np.maximum(
            majors - np.float32(made["majors"].value), broad - np.float32(made["breadth"].value)
        )
        truths.append((n, pooled))
        called.append(alarms(series, 0.0, REARM_BELOW, REARM_S))
    weeks = judge(truths, called)
    return made, weeks, figures(weeks)
