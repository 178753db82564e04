"""Kafka to ClickHouse: offsets are committed only behind the write.

    poll ──> buffer of (topic, partition) ──> intent lo..hi ──> insert with token ──> commit hi+1
    restart: the last intent's range is formed again exactly, so its token is the same

One consumer owns a partition at a time (the group sees to that); records that are not
decodable belong to the stage before, which has written their dead letters.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec
from confluent_kafka import (
    Consumer,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from schemas import codec
from schemas.codec import InvalidRecord
from schemas.status import FeedStatus
from sinks.clickhouse import Batch, Intents, Writer
from sinks.rows import NOT_STORED, table_of

log = logging.getLogger("undertow.sink")
TOPICS = (
    "trades",
    "liquidations",
    "whale_transfers",
    "bars",
    "cascades",
    "whale_selling",
    "alerts",
    "feed_status",
    "dead_letters",
)
POLL = 5_000
ADMIN_CONF = ("bootstrap.servers",)
Place = tuple[str, int]


def topic_ids(conf: dict[str, Any]) -> dict[str, str]:
    """Return Kafka's own id of each topic: one made anew starts its offsets again.

    Raises KafkaException for a topic that does not exist.
    """
    admin = AdminClient({k: v for k, v in conf.items() if k in ADMIN_CONF})
    asked = admin.describe_topics(TopicCollection(list(TOPICS)), request_timeout=30)
    return {name: str(future.result().topic_id) for name, future in asked.items()}


class Buffer(msgspec.Struct):
    """Undelivered records of one partition from offset `lo`; `until` ends a repeated range.

    `epoch` is the topic's own id.
    """

    epoch: str
    lo: int
    since: float
    hi: int = -1
    until: int = -1
    records: list[msgspec.Struct] = []
    offsets: list[int] = []


def run(
    conf: dict[str, Any],
    writer: Writer,
    intents: Intents,
    *,
    batch_rows: int,
    flush_s: float,
    stopping: Callable[[], bool],
) -> None:
    """Move records until `stopping()`; what was polled by then is written and committed.

    Raises SinkError when ClickHouse refuses for good, KafkaException likewise.
    """
    consumer = Consumer(conf)
    buffers: dict[Place, Buffer] = {}
    epochs = topic_ids(conf)
    consumer.subscribe(
        list(TOPICS),
        on_assign=lambda c, parts: _assigned(c, parts, buffers, intents, epochs),
        on_revoke=lambda c, parts: _dropped(parts, buffers),
        on_lost=lambda c, parts: _dropped(parts, buffers),
    )
    try:
        while not stopping():
            for message in consumer.consume(POLL, timeout=min(flush_s, 0.2)):
                _take(consumer, buffers, message, writer, intents, batch_rows)
            _flush(consumer, buffers, _due(buffers, flush_s), writer, intents)
        rest = [place for place, buffer in buffers.items() if buffer.until < 0]
        _flush(consumer, buffers, rest, writer, intents)
    finally:
        consumer.close()


def _assigned(
    consumer: Consumer,
    parts: list[TopicPartition],
    buffers: dict[Place, Buffer],
    intents: Intents,
    epochs: dict[str, str],
) -> None:
    """Start each partition where its last intended range began, if that was not committed."""
    meant: dict[Place, tuple[int, int]] = {}
    for intent in intents.last():
        place = (intent.topic, intent.partition)
        if intent.epoch != epochs.get(intent.topic):
            continue
        if place not in meant or intent.hi > meant[place][1]:
            meant[place] = (intent.lo, intent.hi)
    start = []
    for tp in consumer.committed(parts, timeout=30):
        low, _ = consumer.get_watermark_offsets(tp, timeout=30)
        position = tp.offset if tp.offset >= 0 else low
        lo, hi = meant.get((tp.topic, tp.partition), (position, -1))
        repeat = lo <= position <= hi and lo >= low
        position = lo if repeat else position
        buffers[tp.topic, tp.partition] = Buffer(
            epochs[tp.topic], position, time.monotonic(), until=hi if repeat else -1
        )
        start.append(TopicPartition(tp.topic, tp.partition, position))
    consumer.assign(start)


def _dropped(parts: list[TopicPartition], buffers: dict[Place, Buffer]) -> None:
    for tp in parts:
        buffers.pop((tp.topic, tp.partition), None)


def _take(
    consumer: Consumer,
    buffers: dict[Place, Buffer],
    message: Message,
    writer: Writer,
    intents: Intents,
    batch_rows: int,
) -> None:
    if message.error():
        raise KafkaException(message.error())
    place = (message.topic() or "", message.partition() or 0)
    offset = message.offset() or 0
    buffer = buffers.get(place)
    if buffer is None:
        return
    if 0 <= buffer.until < offset:
        _flush(consumer, buffers, [place], writer, intents)
        buffer = buffers[place]
    if buffer.hi < 0:
        buffer.since = time.monotonic()
    buffer.hi = offset
    try:
        record = codec.decode(place[0], message.value(), place[1], offset)
    except InvalidRecord as problem:
        log.debug("not stored: %s", problem)
        return
    in_band = isinstance(record, FeedStatus) and place[0] != "feed_status"
    if not in_band and type(record) not in NOT_STORED:
        buffer.records.append(record)
        buffer.offsets.append(offset)
    if len(buffer.records) >= batch_rows and buffer.until < 0:
        _flush(consumer, buffers, [place], writer, intents)


def _due(buffers: dict[Place, Buffer], flush_s: float) -> list[Place]:
    """Return the partitions whose oldest record has waited, or whose repeated range is whole."""
    now = time.monotonic()
    return [
        place
        for place, buffer in buffers.items()
        if buffer.hi >= 0
        and (buffer.hi >= buffer.until if buffer.until >= 0 else now - buffer.since >= flush_s)
    ]


def _flush(
    consumer: Consumer,
    buffers: dict[Place, Buffer],
    places: list[Place],
    writer: Writer,
    intents: Intents,
) -> None:
    """Write some partitions' buffers: all intents, then inserts, then the commit."""
    ready = [place for place in places if buffers[place].hi >= 0]
    batches = {place: _batches(place, buffers[place]) for place in ready}
    intents.write(batch for made in batches.values() for batch in made)
    for made in batches.values():
        for batch in made:
            writer.insert(batch)
    if ready:
        done = [TopicPartition(*place, buffers[place].hi + 1) for place in ready]
        consumer.commit(offsets=done, asynchronous=False)
    for place in ready:
        done_with = buffers[place]
        buffers[place] = Buffer(done_with.epoch, done_with.hi + 1, time.monotonic())


def _batches(place: Place, buffer: Buffer) -> list[Batch]:
    """Split a range by table: the cascades topic fills two."""
    by_table: dict[str, tuple[list[msgspec.Struct], list[int]]] = {}
    for record, offset in zip(buffer.records, buffer.offsets, strict=True):
        records, offsets = by_table.setdefault(table_of(record), ([], []))
        records.append(record)
        offsets.append(offset)
    return [
        Batch(table, *place, buffer.lo, buffer.hi, records, offsets, buffer.epoch)
        for table, (records, offsets) in by_table.items()
    ]
