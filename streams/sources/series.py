"""One series of files as items in the order of their time, in little memory.

file ──(goes back in time: sorted on disk)──> window of rows ──> merge over files ──> items
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from schemas.bars import Bar
from schemas.status import letter
from schemas.words import MINUTE
from streams.feeds.frames import UnreadableFrame
from streams.sources import Item
from streams.sources.lines import (
    EARLIEST,
    TOPIC_OF_TYPE,
    Reader,
    numbered,
    outcomes_of,
    time_of,
)
from streams.sources.strays import Row, span_named, without_strays
from streams.sources.time_order import Order, by_time, looked_at

#: Rows over which a file's own order of time is found, at most and at least.
WINDOW, LEAST_WINDOW = 10_000, 500
#: Rows that all windows together hold.
ROWS = 400_000
#: Event ids that are remembered, so that what stands in a file again, or in two, counts once.
REMEMBERED = 20_000
#: Bad rows that wait for a file's first good one, whose time they take.
LEADING = 1_000
#: What is said of a bar whose minute the series had before.
AGAIN = "not later than the bar before it in this series"
#: What the letter of a row begins with whose identity stood in a file before.
STOOD_BEFORE = "duplicate event_id"
#: A file is opened when the others have come so near to its first row.
NEAR = 10 * MINUTE


Lines = Callable[[Path], Iterator[tuple[int, str]]]


class Ordered(NamedTuple):
    """A series' files, each with what it is like, and the reader of each."""

    files: list[tuple[Path, Order]]
    reader_of: Callable[[Path], Reader]
    lines: Lines = numbered

    @property
    def sorted_names(self) -> list[str]:
        """The files that go back in time, and are sorted."""
        return [path.name for path, order in self.files if order.goes_back]


def ordered(
    files: Iterable[Path], reader_of: Callable[[Path], Reader], lines: Lines = numbered
) -> Ordered:
    """Look at each file of a series: where it begins, and whether its rows go back in time."""
    # What is out of place by less than the window needs no closer look.
    looked = [(path, looked_at(path, times_by(reader_of(path)), closely=False)) for path in files]
    return Ordered(looked, reader_of, lines)


def times_by(read: Reader) -> Callable[[str], int | None]:
    """Return what tells the time of receipt in a line, microseconds; None where it has none."""
    quick: Callable[[str], int | None] | None = getattr(read, "time_in", None)
    if quick is not None:
        return quick

    def time_in(line: str) -> int | None:
        try:
            got = read(line)
        except UnreadableFrame:
            return None
        first = got[0] if isinstance(got, list) and got else got
        return time_of(first) if isinstance(first, msgspec.Struct) else None

    return time_in


def streamed(series: Ordered, of_many: int = 1) -> Iterator[Item]:
    """Yield the records of one series in the order of their time, in constant memory.

    Files may overlap. Rows are put in order over a window of them; one that comes still later
    is taken as received in its turn, as no other receipt is known. A bar has no receipt: one
    that repeats or goes back in time becomes a dead letter. `of_many` series share the memory.
    """
    last = 0
    seen = _Seen(REMEMBERED // of_many)
    for ts, number, path, text, got in _merged(series, of_many):
        if isinstance(got, Bar):
            if ts <= last:
                got = UnreadableFrame("ts_open", AGAIN)
        elif not isinstance(got, UnreadableFrame):
            got = seen.once(got, path, number)
        if isinstance(got, UnreadableFrame):
            place, raw = (path.name, 0, number), text.encode()
            yield "dead_letters", letter(place, got.field, got.reason, raw, ts or EARLIEST)
            continue
        if ts < last:
            got = msgspec.structs.replace(got, ts_recv=last)
        else:
            last = ts
        yield TOPIC_OF_TYPE[type(got)], got


class _Seen:
    """The last event ids, and where each stood."""

    def __init__(self, most: int) -> None:
        self._most = max(most, LEAST_WINDOW)
        self._places: dict[str, tuple[Path, int]] = {}

    def once(self, record: Any, path: Path, number: int) -> Any:
        """Return the record, or the complaint that it stood there before."""
        places, event_id = self._places, record.event_id
        if event_id in places:
            name, line = places[event_id][0].name, places[event_id][1]
            return UnreadableFrame("event_id", f"{STOOD_BEFORE}, first seen at {name}:{line}")
        places[event_id] = (path, number)
        if len(places) > 2 * self._most:
            for old in list(islice(places, self._most)):
                del places[old]
        return record


def _merged(series: Ordered, of_many: int) -> Iterator[Row]:
    window = max(LEAST_WINDOW, min(WINDOW, ROWS // of_many))
    waiting = sorted(
        ((_from(order), turn, path, order) for turn, (path, order) in enumerate(series.files)),
        reverse=True,
    )
    heap: list[tuple[int, int, Row, Iterator[Row]]] = []
    while heap or waiting:
        while waiting and (not heap or waiting[-1][0] <= heap[0][0]):
            _, turn, path, order = waiting.pop()
            rows = _in_order(path, series, order, window)
            if (first := next(rows, None)) is not None:
                heapq.heappush(heap, (first[0], turn, first, rows))
        if not heap:
            continue
        _, turn, row, rows = heap[0]
        yield row
        if (following := next(rows, None)) is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following[0], turn, following, rows))


def _from(order: Order) -> int:
    """Return when a file is opened: before its first row, as far as that is known."""
    unsure = (order.ends - order.begins) // 20 if order.goes_back else 0
    return order.begins - NEAR - unsure


def _in_order(path: Path, series: Ordered, order: Order, window: int) -> Iterator[Row]:
    """Yield a file's rows by time, as far as `window` rows at once show it."""
    lines = series.lines
    if order.goes_back:
        time_in = times_by(series.reader_of(path))

        def lines(file: Path) -> Iterator[tuple[int, str]]:
            return by_time(series.lines(file), time_in)

    rows = _timed(path, series.reader_of(path), lines)
    if not order.goes_back:
        rows = without_strays(rows, span_named(path))
    pending: list[Row] = []
    while part := list(islice(rows, window // 4)):
        pending += part
        pending.sort(key=_time)
        yield from pending[:-window]
        del pending[:-window]
    yield from pending


def _timed(path: Path, read: Reader, lines: Lines) -> Iterator[Row]:
    latest = 0
    leading: list[Row] = []
    for number, text, got in outcomes_of(path, read, lambda _, record: record, lines):
        if isinstance(got, UnreadableFrame):
            if not latest and len(leading) < LEADING:
                leading.append((0, number, path, text, got))
                continue
        else:
            latest = time_of(got)
        for row in leading:
            yield latest, *row[1:]
        leading.clear()
        yield latest, number, path, text, got
    yield from leading


def _time(row: Row) -> int:
    return row[0]
