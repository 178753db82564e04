"""A recording's forced orders as the scores take them: by asset and side, a second at a time."""

from collections import Counter, defaultdict
from typing import NamedTuple

import msgspec
import numpy as np

from schemas.bars import Bar
from schemas.market import Liquidation, Trade
from schemas.words import SECOND, Coverage, FeedClass, Throttle
from streams.core.shipped import ByVenue
from streams.evaluate.events import Floats32, Ints
from streams.evaluate.scores import Floats, Shown, shown

Key = tuple[str, str]


class Orders(NamedTuple):
    """One asset and side, unsorted: event time (microseconds), venue, USD and number."""

    at: list[int]
    venue: list[str]
    usd: list[float]
    orders: list[int]


class Recording(msgspec.Struct):
    """What was told, so far: each event once, in its first telling.

    `coverage` by venue, `taker` signed USD and `price` the last fill by asset and second,
    `unpriced` orders without a worth, which the scores here leave out.
    """

    orders: dict[Key, Orders] = msgspec.field(
        default_factory=lambda: defaultdict(lambda: Orders([], [], [], []))
    )
    coverage: dict[str, Coverage] = {}
    taker: dict[str, dict[int, float]] = msgspec.field(
        default_factory=lambda: defaultdict(lambda: defaultdict(float))
    )
    price: dict[str, dict[int, float]] = msgspec.field(default_factory=lambda: defaultdict(dict))
    seen: set[str] = set()
    unpriced: int = 0
    first: int = 0
    last: int = 0


