"""Whether a file's lines follow the order of time, and the same lines where they do not.

Console consumers write partition after partition: the second begins where the first began. A
lone line out of place is no such thing; most lines around it go on.
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import islice, pairwise
from mmap import ACCESS_READ, mmap
from pathlib import Path
from statistics import median
from typing import NamedTuple

from schemas.words import SECOND
from streams.sources import packed
from streams.sources.packed import BROKEN_FILE, opened, packing, text_lines

#: Lines from so many places are looked at, so many together; a shorter file is read whole.
PLACES, TOGETHER = 256, 16
WHOLE = 8 << 20
#: A packed file is unpacked once for this, and so many of its bytes are one place.
BLOCK = 1 << 16
#: Parts of a long file, most of which have words on time if any are to pace it.
PARTS = 16
#: Going back by more is not lateness.
BACK = 10 * SECOND
#: Nor is a file in order of which so many of the steps from line to line go back by a second.
SHUFFLED = 1 / 8
#: Lines sorted in memory at a time; so few are not written to disk.
RUN, FEW = 100_000, 10_000
_TIME = re.compile(r'"ts_(?:event|open)"\s*:\s*(\d{1,18})')
#: What is told again belongs to when it was, not to when it happened.
_AGAIN = re.compile(r'"version"\s*:\s*(?!1\b)\d')
_RECEIVED = re.compile(r'"ts_recv"\s*:\s*(\d{1,18})')
_WORD = b'"feed_status"'

Line = tuple[int, str]
#: The time in a line, microseconds, None where there is none.
TimeIn = Callable[[str], int | None]


class Order(NamedTuple):
    """What a file is like: goes back in time; begins and ends at; has words on time, or few."""

    goes_back: bool = False
    begins: int = 0
    has_words: bool = False
    has_few: bool = False
    ends: int = 0


def time_told(line: str) -> int | None:
    """Return the event time that a line of our own dumps tells, microseconds.

    Of a correction or removal it is the time of its receipt.
    """
    matched = (_RECEIVED if _AGAIN.search(line) else _TIME).search(line)
    return int(matched[1]) if matched else None


def looked_at(path: Path, time_in: TimeIn = time_told, closely: bool = True) -> Order:
    """Look at a file's lines at places of it; `closely`, at all lines of a short one."""
    look = _Look()
    try:
        how = packing(path)
        size, so_far = path.stat().st_size, 0
        for block in _blocks(path, how, size):
            look.words += block.count(_WORD)
            so_far += len(block)
            short = so_far <= WHOLE and (bool(how) or size <= WHOLE)
            for lines in _places_in(block, closely and short):
                look.at([ts for line in lines if (ts := time_in(line)) is not None])
        if time_in is time_told and not how and size > WHOLE:
            anywhere, mostly = _spread(path, _WORD)
            few = anywhere and not mostly
            return Order(look.goes_back(), look.begins, mostly, few, look.ends)
    except BROKEN_FILE:
        pass  # whoever reads the lines tells where the file breaks off
    has_words = look.has_words()
    few = look.words > 0 and not has_words
    return Order(look.goes_back(), look.begins, has_words, few, look.ends)


class _Look:
    """What was seen of a file's times at its places, and of words on time."""

    def __init__(self) -> None:
        self.words = self.begins = 0
        self._highest, self._back, self._steps, self._backward = 0.0, False, 0, 0

    def at(self, times: list[int]) -> None:
        """Take in the times of lines that stand together."""
        if not times:
            return
        middle, least = median(times), min(times)
        self._steps += len(times) - 1
        self._backward += sum(b < a - SECOND for a, b in pairwise(times))
        self.begins = min(self.begins or least, least)
        self._back = self._back or middle < self._highest - BACK
        self._highest = max(self._highest, middle)

    @property
    def ends(self) -> int:
        """The latest time at any place, strays left out."""
        return int(self._highest)

    def goes_back(self) -> bool:
        """Return whether places, or many of the lines, go back in time."""
        return self._back or self._backward > max(SHUFFLED * self._steps, 1)

    def has_words(self) -> bool:
        """Return whether there are words enough: one each second is the rule, a lone one none."""
        spans = max(self._highest - self.begins, 0) / SECOND
        return self.words > 0 and self.words >= min(spans / 10, 6 + spans / 60)


