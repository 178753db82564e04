"""What is left on Kafka, read back by its offsets: rows of a changelog, spans of a topic."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

#: Half of what a worker may be without records before it ends itself.
GIVE_UP_S = 60.0
NOTHING_YET_S = 0.002
READ = 1_000
#: A request brings the batch that begins with the row, and hardly more.
_CONF = {"fetch.message.max.bytes": 1_024, "queued.min.messages": 1}


class RowGone(Exception):
    """A row is not where it was written; the message says which."""


async def read(
    conf: dict[str, Any], topic: str, partition: int, offsets: Iterable[int]
) -> dict[int, bytes]:
    """Return the rows at these offsets of one partition.

    Raises RowGone where one is deleted, or the broker does not answer within a minute.
    """
    reader, values = Consumer(conf | _CONF), {}
    deadline = time.monotonic() + GIVE_UP_S
    at = -1
    try:
        for offset in sorted(offsets):
            place = TopicPartition(topic, partition, offset)
            if at < 0:
                reader.assign([place])
            elif offset != at + 1:
                reader.seek(place)
            values[offset] = await _next(reader, place, deadline)
            at = offset
    finally:
        reader.close()
    return values


async def read_spans(
    conf: dict[str, Any], partition: int, spans: Mapping[str, range]
) -> dict[str, list[Any]]:
    """Return the messages of one partition of some topics that lie in spans of offsets.

    What retention has deleted is not among them. Raises RowGone when the broker does not answer
    within a minute.
    """
    rows_of: dict[str, list[Any]] = {topic: [] for topic in spans}
    reader, left = Consumer(conf | {"enable.partition.eof": True}), set(spans)
    deadline = time.monotonic() + GIVE_UP_S
    reader.assign([TopicPartition(topic, partition, spans[topic].start) for topic in spans])
    try:
        while left:
            messages = reader.consume(READ, 0)
            for message in messages:
                topic, offset, problem = message.topic() or "", message.offset(), message.error()
                if problem is None and offset in spans[topic]:
                    rows_of[topic].append(message)
                # An end that comes before the span's lies behind records that are not there.
                ended = problem is not None and problem.code() == KafkaError._PARTITION_EOF
                if ended or (offset or 0) >= spans[topic].stop - 1:
                    left.discard(topic)
            if time.monotonic() > deadline:
                raise RowGone(f"{', '.join(sorted(left))}[{partition}] does not come: no answer")
            await asyncio.sleep(0 if messages else NOTHING_YET_S)
    finally:
        reader.close()
    return rows_of


async def _next(reader: Any, place: TopicPartition, deadline: float) -> bytes:
    where, problem = f"{place.topic}[{place.partition}]@{place.offset}", None
    while time.monotonic() < deadline:
        for message in reader.consume(1, 0):
            problem = message.error()
            if problem is None and message.offset() == place.offset and message.value() is not None:
                return bytes(message.value())
            if problem is None or problem.code() == KafkaError._PARTITION_EOF:
                raise RowGone(f"{where} is not there any more")
        # What else goes wrong with a broker librdkafka mends by itself, or it lasts.
        await asyncio.sleep(NOTHING_YET_S)
    raise RowGone(f"{where} does not come: {problem or 'no answer'}")
