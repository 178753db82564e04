"""Whether a file's lines follow the order of time, and the same lines where they do not.

Console consumers write partition after partition: the second begins where the first began. A
lone line out of place is no such thing; most lines around it go on.
"""

import re
import tempfile
from collections.abc import Callable, Iterator
from heapq import merge
from itertools import islice
from pathlib import Path
from statistics import median
from typing import IO, NamedTuple

from schemas.words import SECOND
from streams.sources.packed import BROKEN_FILE, opened, packing, text_lines

#: Lines from so many places are looked at, so many together; a shorter file is read whole.
PLACES, TOGETHER = 256, 16
WHOLE = 8 << 20
#: A packed file is unpacked once for this, and so many of its bytes are one place.
BLOCK = 1 << 18
#: Going back by more is not lateness.
BACK = 10 * SECOND
#: Lines sorted in memory at a time.
RUN = 200_000
_TIME = re.compile(r'"ts_(?:event|open)"\s*:\s*(\d{1,18})')
_WORD = b'"feed_status"'

Line = tuple[int, str]
#: The time in a line, microseconds, None where there is none.
TimeIn = Callable[[str], int | None]


class Order(NamedTuple):
    """What a file is like: its lines go back in time; it begins at; its words on time pace it."""

    goes_back: bool = False
    begins: int = 0
    has_words: bool = False
    words: int = 0


def time_told(line: str) -> int | None:
    """Return the event time that a line of our own dumps tells, microseconds."""
    matched = _TIME.search(line)
    return int(matched[1]) if matched else None


def looked_at(path: Path, time_in: TimeIn = time_told) -> Order:
    """Look at a file's lines at places of it; short ones whole."""
    packed, words = "", 0
    highest, begins, goes_back = 0.0, 0, False
    try:
        packed = packing(path)
        size, so_far = path.stat().st_size, 0
        for block in _blocks(path, packed, size):
            words += block.count(_WORD)
            so_far += len(block)
            for lines in _places_in(block, so_far <= WHOLE and (bool(packed) or size <= WHOLE)):
                times = [ts for line in lines if (ts := time_in(line)) is not None]
                if not times:
                    continue
                middle = median(times)
                begins = min(begins or min(times), min(times))
                goes_back = goes_back or middle < highest - BACK
                highest = max(highest, middle)
    except BROKEN_FILE:
        pass  # whoever reads the lines tells where the file breaks off
    else:
        if not packed and size > WHOLE:
            words = _counted(path, _WORD)
    spans = max(highest - begins, 0) / SECOND
    # A word each second is the rule. A lone one is no clock.
    has_words = words > 0 and words >= min(spans / 10, 6 + spans / 60)
    return Order(goes_back, begins, has_words, words)


def by_time(lines: Iterator[Line], time_in: TimeIn = time_told) -> Iterator[Line]:
    """Yield numbered lines by the time in them, sorted on disk; one without keeps its place."""
    with tempfile.TemporaryDirectory(prefix="undertow-sort-") as folder:
        runs: list[Path] = []
        latest = 0
        while part := list(islice(lines, RUN)):
            keyed = []
            for number, text in part:
                if (ts := time_in(text)) is not None:
                    latest = ts
                keyed.append((latest, number, text))
            keyed.sort()
            if len(part) < RUN and not runs:
                for _, number, text in keyed:
                    yield number, text
                return
            runs.append(Path(folder) / str(len(runs)))
            with runs[-1].open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{ts} {number} {text}\n" for ts, number, text in keyed)
        for _, number, text in merge(*map(_read, runs)):
            yield number, text


def _read(run: Path) -> Iterator[tuple[int, int, str]]:
    with run.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            ts, number, text = line.rstrip("\n").split(" ", 2)
            yield int(ts), int(number), text


def _blocks(path: Path, packed: str, size: int) -> Iterator[bytes]:
    """Yield all of a short or packed file by blocks, of a long plain one what is at places."""
    if packed == "parquet":
        yield from (line.encode() for line in text_lines(path))
        return
    with opened(path) as file:
        if packed or size <= WHOLE:
            yield from _whole_lines(file)
            return
        for place in range(PLACES):
            file.seek(size * place // PLACES)
            if place:
                file.readline()
            yield b"".join(islice(file, TOGETHER))


def _whole_lines(file: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while block := file.read1(BLOCK):  # type: ignore[attr-defined]
        whole, newline, rest = (rest + block).rpartition(b"\n")
        if newline:
            yield whole
    if rest:
        yield rest


def _places_in(block: bytes, whole: bool) -> Iterator[list[str]]:
    """Yield lines that stand together: all of a block by sixteens, or its first ones."""
    if not whole:
        yield [
            line.decode(errors="replace").rstrip("\r")
            for line in block.split(b"\n", TOGETHER)[:TOGETHER]
        ]
        return
    lines = iter(block.decode(errors="replace").splitlines())
    while together := list(islice(lines, TOGETHER)):
        yield together


def _counted(path: Path, text: bytes) -> int:
    rest, count = b"", 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            count += (rest + block).count(text)
            rest = block[1 - len(text) :]
    return count
