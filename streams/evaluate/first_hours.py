"""The first hours: what the product calls of an asset that it has met a little while ago.

    cascade ──> the asset met 25 min, 75 min, 6 h before its onset ──> called? damage to come
    random starts, six hours each ─────────────────────────────────> false alarms

Complete feeds, shipped thresholds, the product's own detector stepped as `core/sides.py` does.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace

from streams.core.detectors import beyond_orders, log_rate
from streams.core.detectors.episode import Second
from streams.core.detectors.prior import PriorParams
from streams.core.detectors.rate_state import RateState
from streams.core.detectors.venue_rates import VenueSecond
from streams.core.params import Params
from streams.evaluate import figure_tables, product
from streams.evaluate.events import (
    REARM_S,
    WEEK,
    Floats32,
    Ints,
    Watch,
    Weeks,
    false_alarms,
    figures,
    outcome,
)
from streams.evaluate.protocol import BUDGET, PRODUCT, History, histories, seen
from streams.evaluate.scores import Shown
from streams.simulate.market import core, feeds
from streams.simulate.market.feeds import RULES
from streams.simulate.market.params import Market

#: How long before a cascade's onset an asset is met.
HISTORIES = {"25 min": 1_500, "75 min": 4_500, "6 h": 21_600}
HOUR = 3_600
#: Random starts an asset and seed, and for how long each is watched.
STARTS, WATCHED_S = 60, 6 * HOUR
SEEDS, DAYS = (713, 714, 715), 60
Row = dict[str, Any]


def with_prior(params: Params, times: float) -> Params:
    """Return `params` with the rates of every prior so many times as high."""
    rates = {
        liquidity: {
            feed_class: replace(prior, orders=prior.orders * times, usd=prior.usd * times)
            for feed_class, prior in by_class.items()
        }
        for liquidity, by_class in params.prior.rates.items()
    }
    prior: PriorParams = replace(params.prior, rates=rates)
    return replace(params, prior=prior)


def without_minute(params: Params) -> Params:
    """Return `params` by whose rules no minute's rates alone call a young asset."""
    return replace(params, onset=replace(params.onset, young_nats=math.inf))


#: What is made of the shipped prior, and of the rule for young assets.
RULES_OF: dict[str, Callable[[Params], Params]] = {
    "as shipped": lambda params: params,
    "no minute's rates": without_minute,
    "three times too high": lambda params: with_prior(params, 3.0),
    "a third of it": lambda params: with_prior(params, 1 / 3),
}


class Asset(NamedTuple):
    """One asset of one seed: its truth, what its feeds show, and log price a second."""

    name: str
    seed: int
    history: History
    feed: Shown
    price: Floats32


def evaluate(
    params: Params, market_of: Market, seeds: Sequence[int], days: int,
    tell: Callable[[str, int, int], None],
) -> Row:  # fmt: skip
    """Return what evaluate.json holds of this part; it has no bars."""
    assets, rows = [], {}
    for n, seed in enumerate(seeds):
        assets += list(_assets(market_of, seed, n, days))
        tell(f"simulated seed {seed}", n + 1, len(seeds) + len(RULES_OF))
    for n, (name, rule) in enumerate(RULES_OF.items()):
        rows[name] = of_rule(rule(params), assets)
        tell(f"prior: {name}", len(seeds) + n + 1, len(seeds) + len(RULES_OF))
    return {
        "first_hours": rows, "seeds": list(seeds), "days": days, "score": PRODUCT,
        "budget": BUDGET, "bars": [],
    }  # fmt: skip


def _assets(market_of: Market, seed: int, number: int, days: int) -> Iterator[Asset]:
    tape = core.run(market_of, seed, days)
    for history in histories(market_of, tape, seed):
        view = seen(market_of, history, RULES["full"], False)
        name = market_of.assets[history.asset].asset
        yield Asset(name, number, history, view.feed, view.price)


def of_rule(params: Params, assets: Sequence[Asset]) -> dict[str, Row]:
    """Return figures by history; false alarms of 25 min are those of a start's first hour."""
    starts = [start for asset in assets for start in _false(params, asset)]
    rows = {}
    for name, age_s in HISTORIES.items():
        until = HOUR if age_s < HOUR else WATCHED_S
        within = [(week, sum(age < until for age in ages)) for week, ages in starts]
        weeks = _weeks(params, assets, age_s, within, until)
        rows[name] = figure_tables.row(figures(weeks))
    return rows


