"""The comparison of detection.md 8.3.1: thresholds from some seeds, judged on others."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.words import FeedClass
from streams.core.detectors.prior import Prior, PriorParams
from streams.evaluate import product, rival_scores, scores
from streams.evaluate.calibrate import Threshold, lowest, threshold
from streams.evaluate.events import REARM_S, Ints, Truth, Weeks, alarms, judge
from streams.evaluate.scores import Floats32, Shown
from streams.simulate.market import feeds, labels
from streams.simulate.market.feeds import FeedRule, Orders
from streams.simulate.market.params import Market
from streams.simulate.market.state import Tape

#: False alarms a week and asset that thresholds are fitted to: the headline, then the curve.
BUDGET = 1.0
CURVE = (0.25, 0.5, 2.0, 4.0, 7.0)


class History(NamedTuple):
    """One asset of one seed, long side: all true orders, log price and taker USD a second.

    `priors`, by class of feed, are what the product expects of such an asset before it knows it.
    """

    seed: int
    asset: int
    truth: Truth
    orders: Orders
    price: Floats32
    taker: Floats32
    priors: Mapping[FeedClass, Prior] = {}


class Seen(NamedTuple):
    """What a score may read: what the feeds showed, log price and taker USD a second, priors."""

    feed: Shown
    price: Floats32
    taker: Floats32
    priors: Mapping[FeedClass, Prior] = {}


class Score(NamedTuple):
    """One statistic. Several `parts` are joined by the largest excess over own thresholds."""

    parts: tuple[Callable[[Seen], Floats32], ...]
    rearm_below: float = 1.4
    rearm_s: int = REARM_S


class Found(NamedTuple):
    """A score on one asset at one budget: its threshold, and alarms by test history."""

    threshold: Threshold
    at: list[Ints]


def histories(market: Market, tape: Tape, seed: int) -> list[History]:
    """Return what scores may read of a tape; the yardstick of labels is its own median day."""
    histories_of_seed = []
    for asset in range(len(market.assets)):
        usual = labels.median_day(tape.forced[asset, 0])
        episodes = labels.episodes(tape, asset, 0, usual)
        usd = np.concatenate([[0.0], np.cumsum(tape.forced[asset, 0], dtype=np.float64)])
        truth = Truth(
            rows([(e.t0, e.t95, e.end) for e in episodes if e.kind == "cascade"], 3),
            rows([(e.t0, e.end) for e in episodes if e.kind == "grey"], 2),
            usd,
        )
        orders = feeds.draw(market, tape, asset, 0, seed)
        histories_of_seed.append(
            History(
                seed, asset, truth, orders, tape.price[asset].copy(), tape.taker[asset].copy(),
                PriorParams().of(market.assets[asset].asset),
            )
        )  # fmt: skip
    return histories_of_seed


def seen(market: Market, past: History, rule: FeedRule, giants: bool) -> Seen:
    """Return what feeds under `rule` show of a history, with planted giants if asked."""
    orders, seconds = past.orders, len(past.price)
    if giants:
        orders = feeds.with_giants(market, orders, past.asset, seconds, past.seed)
    kept = feeds.shown(orders, rule, past.seed * 16 + past.asset)
    feed = scores.shown(kept.at, kept.venue, kept.usd, rule.coverage, seconds)
    return Seen(feed, past.price, past.taker, past.priors)


def of_asset(
    market: Market,
    calibration: Sequence[History],
    test: Sequence[History],
    rule: FeedRule,
    giants: bool,
    contenders: Mapping[str, Score],
    curve: Sequence[float] = CURVE,
) -> dict[str, dict[float, Found]]:
    """Calibrate each score on one asset's histories; return its alarms on `test` by budget.

    BUDGET's threshold comes with an interval, those of `curve` without.
    """
    known = [(h, seen(market, h, rule, giants)) for h in calibration]
    fresh = [seen(market, h, rule, giants) for h in test]
    by_name: dict[str, dict[float, Found]] = {}
    for name, score in contenders.items():
        limits = _limits(score, known)
        history = [(h.truth, _joined(score, view, limits)) for h, view in known]
        series = [_joined(score, view, limits) for view in fresh]
        at = {BUDGET: threshold(history, BUDGET, score.rearm_below, score.rearm_s)}
        for budget in curve:
            value = lowest(history, budget, score.rearm_below, score.rearm_s)
            at[budget] = Threshold(value, value, value, float("nan"))
        by_name[name] = {
            budget: Found(
                made, [alarms(s, made.value, score.rearm_below, score.rearm_s) for s in series]
            )
            for budget, made in at.items()
        }
    return by_name


def judged(test: Sequence[Sequence[History]], by_asset: Sequence[Found]) -> Weeks:
    """Judge one score's alarms, by asset; `test` the histories of each asset by seed."""
    truths = [(n, h.truth) for asset in test for n, h in enumerate(asset)]
    return judge(truths, [at for asset in by_asset for at in asset.at])


def _limits(score: Score, known: Sequence[tuple[History, Seen]]) -> list[float]:
    if len(score.parts) == 1:
        return [0.0]
    return [
        lowest(
            [(h.truth, part(view)) for h, view in known], BUDGET, score.rearm_below, score.rearm_s
        )
        for part in score.parts
    ]


def _joined(score: Score, view: Seen, limits: Sequence[float]) -> Floats32:
    parts = [part(view) - np.float32(x) for part, x in zip(score.parts, limits, strict=True)]
    return np.asarray(np.maximum.reduce(parts), np.float32)


def rows(tuples: Sequence[tuple[int, ...]], width: int) -> npt.NDArray[np.int64]:
    """Return spans as an array of so many columns, also where there are none."""
    return np.array(tuples, np.int64).reshape(-1, width)


def _half(tau_orders: int, tau_usd: int, which: str, winsor: float) -> Callable[[Seen], Floats32]:
    def part(view: Seen) -> Floats32:
        both = scores.halves(view.feed, tau_orders, tau_usd, winsor)
        return np.asarray(both.orders if which == "orders" else both.usd, np.float32)

    return part


#: The product's own score, which has other names by feed.
PRODUCT = "Undertow"
#: It and its rivals, by the names of detection.md; Z30 exactly as its section 8 writes it.
CONTENDERS: dict[str, Score] = {
    PRODUCT: Score((lambda v: product.undertow(v.feed, v.taker, v.price, v.priors),)),
    "Z30": Score((lambda v: scores.z30(v.feed),), rearm_s=300),
    "Z30+flow": Score((lambda v: scores.z30_flow(v.feed, v.taker),)),
    "MAXC": Score((_half(60, 10, "usd", 50.0), _half(60, 10, "orders", 50.0))),
    "lr10": Score((lambda v: rival_scores.lr10(v.feed),)),
    "z-EWMA": Score((lambda v: rival_scores.z_ewma(v.feed),), 2.0),
    "GLR": Score((lambda v: rival_scores.glr(v.feed),)),
    "Hawkes": Score((lambda v: rival_scores.hawkes(v.feed),)),
    "BOCPD": Score((lambda v: rival_scores.bocpd(v.feed),)),
    "fixed-$": Score((lambda v: rival_scores.fixed_usd(v.feed),)),
}
