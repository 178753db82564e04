"""One of two venues silent from before the onset: what is still called, beside rivals.

    t0-120 s          t0                     end
    ───[ a venue tells nothing: 45 % or 55 % ]───     around every burst, cascade or not

The product judges by `venue_scores`, told of the silence or not, with the thresholds of the class
of feed that is left, once fitted and once as shipped; rivals keep the thresholds of the whole feed,
as they know of no silence.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from streams.core.detectors.prior import drawn
from streams.core.params import Params
from streams.core.shipped import ByVenue
from streams.evaluate import figure_tables, product, scores, venue_scores
from streams.evaluate.events import REARM_S, Floats32, Ints, Weeks, alarms, figures, judge
from streams.evaluate.protocol import BUDGET, CONTENDERS, Found, History, Seen
from streams.evaluate.venue_scores import CLASSES, Judged, Silence
from streams.simulate.market import feeds, labels
from streams.simulate.market.feeds import FeedRule
from streams.simulate.market.params import VENUE_SHARES

BEFORE_S = 120
#: The one venue, and the other two told as one.
SHARES = (VENUE_SHARES[0], 1 - VENUE_SHARES[0])
RIVALS = ("Z30", "lr10", "z-EWMA", "Hawkes", "fixed-$")
#: Whose thresholds each class of feed is judged by.
CASE_OF = {"full": "full", "mixed": "throttled_45", "throttled": "latest_100"}
#: The product by the thresholds it comes with.
SHIPPED = "as shipped"
#: How far apart shipped thresholds are read, seconds: what is usual hardly moves.
_APART_S = 3_600


class Outage(NamedTuple):
    """What is silent: its name, the feed's rule, and the venue (None: nothing is)."""

    name: str
    rule: FeedRule
    venue: int | None
    declared: bool = True


def _kinds() -> list[Outage]:
    rules = {
        "full": FeedRule(SHARES, ("full", "full")),
        "throttled_45": FeedRule(SHARES, ("latest_per_second", "full")),
    }
    kinds = []
    for feed, rule in rules.items():
        kinds.append(Outage(f"{feed}, nothing silent", rule, None))
        for venue, share in enumerate(SHARES):
            for declared in (True, False):
                how = "told" if declared else "untold"
                kinds.append(Outage(f"{feed}, {share:.0%} silent, {how}", rule, venue, declared))
    return kinds


KINDS = _kinds()


class Thresholds(NamedTuple):
    """One asset's, in nats by case and score, as fitted without any silence."""

    asset: str
    by_case: dict[str, dict[str, float]]


def thresholds(
    by_case: Mapping[str, Sequence[Mapping[str, Mapping[float, Found]]]],
    which: tuple[int, str],
    ours: str,
) -> Thresholds:
    """Return what `protocol.of_asset` fitted; `which` asset: its number and name."""
    number, asset = which
    return Thresholds(asset, {
        case: {
            name: by_case[case][number][name][BUDGET].threshold.value for name in (ours, *RIVALS)
        }
        for case in CASE_OF.values()
    })  # fmt: skip


def silences(history: History) -> list[tuple[int, int]]:
    """Return from when to when a venue is silent: around each burst, from before its onset."""
    forced = np.diff(history.truth.usd).astype(np.float32)
    onsets = [int(t0) for t0, *_ in [*history.truth.cascades, *history.truth.grey]]
    spans = []
    for start, end in labels.bursts(forced, labels.median_day(forced)).tolist():
        t0 = next((t for t in onsets if start <= t <= end), start)
        spans.append((max(t0 - BEFORE_S, 0), end + 1))
    return spans


def shown(history: History, kind: Outage, spans: Sequence[tuple[int, int]]) -> scores.Shown:
    """Return what two venues show of a history while one of them is silent in `spans`."""
    kept = feeds.shown(history.orders, kind.rule, history.seed * 16 + history.asset)
    if kind.venue is not None:
        gone = np.zeros(len(history.price), np.bool_)
        for start, stop in spans:
            gone[start:stop] = True
        kept = feeds.picked(kept, ~((kept.venue == kind.venue) & gone[kept.at]))
    return scores.shown(kept.at, kept.venue, kept.usd, kind.rule.coverage, len(history.price))


def judged(view: Seen, kind: Outage, spans: Sequence[tuple[int, int]]) -> Judged:
    """Return what the product makes of the orders that are left."""
    gone = [Silence((kind.venue,), *span) for span in spans] if kind.venue is not None else []
    return venue_scores.z30(view.feed, gone, kind.declared, priors=view.priors)


