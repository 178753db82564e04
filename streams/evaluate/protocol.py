"""The comparison of detection.md 8.3.1: thresholds from some seeds, judged on others."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from streams.evaluate import scores
from streams.evaluate.calibrate import Threshold, threshold
from streams.evaluate.events import Truth, Weeks, alarms, judge
from streams.evaluate.scores import Floats32, Shown
from streams.simulate.market import core, feeds, labels
from streams.simulate.market.feeds import FeedRule, Orders
from streams.simulate.market.params import Market


class History(NamedTuple):
    """One asset of one seed, long side: all true orders, log price and taker USD a second."""

    seed: int
    asset: int
    truth: Truth
    orders: Orders
    price: Floats32
    taker: Floats32


class Seen(NamedTuple):
    """What a score may read: what the feeds showed, log price and taker USD a second."""

    feed: Shown
    price: Floats32
    taker: Floats32


class Score(NamedTuple):
    """One statistic. Several `parts` are joined by the largest excess over own thresholds."""

    parts: tuple[Callable[[Seen], Floats32], ...]
    rearm_below: float = 1.4


class Verdict(msgspec.Struct, frozen=True):
    """A score's thresholds by asset, and its record on the test seeds."""

    thresholds: tuple[Threshold, ...]
    weeks: Weeks


def histories(market: Market, seed: int, days: int) -> list[History]:
    """Simulate one seed; the yardstick of labels is the seed's own median day."""
    tape = core.run(market, seed, days)
    found = []
    for asset in range(len(market.assets)):
        usual = labels.median_day(tape.forced[asset, 0])
        told = labels.episodes(tape, asset, 0, usual)
        usd = np.concatenate([[0.0], np.cumsum(tape.forced[asset, 0], dtype=np.float64)])
        truth = Truth(
            _rows([(e.t0, e.t95, e.end) for e in told if e.kind == "cascade"], 3),
            _rows([(e.t0, e.end) for e in told if e.kind == "grey"], 2),
            usd,
        )
        orders = feeds.draw(market, tape, asset, 0, seed)
        found.append(
            History(seed, asset, truth, orders, tape.price[asset].copy(), tape.taker[asset].copy())
        )
    return found


def seen(market: Market, past: History, rule: FeedRule, giants: bool) -> Seen:
    """Return what feeds under `rule` show of a history, with planted giants if asked."""
    orders, seconds = past.orders, len(past.price)
    if giants:
        orders = feeds.with_giants(market, orders, past.asset, seconds, past.seed)
    kept = feeds.shown(orders, rule, past.seed * 16 + past.asset)
    feed = scores.shown(kept.at, kept.venue, kept.usd, rule.coverage, seconds)
    return Seen(feed, past.price, past.taker)


def compare(
    market: Market,
    calibration: Sequence[History],
    test: Sequence[History],
    rule: FeedRule,
    contenders: Mapping[str, Score],
    giants: bool = False,
    budget: float = 1.0,
) -> dict[str, Verdict]:
    """Calibrate each score by asset to `budget` false alarms a week and judge it on `test`."""
    seeds = sorted({h.seed for h in test})
    order = sorted(test, key=lambda h: (h.asset, h.seed))
    truths = [(seeds.index(h.seed), h.truth) for h in order]
    thresholds: dict[str, list[Threshold]] = {name: [] for name in contenders}
    found: dict[str, list[npt.NDArray[np.int64]]] = {name: [] for name in contenders}
    for asset in range(len(market.assets)):
        known = [(h, seen(market, h, rule, giants)) for h in calibration if h.asset == asset]
        fresh = [seen(market, h, rule, giants) for h in order if h.asset == asset]
        for name, score in contenders.items():
            limits, made = _fitted(score, known, budget)
            thresholds[name].append(made)
            for view in fresh:
                series = _joined(score, view, limits)
                found[name].append(alarms(series, made.value, score.rearm_below, 300))
    return {
        name: Verdict(tuple(thresholds[name]), judge(truths, found[name])) for name in contenders
    }


def _fitted(
    score: Score, known: Sequence[tuple[History, Seen]], budget: float
) -> tuple[list[float], Threshold]:
    limits = [0.0] * len(score.parts)
    if len(score.parts) > 1:
        for i, part in enumerate(score.parts):
            series = [(h.truth, part(view)) for h, view in known]
            limits[i] = threshold(series, budget, score.rearm_below).value
    joined = [(h.truth, _joined(score, view, limits)) for h, view in known]
    return limits, threshold(joined, budget, score.rearm_below)


def _joined(score: Score, view: Seen, limits: Sequence[float]) -> Floats32:
    parts = [part(view) - np.float32(x) for part, x in zip(score.parts, limits, strict=True)]
    return np.asarray(np.maximum.reduce(parts), np.float32)


def _rows(rows: list[tuple[int, ...]], width: int) -> npt.NDArray[np.int64]:
    return np.array(rows, np.int64).reshape(-1, width)


def _half(tau_orders: int, tau_usd: int, which: str, winsor: float) -> Callable[[Seen], Floats32]:
    def part(view: Seen) -> Floats32:
        both = scores.halves(view.feed, tau_orders, tau_usd, winsor)
        return np.asarray(both.orders if which == "orders" else both.usd, np.float32)

    return part


#: Z30 and its rivals, by the names of detection.md.
CONTENDERS: dict[str, Score] = {
    "Z30": Score((lambda v: scores.z30(v.feed),)),
    "Z30+flow": Score((lambda v: scores.z30_flow(v.feed, v.taker),)),
    "Z10": Score((lambda v: scores.mean_of(scores.halves(v.feed, 60, 10)),)),
    "MAXC": Score((_half(60, 10, "usd", 50.0), _half(60, 10, "orders", 50.0))),
    "lr10": Score((lambda v: scores.lr10(v.feed),)),
    "z-EWMA": Score((lambda v: scores.z_ewma(v.feed),), 2.0),
    "GLR": Score((lambda v: scores.glr(v.feed),)),
    "Hawkes": Score((lambda v: scores.hawkes(v.feed),)),
    "BOCPD": Score((lambda v: scores.bocpd(v.feed),)),
    "cU10": Score((_half(60, 10, "usd", 1e12),)),
    "fixed-$": Score((lambda v: scores.fixed_usd(v.feed),)),
}
