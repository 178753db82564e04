"""What every recording shares: files of lines in, ordered items and dead letters out."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from schemas.bars import Bar
from schemas.codec import field_and_reason
from schemas.identity import natural_id
from schemas.market import Liquidation, OpenInterest, Trade
from schemas.onchain import WhaleTransfer
from schemas.status import DeadLetter, FeedStatus, letter
from schemas.words import MAX_MICROS, MIN_MICROS
from streams.feeds.frames import UnreadableFrame
from streams.sources import Item
from streams.sources.packed import BROKEN_FILE, text_lines

#: Reads one line: a record, or None for a header and an order of which nothing filled. Raises
#: UnreadableFrame.
Reader = Callable[[str], msgspec.Struct | list[Any] | None]
#: Takes (line number, record) and returns the record to hand on. Raises UnreadableFrame.
Accept = Callable[[int, Any], Any]
Row = TypeVar("Row", bound=msgspec.Struct)

#: A line's number (from 1), its text, and its record or what is wrong with it.
Outcome = tuple[int, str, Any]

TOPIC_OF_TYPE: dict[type, str] = {
    Trade: "trades",
    Liquidation: "liquidations",
    OpenInterest: "liquidations",
    WhaleTransfer: "whale_transfers",
    Bar: "bars",
    DeadLetter: "dead_letters",
}
#: What a source of ready bars speaks for.
BARS_CLOCKED = ("bars", "liquidations", "whale_transfers")
EARLIEST = 1_420_070_400_000_000
_EDGE = 1 << 20
_MAX_WAITING = 1000
#: So begins what is said of a file whose end is missing.
BREAKS_OFF = "the file breaks off"
#: Lines by which a file is recognised.
HEAD = 40


class SourceError(Exception):
    """A path that is no recording: one line naming what was looked for."""


def data_files(
    path: Path | Sequence[Path], recognised: Callable[[Path, list[str]], bool]
) -> list[Path]:
    """Return the recognised files of a folder (by name), or `path` itself as a list.

    Raises SourceError when nothing is there.
    """
    if not isinstance(path, Path):
        return list(path)
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder")
    if path.is_file():
        return [path]
    files = [x for x in sorted(path.iterdir()) if x.is_file() and recognised(x, head(x))]
    if not files:
        raise SourceError(f"{path}: no file of this kind in the folder")
    return files


def head(path: Path, count: int = HEAD) -> list[str]:
    """Return the first lines of a file, decompressed; [] where it cannot be read."""
    lines: list[str] = []
    try:
        for line in text_lines(path):
            lines.append(line[:20_000].rstrip("\r\n").removeprefix("\ufeff"))
            if len(lines) == count:
                break
    except BROKEN_FILE:
        pass
    return lines


def identity_of(family: str, files: Iterable[Path]) -> str:
    """Hash names, sizes, and the first and last MB of `files`: equal for equal content."""
    facts: list[object] = [family]
    for path in files:
        size = path.stat().st_size
        with path.open("rb") as stream:
            edges = stream.read(_EDGE)
            if size > _EDGE:
                stream.seek(max(_EDGE, size - _EDGE))
                edges += stream.read()
        facts += [path.name, size, blake2b(edges, digest_size=16).hexdigest()]
    return natural_id(*facts)


def row(cells: Sequence[object], shape: type[Row]) -> Row:
    """Read text cells into the array-like struct `shape`; raises UnreadableFrame.

    A whole number in exponent form (1.6829E+12, by a spreadsheet) has lost its last digits.
    """
    for place, name in _whole_numbers(shape):
        cell = cells[place] if place < len(cells) else ""
        if isinstance(cell, str) and "e" in cell.lower():
            raise UnreadableFrame(name, f"{cell[:40]!r}: in exponent form its last digits are gone")
    try:
        return msgspec.convert(cells, shape, strict=False)
    except msgspec.ValidationError as problem:
        field, reason = field_and_reason(problem)
        position = field.strip("[]")
        if position.isdigit():
            field = shape.__struct_fields__[int(position)]
        raise UnreadableFrame(field, reason) from None


@lru_cache
def _whole_numbers(shape: type[msgspec.Struct]) -> list[tuple[int, str]]:
    kinds = msgspec.inspect.type_info(shape).fields  # type: ignore[attr-defined]
    whole = msgspec.inspect.IntType
    return [(place, f.name) for place, f in enumerate(kinds) if isinstance(f.type, whole)]


def micros(stamp: int) -> int:
    """Return `stamp` in microseconds, given milliseconds or microseconds since 1970.

    Raises UnreadableFrame for a time before 2015 or after 2100.
    """
    time = stamp * 1000 if stamp < 100_000_000_000_000 else stamp
    if not MIN_MICROS <= time <= MAX_MICROS:
        raise UnreadableFrame("ts_event", f"{time} us is not between 2015 and 2100")
    return time


def time_of(record: Any) -> int:
    """Return when a record was received, microseconds: a bar at its close."""
    if isinstance(record, Bar):
        return record.ts_close
    stamp: int = record.ts_event if isinstance(record, FeedStatus) else record.ts_recv
    return stamp


def loaded(
    files: Iterable[Path], reader_of: Callable[[Path], Reader], keep_repeats: bool = True
) -> list[Item]:
    """Read whole files into one list ordered by time of receipt.

    Identity of liquidations, which carry no venue id: the k-th equal row of one file is
    the k-th of every other file, so recordings of one stream that overlap count once
    and equal rows within a file stay (with `keep_repeats`). What is dropped is a dead
    letter that says where the event was first seen.
    """
    first_seen: dict[str, str] = {}
    items: list[Item] = []
    for path in files:
        items += items_of(path, reader_of(path), _once(path, first_seen, keep_repeats))
    items.sort(key=lambda item: time_of(item[1]))
    return items


def merged(streams: Iterable[Iterator[Item]]) -> Iterator[Item]:
    """Merge ordered streams by time of receipt; ties keep the streams' order."""
    return heapq.merge(*streams, key=lambda item: time_of(item[1]))


