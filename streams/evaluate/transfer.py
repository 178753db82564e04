"""Do thresholds carry over: to markets with other numbers, and to weeks that they never saw?

    seed ──> market and feeds redrawn ─┬─ 90 days: `calibrate` from the last 7, 28 and all of them
                                       └─ other days: shipped and calibrated thresholds judged

An asset's false alarms are those of both position sides. `calibrate` is told the cascades of its
history, as by --known; where nothing is known, each alarm counts as false.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from schemas.words import Throttle
from streams.core.detectors.prior import drawn
from streams.core.params import Params
from streams.evaluate import fit, pass_marks, product, recorded, redrawn, scores
from streams.evaluate.events import (
    REARM_S,
    SKIP,
    WEEK,
    Floats32,
    Truth,
    Watch,
    alarms,
    judge,
)  # fmt: skip
from streams.evaluate.protocol import PRODUCT, rows
from streams.evaluate.redrawn import Feed
from streams.evaluate.scores import Shown
from streams.simulate.market import core, feeds, labels
from streams.simulate.market.params import Market
from streams.simulate.market.state import Tape

#: Days of history that `calibrate` is given, and days it is judged on besides the first.
HISTORIES = (7, 28, 90)
#: The history that is fitted as well without being told its cascades.
NOT_LABELLED = 28
TEST_DAYS = 57
#: Added to a seed for the days that are judged.
TO_TEST = 10_000
BUDGET = 1.0
#: False alarms a week and asset that nine markets of ten are to stay below.
MOST_OF_NINE = 1.1
#: Markets that nothing was chosen on.
SEEDS = (631, 632, 633, 634, 635, 636, 637, 638, 639, 640)
SHIPPED = "shipped"
Row = dict[str, Any]


class Past(NamedTuple):
    """One asset by one feed, a row a position side: its truth, and what its feed shows."""

    asset: int
    liquidity: str
    feed: Feed
    truths: list[Truth]
    views: list[Shown]


class Seen(NamedTuple):
    """The same with Z30, and by how much the product's score is above what is shipped."""

    liquidity: str
    feed: Feed
    truths: list[Truth]
    plain: list[Floats32]
    excess: list[Floats32]


class Outcome(NamedTuple):
    """One source of thresholds on one asset and feed of one market.

    `false` alarms in `weeks`; for each cascade whether it was `caught`, and damage `left`.
    """

    seed: int
    liquidity: str
    feed: str
    source: str
    threshold: float
    false: int
    weeks: float
    caught: list[bool]
    left: list[float]


def evaluate(
    params: Params, seeds: Sequence[int], tell: Callable[[str, int, int], None],
    days: int = TEST_DAYS,
) -> Row:  # fmt: skip
    """Return what evaluate.json holds of this part, its bars with it; `days` of each are judged."""
    outcomes = []
    for n, seed in enumerate(seeds):
        outcomes += of_seed(seed, params, days=days)
        tell(f"redrawn market {seed}", n + 1, len(seeds))
    by_source = table(outcomes)
    result: Row = {
        "transfer": by_source, "within": {name: within(outcomes, name) for name in by_source},
        "markets": [o._asdict() for o in outcomes], "seeds": list(seeds), "days": days,
        "budget": BUDGET, "score": PRODUCT,
    }  # fmt: skip
    return result | {"bars": pass_marks.transfer(result)}


def of_seed(
    seed: int, params: Params, histories: Sequence[int] = HISTORIES, days: int = TEST_DAYS
) -> list[Outcome]:
    """Return every outcome of one redrawn market, judged on so many days."""
    drawn = redrawn.market(seed)
    limits = {}
    if histories:
        past = core.run(drawn, seed, max(histories))
        for history in shown(drawn, past, seed):
            key = history.liquidity, history.feed.name
            limits[key] = dict(calibrated(history, params, histories))
        del past
    tape = core.run(drawn, seed + TO_TEST, days)
    outcomes = []
    for one in seen(drawn, tape, params, seed, seed + TO_TEST):
        outcomes.append(_outcome(seed, one, SHIPPED, one.excess, 0.0))
        for source, value in limits.get((one.liquidity, one.feed.name), {}).items():
            if value is None:
                outcomes.append(_outcome(seed, one, source, one.excess, 0.0))
            else:
                outcomes.append(_outcome(seed, one, source, one.plain, value))
    return outcomes


