"""Signed taker flow by minute and venue: what the whale test reads.

    ──── days ────┬──── hours ────┬── minutes ──> now
    a block each  │ a block each  │ one by one, an hour or two of them
                  midnight        `settled`

An hour is packed once it lies a whole hour back: no bar is longer, so none can still open
in it. Where something is kept never changes what is read. Nothing but the test of a whale's
deposit reads days; a shell that stores them may put them away until there is one.
"""

from collections.abc import Iterable, Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.bars import Bar
from schemas.words import MINUTE, grid_usd
from streams.core.detectors import flow_block
from streams.core.detectors.flow_block import Columns, Floats, MinuteFlow

HOUR, DAY = 60, 1_440
#: A row as shells store them: (first minute, minutes).
Row = tuple[int, int]


class FlowState(msgspec.Struct):
    """Minutes by number since the epoch; packed hours and days by their first minute.

    All before `settled` is packed. `changed` are the rows that a shell has yet to store, or
    to delete where they are gone; None where no shell stores rows. A day that is None is put
    away: whoever stores rows has it.
    """

    minutes: dict[int, MinuteFlow] = {}
    hours: dict[int, bytes] = {}
    days: dict[int, bytes | None] = {}
    settled: int = 0
    oldest_kept: int = 0
    changed: set[Row] | None = None


def step(state: FlowState, second: int, bars: Iterable[Bar]) -> None:
    """Fold the bars that ended with `second` into their minutes, once."""
    touched = []
    for bar in bars:
        minute = bar.ts_open // MINUTE
        cell = state.minutes.get(minute)
        # Only after a restart: what is packed had all its seconds.
        if minute < state.settled or (cell is not None and cell.upto >= second):
            continue
        if cell is None:
            cell = state.minutes[minute] = MinuteFlow()
        _add(cell, bar.venue, grid_usd(bar.buy_usd), grid_usd(bar.sell_usd))
        _widen(cell, bar.high, bar.low)
        _mark(state, minute, 1)
        touched.append(cell)
    for cell in touched:
        cell.upto = second


def add(state: FlowState, minute: int, venue: str, buy_usd: float, sell_usd: float) -> None:
    """Add taker USD of one venue to a minute; sums on the dollar grid are exact."""
    cell = state.minutes.get(minute)
    if cell is None:
        cell = state.minutes[minute] = MinuteFlow()
    _add(cell, venue, buy_usd, sell_usd)
    _mark(state, minute, 1)


def _add(cell: MinuteFlow, venue: str, buy_usd: float, sell_usd: float) -> None:
    sums = cell.venues.get(venue)
    if sums is None:
        cell.venues[venue] = [buy_usd, sell_usd]
    else:
        sums[0] += buy_usd
        sums[1] += sell_usd


def add_range(state: FlowState, minute: int, high: float, low: float) -> None:
    """Widen a minute's fill range."""
    _widen(state.minutes.setdefault(minute, MinuteFlow()), high, low)
    _mark(state, minute, 1)


def _widen(cell: MinuteFlow, high: float, low: float) -> None:
    if cell.high is None or high > cell.high:
        cell.high = high
    if cell.low is None or low < cell.low:
        cell.low = low


