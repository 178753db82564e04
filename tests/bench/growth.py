"""What a record costs with 10 to 5,000 instruments: a trade in rollup, a bar in detect.

In processor time, of the second half of the seconds, when every instrument has been met: what a
new one costs, it costs once. A few instruments share each second's own cost among few bars.
"""

import gc
import os
import time
from itertools import count
from typing import Any

from confluent_kafka import Message
from say import say

from bench import load, rig
from bench.figures import quotients, spread
from schemas import codec, fitting
from schemas.scan import columns
from streams.core import engine, fold
from streams.core.params import Params
from streams.core.shard import INPUTS, Shard
from streams.kafka.batches import of_messages
from streams.process import health
from streams.process.clock import now_us
from streams.rollup.take import Partition, take
from streams.rollup.worker import cut

SIZES = (10, 100, 1_000, 5_000)
#: A worker's partition sees this many trades a second.
PER_SECOND = 5_000
SECONDS = 10
STAMP_MS = (load.START + 600) * 1_000


def measure(quick: bool, rounds: int) -> dict[str, Any]:
    """Return microseconds a record by size; the growth is the worse of the two stages.

    Each stage decodes what it takes and encodes what it gives, as in a worker: bars by the array.
    """
    seconds = SECONDS if quick else 4 * SECONDS
    taken: dict[str, dict[int, list[float]]] = {"rollup": {}, "detect": {}}
    given = {size: _messages(size, seconds) for size in SIZES}
    health.collect_less()  # as the workers do, else looking through these messages is most of the cost
    os.sched_setaffinity(0, rig.OURS)
    for _ in range(rounds):
        for size in SIZES:
            trades, bars = _rollup(given[size])
            taken["rollup"].setdefault(size, []).append(trades)
            taken["detect"].setdefault(size, []).append(_detect(bars))
    os.sched_setaffinity(0, rig.CORES)
    growth = {stage: quotients(costs[SIZES[-1]], costs[SIZES[0]]) for stage, costs in taken.items()}
    for stage, costs in taken.items():
        shown = ", ".join(f"{size:,}: {spread(of)['median']:.2f} us" for size, of in costs.items())
        say(f"{stage} a record by instruments: {shown}")
    return {
        "growth_5000_vs_10": max(growth.values(), key=lambda of: of["median"]),
        "growth": growth,
        "growth_us_at_1000": spread(taken["detect"][1_000]),
        "us_a_record": {
            stage: {str(size): spread(of) for size, of in costs.items()}
            for stage, costs in taken.items()
        },
    }


def _messages(instruments: int, seconds: int) -> list[list[Message]]:
    """One list a second: its trades, then the feed's word. All instruments are in the first."""
    made: list[list[Message]] = [[] for _ in range(seconds)]
    offsets = count()
    trades = load.trades(seconds * PER_SECOND, instruments, PER_SECOND, met=PER_SECOND)
    for number, trade in enumerate(trades, 1):
        second = (number - 1) // PER_SECOND
        made[second].append(_message(next(offsets), codec.encode(trade)))
        if number % PER_SECOND == 0:
            made[second].append(_message(next(offsets), codec.encode(load.alive(second + 1))))
    return made


def _message(offset: int, value: bytes) -> Message:
    return Message(topic="trades", partition=0, offset=offset, value=value, timestamp=(1, STAMP_MS))


def _rollup(given: list[list[Message]]) -> tuple[float, list[list[bytes]]]:
    part, words, params = Partition(0, fold.FoldState(), 0, 0), columns.Words(), Params()
    bars = []
    gc.collect()
    for second, messages in enumerate(given):
        if second == len(given) // 2:
            began = time.process_time()
        take(params, words, part, of_messages(messages))
        bars.append(_sent(part))
    cost = time.process_time() - began
    return cost / sum(map(len, given[len(given) // 2 :])) * 1e6, bars


def _sent(part: Partition) -> list[bytes]:
    """Return the messages of bars that a second's transaction holds for one detect."""
    records, _ = cut(part, 1, 1)
    return [
        message.value
        for topic, many, _ in records
        if isinstance(many, list)
        for message in fitting.sendable_many(topic, many, now_us, is_checked=True)
    ]


def _detect(given: list[list[bytes]]) -> float:
    shard, params = Shard(), Params()
    gc.collect()
    for second, bars in enumerate(given):
        if second == len(given) // 2:
            began = time.process_time()
        for message in bars:
            for bar in codec.decode_many("bars", message)[0]:
                engine.step(params, shard, "bars", bar)
        for topic in INPUTS:
            engine.step(params, shard, topic, load.alive(second + 1))
    cost = time.process_time() - began
    judged = (codec.elements(message) for bars in given[len(given) // 2 :] for message in bars)
    return cost / sum(len(bars or ()) for bars in judged) * 1e6