def shown(market: Market, tape: Tape, seed: int, of: int | None = None) -> Iterator[Past]:
    """Yield each asset by each feed of market `seed`; `of` the seed of the tape."""
    seconds = tape.price.shape[1]
    for asset, liquidity in enumerate(redrawn.ASSETS):
        row, number = market.assets[asset], (seed if of is None else of)
        orders = [feeds.draw(market, tape, asset, side, number) for side in (0, 1)]
        truths = [_truth(tape, asset, side) for side in (0, 1)]
        for n, feed in enumerate(redrawn.feeds_of(seed)):
            views = [
                redrawn.shown(
                    feed, of_side, row, (number * 16 + asset) * 16 + n * 2 + side, seconds
                )
                for side, of_side in enumerate(orders)
            ]
            yield Past(asset, liquidity, feed, truths, views)


def seen(
    market: Market, tape: Tape, params: Params, seed: int, of: int | None = None
) -> Iterator[Seen]:
    """Yield what `shown` does with its scores."""
    unrest = [product.owed(price) for price in tape.price[: len(redrawn.ASSETS)]]
    for asset, liquidity, feed, truths, views in shown(market, tape, seed, of):
        halves = [scores.halves(view, 30, 10) for view in views]
        plain = [scores.mean_of(both) for both in halves]
        excess = [
            _whole(z, view, feed, sign * tape.taker[asset], unrest[asset])
            - shipped(params, feed, market.assets[asset].asset, both.usual)
            for z, view, both, sign in zip(plain, views, halves, (1, -1), strict=True)
        ]
        yield Seen(liquidity, feed, truths, plain, excess)


def _whole(z: Floats32, view: Shown, feed: Feed, taker: Floats32, unrest: Floats32) -> Floats32:
    """Return what the product judges by; batches are neither told by flow nor by volatility."""
    if feed.batch or (view.throttled.all() and not view.latest.all()):
        return z
    if view.latest.all():
        z = z + np.float32(scores.FLOW_WEIGHT) * scores.flow_excess(view.at, taker)
    return np.asarray(z - unrest, np.float32)


def shipped(params: Params, feed: Feed, asset: str, usual: Floats32) -> Floats32:
    """Return the shipped threshold of the product's score, where so many orders a second are usual.

    A minute apart, as they hardly move; young baselines are drawn towards the prior.
    """
    prior, baseline_s = params.prior.of(asset)[feed.feed_class], params.onset.baseline_s
    lower = 0.0 if feed.feed_class == "throttled" else params.volatility.lower
    latest = _throttle(feed) == "latest"
    minutes = []
    for minute, expected in enumerate((usual[::60] * np.float32(SKIP)).tolist()):
        orders = drawn(prior, expected, 60 * minute, baseline_s)
        with_flow = params.flow_threshold(asset, orders) if latest else None
        if with_flow is not None:
            minutes.append(with_flow - params.volatility.lower_with_flow)
        else:
            venues = redrawn.by_venue(feed, expected)
            limit = params.threshold(asset, orders, feed.feed_class, _throttle(feed), venues)
            minutes.append(limit - lower)
    return np.repeat(np.array(minutes, np.float32), 60)[: len(usual)]


def _throttle(feed: Feed) -> Throttle | None:
    if feed.batch:
        return "batched"
    return "latest" if set(feed.rule.coverage) == {"latest_per_second"} else None


def calibrated(
    one: Past, params: Params, histories: Sequence[int]
) -> Iterator[tuple[str, float | None]]:
    """Yield the thresholds that `calibrate` makes of the last days of a history, by its name.

    None: too few orders, so that the shipped one is kept.
    """
    asset = redrawn.ASSETS[one.liquidity].asset
    for days in histories:
        views = [_last_shown(view, days * SKIP) for view in one.views]
        enough = sum(len(view.at) for view in views) >= fit.LEAST_ORDERS
        scored = [scores.z30(view) for view in views] if enough else []
        for blind in (False, True) if days == NOT_LABELLED else (False,):
            orders = sum(len(view.at) for view in views)
            usual_orders = recorded.usual_orders(orders, days * SKIP) / len(views)
            throttle = _throttle(one.feed)
            venues = redrawn.by_venue(one.feed, usual_orders)
            before = params.threshold(asset, usual_orders, one.feed.feed_class, throttle, venues)
            source = f"{days} d, nothing known" if blind else f"{days} d"
            if not enough:
                yield source, None
                continue
            series = [
                (_last(truth, days * SKIP, blind), z)
                for truth, z in zip(one.truths, scored, strict=True)
            ]
            made, _ = fit.of_series(series, BUDGET, params.onset.rearm_below, before)
            yield source, made.value


