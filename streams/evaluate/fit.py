"""Thresholds from a user's own history: the lowest that keep a budget of false alarms.

    h = (k * shipped + weeks * fitted) / (k + weeks) + .6 errors of it

A week's fit is off by some .5 nats from what later weeks need, and so are shipped thresholds, so
that they weigh as much as k = 1 week. The middle is too low in every other case, which costs more
false alarms than it saves where it is too high: with the margin nine markets of ten keep within it.

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
from streams.evaluate import breadth_scores, market_wide, recorded
from streams.evaluate.calibrate import Threshold, threshold
from streams.evaluate.events import (
    REARM_S,
    SKIP,
    WEEK,
    Ints,
    Truth,
    Watch,
    alarms,
    false_alarms,
)
from streams.evaluate.labelled import Cascade, Grey, Line
from streams.evaluate.protocol import rows
from streams.evaluate.recorded import Cuts, Recording
from streams.evaluate.scores import Floats32, z30

#: Days of history without which nothing is fitted, the first one included.
LEAST_DAYS = 7
#: Error of a threshold from one week in the weeks after it, nats, and of a shipped one on another
#: market. METHOD.md, "Thresholds elsewhere": .52 and .61 on seeds 641 to 644.
WEEK_ERROR, SHIPPED_ERROR = 0.5, 0.5
#: Errors of a threshold that are added to the likeliest: the least on those markets with which
#: nine fits of ten kept within 1.1 of a budget of 1.
CAUTION = 0.6
#: An asset with fewer forced orders keeps the thresholds of "*".
LEAST_ORDERS = 1_000
#: Every feed silent for so long, in seconds, is taken for an outage.
SILENCE_S = 3_600


class TooLittle(Exception):
    """A history that cannot carry the budget; the message says what would."""


class Fitted(msgspec.Struct, frozen=True):
    """One threshold: whose, on which feeds, from how many orders, and what it was before.

    `plain` is what this history alone says, without the shipped one's weight.
    """

    asset: str
    feed_class: FeedClass
    orders: int
    threshold: Threshold
    before: float
    plain: float = float("nan")
    usual_orders: float = 0.0


class Fit(msgspec.Struct, frozen=True):
    """What was fitted, from how much; `market` None without two majors."""

    assets: tuple[Fitted, ...]
    market: Fitted | None
    breadth: Fitted | None
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
    watch = _watch(length)
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
        usual_orders = recorded.usual_orders(orders, length) / len(series)
        throttle = recorded.throttle(recording, asset)
        venues = recorded.by_venue(recording, asset, usual_orders)
        before = params.threshold(asset, usual_orders, feed_class, throttle, venues)
        drawn, alone = of_series(series, budget, params.onset.rearm_below, before)
        fitted.append(Fitted(asset, feed_class, orders, drawn, before, alone, usual_orders))
        either = np.maximum.reduce([score for _, score in series]) - np.float32(drawn.value)
        excess[asset] = (_both(series), either)
    if not fitted:
        raise TooLittle(f"no asset has {LEAST_ORDERS:,} forced orders in this history")
    whole = _market(fitted, excess, params, watch, length)
    broad = _breadth(recording, known, params, watch, cuts, length)
    return Fit(
        tuple(fitted), whole, broad, (length - watch.skip) / WEEK, float(cuts.lost.sum()) / 3600,
        recording.unpriced, budget, _params(params, fitted, whole, broad),
    )  # fmt: skip


def of_series(
    series: Sequence[tuple[Truth, Floats32]], budget: float, rearm_below: float, before: float
) -> tuple[Threshold, float]:
    """Return an asset's threshold, `before` the shipped one, and what its history alone says.

    `series` are its position sides, which share the budget. Raises TooLittle.
    """
    length = len(series[0][1])
    watch = _watch(length)
    made = _threshold(series, budget / len(series), rearm_below, watch)
    drawn = shrunk(made, before, (length - watch.skip) / WEEK)
    rate = _rate(series, drawn.value, rearm_below, watch)
    return msgspec.structs.replace(drawn, false_a_week=rate * len(series)), made.value


def _watch(length: int) -> Watch:
    days = round(length / SKIP, 1)
    if days < LEAST_DAYS:
        raise TooLittle(f"this history has {days:.1f} watched days; {LEAST_DAYS} are the least")
    return Watch(SKIP, (length - SKIP) // max(1, round((length - SKIP) / WEEK)))


def shrunk(made: Threshold, shipped: float, weeks: float) -> Threshold:
    """Return a threshold drawn towards the shipped one, with a 95 % interval of what it may be.

    The interval holds the error of weeks like these and of the shipped one, but at least what
    resampling these very weeks gave. The threshold lies above its middle by CAUTION errors.
    """
    own, other = weeks / WEEK_ERROR**2, 1 / SHIPPED_ERROR**2
    value = (own * made.value + other * shipped) / (own + other)
    error = 1 / (own + other) ** 0.5
    half = max(1.96 * error, (made.high - made.low) / 2)
    cautious = value + CAUTION * error
    return msgspec.structs.replace(made, value=cautious, low=value - half, high=value + half)


def _rate(
    series: Sequence[tuple[Truth, Floats32]], at: float, rearm_below: float, watch: Watch
) -> float:
    """Return the false alarms a week and series at a threshold."""
    weeks = (len(series[0][1]) - watch.skip) / WEEK
    false = sum(
        len(false_alarms(truth, alarms(score, at, rearm_below, REARM_S), watch))
        for truth, score in series
    )
    return false / weeks / len(series)


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
    if len(majors) < 2:
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
    before = params.market.threshold[feed_class]
    drawn = shrunk(made, before, (length - watch.skip) / WEEK)
    return Fitted("market", feed_class, orders, drawn, before, made.value)


def _breadth(
    recording: Recording, known: Sequence[Line], params: Params, watch: Watch, cuts: Cuts,
    length: int,
) -> Fitted | None:  # fmt: skip
    """Fit the threshold of breadth; both sides share the market's budget."""
    by_side = breadth_scores.of_recording(recording, params.market, cuts, length)
    spans = np.array(
        [(x.t0, x.end) for x in known if isinstance(x, Cascade | Grey)], np.int64
    ).reshape(-1, 2)
    truth = Truth(rows([], 3), _seconds(recording, cuts, spans), np.zeros(length + 1))
    of = [(truth, score) for score in by_side.values() if score.max() > breadth_scores.NOTHING]
    if not of:
        return None
    weekly = market_wide.BUDGET / len(of)
    made = _threshold(of, weekly, market_wide.REARM_BELOW, watch)
    classes = {recorded.feed_class(recording, asset) for asset, _ in recording.orders}
    feed_class = next(c for c in ("throttled", "mixed", "full") if c in classes)
    before = params.market.breadth[feed_class]
    drawn = shrunk(made, before, (length - watch.skip) / WEEK)
    rate = _rate(of, drawn.value, market_wide.REARM_BELOW, watch) * len(of)
    drawn = msgspec.structs.replace(drawn, false_a_week=rate)
    orders = sum(sum(orders_of.orders) for orders_of in recording.orders.values())
    return Fitted("breadth", feed_class, orders, drawn, before, made.value)


def _params(
    params: Params, fitted: Sequence[Fitted], whole: Fitted | None, broad: Fitted | None
) -> Params:
    """Return `params` with what was fitted in place; all else stays marked as default."""
    cascade = {asset: dict(by_class) for asset, by_class in params.onset.cascade.items()}
    calibrated: dict[str, tuple[FeedClass, ...]] = {}
    for one in fitted:
        of_asset = cascade.setdefault(
            one.asset, dict(params.thresholds(one.asset, one.usual_orders))
        )
        of_asset[one.feed_class] = round(one.threshold.value, 3)
        if one.feed_class == "throttled":
            # What was fitted is of this very kind of throttled feed.
            for throttle in ("latest", "batched"):
                of_asset.pop(throttle, None)
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
    if broad is not None:
        limits = pooled.breadth | {broad.feed_class: round(broad.threshold.value, 3)}
        pooled = msgspec.structs.replace(
            pooled, breadth=limits, breadth_calibrated=(broad.feed_class,)
        )
    return msgspec.structs.replace(params, onset=onset, market=pooled)
