"""Whether a dump's lines follow the order of time, and the same lines where they do not.

Console consumers write partition after partition: the second begins where the first began. A
lone line out of place is no such thing; most lines around it go on.
"""

import gzip
import re
import tempfile
from collections.abc import Iterator
from heapq import merge
from itertools import islice
from pathlib import Path
from statistics import median
from typing import IO, Any, NamedTuple

from schemas.words import SECOND

#: Lines from so many places are looked at, so many together; a shorter file is read whole.
PLACES, TOGETHER = 64, 16
WHOLE = 8 << 20
#: Going back by more is not lateness.
BACK = 10 * SECOND
#: Lines sorted in memory at a time.
RUN = 200_000
_TIME = re.compile(rb'"ts_(?:event|open)"\s*:\s*(\d{1,18})')
_WORD = b'"feed_status"'

Line = tuple[int, str]


class Order(NamedTuple):
    """What a dump's file is like: it has words on time; its lines go back in time."""

    has_words: bool
    goes_back: bool


def looked_at(path: Path) -> Order:
    """Look at a file's lines, all of a short or packed one, at places of a long plain one."""
    packed, has_words = path.suffix == ".gz", False
    size = path.stat().st_size
    highest, goes_back = 0.0, False
    try:
        with _opened(path) as file:
            blocks = _whole(file) if packed or size <= WHOLE else _places(file, size)
            for lines in blocks:
                has_words = has_words or any(_WORD in line for line in lines)
                times = [int(matched[1]) for line in lines if (matched := _TIME.search(line))]
                if not times:
                    continue
                middle = median(times)
                goes_back = goes_back or middle < highest - BACK
                highest = max(highest, middle)
    except (OSError, EOFError):
        pass  # whoever reads the lines tells where the file breaks off
    return Order(has_words or (not packed and _has(path, _WORD)), goes_back)


def by_time(lines: Iterator[Line]) -> Iterator[Line]:
    """Yield numbered lines by the time in them, sorted on disk; one without keeps its place."""
    with tempfile.TemporaryDirectory(prefix="undertow-sort-") as folder:
        runs: list[Path] = []
        latest = 0
        while part := list(islice(lines, RUN)):
            keyed = []
            for number, text in part:
                if matched := _TIME.search(text.encode()):
                    latest = int(matched[1])
                keyed.append((latest, number, text))
            runs.append(Path(folder) / str(len(runs)))
            with runs[-1].open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{ts} {number} {text}\n" for ts, number, text in sorted(keyed))
        for _, number, text in merge(*map(_read, runs)):
            yield number, text


def _read(run: Path) -> Iterator[tuple[int, int, str]]:
    with run.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            ts, number, text = line.rstrip("\n").split(" ", 2)
            yield int(ts), int(number), text


def _opened(path: Path) -> IO[bytes]:
    opened: Any = gzip.open if path.suffix == ".gz" else open
    file: IO[bytes] = opened(path, "rb")
    return file


def _whole(file: IO[bytes]) -> Iterator[list[bytes]]:
    while lines := list(islice(file, TOGETHER)):
        yield lines


def _places(file: IO[bytes], size: int) -> Iterator[list[bytes]]:
    for place in range(PLACES):
        file.seek(size * place // PLACES)
        if place:
            file.readline()
        yield list(islice(file, TOGETHER))


def _has(path: Path, text: bytes) -> bool:
    rest = b""
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            if text in rest + block:
                return True
            rest = block[-len(text) :]
    return False