def settle(state: FlowState, before_minute: int) -> None:
    """Pack the hours, and the days, that ended by `before_minute`; nothing may come for them."""
    end = before_minute // HOUR * HOUR
    if end <= state.settled:
        return
    state.settled = end
    finished: dict[int, dict[int, MinuteFlow]] = {}
    for minute in sorted(m for m in state.minutes if m < end):
        finished.setdefault(minute // HOUR * HOUR, {})[minute] = state.minutes.pop(minute)
        _mark(state, minute, 1)
    for start, cells in finished.items():
        state.hours[start] = flow_block.pack(flow_block.of_minutes(cells, start, HOUR))
        _mark(state, start, HOUR)
    parts: dict[int, dict[int, Columns]] = {}
    for start in sorted(h for h in state.hours if h < end // DAY * DAY):
        hour = flow_block.unpack(state.hours.pop(start))
        parts.setdefault(start // DAY * DAY, {})[start] = hour
        _mark(state, start, HOUR)
    for start, hours in parts.items():
        state.days[start] = flow_block.pack(flow_block.joined(hours, start, DAY))
        _mark(state, start, DAY)


def forget(state: FlowState, before_minute: int) -> None:
    """Leave out minutes before `before_minute`, at most once an hour of event time."""
    if before_minute < state.oldest_kept + HOUR:
        return
    state.oldest_kept = before_minute
    for width, rows in ((1, state.minutes), (HOUR, state.hours), (DAY, state.days)):
        for start in [s for s in rows if s + width <= before_minute]:
            del rows[start]
            _mark(state, start, width)


def _mark(state: FlowState, start: int, width: int) -> None:
    if state.changed is not None:
        state.changed.add((start, width))


def row(state: FlowState, start: int, width: int) -> bytes | None:
    """Return a row as shells store it, None where it is gone."""
    if width == 1:
        cell = state.minutes.get(start)
        return None if cell is None else msgspec.msgpack.encode(cell)
    packed = state.hours if width == HOUR else state.days
    return _here(packed[start]) if start in packed else None


def rows(state: FlowState) -> set[Row]:
    """Return the rows that shells store, those included that they have yet to delete."""
    kept = ((1, state.minutes), (HOUR, state.hours), (DAY, state.days))
    return {(start, width) for width, starts in kept for start in starts} | (state.changed or set())


def put_away(state: FlowState) -> None:
    """Let go of the bytes of the days that are stored."""
    unstored = state.changed or set()
    state.days = {s: packed if (s, DAY) in unstored else None for s, packed in state.days.items()}


def away(state: FlowState) -> list[Row]:
    """Return the days that must be brought back before a deposit is judged."""
    return [(start, DAY) for start, packed in state.days.items() if packed is None]


def bring_back(state: FlowState, days: dict[int, bytes]) -> None:
    """Put days back, by their first minute."""
    state.days |= days


def restore(state: FlowState, rows: dict[Row, bytes | None]) -> None:
    """Take back stored rows; those that a packed one already holds are marked as gone.

    Days may be None, put away. A shell that dies between storing what was packed and deleting
    its parts has both.
    """
    state.days = {start: packed for (start, width), packed in rows.items() if width == DAY}
    state.settled = max((start + DAY for start in state.days), default=0)
    # An hour before its own first minute.
    for start, width in sorted(rows, key=lambda row: (row[0], -row[1])):
        if width == DAY:
            continue
        if start < state.settled:
            _mark(state, start, width)
        elif width == HOUR:
            state.hours[start] = _here(rows[start, width])
            state.settled = start + HOUR
        else:
            state.minutes[start] = _decode_minute(_here(rows[start, width]))


def count(state: FlowState) -> int:
    """Return how many minutes the rows span."""
    return len(state.minutes) + HOUR * len(state.hours) + DAY * len(state.days)


def oldest(state: FlowState) -> int | None:
    """Return the first minute that has anything and is not forgotten."""
    for packed in (state.days, state.hours):
        for start in sorted(packed):
            known = np.flatnonzero(_unpacked(packed[start]).known()) + start
            kept = known[known >= state.oldest_kept]
            if kept.size:
                return int(kept[0])
    return min(state.minutes, default=None)


def _unpacked(packed: bytes | None) -> Columns:
    return flow_block.unpack(_here(packed))


def _here(packed: bytes | None) -> bytes:
    if packed is None:
        raise LookupError("flow that was put away is read: bring its days back first")
    return packed


def cells(state: FlowState, first: int, last: int) -> list[MinuteFlow]:
    """Return what is known of the minutes from `first` to `last`, in order."""
    near = state.minutes
    if first < state.settled:
        near = dict(near)
        for start, columns in _packed(state, first, last + 1):
            near |= flow_block.minutes(columns, start)
    first = max(first, state.oldest_kept)
    return [near[m] for m in range(first, last + 1) if m in near]


def extremes(state: FlowState, minute: int, back: int) -> tuple[float | None, float | None]:
    """Return the (high, low) of fills in `minute` and the `back` minutes before it."""
    near = cells(state, minute - back, minute)
    highs = [cell.high for cell in near if cell.high is not None]
    lows = [cell.low for cell in near if cell.low is not None]
    return max(highs, default=None), min(lows, default=None)


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
    made = FlowMatrix(
        start, np.zeros(n), np.zeros(n), np.zeros(n, dtype=np.bool_), np.full(n, np.nan), False
    )
    pieces = list(_packed(state, start, end))
    near = {m: cell for m, cell in state.minutes.items() if start <= m < end}
    if near:
        first = min(near)
        pieces.append((first, flow_block.of_minutes(near, first, max(near) + 1 - first)))
    for first, columns in pieces:
        _lay(made, venue, first, columns, max(start, state.oldest_kept), end)
    made.mid = _filled(made.mid)
    return made


def _packed(state: FlowState, start: int, end: int) -> Iterator[tuple[int, Columns]]:
    """Yield (first minute, columns) of the packed rows that reach into [start, end)."""
    for width, rows in ((DAY, state.days), (HOUR, state.hours)):
        for first, packed in rows.items():
            if first < end and first + width > start:
                yield first, _unpacked(packed)


def _lay(made: FlowMatrix, venue: str, first: int, columns: Columns, start: int, end: int) -> None:
    """Put a run of minutes into its place, but for those outside [start, end)."""
    start, end = max(start, first), min(end, first + columns.high.size)
    if start >= end:
        return
    of, at = slice(start - first, end - first), slice(start - made.start, end - made.start)
    for name in sorted(columns.venues):
        net = columns.venues[name][0][of] - columns.venues[name][1][of]
        there = ~np.isnan(net)
        if name == venue:
            made.here[at], made.present[at] = np.where(there, net, 0.0), there
        elif there.any():
            made.elsewhere[at] += np.where(there, net, 0.0)
            made.has_elsewhere = True
    made.mid[at] = (columns.high[of] + columns.low[of]) / 2


def _filled(mid: Floats) -> Floats:
    """Carry the last known price forward, and the first one back."""
    known = np.flatnonzero(~np.isnan(mid))
    if known.size == 0:
        return np.ones_like(mid)
    last = np.searchsorted(known, np.arange(mid.size), side="right") - 1
    return np.asarray(mid[known[np.maximum(last, 0)]])


_decode_minute = msgspec.msgpack.Decoder(MinuteFlow).decode
