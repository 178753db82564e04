"""What every recording shares: files of lines in, ordered items and dead letters out."""

import heapq
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from schemas.bars import Bar
from schemas.identity import natural_id
from schemas.market import Liquidation, OpenInterest, Trade
from schemas.onchain import WhaleTransfer
from schemas.rules import field_and_reason
from schemas.status import DeadLetter, FeedStatus, letter
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
_WHOLE = re.compile(r"-?[0-9]+\.0+")
_EXPONENT = re.compile(r"[-+]?[0-9][0-9.,]*[eE][-+]?[0-9]+")
_NO_NUMBER = re.compile(r"Expected `(?:float|int)[^`]*`, got `str`")
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
        if not isinstance(cell, str) or cell.isdigit():
            continue
        if _EXPONENT.fullmatch(cell):
            raise UnreadableFrame(name, f"{cell[:40]!r}: in exponent form its last digits are gone")
        if _WHOLE.fullmatch(cell):  # pandas turns whole numbers beside gaps into 7.0
            cells = [*cells[:place], cell.partition(".")[0], *cells[place + 1 :]]
    try:
        return msgspec.convert(cells, shape, strict=False)
    except msgspec.ValidationError as problem:
        field, reason = field_and_reason(problem)
        position = field.strip("[]")
        if position.isdigit():
            field = shape.__struct_fields__[int(position)]
            if _NO_NUMBER.match(reason):
                reason = f"{str(cells[int(position)])[:40]!r} is no number"
        raise UnreadableFrame(field, reason) from None


@lru_cache
def _whole_numbers(shape: type[msgspec.Struct]) -> list[tuple[int, str]]:
    kinds = msgspec.inspect.type_info(shape).fields  # type: ignore[attr-defined]
    whole = msgspec.inspect.IntType
    return [(place, f.name) for place, f in enumerate(kinds) if isinstance(f.type, whole)]


def time_of(record: Any) -> int:
    """Return when a record was received, microseconds: a bar at its close."""
    if isinstance(record, Bar):
        return record.ts_close
    stamp: int = record.ts_event if isinstance(record, FeedStatus) else record.ts_recv
    return stamp


def merged(streams: Iterable[Iterator[Item]]) -> Iterator[Item]:
    """Merge ordered streams by time of receipt; ties keep the streams' order."""
    return heapq.merge(*streams, key=lambda item: time_of(item[1]))


def numbered(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, text) of a file, however packed; blank lines are not."""
    for number, line in enumerate(text_lines(path), 1):
        # Files that were put together have a byte order mark in their midst too.
        text = line.rstrip("\r\n").removeprefix("\ufeff")
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


def _dead(path: Path, waiting: list[tuple[int, UnreadableFrame, str]], ts: int) -> Iterator[Item]:
    for number, problem, text in waiting:
        place = (path.name, 0, number)
        yield "dead_letters", letter(place, problem.field, problem.reason, text.encode(), ts)
    waiting.clear()
