"""What the librdkafka shells share: connection settings, keyed sends, dead letters."""

from collections.abc import Callable
from typing import Any

import msgspec
from confluent_kafka import Producer

from schemas.codec import InvalidRecord, encode
from schemas.status import DeadLetter
from schemas.topics import TOPICS, key_of
from streams.clock import now_us
from streams.settings import Settings

#: Java's, aiokafka's and Faust's partitioner. librdkafka's own default differs, and an
#: asset whose topics disagree on its partition would meet nobody.
PARTITIONER = "murmur2_random"
RAW_KEPT = 2_000


def connection(settings: Settings) -> dict[str, Any]:
    """Return librdkafka's settings for reaching the cluster."""
    return {"bootstrap.servers": settings.kafka_url}


def producer(settings: Settings, **extra: Any) -> Producer:
    """Return an idempotent producer that partitions as Java does."""
    return Producer(
        connection(settings)
        | {
            "enable.idempotence": True,
            "partitioner": PARTITIONER,
            "linger.ms": 5,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 500_000,
        }
        | extra
    )


def consumer_conf(url: str, group: str, stage: str) -> dict[str, Any]:
    """Return the settings of a consumer of committed records that commits nothing by itself."""
    return {
        "bootstrap.servers": url,
        "group.id": f"{group}-{stage}",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "session.timeout.ms": 10_000,
    }


def send(
    to: Producer,
    topic: str,
    record: msgspec.Struct,
    partition: int | None = None,
    on_delivery: Callable[[Any, Any], None] | None = None,
) -> None:
    """Queue one record under its topic's key, waiting while the queue is full."""
    where: dict[str, Any] = {} if partition is None else {"partition": partition}
    key = key_of(TOPICS[topic], record) or None
    value = encode(record)
    while True:
        try:
            to.produce(topic, value=value, key=key, on_delivery=on_delivery, **where)
            return
        except BufferError:
            to.poll(0.05)


def dead_letter(problem: InvalidRecord, payload: bytes | None) -> DeadLetter:
    """Return the dead letter for a message that could not be decoded."""
    return DeadLetter(
        topic=problem.topic,
        partition=problem.partition,
        offset=problem.offset,
        field=problem.field,
        reason=problem.reason[:RAW_KEPT],
        raw=(payload or b"")[:RAW_KEPT].decode(errors="replace"),
        ts_recv=now_us(),
    )
