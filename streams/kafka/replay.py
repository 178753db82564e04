"""Feed a source to Kafka: records by key, its clock to every partition of every topic."""

from collections.abc import Callable

from confluent_kafka import Producer

from schemas.status import FeedStatus
from schemas.topics import TOPICS
from streams.kafka import clients
from streams.kafka.records import send
from streams.process import clock
from streams.process.settings import Settings
from streams.sources import Source
from streams.sources.pace import paced


class ReplayError(Exception):
    """The broker did not take every record; the message says how many are missing."""


def replay(
    settings: Settings, source: Source, progress: Callable[[int, int], None]
) -> dict[str, int]:
    """Produce all of a source and return the records sent on each topic.

    `progress` hears the event time reached, microseconds, and the records so far. Raises
    ReplayError when a record was not delivered.
    """
    producer = clients.producer(settings)
    failed: list[str] = []
    sent: dict[str, int] = {}

    def delivered(error: object, _: object) -> None:
        if error is not None:
            failed.append(str(error))

    counts = _partition_counts(producer, source)
    for number, (topic, record) in enumerate(paced(source, clock.not_after())):
        if isinstance(record, FeedStatus):
            for partition in range(counts[topic]):
                send(producer, topic, record, partition, delivered)
            if record.state != "alive" and topic == source.told_on:
                send(producer, "feed_status", record, on_delivery=delivered)
            progress(record.ts_event, sum(sent.values()))
        else:
            send(producer, topic, record, on_delivery=delivered)
            sent[topic] = sent.get(topic, 0) + 1
        if number % 1_000 == 0:
            producer.poll(0)
    _finish(producer, failed)
    return sent


def _partition_counts(producer: Producer, source: Source) -> dict[str, int]:
    known = producer.list_topics(timeout=30).topics
    missing = [t for t in (*source.clocked, *source.timed, "dead_letters") if t not in known]
    if missing:
        raise ReplayError(f"no topic {', '.join(missing)}; create them with `undertow topics`")
    return {name: len(known[name].partitions) for name in TOPICS if name in known}


def _finish(producer: Producer, failed: list[str]) -> None:
    remaining = producer.flush(60)
    if remaining or failed:
        first = failed[0] if failed else "no answer within 60 s"
        raise ReplayError(f"{remaining + len(failed)} records were not delivered: {first}")
