"""The ends of topics: how much lies there, when it was written, and the last words on time."""

import time
from collections.abc import Callable
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.codec import decode_many
from schemas.status import FeedStatus
from streams.kafka import clients
from streams.process.settings import Settings

#: Messages from the end among which a producer's last words are looked for.
TAIL = 2_000
ANSWER_S = 10.0
#: Messages looked through for a row, from the end, in steps that grow fourfold.
STEP, STEPS = 500, 5
_WORD = b"feed_status"


class NoAnswer(Exception):
    """Kafka did not answer; the message says of what."""


class Tail(msgspec.Struct):
    """The end of one partition: its first offset and its end, and producers' last words there."""

    low: int
    end: int
    last: dict[str, FeedStatus] = {}


def reader(settings: Settings, stage: str) -> Consumer:
    """Return a consumer that joins no group, with a stage's committed offsets to be asked for."""
    return Consumer(clients.consumer_conf(settings, stage) | {"enable.partition.eof": True})


def tail_of(consumer: Consumer, topic: str, partition: int) -> Tail:
    """Return the end of a partition and the last word of each producer near it."""
    low, end = _ends(consumer, topic, partition)
    tail = Tail(low, end)
    for message in _span(consumer, topic, partition, max(low, end - TAIL), end):
        value = message.value() or b""
        if _WORD not in value:
            continue
        for record in decode_many(topic, value)[0]:
            if isinstance(record, FeedStatus):
                tail.last[record.producer] = record
    return tail


def last_where(
    consumer: Consumer, topic: str, partition: int, wanted: Callable[[Message], bool]
) -> Message | None:
    """Return the last message of a partition that is wanted, None where none is near its end."""
    low, end = _ends(consumer, topic, partition)
    first = end
    for step in range(STEPS):
        before, first = first, max(low, end - STEP * 4**step)
        matching = list(filter(wanted, _span(consumer, topic, partition, first, before)))
        if matching:
            return matching[-1]
        if first == low:
            break
    return None


def written_at(consumer: Consumer, topic: str, partition: int, offset: int, end: int) -> int | None:
    """Return when the first message at or after `offset` was written, microseconds by Kafka."""
    messages = _span(consumer, topic, partition, offset, min(offset + 2, end))
    stamps = [message.timestamp()[1] for message in messages]
    return stamps[0] * 1_000 if stamps and stamps[0] >= 0 else None


def committed(consumer: Consumer, topic: str, partitions: int) -> list[TopicPartition]:
    """Return what the reader's group has committed of a topic."""
    places = [TopicPartition(topic, number) for number in range(partitions)]
    try:
        answers: list[TopicPartition] = consumer.committed(places, timeout=ANSWER_S)
    except KafkaException as problem:
        raise NoAnswer(f"what is committed of {topic}: {problem}") from None
    return answers


def _ends(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    try:
        low, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), ANSWER_S)
    except (KafkaException, TypeError) as problem:
        raise NoAnswer(f"the end of {topic}[{partition}]: {problem}") from None
    return low, end


def _span(consumer: Consumer, topic: str, partition: int, first: int, end: int) -> list[Message]:
    """Return the messages of [first, end): what retention or a transaction took is not there."""
    if first >= end:
        return []
    consumer.assign([TopicPartition(topic, partition, first)])
    messages: list[Message] = []
    deadline = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline:
        for message in consumer.consume(1_000, 0.1):
            problem: Any = message.error()
            offset = message.offset() or 0
            if problem is None and offset < end:
                messages.append(message)
            if offset >= end - 1 or (problem and problem.code() == KafkaError._PARTITION_EOF):
                return messages
            if problem:
                raise NoAnswer(f"{topic}[{partition}]: {problem}")
    raise NoAnswer(f"{topic}[{partition}] from offset {first} on")
