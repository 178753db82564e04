"""Our own dumps of trades by the block: runs of trades as columns, all else line by line.

block of lines ──scan──> trades between two words of the pace, LEAST or more  -> one Trades
                   └──> fewer, words on time, what is not plainly a trade -> one by one, exactly
"""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from schemas.codec import decode_many
from schemas.scan import columns, trades
from schemas.scan.columns import Ints, Trades
from schemas.words import SECOND
from streams.feeds.frames import UnreadableFrame
from streams.process.clock import not_after
from streams.sources.lines import Outcome, broken_off
from streams.sources.pace import CLOSES, LAG
from streams.sources.packed import BROKEN_FILE, opened

#: Bytes read at a time. Where a run ends depends on it, and a checkpoint counts runs.
BLOCK = 2 << 20
#: Trades that are worth columns of their own.
LEAST = 32


def outcomes(path: Path) -> Iterator[Outcome]:
    """Yield (line number, text, record or complaint) in the file's order; a run has no text."""
    words, before, latest = columns.Words(), 0, 0
    try:
        for text, ends in _blocks(path):
            for outcome in _of_block(words, text, ends, before, latest):
                yield outcome
                latest = max(latest, getattr(outcome[2], "ts_recv", 0))
            before += len(ends)
    except BROKEN_FILE as problem:
        yield broken_off(before, problem)


def _blocks(path: Path) -> Iterator[tuple[bytes, Ints]]:
    """Yield whole lines and where each ends; a last line needs no newline."""
    rest, problem = b"", None
    with opened(path) as file:
        while problem is None:
            block, problem = _filled(file)
            if not block and problem is None:
                break
            whole, newline, rest = (rest + block).rpartition(b"\n")
            if newline:
                yield _padded(whole + newline)
        if rest:
            yield _padded(rest + b"\n")
    if problem is not None:
        raise problem


def _filled(file: IO[bytes]) -> tuple[bytes, BaseException | None]:
    """Read a block; where the file breaks off, what there was of it and the reason."""
    parts, size = [], 0
    try:
        while size < BLOCK and (part := file.read1(BLOCK - size)):  # type: ignore[attr-defined]
            parts.append(part)
            size += len(part)
    except BROKEN_FILE as problem:
        return b"".join(parts), problem
    return b"".join(parts), None


def _padded(lines: bytes) -> tuple[bytes, Ints]:
    ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == 10) + 1
    return lines + bytes(trades.PADDING), ends


def _of_block(
    words: columns.Words, text: bytes, ends: Ints, before: int, latest: int
) -> Iterator[Outcome]:
    rows, limit = trades.scanned_text(words, text, ends), not_after()
    good = columns.sound(words, rows.of, np.full(len(rows.message), limit)) & (rows.element < 0)
    latest_yet = np.maximum.accumulate(np.maximum(rows.of.ts_recv, latest))
    received = (latest_yet - LAG - CLOSES) // SECOND
    # A run ends where a line is left out or where the pace says a word that closes a second.
    apart = np.ones(len(good) + 1, np.bool_)
    apart[1:-1] = (np.diff(rows.message) != 1) | (np.diff(received) != 0) | ~good[1:] | ~good[:-1]
    cuts = np.flatnonzero(apart)
    line = 0
    for first, last in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        if last - first < LEAST:
            continue
        at = int(rows.message[first])
        yield from _exactly(text, ends, before, line, at, limit)
        yield before + at + 1, "", Trades(words, rows.of.part(first, last))
        line = at + last - first
    yield from _exactly(text, ends, before, line, len(ends), limit)


def _exactly(
    text: bytes, ends: Ints, before: int, first: int, last: int, limit: int
) -> Iterator[Outcome]:
    for line in range(first, last):
        raw = text[int(ends[line - 1]) if line else 0 : int(ends[line])]
        line_text = raw.decode(errors="replace").rstrip("\r\n")
        if before + line == 0:
            line_text = line_text.removeprefix("\ufeff")
        if line_text.strip():
            records, problem = decode_many("trades", line_text.encode(), not_after=limit)
            if problem is not None:
                records.append(UnreadableFrame(problem.field, problem.reason))
            for got in records:
                yield before + line + 1, line_text, got
