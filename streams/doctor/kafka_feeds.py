"""Who speaks on a cluster: the clocks that two stages have stored, beside the topics' ends."""

import contextlib
from collections.abc import Iterable

import msgspec
from confluent_kafka import Consumer

from schemas.topic_identity import unmarked
from streams.core import attendance
from streams.core.attendance import Attendance, InputPartition
from streams.core.params import Params
from streams.core.shard import INPUTS
from streams.detect.shards import StoredShard
from streams.detect.stored_clocks import changelog_of, stored_shard
from streams.kafka import tails
from streams.kafka.tails import Tail
from streams.process import clock
from streams.process.settings import Settings
from streams.rollup import bookmark

#: The topics that feeds write to, and rollup's.
TOPICS = ("trades", *INPUTS)


class NoTopic(Exception):
    """A topic of ours is not there; the message names it."""


def inputs(settings: Settings, params: Params) -> tuple[list[Attendance], list[InputPartition]]:
    """Return every producer on every partition, and how far each partition is taken.

    Raises NoTopic, tails.NoAnswer.
    """
    with contextlib.closing(tails.reader(settings, "rollup")) as consumer:
        known = consumer.list_topics(timeout=tails.ANSWER_S).topics
        if missing := [name for name in TOPICS if name not in known]:
            raise NoTopic(f"no topic {', '.join(missing)}: make it with `undertow topics`")
        ends = {
            (name, number): tails.tail_of(consumer, name, number)
            for name in TOPICS
            for number in range(len(known[name].partitions))
        }
        rows, partitions = _of_trades(consumer, ends, params)
        stored = changelog_of(settings) in known
        for number in sorted({number for name, number in ends if name != "trades"}):
            shard = stored_shard(settings, consumer, number) if stored else None
            rows += _of_shard(number, shard, ends, params)
            here = [(name, ends[name, number]) for name in INPUTS if (name, number) in ends]
            partitions += [_taken(consumer, name, number, shard, tail) for name, tail in here]
    return rows, partitions


def _of_trades(
    consumer: Consumer, ends: dict[tuple[str, int], Tail], params: Params
) -> tuple[list[Attendance], list[InputPartition]]:
    """Return the producers of trades as rollup has committed them with its offsets."""
    rows: list[Attendance] = []
    partitions: list[InputPartition] = []
    count = sum(name == "trades" for name, _ in ends)
    for place in tails.committed(consumer, "trades", count):
        number, tail = place.partition, ends["trades", place.partition]
        mark = bookmark.read(unmarked(place.metadata)[1], place.offset)
        of = []
        if mark is not None and mark.clock.heard:
            of = attendance.of_clock("trades", number, mark.clock, params.stale_after_s)
        rows += _with_written("trades", number, of, tail)
        line = _line(consumer, "trades", number, "rollup", max(place.offset, 0), tail)
        line.judged_until = mark.clock.now or None if mark is not None else None
        partitions.append(line)
    return rows, partitions


def _of_shard(
    number: int, shard: StoredShard | None, ends: dict[tuple[str, int], Tail], params: Params
) -> Iterable[Attendance]:
    by_topic: dict[str, list[Attendance]] = {name: [] for name in INPUTS}
    if shard is not None:
        for row in attendance.of_inputs(number, shard.inputs, shard.away, params.stale_after_s):
            by_topic[row.topic].append(row)
    for name, of in by_topic.items():
        if (name, number) in ends:
            yield from _with_written(name, number, of, ends[name, number])


def _with_written(topic: str, number: int, rows: list[Attendance], tail: Tail) -> list[Attendance]:
    """Add what lies on the topic: last words, and producers of whom nobody has taken one."""
    written = {name: status.ts_event for name, status in tail.last.items()}
    known = {row.producer for row in rows}
    rows = [msgspec.structs.replace(row, ts_written=written.get(row.producer)) for row in rows]
    unread = [
        Attendance(topic=topic, partition=number, producer=name, standing="unread", ts_written=at)
        for name, at in sorted(written.items())
        if name not in known
    ]
    if not rows and not unread:
        rows = attendance.of_nobody(topic, number)
    return rows + unread


def _taken(
    consumer: Consumer, topic: str, number: int, shard: StoredShard | None, tail: Tail
) -> InputPartition:
    after = shard.offsets.get(topic, -1) + 1 if shard is not None else 0
    line = _line(consumer, topic, number, "detect", after, tail)
    line.judged_until = shard.frontier * 1_000_000 or None if shard is not None else None
    return line


def _line(
    consumer: Consumer, topic: str, number: int, stage: str, after: int, tail: Tail
) -> InputPartition:
    """Return one partition's line; `after` is the offset behind what is taken."""
    lag = max(0, tail.end - max(after, tail.low))
    behind = 0.0
    # One may be a transaction's marker, which nobody takes.
    if lag > 1:
        at = tails.written_at(consumer, topic, number, max(after, tail.low), tail.end)
        behind = max(0.0, (clock.now_us() - at) / 1e6) if at is not None else 0.0
    return InputPartition(
        topic=topic, partition=number, stage=stage, end=tail.end, taken=after, lag=lag,
        behind_s=behind,
    )  # fmt: skip
