"""What parsing a venue's frames costs, beside `orjson.loads` of the same frames.

In processor time, over the frames of `venue_table.py` that tell of trades and liquidations, each by
the parser of its channel. What the feed stage does before, to find out the channel, is not in it.
"""

import os
import time
from collections.abc import Callable
from typing import Any

import orjson
from say import say
from venue_table import TABLE
from venues import RECV

from bench import rig
from bench.figures import Spread, quotients
from streams.feeds import registry

Channel = tuple[str, str]
#: The number of the table's channel of prints.
BITFINEX_TRADES = 23916


def measure(quick: bool, rounds: int) -> dict[str, Any]:
    """Return how much of a parser's time decoding alone would take: of each venue, the least."""
    repeats = 1_000 if quick else 5_000
    os.sched_setaffinity(0, rig.OURS)
    shares = {channel: _beside(channel, frames, repeats, rounds) for channel, frames in _frames()}
    os.sched_setaffinity(0, rig.CORES)
    for (venue, channel), share in sorted(shares.items()):
        say(f"parse {venue} {channel}: orjson.loads / ours {share['median']:.2f}")
    return {
        "parse_vs_orjson": min(shares.values(), key=lambda share: share["median"]),
        "parse": {" ".join(channel): share for channel, share in shares.items()},
    }


def _frames() -> list[tuple[Channel, list[bytes]]]:
    """Return the table's frames of the channels on which streams tell trades or liquidations.

    Those too that tell nothing: of Bitfinex's every second frame is a print again.
    """
    frames: dict[Channel, list[bytes]] = {}
    for row in TABLE:
        if {record["type"] for record in row.records} & {"trade", "liquidation"}:
            frames[row.venue, row.channel] = []
    for row in TABLE:
        if (row.venue, row.channel) in frames and not row.fills_gaps and row.metadata is None:
            frames[row.venue, row.channel].append(row.frame.encode())
    return list(frames.items())


def _beside(channel: Channel, frames: list[bytes], repeats: int, rounds: int) -> Spread:
    venue, name = channel
    known = registry.bundled(venue).of_connection()
    known.channels[BITFINEX_TRADES] = "trades:tBTCF0:USTF0"

    def decoded() -> None:
        for frame in frames:
            orjson.loads(frame)

    def parsed() -> None:
        for frame in frames:
            registry.parse(venue, name, frame, known, RECV)

    times = [(_cpu_s(decoded, repeats), _cpu_s(parsed, repeats)) for _ in range(rounds)]
    return quotients([alone for alone, _ in times], [whole for _, whole in times])


def _cpu_s(work: Callable[[], None], repeats: int) -> float:
    """Return the processor time of the quickest hundredth of `repeats` passes."""
    taken = []
    for _ in range(100):
        began = time.process_time()
        for _ in range(repeats // 100):
            work()
        taken.append(time.process_time() - began)
    return min(taken)
