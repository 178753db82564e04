"""Some judged cascades as series to draw: the best, the median, the worst, and missed ones."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from streams.evaluate.events import SKIP, WEEK, Floats, Ints, Truth, Weeks
from streams.evaluate.protocol import BUDGET, CONTENDERS, Found, History, seen
from streams.evaluate.scores import Floats32, Shown, second_usd
from streams.simulate.market.feeds import RULES
from streams.simulate.market.params import Market

BEFORE_S, AFTER_S, STEP_S = 900, 1500, 10


class Series(NamedTuple):
    """What is drawn of one asset: price and score a second, the feed, threshold and alarms."""

    price: Floats
    feed: Shown
    score: Floats32
    threshold: float
    alarms: Ints


def drawn(
    market: Market,
    test: Sequence[Sequence[History]],
    scored: Sequence[Mapping[str, Mapping[float, Found]]],
    weeks: Weeks,
    ours: str,
) -> list[dict[str, Any]]:
    """Return up to four cascades of a complete feed, by the damage that was still to come.

    `weeks` judges assets in order and, within each, seeds in order, as `protocol.judged`.
    """
    judged_found = [
        (asset, n, row)
        for asset in range(len(scored))
        for n, seed in enumerate(test)
        for row in _judged_cascades(seed[asset])
    ]
    examples = []
    for what, i in picks(weeks).items():
        asset, n, (t0, t95) = judged_found[i]
        history, made = test[n][asset], scored[asset][ours][BUDGET]
        row = market.assets[asset]
        view = seen(market, history, RULES["full"], False)
        series = Series(
            row.price * np.exp(history.price.astype(np.float64)), view.feed,
            CONTENDERS[ours].parts[0](view), made.threshold.value, made.at[n],
        )  # fmt: skip
        name = {"what": what, "asset": row.asset, "seed": history.seed}
        left = {"left": float(weeks.left[i])}
        examples.append(name | left | window(series, history.truth, t0, t95))
    return examples


def picks(weeks: Weeks) -> dict[str, int]:
    """Return which judged cascades are shown."""
    caught = np.flatnonzero(weeks.caught)
    order = caught[np.argsort(weeks.left[caught], kind="stable")].tolist()
    chosen = {}
    if order:
        chosen = {"best": order[-1], "median": order[len(order) // 2], "worst found": order[0]}
    missed = np.flatnonzero(~weeks.caught)
    if len(missed):
        chosen["missed"] = int(missed[0])
    return chosen


def _judged_cascades(history: History) -> list[tuple[int, int]]:
    weeks = (len(history.price) - SKIP) // WEEK
    return [
        (int(t0), int(t95))
        for t0, t95, _ in history.truth.cascades
        if 0 <= (t0 - SKIP) // WEEK < weeks
    ]


def window(series: Series, truth: Truth, t0: int, t95: int) -> dict[str, Any]:
    """Return a cascade and its surroundings, every tenth second; null: no price was told."""
    first = max(0, t0 - BEFORE_S)
    last = min(series.feed.seconds, t95 + AFTER_S) - STEP_S
    at = np.arange(first, last, STEP_S)
    total = np.concatenate([[0.0], np.cumsum(second_usd(series.feed), dtype=np.float64)])
    alarms = series.alarms[(series.alarms >= first) & (series.alarms < last)]
    price = np.round(series.price[at], 4)
    return {
        "t0": t0,
        "spans": [[int(a), int(b)] for a, b, _ in truth.cascades if first < b and a < last],
        "threshold": series.threshold,
        "alarms": alarms.tolist(),
        "second": at.tolist(),
        "price": None if np.isnan(price).any() else price.tolist(),
        "usd_a_second": np.round((total[at + STEP_S] - total[at]) / STEP_S).tolist(),
        "score": np.round(series.score[at].astype(np.float64), 3).tolist(),
    }
