"""Some judged cascades as series to draw: the best, the median, the worst, and missed ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streams.evaluate.events import SKIP, WEEK, Weeks
from streams.evaluate.protocol import BUDGET, CONTENDERS, Found, History, seen
from streams.evaluate.scores import second_usd
from streams.simulate.market.feeds import RULES
from streams.simulate.market.params import Market

BEFORE_S, AFTER_S, STEP_S = 900, 1500, 10


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
    told = [
        (asset, n, row)
        for asset in range(len(scored))
        for n, seed in enumerate(test)
        for row in _judged_cascades(seed[asset])
    ]
    caught = np.flatnonzero(weeks.found)
    order = caught[np.argsort(weeks.left[caught], kind="stable")]
    if not len(order):
        return []
    picks = {"best": order[-1], "median": order[len(order) // 2], "worst found": order[0]}
    missed = np.flatnonzero(~weeks.found)
    if len(missed):
        picks["missed"] = missed[0]
    return [
        {"what": what} | _one(market, test, scored, told[i], float(weeks.left[i]), ours)
        for what, i in picks.items()
    ]


def _judged_cascades(history: History) -> list[tuple[int, int, int]]:
    weeks = (len(history.price) - SKIP) // WEEK
    return [
        (int(t0), int(t95), int(end))
        for t0, t95, end in history.truth.cascades
        if 0 <= (t0 - SKIP) // WEEK < weeks
    ]


def _one(
    market: Market,
    test: Sequence[Sequence[History]],
    scored: Sequence[Mapping[str, Mapping[float, Found]]],
    which: tuple[int, int, tuple[int, int, int]],
    left: float,
    ours: str,
) -> dict[str, Any]:
    asset, n, (t0, t95, _) = which
    history, found = test[n][asset], scored[asset][ours][BUDGET]
    view = seen(market, history, RULES["full"], False)
    first = max(0, t0 - BEFORE_S)
    last = min(len(history.price), t95 + AFTER_S) - STEP_S
    at = np.arange(first, last, STEP_S)
    total = np.concatenate([[0.0], np.cumsum(second_usd(view.feed), dtype=np.float64)])
    score = CONTENDERS[ours].parts[0](view)
    price = market.assets[asset].price * np.exp(history.price[at].astype(np.float64))
    alarms = found.at[n]
    return {
        "asset": market.assets[asset].asset, "seed": history.seed, "left": left,
        "t0": t0,
        "spans": [[int(a), int(b)] for a, b, _ in history.truth.cascades if first < b and a < last],
        "threshold": found.threshold.value,
        "alarms": alarms[(alarms >= first) & (alarms < last)].tolist(),
        "second": at.tolist(),
        "price": np.round(price, 4).tolist(),
        "usd_a_second": np.round((total[at + STEP_S] - total[at]) / STEP_S).tolist(),
        "score": np.round(score[at].astype(np.float64), 3).tolist(),
    }  # fmt: skip
