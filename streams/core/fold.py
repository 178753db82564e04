"""Trades folded into one-second bars: partial sums that any later fold may add up.

trade ──> late? (its second is before the partition's frontier)  -> counted, stored
      ──> duplicate? (same id within the open seconds)           -> counted
      ──> bar of (venue, instrument, second)
drain ──> the bars so far, and the partition's clock behind them

`fold` takes one trade; `fold_columns` takes many at once to the same sums, bit for bit.
"""

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.bars import Bar
from schemas.findings import FeedFinding
from schemas.market import Trade
from schemas.scan.columns import Columns, Words
from schemas.scan.seen_ids import EventIds, SeenIds
from schemas.status import FeedStatus
from schemas.words import GRID, SECOND, grid_usd
from streams.core.detectors import darkness, faults, watermark
from streams.core.params import Params

#: Cells (instruments times seconds) up to which sums are laid out without sorting.
DENSE = 65_536
#: high, low, quantity, buy_usd, sell_usd, trades, open, close, ts_first, ts_last
Sums = list[float]
#: Sums of no trade: the first one is its high and its low, and lies before and behind all.
NOTHING = [-np.inf, np.inf, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, np.inf, -np.inf]
#: `schemas.scan.bar_sums.add_each`: compiled, so given from outside.
AddEach = Callable[..., None]


class FoldState(msgspec.Struct):
    """One trades partition: its clock, ids of the open seconds, and undrained sums."""

    clock: watermark.InputClock = msgspec.field(default_factory=watermark.InputClock)
    ids: dict[int, SeenIds] = {}
    #: By venue, asset and instrument, and by second.
    sums: dict[tuple[tuple[str, str, str], int], Sums] = {}
    late: int = 0
    frontier: int = 0
    doubts: faults.Doubts = msgspec.field(default_factory=faults.Doubts)
    late_share: faults.LateShare = msgspec.field(default_factory=faults.LateShare)
    news: list[FeedFinding] = []


def fold(state: FoldState, trade: Trade) -> str | None:
    """Add one trade to its bar; return "late" or "duplicate" where it is not taken in.

    A trade without a known dollar worth is stored elsewhere but moves no flow.
    """
    second = trade.ts_event // SECOND
    watermark.note(state.clock, trade.ts_event)
    late = second < state.frontier
    faults.count(state.late_share, 1, int(late))
    if late:
        state.late += 1
        return "late"
    ids = state.ids.get(second)
    if ids is None:
        ids = state.ids[second] = SeenIds()
    if ids.add(trade.event_id):
        return "duplicate"
    if trade.notional_usd is None:
        return None
    key = (trade.venue, trade.asset, trade.instrument), second
    usd, price, ts = grid_usd(trade.notional_usd), trade.price, float(trade.ts_event)
    sums = state.sums.get(key)
    if sums is None:
        sums = state.sums[key] = [price, price, 0.0, 0.0, 0.0, 0.0, price, price, ts, ts]
    elif price > sums[0]:
        sums[0] = price
    elif price < sums[1]:
        sums[1] = price
    if ts < sums[8]:
        sums[6], sums[8] = price, ts
    if ts >= sums[9]:
        sums[7], sums[9] = price, ts
    sums[2] += trade.quantity
    sums[3 if trade.aggressor_side == "buy" else 4] += usd
    sums[5] += 1
    return None


def fold_columns(
    state: FoldState, words: Words, of: Columns, good: NDArray[np.bool_], add_each: AddEach
) -> list[int]:
    """Add the rows that are `good`; return those not taken in as duplicates."""
    second = of.ts_event // SECOND
    if state.clock.pending:
        watermark.note_all(state.clock, of.ts_event[good])
    early = second < state.frontier
    late = int(np.count_nonzero(good & early))
    state.late += late
    faults.count(state.late_share, int(np.count_nonzero(good)), late)
    live = good & ~early
    again = _note_ids(state, of.event_id, second, live)
    live[again] = False
    live &= ~np.isnan(of.usd)
    if live.all():
        _add(state, words, of, second, add_each)
    elif live.any():
        _add(state, words, of.only(live), second[live], add_each)
    return again


