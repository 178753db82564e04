"""`make fuzz`: broken frames through every parser; nothing may come out but sound records.

PYTHONPATH=tests python -m fuzz_frames --count 10000000 is the long form; CI takes thousands.
"""

import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import Pool
from typing import NamedTuple

import click
import msgspec
from venue_table import TABLE, Row
from venues import RECV

from schemas.codec import validated
from streams.feeds import registry
from streams.feeds.instruments import Instruments

#: A scalar in JSON: a string, a number, a word.
_SCALAR = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null')
_HOSTILE = [
    b"null", b"true", b"[]", b"{}", b'""', b'"NaN"', b'"inf"', b'"-1"', b'"1e999"', b'"0"', b"0",
    b"-0.0", b"1e308", b"1e-320", b"9" * 400, b"1" + b"0" * 40, b'"1_0"', b'"0x10"', b'" 1"',
    b'"' + "\u5e01\u5b89\u4eba\u751fUSDT".encode() + b'"', b'"\\ud800"', b'"\\u0000"', b'"\xff"',
    b'"' + b"A" * 300 + b'"', b"18446744073709551616", b"-9223372036854775809", b"1420070400000",
    b"4102444800000", b"1790000000123", b'"BTCUSD_PERP"', b'"BTC-USD-SWAP"', b'"BTC_USD"', b"[[]]",
    b'{"a":{"a":{"a":[]}}}', b'"Buy"', b'"MT"', b'"\\n"', b"NaN", b"Infinity", b"1.", b"01",
]  # fmt: skip


class Seed(NamedTuple):
    """One sound frame, and where its scalars stand."""

    row: Row
    frame: bytes
    scalars: list[tuple[int, int]]
    instruments: Instruments


def seeds() -> list[Seed]:
    """Return every frame of the table, ready to be broken."""
    made = []
    for row in TABLE:
        frame = row.frame.encode()
        known = registry.bundled(row.venue)
        if row.metadata is not None:
            known = registry.instruments_of(row.venue, row.metadata, "test")
        if row.symbol:
            known = known.of_connection()
            known.channels[-1] = f"{row.channel}:{row.symbol}"
        spans = [scalar.span() for scalar in _SCALAR.finditer(frame)]
        made.append(Seed(row, frame, spans, known))
    return made


def broken(draw: random.Random, seed: Seed, other: Seed) -> bytes:
    """Return a frame with one to four things wrong, at times only a venue's or channel's."""
    frame = seed.frame
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        how = draw.random()
        if how < 0.5 and frame is seed.frame:
            start, end = draw.choice(seed.scalars)
            hostile = draw.choice(_HOSTILE)
            if how < 0.25:  # a number of any size, quoted as the one that stood there
                quote = b'"' if frame[start] == 34 else b""
                hostile = quote + b"%g" % (draw.random() * 10 ** draw.randrange(-20, 20)) + quote
            frame = frame[:start] + hostile + frame[end:]
        elif how < 0.6:
            at = draw.randrange(len(frame) + 1)
            frame = frame[:at] + bytes(draw.choices(range(256), k=draw.randrange(4))) + frame[at:]
        elif how < 0.7:
            at = draw.randrange(len(frame) + 1)
            frame = frame[:at] + frame[at + draw.randrange(1, 40) :]
        elif how < 0.8:
            frame = frame[: draw.randrange(len(frame) + 1)]
        elif how < 0.9:
            frame = (
                frame[: draw.randrange(len(frame) + 1)]
                + other.frame[draw.randrange(len(other.frame)) :]
            )
        else:
            frame = other.frame
    return frame


def judged(seed: Seed, channel: str | None, frame: bytes) -> str:
    """Parse one frame and return what it became; raises AssertionError when that is not sound."""
    result = registry.parse(seed.row.venue, channel, frame, seed.instruments, RECV)
    for record in result.records:
        assert validated(record) == record
    for refusal in result.refusals:
        assert refusal.reason
    msgspec.json.encode(result)
    if result.control:
        return "control"
    if result.records:
        return "records and refusals" if result.refusals else "records"
    return "refusals" if result.refusals else "nothing"


def run(count: int, seed: int) -> Counter[str]:
    """Judge `count` broken frames; raises AssertionError with the frame that broke a parser."""
    draw, all_seeds, counts = random.Random(seed), seeds(), Counter[str]()
    channels = {name: [None, *venue.channels] for name, venue in registry.VENUES.items()}
    for _ in range(count):
        one, other = draw.choice(all_seeds), draw.choice(all_seeds)
        frame = broken(draw, one, other)
        channel = one.row.channel
        if draw.random() < 0.3:
            channel = draw.choice(channels[one.row.venue])
        try:
            counts[judged(one, channel, frame)] += 1
        except Exception as problem:
            raise AssertionError(f"{one.row.venue} {channel}: {frame!r}: {problem!r}") from problem
    return counts


def _pieces(count: int, seed: int) -> Iterator[tuple[int, int]]:
    for number, start in enumerate(range(0, count, 100_000)):
        yield min(100_000, count - start), seed * 1_000_000 + number


def _run(piece: tuple[int, int]) -> Counter[str]:
    return run(*piece)


@click.command()
@click.option("--count", default=1_000_000, show_default=True, help="broken frames")
@click.option("--seed", default=1, show_default=True, help="of the draws")
@click.option("--processes", default=1, show_default=True, help="at once")
def main(count: int, seed: int, processes: int) -> None:
    """Break frames of every venue and channel, and say what became of them."""
    counts, began = Counter[str](), time.monotonic()
    with Pool(processes) as pool:
        for part in pool.imap_unordered(_run, _pieces(count, seed)):
            counts += part
            done = sum(counts.values())
            print(f"\r{done:,} frames", end="", file=sys.stderr, flush=True)
    print(f"\r{sum(counts.values()):,} frames in {time.monotonic() - began:.0f} s", file=sys.stderr)
    for name, number in counts.most_common():
        print(f"{name}\t{number}")


if __name__ == "__main__":
    main()
