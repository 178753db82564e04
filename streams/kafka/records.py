"""Records into Kafka: sent under their key, or as the dead letter of what could not be read."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec
from aiokafka.partitioner import murmur2
from confluent_kafka import Producer

from schemas.codec import InvalidRecord
from schemas.fitting import sendable, sendable_many
from schemas.status import DeadLetter, letter
from schemas.topics import TOPICS, key_of
from streams.process.clock import now_us

#: Records of one message at most: of the longest names, below the megabyte that Kafka takes.
MANY = 1_000
#: Keys whose partitions are remembered; `lru_cache` would reorder them at each look.
KNOWN_PLACES = 65_536
Many = list[msgspec.Struct]


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that Java, librdkafka and Faust put a key in, as we set them up."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


@lru_cache(64)
def _known_places(topic: str, partitions: int) -> dict[Any, int]:
    """Return the partitions of a topic's keys by their fields, as `by_partition` notes them."""
    return {}


def by_partition(
    topic: str, records: Iterable[msgspec.Struct], partitions: int
) -> Iterator[tuple[int, Many]]:
    """Yield records that go into one message, with its partition: all of a partition, in order."""
    records_of: defaultdict[int, Many] = defaultdict(list)
    fields = attrgetter(*TOPICS[topic].key)
    known = _known_places(topic, partitions)
    if len(known) > KNOWN_PLACES:
        known.clear()
    for record in records:
        key = fields(record)
        where = known.get(key)
        if where is None:
            where = known[key] = partition_of(key_of(TOPICS[topic], record), partitions)
        records_of[where].append(record)
    for where in sorted(records_of):
        for first in range(0, len(records_of[where]), MANY):
            yield where, records_of[where][first : first + MANY]


def send(
    to: Producer,
    topic: str,
    record: msgspec.Struct | Many,
    partition: int | None = None,
    on_delivery: Callable[[Any, Any], None] | None = None,
    is_checked: bool = False,
) -> None:
    """Queue one record under its topic's key, or many for a partition; wait while it is full.

    One that nobody could read goes as `schemas.fitting` makes it, with a dead letter; of many
    that are checked there is none.
    """
    if isinstance(record, list):
        messages = sendable_many(topic, record, now_us, is_checked)
    else:
        messages = sendable(topic, record, now_us)
    for name, _, key, value in messages:
        fixed = partition is not None and name == topic
        where: dict[str, Any] = {"partition": partition} if fixed else {}
        while True:
            try:
                to.produce(name, value=value, key=key, on_delivery=on_delivery, **where)
                break
            except BufferError:
                to.poll(0.05)


def dead_letter(problem: InvalidRecord, payload: bytes | None) -> DeadLetter:
    """Return the dead letter for a message that could not be decoded."""
    place = (problem.topic, problem.partition, problem.offset)
    return letter(place, problem.field, problem.reason, payload or b"", now_us())