def take(recording: Recording, record: msgspec.Struct) -> None:
    """Add one record; what is neither an order, a trade nor a bar is left aside."""
    if isinstance(record, Liquidation):
        _span(recording, record.ts_event)
        if record.event_id in recording.seen or record.removed:
            return
        recording.seen.add(record.event_id)
        add(recording, record.asset, record.position_side, record.venue, record.coverage,
            record.ts_event, record.notional_usd, record.orders)  # fmt: skip
    elif isinstance(record, Trade) and record.notional_usd is not None:
        _span(recording, record.ts_event)
        sign = 1 if record.aggressor_side == "buy" else -1
        recording.taker[record.asset][record.ts_event // SECOND] += sign * record.notional_usd
        recording.price[record.asset][record.ts_event // SECOND] = record.price
    elif isinstance(record, Bar):
        # Known when it has ended.
        _span(recording, record.ts_close - 1)
        second = (record.ts_close - 1) // SECOND
        recording.taker[record.asset][second] += record.buy_usd - record.sell_usd
        recording.price[record.asset][second] = (record.high + record.low) / 2


def add(
    recording: Recording, asset: str, side: str, venue: str, coverage: Coverage, at: int,
    usd: float | None, orders: int,
) -> None:  # fmt: skip
    """Add one forced order, or a row that stands for several."""
    _span(recording, at)
    recording.coverage[venue] = coverage
    if usd is None:
        recording.unpriced += orders
        return
    orders_of = recording.orders[asset, side]
    orders_of.at.append(at)
    orders_of.venue.append(venue)
    orders_of.usd.append(usd / orders)
    orders_of.orders.append(orders)


def _span(recording: Recording, at: int) -> None:
    recording.first = min(recording.first or at, at)
    recording.last = max(recording.last, at)


class Cuts(NamedTuple):
    """Silences of every feed at once: the second after which each began, and its length."""

    after: Ints
    lost: Ints


UNCUT = Cuts(np.zeros(0, np.int64), np.zeros(0, np.int64))


def silences(recording: Recording, longer_than_s: int) -> Cuts:
    """Return where nothing at all was told for longer than `longer_than_s`."""
    at = np.unique(np.concatenate([np.array(o.at, np.int64) for o in recording.orders.values()]))
    at = np.unique(at // SECOND) - recording.first // SECOND
    gap = np.diff(at)
    long = np.flatnonzero(gap > longer_than_s)
    return Cuts(at[long], gap[long] - 1)


def uncut(cuts: Cuts, at: Ints) -> Ints:
    """Return seconds counted without the silences; one inside a silence is its beginning."""
    if not len(cuts.after):
        return at
    n = np.searchsorted(cuts.after, at, side="left") - 1
    earlier = np.cumsum(cuts.lost) - cuts.lost
    lost = earlier[n] + np.minimum(at - cuts.after[n], cuts.lost[n])
    return np.asarray(np.where(n >= 0, at - lost, at), np.int64)


def feed(recording: Recording, key: Key, cuts: Cuts = UNCUT) -> Shown:
    """Return one asset and side, silences left out as the product's watched time does."""
    orders_of = recording.orders[key]
    times = np.array(orders_of.orders, np.int64)
    at = np.repeat(np.array(orders_of.at, np.int64) // SECOND, times)
    venues = sorted(set(orders_of.venue))
    number = np.repeat(np.array([venues.index(v) for v in orders_of.venue], np.int8), times)
    usd = np.repeat(np.array(orders_of.usd, np.float64), times)
    first = recording.first // SECOND
    length = recording.last // SECOND - first + 1
    at -= first
    at = uncut(cuts, at)
    length -= int(cuts.lost.sum())
    coverage = tuple(recording.coverage[v] for v in venues)
    return shown(at.astype(np.int32), number, usd, coverage, length, np.repeat(times > 1, times))


def feed_class(recording: Recording, asset: str) -> FeedClass:
    """Return which of the product's thresholds an asset's venues call for."""
    venues = {
        v for (a, _), orders_of in recording.orders.items() if a == asset for v in orders_of.venue
    }
    complete = [recording.coverage[v] == "full" for v in venues]
    if all(complete):
        return "full"
    return "mixed" if any(complete) else "throttled"


def by_venue(recording: Recording, asset: str, usual_orders: float) -> ByVenue:
    """Return about what is usual at each of an asset's venues, as `rate_state.venues` learns it.

    Seconds with an order are counted: a throttled venue shows these as a complete one does.
    """
    active = {
        (key[1], venue, at // SECOND)
        for key, of in recording.orders.items()
        if key[0] == asset
        for venue, at in zip(of.venue, of.at, strict=True)
    }
    seconds = Counter(venue for _, venue, _ in active)
    each = {v: usual_orders * n / len(active) for v, n in sorted(seconds.items())}
    complete = [orders for venue, orders in each.items() if recording.coverage[venue] == "full"]
    throttled = [orders for venue, orders in each.items() if recording.coverage[venue] != "full"]
    return ByVenue(sum(complete), tuple(throttled))


#: A usual day's orders, of which bursts are cut, to a mean one's (simulator seed 171).
MEAN_TO_USUAL = 0.25


def usual_orders(orders: int, seconds: int) -> float:
    """Return about what `RateState.usual_orders` comes to where so many were told."""
    return MEAN_TO_USUAL * orders / max(seconds / 86_400, 1.0)


def throttle(recording: Recording, asset: str) -> Throttle | None:
    """Return what kind of throttled feed an asset has, as `rate_state.throttle` does, or None."""
    if feed_class(recording, asset) != "throttled":
        return None
    of_asset = [orders_of for (a, _), orders_of in recording.orders.items() if a == asset]
    if any(max(orders_of.orders) > 1 for orders_of in of_asset):
        return "batched"
    rules = {recording.coverage[v] for orders_of in of_asset for v in orders_of.venue}
    return "latest" if rules == {"latest_per_second"} else None


def taker(recording: Recording, asset: str) -> Floats32:
    """Return signed taker USD a second; zeros where no trades were told."""
    first = recording.first // SECOND
    out = np.zeros(recording.last // SECOND - first + 1, np.float32)
    for second, usd in recording.taker.get(asset, {}).items():
        out[second - first] += usd
    return out


def price(recording: Recording, asset: str) -> Floats:
    """Return the last fill a second, (T,); NaN where no trades were told."""
    first = recording.first // SECOND
    length = recording.last // SECOND - first + 1
    known = sorted(recording.price.get(asset, {}).items())
    if not known:
        return np.full(length, np.nan)
    at = np.array([second - first for second, _ in known])
    paid = np.array([value for _, value in known])
    before = np.searchsorted(at, np.arange(length), side="right") - 1
    return np.asarray(paid[np.maximum(before, 0)], np.float64)


def running_usd(feed: Shown) -> Floats:
    """Return the running total of what was shown, (T + 1,)."""
    each = np.bincount(feed.at, feed.usd, feed.seconds)
    return np.concatenate([[0.0], np.cumsum(each)])
