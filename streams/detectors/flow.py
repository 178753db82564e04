"""Signed taker flow by minute and venue: what the whale test reads."""

from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.bars import Bar
from schemas.words import MINUTE, grid_usd

Floats = NDArray[np.float64]


class MinuteFlow(msgspec.Struct):
    """One minute of one asset: venue -> [buy USD, sell USD], and the fill range.

    `upto` is the last second folded in: a minute may be stored before the rest of its
    asset's state, and a restart must not add the same second again.
    """

    venues: dict[str, list[float]] = {}
    upto: int = 0
    high: float | None = None
    low: float | None = None


class FlowState(msgspec.Struct):
    """Minutes by number since the epoch; a shell has yet to store `changed`, drop `dropped`."""

    minutes: dict[int, MinuteFlow] = {}
    changed: set[int] = set()
    dropped: set[int] = set()
    oldest_kept: int = 0


def take_second(state: FlowState, second: int, bars: Iterable[Bar]) -> None:
    """Fold the bars that ended with `second` into their minutes, once."""
    touched = set()
    for bar in bars:
        minute = bar.ts_open // MINUTE
        cell = state.minutes.get(minute)
        if cell is not None and cell.upto >= second:
            continue
        add(state, minute, bar.venue, grid_usd(bar.buy_usd), grid_usd(bar.sell_usd))
        add_range(state, minute, bar.high, bar.low)
        touched.add(minute)
    for minute in touched:
        state.minutes[minute].upto = second


def add(state: FlowState, minute: int, venue: str, buy_usd: float, sell_usd: float) -> None:
    """Add taker USD of one venue to a minute; sums on the dollar grid are exact."""
    cell = state.minutes.get(minute)
    if cell is None:
        cell = state.minutes[minute] = MinuteFlow()
    sums = cell.venues.setdefault(venue, [0.0, 0.0])
    sums[0] += buy_usd
    sums[1] += sell_usd
    state.changed.add(minute)


def add_range(state: FlowState, minute: int, high: float, low: float) -> None:
    """Widen a minute's fill range."""
    cell = state.minutes.setdefault(minute, MinuteFlow())
    state.changed.add(minute)
    cell.high = high if cell.high is None else max(cell.high, high)
    cell.low = low if cell.low is None else min(cell.low, low)


def extremes(state: FlowState, minute: int, back: int) -> tuple[float | None, float | None]:
    """Return the (high, low) of fills in `minute` and the `back` minutes before it."""
    cells = [state.minutes.get(m) for m in range(minute - back, minute + 1)]
    highs = [cell.high for cell in cells if cell is not None and cell.high is not None]
    lows = [cell.low for cell in cells if cell is not None and cell.low is not None]
    return max(highs, default=None), min(lows, default=None)


def forget(state: FlowState, before_minute: int) -> None:
    """Drop minutes before `before_minute`, at most once an hour of event time."""
    if before_minute < state.oldest_kept + 60:
        return
    for minute in [m for m in state.minutes if m < before_minute]:
        del state.minutes[minute]
        state.changed.discard(minute)
        state.dropped.add(minute)
    state.oldest_kept = before_minute


class FlowMatrix(msgspec.Struct):
    """Minutes [start, start+n): net taker USD there and elsewhere, presence, mid price."""

    start: int
    here: Floats
    elsewhere: Floats
    present: NDArray[np.bool_]
    mid: Floats
    has_elsewhere: bool


def matrix(state: FlowState, venue: str, start: int, end: int) -> FlowMatrix:
    """Lay minutes [start, end) out as arrays; absent minutes are zero and not present."""
    n = end - start
    here, elsewhere, mid = np.zeros(n), np.zeros(n), np.full(n, np.nan)
    present = np.zeros(n, dtype=np.bool_)
    has_elsewhere = False
    for minute in range(start, end):
        cell = state.minutes.get(minute)
        if cell is None:
            continue
        i = minute - start
        for name in sorted(cell.venues):
            buy, sell = cell.venues[name]
            if name == venue:
                here[i], present[i] = buy - sell, True
            else:
                elsewhere[i] += buy - sell
                has_elsewhere = True
        if cell.high is not None and cell.low is not None:
            mid[i] = (cell.high + cell.low) / 2
    return FlowMatrix(start, here, elsewhere, present, _filled(mid), has_elsewhere)


def _filled(mid: Floats) -> Floats:
    """Carry the last known price forward, and the first one back."""
    known = np.flatnonzero(~np.isnan(mid))
    if known.size == 0:
        return np.ones_like(mid)
    last = np.searchsorted(known, np.arange(mid.size), side="right") - 1
    return np.asarray(mid[known[np.maximum(last, 0)]])
