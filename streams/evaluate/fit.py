"""Thresholds from a user's own history: the lowest that keep a budget of false alarms.

Nobody labels a live history, so every alarm counts as false but those in spans that the user
names (cascades known to be real, in the form of truth.ndjson): without them the thresholds
come out too high, never too low. Both sides of an asset share its budget, as they share its
threshold. Silences of all feeds at once are left out, as the product's watched time does.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from schemas.words import SECOND, FeedClass
from streams.core.params import Params
from streams.evaluate import market_wide, recorded
from streams.evaluate.calibrate import Threshold, threshold
from streams.evaluate.events import SKIP, WEEK, Ints, Truth, Watch
from streams.evaluate.labelled import Cascade, Grey, Line
from streams.evaluate.protocol import rows
from streams.evaluate.recorded import Cuts, Recording
from streams.evaluate.scores import Floats32, z30

#: So many alarms must be expected in the history before their rate says anything.
LEAST_ALARMS = 4
#: An asset with fewer forced orders keeps the thresholds of "*".
LEAST_ORDERS = 1_000
#: Every feed silent for so long, in seconds, is taken for an outage.
SILENCE_S = 3_600


class TooLittle(Exception):
    """A history that cannot carry the budget; the message says what would."""


class Fitted(msgspec.Struct, frozen=True):
    """One threshold: whose, on which feeds, from how many orders, and what it was before."""

    asset: str
    feed_class: FeedClass
    orders: int
    threshold: Threshold
    before: float


class Fit(msgspec.Struct, frozen=True):
    """What was fitted, from how much; `market` None where the history was too short for it."""

    assets: tuple[Fitted, ...]
    market: Fitted | None
    weeks: float
    silent_hours: float
    unpriced: int
    budget: float
    params: Params


def fit(recording: Recording, known: Sequence[Line], budget: float, params: Params) -> Fit:
    """Fit every asset's threshold on the class of feed its history has, and the market's.

    Raises TooLittle.
    """
    cuts = recorded.silences(recording, SILENCE_S) if recording.orders else recorded.UNCUT
    length = (recording.last - recording.first) // SECOND + 1 - int(cuts.lost.sum())
    watch = _watch(length, budget)
    excess: dict[str, tuple[Truth, Floats32]] = {}
    fitted = []
    for asset in sorted({asset for asset, _ in recording.orders}):
        series = _series(recording, asset, known, cuts)
        orders = sum(
            sum(orders_of.orders) for key, orders_of in recording.orders.items() if key[0] == asset
        )
        if orders < LEAST_ORDERS:
            continue
        feed_class = recorded.feed_class(recording, asset)
        made = _threshold(series, budget / len(series), params.onset.rearm_below, watch)
        made = msgspec.structs.replace(made, false_a_week=made.false_a_week * len(series))
        before = params.onset.threshold(asset, feed_class)
        fitted.append(Fitted(asset, feed_class, orders, made, before))
        either = np.maximum.reduce([score for _, score in series]) - np.float32(made.value)
        excess[asset] = (_both(series), either)
    if not fitted:
        raise TooLittle(f"no asset has {LEAST_ORDERS:,} forced orders in this history")
    whole = _market(fitted, excess, params, watch, length)
    return Fit(
        tuple(fitted), whole, (length - watch.skip) / WEEK, float(cuts.lost.sum()) / 3600,
        recording.unpriced, budget, _params(params, fitted, whole),
    )  # fmt: skip


def _watch(length: int, budget: float) -> Watch:
    weeks, needed = (length - SKIP) / WEEK, LEAST_ALARMS / budget
    if weeks < needed:
        raise TooLittle(
            f"this history has {max(weeks, 0) * 7:.1f} watched days after its first; a budget of"
            f" {budget:g} a week needs {needed * 7:.0f} (a larger budget needs fewer)"
        )
    return Watch(SKIP, (length - SKIP) // max(1, round(weeks)))


def _threshold(
    series: Sequence[tuple[Truth, Floats32]], weekly: float, rearm_below: float, watch: Watch
) -> Threshold:
    scale = watch.block / WEEK
    made = threshold(series, weekly * scale, rearm_below, watch=watch)
    return msgspec.structs.replace(made, false_a_week=made.false_a_week / scale)


def _series(
    recording: Recording, asset: str, known: Sequence[Line], cuts: Cuts
) -> list[tuple[Truth, Floats32]]:
    series = []
    for key in sorted(key for key in recording.orders if key[0] == asset):
        feed = recorded.feed(recording, key, cuts)
        spans = [
            (line.t0, line.end)
            for line in known
            if isinstance(line, Cascade | Grey) and (line.asset, line.position_side) == key
        ]
        at = _seconds(recording, cuts, np.array(spans, np.int64).reshape(-1, 2))
        truth = Truth(rows([], 3), at, np.zeros(feed.seconds + 1))
        series.append((truth, z30(feed)))
    return series


def _seconds(recording: Recording, cuts: Cuts, times: Ints) -> Ints:
    return recorded.uncut(cuts, times // SECOND - recording.first // SECOND)


def _both(series: Sequence[tuple[Truth, Floats32]]) -> Truth:
    grey = np.concatenate([truth.grey for truth, _ in series])
    return Truth(rows([], 3), grey, series[0][0].usd)


def _market(
    fitted: Sequence[Fitted], excess: dict[str, tuple[Truth, Floats32]], params: Params,
    watch: Watch, length: int,
) -> Fitted | None:  # fmt: skip
    majors = [one for one in fitted if one.asset in params.market.majors]
    needed = LEAST_ALARMS / market_wide.BUDGET
    if len(majors) < 2 or (length - watch.skip) / WEEK < needed:
        return None
    of = [excess[one.asset] for one in majors]
    pooled = market_wide.second_largest([score for _, score in of])
    grey = np.concatenate([truth.grey for truth, _ in of])
    truth = Truth(rows([], 3), grey, of[0][0].usd)
    made = _threshold([(truth, pooled)], market_wide.BUDGET, market_wide.REARM_BELOW, watch)
    # A sum of feeds is as complete as its least complete one.
    classes: tuple[FeedClass, ...] = ("throttled", "mixed", "full")
    feed_class = next(c for c in classes if c in {one.feed_class for one in majors})
    orders = sum(one.orders for one in majors)
    return Fitted("market", feed_class, orders, made, params.market.threshold[feed_class])


def _params(params: Params, fitted: Sequence[Fitted], whole: Fitted | None) -> Params:
    """Return `params` with what was fitted in place; all else stays marked as default."""
    cascade = {asset: dict(by_class) for asset, by_class in params.onset.cascade.items()}
    calibrated: dict[str, tuple[FeedClass, ...]] = {}
    for one in fitted:
        of_asset = cascade.setdefault(one.asset, dict(cascade["*"]))
        of_asset[one.feed_class] = round(one.threshold.value, 3)
        calibrated[one.asset] = (one.feed_class,)
    onset = msgspec.structs.replace(
        params.onset, cascade=cascade, calibrated=calibrated, thresholds_are_default=False
    )
    pooled = params.market
    if whole is not None:
        limits = pooled.threshold | {whole.feed_class: round(whole.threshold.value, 3)}
        pooled = msgspec.structs.replace(
            pooled, threshold=limits, calibrated=(whole.feed_class,), thresholds_are_default=False
        )
    return msgspec.structs.replace(params, onset=onset, market=pooled)
