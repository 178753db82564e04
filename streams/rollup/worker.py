"""Rollup as Kafka transactions: consume trades, fold, produce bars, commit, atomically.

    poll batch ──> fold ──> begin ─ bars, clocks, dead letters ─ offsets ─ commit
                                    └── all of it, or none of it ──┘

A restarted worker re-reads a little before its committed offset, to know the ids and
the clock it knew before; bars of that stretch are dropped, they were told.
"""

import logging
from collections.abc import Callable

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas import codec
from schemas.codec import InvalidRecord
from schemas.market import Trade
from schemas.status import FeedStatus
from streams import clock, kafka
from streams.params import Params
from streams.rollup import fold
from streams.settings import Settings

log = logging.getLogger("undertow.rollup")
BATCH = 5_000
#: Messages re-read before the committed offset: more than any grace holds.
WARM_UP = 20_000


class Partition(msgspec.Struct):
    """One owned trades partition; messages before `live_from` only warm the state."""

    state: fold.FoldState
    live_from: int
    position: int
    clock_told: int = 0


def run(settings: Settings, params: Params, stopping: Callable[[], bool]) -> None:
    """Fold until `stopping()`; raises KafkaException when the cluster refuses for good."""
    producer = kafka.producer(
        settings, **{"transactional.id": f"{settings.group}-rollup-{_unique()}"}
    )
    producer.init_transactions(60)
    consumer = Consumer(kafka.consumer_conf(settings.kafka_url, settings.group, "rollup"))
    owned: dict[int, Partition] = {}
    consumer.subscribe(
        ["trades"],
        on_assign=lambda c, parts: _assigned(c, parts, owned),
        on_revoke=lambda c, parts: _dropped(parts, owned),
        on_lost=lambda c, parts: _dropped(parts, owned),
    )
    parts = _partition_count(consumer, "trades")
    out = _partition_count(consumer, "bars")
    log.info("rollup: %d trades partitions into %d bars partitions", parts, out)
    try:
        while not stopping():
            messages = consumer.consume(BATCH, timeout=settings.flush_s)
            letters = [letter for m in messages for letter in _take(params, owned, m)]
            _flush(consumer, producer, owned, letters, parts, out)
    finally:
        consumer.close()


def _unique() -> str:
    # Offsets are fenced by the consumer group's generation, so the id need not be stable.
    import uuid

    return uuid.uuid4().hex[:12]


def _partition_count(consumer: Consumer, topic: str) -> int:
    found = consumer.list_topics(topic, timeout=30).topics[topic]
    if found.error is not None or not found.partitions:
        raise KafkaException(found.error or KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    return len(found.partitions)


def _assigned(consumer: Consumer, parts: list[TopicPartition], owned: dict[int, Partition]) -> None:
    for tp in consumer.committed(parts, timeout=30):
        low, _ = consumer.get_watermark_offsets(tp, timeout=30)
        live_from = max(tp.offset, low) if tp.offset >= 0 else low
        tp.offset = max(low, live_from - WARM_UP)
        owned[tp.partition] = Partition(fold.FoldState(), live_from, live_from)
        parts[parts.index(TopicPartition(tp.topic, tp.partition))].offset = tp.offset
        log.info("rollup: trades[%d] from offset %d", tp.partition, live_from)
    consumer.assign(parts)


def _dropped(parts: list[TopicPartition], owned: dict[int, Partition]) -> None:
    for tp in parts:
        owned.pop(tp.partition, None)


def _take(params: Params, owned: dict[int, Partition], message: Message) -> list[msgspec.Struct]:
    """Fold one message; return the dead letters it gives."""
    if message.error():
        raise KafkaException(message.error())
    number, offset = message.partition(), message.offset()
    part = owned.get(number or 0)
    if part is None or offset is None:
        return []
    payload = message.value()
    warm = offset >= part.live_from
    if warm:
        if part.position <= part.live_from:
            fold.drain(part.state)
        part.position = offset + 1
    refused: str | None = None
    try:
        record = codec.decode("trades", payload, number or 0, offset, clock.not_after())
        if isinstance(record, FeedStatus):
            fold.tell_time(part.state, record, params.grace_s)
        elif isinstance(record, Trade):
            refused = fold.fold(part.state, record)
        if refused != "duplicate":
            return []
        problem = InvalidRecord("trades", number or 0, offset, "event_id", "duplicate event_id")
    except InvalidRecord as found:
        problem = found
    return [kafka.dead_letter(problem, payload)] if warm else []


def _flush(
    consumer: Consumer,
    producer: Producer,
    owned: dict[int, Partition],
    letters: list[msgspec.Struct],
    parts: int,
    out: int,
) -> None:
    moved = {n: p for n, p in owned.items() if p.position > p.live_from}
    if not moved:
        return
    producer.begin_transaction()
    for letter in letters:
        kafka.send(producer, "dead_letters", letter)
    for number, part in moved.items():
        for bar in fold.drain(part.state):
            kafka.send(producer, "bars", bar)
        word = fold.clock_record(part.state, number, parts)
        if word is not None and word.ts_event > part.clock_told:
            for target in range(out):
                kafka.send(producer, "bars", word, target)
            part.clock_told = word.ts_event
    offsets = [TopicPartition("trades", n, p.position) for n, p in moved.items()]
    producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), 60)
    producer.commit_transaction(60)
    for part in moved.values():
        part.live_from = part.position
