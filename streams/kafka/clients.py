"""What the librdkafka shells share: connection settings, lag, keyed sends, dead letters."""

import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from schemas import metrics
from schemas.codec import InvalidRecord, encode
from schemas.status import DeadLetter
from schemas.topics import TOPICS, key_of
from streams.process.clock import now_us
from streams.process.settings import Settings

#: Java's, aiokafka's and Faust's partitioner. librdkafka's own default differs, and an
#: asset whose topics disagree on its partition would meet nobody.
PARTITIONER = "murmur2_random"
RAW_KEPT = 2_000


#: Where librdkafka's own lines go; without it they pass every format by, on stderr.
_LINES = logging.getLogger("undertow.librdkafka")
#: Another worker has our partitions, or our name, or a broker went: a new session may do.
_PASSING = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError._STATE,
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._DESTROY_BROKER,
    }
)
#: What keeps `LAG` up to date: when it was last written, and which partitions it shows.
_lag_at = [0.0]
_lag_of: set[tuple[str, str]] = set()


def connection(settings: Settings) -> dict[str, Any]:
    """Return librdkafka's settings for reaching the cluster, as the person that we are to it."""
    named = {
        "ssl.ca.location": settings.kafka_ca_file,
        "ssl.certificate.location": settings.kafka_cert_file,
        "ssl.key.location": settings.kafka_key_file,
        "sasl.username": settings.kafka_username,
        "sasl.password": settings.kafka_password,
        "sasl.mechanism": settings.kafka_sasl if settings.kafka_username else "",
    }
    return {
        "bootstrap.servers": settings.kafka_url,
        "security.protocol": settings.kafka_security,
        "logger": _LINES,
    } | {name: value for name, value in named.items() if value}


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


def consumer_conf(settings: Settings, stage: str, worker: str = "") -> dict[str, Any]:
    """Return the settings of a consumer of committed records that commits nothing by itself.

    `worker` is a name that it keeps when it is started again: its partitions wait for it,
    for as long as a session lasts.
    """
    kept = {"group.instance.id": worker} if worker else {}
    return (
        connection(settings)
        | kept
        | {
            "group.id": f"{settings.group}-{stage}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "session.timeout.ms": 10_000,
        }
    )


def each_round(consumer: Consumer) -> None:
    """Tell the metrics that a consumer's loop came round; once a second, its lag too."""
    metrics.LAST_ROUND.set_to_current_time()
    # Nothing assigned is well where others have it all; no member id means no group,
    # and librdkafka drops it when the brokers are gone for a session's length.
    metrics.READY.set(bool(consumer.memberid()))
    if time.monotonic() - _lag_at[0] >= 1:
        note_lag(consumer)


def note_lag(consumer: Consumer) -> None:
    """Set LAG of each assigned partition, from what the consumer knows without asking.

    The end of a topic written in transactions may be a marker: nobody takes it, and it
    counts as one.
    """
    _lag_at[0] = time.monotonic()
    seen = set()
    assigned = consumer.assignment()
    for tp, started in zip(consumer.position(assigned), assigned, strict=True):
        begin, end = consumer.get_watermark_offsets(tp, cached=True)
        # Below 0: nothing taken yet, then not even told where to start.
        at = tp.offset if tp.offset >= 0 else started.offset
        at = end if begin == end else at
        if at >= 0 and end >= 0:
            place = (tp.topic, str(tp.partition))
            metrics.LAG.labels(*place).set(max(0, end - at))
            seen.add(place)
    for place in _lag_of - seen:
        metrics.LAG.remove(*place)
    _lag_of.clear()
    _lag_of.update(seen)


def passes(problem: KafkaException) -> bool:
    """Return whether a new producer and consumer may succeed where these failed."""
    error = problem.args[0]
    return bool(
        isinstance(error, KafkaError)
        and (error.retriable() or error.txn_requires_abort() or error.code() in _PASSING)
    )


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