def _false(params: Params, asset: Asset) -> list[tuple[int, list[int]]]:
    """Return for each random start its week, and at which age false alarms came."""
    rng = feeds.generator(asset.history.seed, 30, asset.history.asset)
    last = len(asset.price) - WATCHED_S
    rows = []
    for start in np.sort(rng.integers(0, last, STARTS)).tolist():
        at = called(params, asset, start, start + WATCHED_S)
        false = false_alarms(asset.history.truth, at, Watch(0))
        rows.append((_week(asset, start), (false - start).tolist()))
    return rows


def _week(asset: Asset, second: int) -> int:
    return asset.seed * (1 + len(asset.price) // WEEK) + second // WEEK


def _weeks(
    params: Params, assets: Sequence[Asset], age_s: int, starts: Sequence[tuple[int, int]],
    until: int,
) -> Weeks:  # fmt: skip
    blocks = 1 + max(_week(asset, len(asset.price)) for asset in assets)
    false, watched = np.zeros(blocks), np.zeros(blocks)
    for week, alarms in starts:
        false[week] += alarms
        watched[week] += until / WEEK
    rows = []
    for asset in assets:
        truth = asset.history.truth
        for t0, t95, _ in truth.cascades.tolist():
            if t0 < age_s:
                continue
            at = called(params, asset, t0 - age_s, t95 + 1)
            rows.append((_week(asset, t0), *outcome(truth, at, t0, t95)))
    block, caught, delay, left = zip(*rows, strict=True)
    return Weeks(false, watched, np.array(block), np.array(caught), np.array(delay), np.array(left))


class Alarms(msgspec.Struct):
    """Seconds of alarms, and for how long the score has been `calm` since; then armed again."""

    at: list[int] = []
    calm: int = 0
    armed: bool = True


def called(params: Params, asset: Asset, start: int, stop: int) -> Ints:
    """Return the seconds of alarms of an asset first heard in second `start`, until `stop`."""
    less = product.owed(asset.price[start:stop])
    since = (params.volatility.min_history_min + 1) * 60
    alarms = Alarms()
    for now, state in scored(params, asset, (start, stop), alarms):
        if state.age < params.onset.least_history_s:
            continue
        if now.second - start >= since:
            now.score -= float(less[now.second - start])
            now.threshold -= params.volatility.lower
        beyond_orders.of_young(params, state, now)
        if alarms.armed and now.score >= now.threshold:
            alarms.at.append(now.second)
            alarms.armed, alarms.calm = False, 0
        elif not alarms.armed:
            is_calm = now.score < now.threshold - params.onset.rearm_below
            alarms.calm = alarms.calm + 1 if is_calm else 0
            alarms.armed = alarms.calm >= REARM_S
    return np.array(alarms.at, np.int64)


def scored(
    params: Params, asset: Asset, span: tuple[int, int], alarms: Alarms
) -> Iterator[tuple[Second, RateState]]:
    """Yield seconds with orders, and every second until `alarms` is armed again."""
    feed, priors, state = asset.feed, params.prior.of(asset.name), RateState()
    first, last = np.searchsorted(feed.at, span).tolist()
    at, venue, usd = (x[first:last].tolist() for x in (feed.at, feed.venue, feed.usd))
    i, before = 0, span[0] - 1
    while i < len(at) or not alarms.armed:
        second = at[i] if alarms.armed else before + 1
        if second >= span[1]:
            return
        shown: dict[str, VenueSecond] = {}
        while i < len(at) and at[i] == second:
            of_venue = shown.setdefault(f"v{venue[i]}", VenueSecond("full"))
            of_venue.entries.append((1, usd[i]))
            i += 1
        score = log_rate.step(params.onset, state, second, second - before, shown, {}, priors)
        limit = params.threshold(asset.name, state.usual_orders, "full")
        before = second
        yield Second(second, score, limit, len(shown), 0.0, None, None), state
