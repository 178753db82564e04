"""Seconds that may still receive records, and the order in which they are due.

    record ──> cell of its second ──> `order`: the asset's open seconds, the first at the top
    asset  ──> `busy`: its next second to judge ──> `queue`: all assets of a second, by name
                                                └─> `order`: those seconds, the first at the top

Both orders are heaps: closing a second looks at what is due and at nothing that waits.
"""

from heapq import heappop, heappush

import msgspec

from schemas.bars import Bar
from schemas.market import Liquidation, OpenInterest
from schemas.onchain import WhaleTransfer
from schemas.words import SECOND, PositionSide, grid_usd
from streams.core.detectors import venue_rates

#: A transfer told later than this is late: a file's receipt may be the time of its import. Six
#: blocks of Bitcoin take less.
TOLD_WITHIN = 3 * 3_600 * SECOND
DataRecord = Liquidation | OpenInterest | Bar | WhaleTransfer


class OpenSecond(msgspec.Struct):
    """What has arrived for a second that may still receive records."""

    ids: set[str] = set()
    orders: dict[PositionSide, dict[str, venue_rates.VenueSecond]] = {}
    bars: list[Bar] = []
    transfers: list[WhaleTransfer] = []
    open_interest: list[OpenInterest] = []
    #: Of orders told in an earlier second, or in this one: they enter no score.
    corrections: list[Liquidation] = []


class OpenSeconds(msgspec.Struct):
    """One asset's open seconds; `order` is a heap of just their numbers."""

    cells: dict[int, OpenSecond] = {}
    order: list[int] = []


class Due(msgspec.Struct):
    """The next second to judge of each asset that has one.

    `queue` has the assets of each second, `order` is a heap of just the seconds; what `busy` does
    not say any more is passed over.
    """

    busy: dict[str, int] = {}
    queue: dict[int, list[str]] = {}
    order: list[int] = []


def second_of(record: DataRecord) -> int:
    """Return the second that a record belongs to; a bar's is its last.

    A correction is news of the second in which it was told: that of the event itself is
    mostly judged by then. So is a transfer, which a block or a provider tells long after it was
    sent. Both times are in the record, so a replay puts it where it was.
    """
    if isinstance(record, Bar):
        return record.ts_close // SECOND - 1
    if isinstance(record, OpenInterest):
        return record.ts_event // SECOND
    if record.version > 1:
        return record.ts_recv // SECOND
    if isinstance(record, WhaleTransfer):
        latest = min(record.ts_recv, record.ts_event + TOLD_WITHIN)
        return max(record.ts_event, latest) // SECOND
    return record.ts_event // SECOND


def cell_of(seconds: OpenSeconds, second: int) -> OpenSecond:
    """Return the cell of a second, opened if it is new."""
    cell = seconds.cells.get(second)
    if cell is None:
        cell = seconds.cells[second] = OpenSecond()
        heappush(seconds.order, second)
    return cell


def close(seconds: OpenSeconds, second: int) -> OpenSecond:
    """Return what came for a second, none after the first that is open; it is open no more."""
    if not seconds.order or seconds.order[0] != second:
        return OpenSecond()
    heappop(seconds.order)
    return seconds.cells.pop(second)


def await_second(due: Due, asset: str, second: int) -> None:
    """Have an asset judged when `second` closes, or sooner where it is due sooner."""
    known = due.busy.get(asset)
    if known is None or second < known:
        due.busy[asset] = second
        queued = due.queue.get(second)
        if queued is None:
            due.queue[second] = [asset]
            heappush(due.order, second)
        else:
            queued.append(asset)


def due_before(due: Due, frontier: int) -> list[str]:
    """Return the assets with a second to judge before `frontier`, by name, and forget it."""
    assets, busy = [], due.busy
    while due.order and due.order[0] < frontier:
        second = heappop(due.order)
        for asset in due.queue.pop(second):
            if busy.get(asset) == second:
                del busy[asset]
                assets.append(asset)
    assets.sort()
    return assets


def put(cell: OpenSecond, record: DataRecord) -> bool:
    """Add a record to its second; return False where its id is there already."""
    if isinstance(record, Bar):
        cell.bars.append(record)
        return True
    event_id = record.event_id
    if not isinstance(record, OpenInterest) and record.version > 1:
        event_id = f"{event_id}\x1f{record.version}"
    if event_id in cell.ids:
        return False
    cell.ids.add(event_id)
    if isinstance(record, OpenInterest):
        cell.open_interest.append(record)
        return True
    if isinstance(record, WhaleTransfer):
        cell.transfers.append(record)
        return True
    if record.version > 1:
        cell.corrections.append(record)
        return True
    venues = cell.orders.setdefault(record.position_side, {})
    stream = venue_rates.stream_of(record.venue, record.instrument, record.coverage)
    seen = venues.get(stream)
    if seen is None:
        seen = venues[stream] = venue_rates.VenueSecond(coverage=record.coverage)
    worth = None if record.notional_usd is None else grid_usd(record.notional_usd)
    seen.entries.append((record.orders, worth))
    return True


def restore(seconds: OpenSeconds, second: int, cell: OpenSecond) -> None:
    """Put back a cell as it was stored; the second must not be open."""
    seconds.cells[second] = cell
    heappush(seconds.order, second)