def _note_ids(
    state: FoldState, ids: EventIds, second: NDArray[np.int64], live: NDArray[np.bool_]
) -> list[int]:
    """Remember ids by second; return the rows whose id was there already."""
    again: list[int] = []
    for number in np.unique(second[live]).tolist():
        rows = np.flatnonzero(live & (second == number))
        seen = state.ids.setdefault(number, SeenIds())
        again += rows[ids[rows].note(seen)].tolist()
    return again


def _add(
    state: FoldState, words: Words, of: Columns, second: NDArray[np.int64], add_each: AddEach
) -> None:
    """Add rows to the sums, in their order: quantities are not on a grid."""
    first = int(second.min())
    span = int(second.max()) - first + 1
    cell, size = of.word * span + (second - first), len(words.known) * span
    if size > DENSE:
        cells, bar = np.unique(cell, return_inverse=True)
    else:
        cells = np.flatnonzero(np.bincount(cell, minlength=size))
        place = np.empty(size, np.intp)
        place[cells] = np.arange(len(cells))
        bar = place[cell]
    label, after = np.divmod(cells, span)
    known = map(words.known.__getitem__, label.tolist())
    keys = list(zip(known, (first + after).tolist(), strict=True))
    begun = list(map(state.sums.get, keys))
    if any(begun):
        sums = np.array([so_far or NOTHING for so_far in begun])
    else:
        sums = np.tile(NOTHING, (len(keys), 1))
    usd = np.rint(of.usd * GRID) / GRID
    add_each(sums, bar, of.price, of.quantity, usd, of.buys, of.ts_event)
    state.sums.update(zip(keys, sums.tolist(), strict=True))


def tell_time(state: FoldState, status: FeedStatus, params: Params) -> str | None:
    """Advance the partition's clock and forget ids of seconds that are closed.

    Returns "crowded" or "behind" where the word is not taken in, "refuted" where it shows that
    the one before it, which was not believed yet, is not to be.
    """
    refused = watermark.refusal(state.clock, status, params.stale_after_s)
    if refused:
        return refused
    before = darkness.lasting({"trades": state.clock})
    seen = watermark.step(state.clock, status, params.stale_after_s)
    if before or state.clock.quiet:
        clocks = {"trades": state.clock}
        state.news += darkness.news(clocks, before, status, params.stale_after_s)
    if seen.moved:
        # Never back, should a restart bring a longer grace: those seconds' ids are forgotten.
        state.frontier = max(state.frontier, state.clock.frontier(params.grace))
        for second in [s for s in state.ids if s < state.frontier]:
            del state.ids[second]
        state.news += filter(None, [faults.look(state.late_share, "trades", state.frontier)])
    if seen.refuted is None:
        return None
    reached = state.clock.now // SECOND
    state.news += filter(None, [faults.doubt(state.doubts, seen.refuted.producer, reached)])
    return "refuted"


def drain_news(state: FoldState) -> list[FeedFinding]:
    """Return what people are to hear of the feeds of trades, once."""
    news, state.news = state.news, []
    return news


def drain(state: FoldState) -> list[Bar]:
    """Return the partial bars folded since the last drain, and start anew."""
    bars = [
        Bar(
            venue=venue,
            instrument=instrument,
            asset=asset,
            ts_open=second * SECOND,
            width=SECOND,
            high=high,
            low=low,
            quantity=quantity,
            buy_usd=buy_usd,
            sell_usd=sell_usd,
            trades=int(trades),
            open=opened,
            close=closed,
            ts_first=int(ts_first),
            ts_last=int(ts_last),
        )
        for ((venue, asset, instrument), second), (
            high, low, quantity, buy_usd, sell_usd, trades, opened, closed, ts_first, ts_last,
        ) in state.sums.items()
    ]  # fmt: skip
    state.sums.clear()
    return bars


def clock_record(state: FoldState, part: int, parts: int) -> FeedStatus | None:
    """Return rollup's own word on the bars topic: this trades partition is folded to here.

    `silent` while every producer of trades is: then nobody need wait for bars.
    """
    if not state.clock.now:
        return None
    dark = state.clock.dark_since is not None
    return FeedStatus(
        producer="rollup",
        state="silent" if dark else "alive",
        ts_event=state.clock.now,
        part=part,
        parts=parts,
        reason="every producer of trades is silent" if dark else "",
    )