def excess(view: Seen, made: Judged, by_case: Mapping[str, float]) -> Floats32:
    """Return the product's score less the fitted threshold that holds in each second, (T,) nats."""
    limits = np.array([by_case[CASE_OF[c]] for c in CLASSES], np.float32)
    return _score(made, view) - limits[made.feed_class]


def shipped_excess(params: Params, asset: str, view: Seen, kind: Outage, made: Judged) -> Floats32:
    """Return the product's score less the shipped threshold that holds in each second, nats."""
    thresholds = []
    for number, usual_orders in enumerate(made.usual_orders[::_APART_S].tolist()):
        age_s = number * _APART_S
        thresholds.append(_shipped(params, asset, view, kind, (usual_orders, age_s)))
    by_class = np.repeat(np.array(thresholds, np.float32), _APART_S, axis=0)[: len(made.score)]
    at = np.take_along_axis(by_class, made.feed_class[:, None].astype(np.int64), axis=1)[:, 0]
    return _score(made, view) - at


def _shipped(
    params: Params, asset: str, view: Seen, kind: Outage, usual: tuple[float, int]
) -> list[float]:
    """Return the shipped thresholds by class of feed, for usual orders a day learnt so long."""
    expected, age_s = usual
    of_class = {c: drawn(view.priors[c], expected, age_s, params.onset.baseline_s) for c in CLASSES}
    throttled = sum(
        share
        for share, coverage in zip(kind.rule.shares, kind.rule.coverage, strict=True)
        if coverage != "full"
    )
    venues = ByVenue(expected * (1 - throttled), (expected * throttled,))
    full = params.threshold(asset, of_class["full"], "full")
    mixed = params.threshold(asset, of_class["mixed"], "mixed", None, venues)
    latest = params.flow_threshold(asset, of_class["throttled"])
    assert latest is not None, "shipped thresholds have those of Z30+flow"
    less = params.volatility
    return [full - less.lower, mixed - less.lower, latest - less.lower_with_flow]


def _score(judged: Judged, view: Seen) -> Floats32:
    """Return what the product judges by, as detectors/beyond_orders.py chooses."""
    score = judged.score - product.owed(view.price)
    flow = scores.flow_excess(view.feed.at, view.taker)
    return np.asarray(score + scores.FLOW_WEIGHT * flow * judged.latest, np.float32)


def _called(
    history: History, kind: Outage, spans: Sequence[tuple[int, int]], ours: str,
    limits: Thresholds,
) -> dict[str, Ints]:  # fmt: skip
    """Return everybody's alarms on one history."""
    feed = shown(history, kind, spans)
    view = Seen(feed, history.price, history.taker, history.priors)
    whole = "full" if kind.rule.coverage[0] == "full" else "throttled_45"
    fitted = {case: limits.by_case[case][ours] for case in CASE_OF.values()}
    made = judged(view, kind, spans)
    by_shipped = shipped_excess(Params(), limits.asset, view, kind, made)
    called = {
        ours: alarms(excess(view, made, fitted), 0.0, 1.4, REARM_S),
        f"{ours}, {SHIPPED}": alarms(by_shipped, 0.0, 1.4, REARM_S),
    }
    for name in RIVALS:
        score = CONTENDERS[name]
        at, series = limits.by_case[whole][name], score.parts[0](view)
        called[name] = alarms(series, at, score.rearm_below, score.rearm_s)
    return called


def evaluate(
    test: Sequence[Sequence[History]], limits: Sequence[Thresholds], ours: str,
    each: Callable[[Sequence[History], Callable[[History], Any]], list[Any]],
) -> dict[str, Any]:  # fmt: skip
    """Judge everybody under every outage; `test` by seed, `limits` by asset, `each` maps."""
    histories = [h for seed in test for h in seed]
    numbers = {h.seed: n for n, h in enumerate(seed[0] for seed in test)}

    def one(history: History) -> list[dict[str, Ints]]:
        spans = silences(history)
        return [_called(history, kind, spans, ours, limits[history.asset]) for kind in KINDS]

    called = each(histories, one)
    truths = [(numbers[h.seed], h.truth) for h in histories]
    return {
        kind.name: {
            name: _row(judge(truths, [of_history[k][name] for of_history in called]))
            for name in called[0][k]
        }
        for k, kind in enumerate(KINDS)
    }


def _row(weeks: Weeks) -> figure_tables.Row:
    return figure_tables.row(figures(weeks))
