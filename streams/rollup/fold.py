"""Trades folded into one-second bars: partial sums that any later fold may add up.

trade ──> late? (its second is before the partition's frontier)  -> counted, stored
      ──> duplicate? (same id within the open seconds)           -> dead letter
      ──> bar of (venue, instrument, second)
drain ──> the bars so far, and the partition's clock behind them
"""

import msgspec

from schemas.bars import Bar
from schemas.market import Trade
from schemas.status import FeedStatus
from schemas.words import SECOND, grid_usd
from streams.detectors import watermark
from streams.params import Params

#: high, low, quantity, buy_usd, sell_usd, trades, asset
Sums = list[float]


class FoldState(msgspec.Struct):
    """One trades partition: its clock, ids of the open seconds, and undrained sums."""

    clock: watermark.InputClock = msgspec.field(default_factory=watermark.InputClock)
    ids: dict[int, set[str]] = {}
    sums: dict[tuple[str, str, str, int], Sums] = {}
    late: int = 0
    frontier: int = 0


def fold(state: FoldState, trade: Trade) -> str | None:
    """Add one trade to its bar; return "late" or "duplicate" where it is not taken in.

    A trade without a known dollar worth is stored elsewhere but moves no flow.
    """
    second = trade.ts_event // SECOND
    if second < state.frontier:
        state.late += 1
        return "late"
    ids = state.ids.get(second)
    if ids is None:
        ids = state.ids[second] = set()
    if trade.event_id in ids:
        return "duplicate"
    ids.add(trade.event_id)
    if trade.notional_usd is None:
        return None
    key = (trade.asset, trade.venue, trade.instrument, second)
    usd = grid_usd(trade.notional_usd)
    sums = state.sums.get(key)
    if sums is None:
        sums = state.sums[key] = [trade.price, trade.price, 0.0, 0.0, 0.0, 0.0]
    elif trade.price > sums[0]:
        sums[0] = trade.price
    elif trade.price < sums[1]:
        sums[1] = trade.price
    sums[2] += trade.quantity
    sums[3 if trade.aggressor_side == "buy" else 4] += usd
    sums[5] += 1
    return None


def tell_time(state: FoldState, status: FeedStatus, params: Params) -> str | None:
    """Advance the partition's clock and forget ids of seconds that are closed.

    Returns "crowded" where the word of one producer too many is not taken in.
    """
    if watermark.crowded(state.clock, status.producer, params.stale_after_s):
        return "crowded"
    if watermark.observe(state.clock, status, params.stale_after_s):
        state.frontier = state.clock.frontier(params.grace_s)
        for second in [s for s in state.ids if s < state.frontier]:
            del state.ids[second]
    return None


def drain(state: FoldState) -> list[Bar]:
    """Return the partial bars folded since the last drain, and start anew."""
    bars = [
        Bar(
            venue=venue,
            instrument=instrument,
            asset=asset,
            ts_open=second * SECOND,
            width=SECOND,
            high=sums[0],
            low=sums[1],
            quantity=sums[2],
            buy_usd=sums[3],
            sell_usd=sums[4],
            trades=int(sums[5]),
        )
        for (asset, venue, instrument, second), sums in state.sums.items()
    ]
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