def _last_shown(view: Shown, seconds: int) -> Shown:
    """Return the last seconds of a feed: `calibrate` knows of nothing before its history."""
    gone = view.seconds - seconds
    late = view.at >= gone
    batched = view.batched[late] if len(view.batched) else view.batched
    return view._replace(
        at=view.at[late] - np.int32(gone), venue=view.venue[late], usd=view.usd[late],
        batched=batched, seconds=seconds,
    )  # fmt: skip


def _last(truth: Truth, seconds: int, blind: bool) -> Truth:
    gone = len(truth.usd) - 1 - seconds
    if blind:
        return Truth(rows([], 3), rows([], 2), truth.usd[gone:])
    return Truth(truth.cascades - gone, truth.grey - gone, truth.usd[gone:])


def _truth(tape: Tape, asset: int, side: int) -> Truth:
    usual = labels.median_day(tape.forced[asset, side])
    episodes = labels.episodes(tape, asset, side, usual)
    return Truth(
        rows([(e.t0, e.t95, e.end) for e in episodes if e.kind == "cascade"], 3),
        rows([(e.t0, e.end) for e in episodes if e.kind == "grey"], 2),
        np.concatenate([[0.0], np.cumsum(tape.forced[asset, side], dtype=np.float64)]),
    )


def _outcome(seed: int, one: Seen, source: str, series: Sequence[Floats32], at: float) -> Outcome:
    called = [alarms(score, at, 1.4, REARM_S) for score in series]
    watch = Watch(SKIP, len(series[0]) - SKIP)
    weeks = judge([(0, truth) for truth in one.truths], called, watch)
    return Outcome(
        seed, one.liquidity, one.feed.name, source, at, int(weeks.false.sum()),
        watch.block / WEEK, weeks.caught.tolist(), weeks.left.tolist(),
    )  # fmt: skip


def table(outcomes: Sequence[Outcome]) -> dict[str, dict[str, dict[str, Row]]]:
    """Return figures by source of thresholds, class of liquidity and feed; "all" feeds too."""
    grouped: dict[tuple[str, str, str], list[Outcome]] = defaultdict(list)
    for one in outcomes:
        for feed in (one.feed, "all"):
            grouped[one.source, one.liquidity, feed].append(one)
    rows: dict[str, dict[str, dict[str, Row]]] = defaultdict(lambda: defaultdict(dict))
    for (source, liquidity, feed), group in grouped.items():
        rows[source][liquidity][feed] = _row(group)
    return {source: dict(by_class) for source, by_class in rows.items()}


def within(outcomes: Sequence[Outcome], source: str, most: float = MOST_OF_NINE) -> float:
    """Return the share of markets in which a source raises at most so many a week and asset."""
    of_source = [o for o in outcomes if o.source == source]
    rates = [
        sum(o.false for o in of_source if o.seed == seed)
        / sum(o.weeks for o in of_source if o.seed == seed)
        for seed in {o.seed for o in of_source}
    ]
    return float(np.mean(np.array(rates) <= most))


def _row(outcomes: Sequence[Outcome]) -> Row:
    """Return false alarms a week and asset, recall and damage; intervals over markets."""
    seeds = sorted({o.seed for o in outcomes})
    of_market = [[o for o in outcomes if o.seed == seed] for seed in seeds]
    sums = np.array([
        [sum(o.false for o in of), sum(o.weeks for o in of), sum(len(o.left) for o in of),
         sum(sum(o.caught) for o in of), sum(sum(o.left) for o in of)]
        for of in of_market
    ])  # fmt: skip
    picks = np.random.default_rng(1).integers(0, len(seeds), (2000, len(seeds)))
    drawn = sums[picks].sum(axis=1)
    row: Row = {"cascades": int(sums[:, 2].sum()), "asset_weeks": float(sums[:, 1].sum())}
    for name, (top, bottom) in _SHARES.items():
        of_all = sums[:, top].sum() / max(sums[:, bottom].sum(), 1e-9)
        low, high = np.quantile(drawn[:, top] / np.maximum(drawn[:, bottom], 1e-9), [0.025, 0.975])
        row |= {name: float(of_all), f"{name}_interval": [float(low), float(high)]}
    return row


#: Columns of sums: numerator and denominator.
_SHARES = {"false_alarms_per_week": (0, 1), "recall": (3, 2), "damage_to_come": (4, 2)}
