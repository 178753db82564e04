"""One of two venues silent from before the onset: what is still called, beside rivals.

    t0-120 s          t0                     end
    ───[ a venue tells nothing: 45 % or 55 % ]───     around every burst, cascade or not

The product judges by `venue_scores`, told of the silence or not, with the thresholds of the class
of feed that is left; rivals keep the thresholds of the whole feed, as they know of no silence.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

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

#: One asset's thresholds in nats by case and score, as fitted without any silence.
Thresholds = dict[str, dict[str, float]]


def thresholds(
    by_case: Mapping[str, Sequence[Mapping[str, Mapping[float, Found]]]], asset: int, ours: str
) -> Thresholds:
    """Return an asset's thresholds from what `protocol.of_asset` fitted, by case and score."""
    return {
        case: {name: by_case[case][asset][name][BUDGET].threshold.value for name in (ours, *RIVALS)}
        for case in CASE_OF.values()
    }


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


def excess(
    view: Seen, kind: Outage, spans: Sequence[tuple[int, int]], by_case: dict[str, float]
) -> Floats32:
    """Return the product's score less the threshold that holds in each second, (T,) nats."""
    gone = [Silence((kind.venue,), *span) for span in spans] if kind.venue is not None else []
    judged = venue_scores.z30(view.feed, gone, kind.declared, priors=view.priors)
    limits = np.array([by_case[CASE_OF[c]] for c in CLASSES], np.float32)
    return _score(judged, view) - limits[judged.feed_class]


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
    own = {case: limits[case][ours] for case in CASE_OF.values()}
    called = {ours: alarms(excess(view, kind, spans, own), 0.0, 1.4, REARM_S)}
    for name in RIVALS:
        score = CONTENDERS[name]
        at, series = limits[whole][name], score.parts[0](view)
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
            for name in (ours, *RIVALS)
        }
        for k, kind in enumerate(KINDS)
    }


def _row(weeks: Weeks) -> figure_tables.Row:
    return figure_tables.row(figures(weeks))