def span_of(items: Iterable[Item]) -> tuple[int, int] | None:
    """Return the first and last event time (microseconds) of `items`."""
    stamps = [
        record.ts_open if isinstance(record, Bar) else int(getattr(record, "ts_event", 0))
        for topic, record in items
        if topic != "dead_letters"
    ]
    return (min(stamps), max(stamps)) if stamps else None


def numbered(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, text) of a file, however packed; blank lines are not."""
    for number, line in enumerate(text_lines(path), 1):
        text = line.rstrip("\r\n")
        if number == 1:
            text = text.removeprefix("\ufeff")
        if text.strip():
            yield number, text


def items_of(
    path: Path,
    read: Reader,
    accept: Accept,
    topic: str | None = None,
    lines: Callable[[Path], Iterator[tuple[int, str]]] | None = None,
) -> Iterator[Item]:
    """Yield one file's records in its order, and dead letters in their places.

    A dead letter carries the last good time before it, at the file's start the first
    good one after it. `topic` overrides what the record's type says, `lines` the order.
    """
    return with_dead_letters(path, outcomes_of(path, read, accept, lines or numbered), topic)


def with_dead_letters(
    path: Path, outcomes: Iterable[Outcome], topic: str | None = None
) -> Iterator[Item]:
    """Yield records under their topics (or under `topic`), as `items_of` says."""
    last = 0
    waiting: list[tuple[int, UnreadableFrame, str]] = []
    for number, text, got in outcomes:
        if isinstance(got, UnreadableFrame):
            waiting.append((number, got, text))
            if not last and len(waiting) <= _MAX_WAITING:
                continue
        else:
            last = time_of(got)
        yield from _dead(path, waiting, last or EARLIEST)
        if not isinstance(got, UnreadableFrame):
            yield topic or TOPIC_OF_TYPE[type(got)], got
    yield from _dead(path, waiting, last or EARLIEST)


def outcomes_of(
    path: Path,
    read: Reader,
    accept: Accept,
    lines: Callable[[Path], Iterator[tuple[int, str]]] = numbered,
) -> Iterator[Outcome]:
    """(line number, text, its record or the complaint) for every line but headers."""
    number = 0
    try:
        for number, text in lines(path):
            got: Any
            try:
                got = read(text)
                if got is not None:
                    got = accept(number, got)
            except UnreadableFrame as problem:
                got = problem
            for one in got if isinstance(got, list) else () if got is None else (got,):
                yield number, text, one
    except BROKEN_FILE as problem:
        yield broken_off(number, problem)


def broken_off(number: int, problem: BaseException) -> Outcome:
    """Return what is said of a file whose bytes end wrongly after line `number`."""
    reason = f"{BREAKS_OFF} after line {number}: {problem}"
    return number, "", UnreadableFrame("", reason)


def _once(path: Path, first_seen: dict[str, str], keep_repeats: bool) -> Accept:
    """Give repeats within the file their own ids, refuse what another file has told."""
    seen: Counter[str] = Counter()

    def accept(number: int, record: Any) -> Any:
        event_id = record.event_id
        if seen[event_id] and keep_repeats and isinstance(record, Liquidation):
            record = msgspec.structs.replace(record, event_id=natural_id(event_id, seen[event_id]))
        seen[event_id] += 1
        if record.event_id in first_seen:
            where = first_seen[record.event_id]
            raise UnreadableFrame("event_id", f"duplicate event_id, first seen at {where}")
        first_seen[record.event_id] = f"{path.name}:{number}"
        return record

    return accept


def _dead(path: Path, waiting: list[tuple[int, UnreadableFrame, str]], ts: int) -> Iterator[Item]:
    for number, problem, text in waiting:
        place = (path.name, 0, number)
        yield "dead_letters", letter(place, problem.field, problem.reason, text.encode(), ts)
    waiting.clear()