def by_time(lines: Iterator[Line], time_in: TimeIn = time_told) -> Iterator[Line]:
    """Yield numbered lines by the time in them, sorted on disk; one without keeps its place."""
    with tempfile.TemporaryDirectory(prefix="undertow-sort-") as folder:
        first = _sorted(list(islice(lines, FEW)), 0, time_in)
        if len(first) < FEW:
            yield from ((number, text) for _, number, text in first)
            return
        runs = _written(first, lines, time_in, Path(folder))
        del first  # many files are merged at once, and each would keep its own
        for _, number, text in merge(*map(_read, runs)):
            yield number, text


def _written(
    first: list[tuple[int, int, str]], lines: Iterator[Line], time_in: TimeIn, folder: Path
) -> list[Path]:
    """Write sorted runs of lines, the first of them given; return where they are."""
    runs: list[Path] = []
    part = first
    while part:
        runs.append(folder / str(len(runs)))
        with runs[-1].open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{ts} {number} {text}\n" for ts, number, text in part)
        latest = part[-1][0]
        part = _sorted(list(islice(lines, RUN)), latest, time_in)
    return runs


def _sorted(part: list[Line], latest: int, time_in: TimeIn) -> list[tuple[int, int, str]]:
    keyed = []
    for number, text in part:
        if (ts := time_in(text)) is not None:
            latest = ts
        keyed.append((latest, number, text))
    keyed.sort()
    return keyed


def _read(run: Path) -> Iterator[tuple[int, int, str]]:
    with run.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            ts, number, text = line.rstrip("\n").split(" ", 2)
            yield int(ts), int(number), text


def _blocks(path: Path, how: str, size: int) -> Iterator[bytes]:
    """Yield all of a short or packed file by blocks, of a long plain one what is at places."""
    if how == "parquet":
        yield from (line.encode() for line in text_lines(path))
        return
    if how or size <= WHOLE:
        yield from _whole_lines(path)
        return
    with opened(path) as file:
        for place in range(PLACES):
            file.seek(size * place // PLACES)
            if place:
                file.readline()
            yield b"".join(islice(file, TOGETHER))
        file.seek(size - WHOLE // PLACES)
        file.readline()
        yield file.read()


def _whole_lines(path: Path) -> Iterator[bytes]:
    rest = b""
    for block in packed.blocks(path, BLOCK):
        whole, newline, rest = (rest + block).rpartition(b"\n")
        if newline:
            yield whole
    if rest:
        yield rest


def _places_in(block: bytes, whole: bool) -> Iterator[list[str]]:
    """Yield lines that stand together: all of a block by sixteens, or its first and last ones."""
    if not whole:
        for some in (block.split(b"\n", TOGETHER)[:TOGETHER], block.rsplit(b"\n", TOGETHER)[1:]):
            yield [line.decode(errors="replace").rstrip("\r") for line in some]
        return
    lines = iter(block.decode(errors="replace").splitlines())
    while together := list(islice(lines, TOGETHER)):
        yield together


def _spread(path: Path, text: bytes) -> tuple[bool, bool]:
    """Return whether a file holds `text` anywhere, and whether in most parts of it."""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        size = len(content)
        parts = [
            content.find(text, size * part // PARTS, size * (part + 1) // PARTS) >= 0
            for part in range(PARTS)
        ]
    return any(parts), sum(parts) > PARTS // 2


def span(orders: Iterable[Order]) -> tuple[int, int] | None:
    """Return the first and last time of several files, None where none tells any."""
    known = [order for order in orders if order.begins]
    if not known:
        return None
    return min(order.begins for order in known), max(order.ends for order in known)
