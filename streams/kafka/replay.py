"""Feed a source to Kafka: records by key, its clock to every partition of every topic."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from confluent_kafka import Producer

from schemas.status import DeadLetter, FeedStatus
from schemas.topics import TOPICS
from schemas.words import MAX_MICROS, SECOND
from streams.kafka import clients, tails
from streams.kafka.records import send
from streams.process import clock
from streams.process.progress import moment
from streams.process.settings import Settings
from streams.sources import Item, Source
from streams.sources.pace import paced

#: Producers that are no live feed: a replay, and our own stage.
OURS = ("replay", "rollup")
#: Others this far past a source's first record are live beside it.
LIVE_AHEAD = 60 * SECOND


class ReplayError(Exception):
    """The broker did not take every record; the message says how many are missing."""


class OntoLive(Exception):
    """Others feed this cluster and are ahead of the source; the message says who, and what then."""


def replay(
    settings: Settings,
    source: Source,
    progress: Callable[[int, int], None],
    onto_live: bool = False,
) -> dict[str, int]:
    """Produce all of a source and return the records sent on each topic.

    `progress` hears the event time reached, microseconds, and the records so far. Raises
    ReplayError when a record was not delivered; OntoLive, before anything is sent, where other
    producers' words have come further than the source's first record, unless that is wanted
    (`onto_live`).
    """
    items = paced(source, clock.not_after())
    if not onto_live:
        begin = list(_until_a_record(items))
        _refuse_live(settings, source, begin)
        items = chain(begin, items)
    producer = clients.producer(settings)
    failed: list[str] = []
    sent: dict[str, int] = {}

    def delivered(error: object, _: object) -> None:
        if error is not None:
            failed.append(str(error))

    counts = _partition_counts(producer, source)
    for number, (topic, record) in enumerate(items):
        if isinstance(record, FeedStatus):
            for partition in range(counts[topic]):
                send(producer, topic, record, partition, delivered)
            progress(record.ts_event, sum(sent.values()))
        else:
            send(producer, topic, record, on_delivery=delivered)
            sent[topic] = sent.get(topic, 0) + 1
        if number % 1_000 == 0:
            producer.poll(0)
    _finish(producer, failed)
    return sent


def _until_a_record(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the first items, up to and with the first of which the event time is known."""
    for item in items:
        yield item
        if not isinstance(item[1], DeadLetter):
            return


def _refuse_live(settings: Settings, source: Source, begin: Sequence[Item]) -> None:
    """Raise OntoLive where others speak who are past the first item of a source."""
    begins: int = getattr(begin[-1][1], "ts_event", MAX_MICROS) if begin else MAX_MICROS
    with contextlib.closing(tails.reader(settings, "replay")) as consumer:
        known = consumer.list_topics(timeout=tails.ANSWER_S).topics
        for topic in (*source.clocked, *source.timed):
            for partition in range(len(known[topic].partitions) if topic in known else 0):
                last = tails.tail_of(consumer, topic, partition).last
                ahead = {n: s.ts_event for n, s in last.items() if n not in OURS}
                name = max(ahead, key=ahead.__getitem__, default="")
                if name and ahead[name] > begins + LIVE_AHEAD:
                    raise OntoLive(
                        f"{name} feeds {topic}[{partition}] and has come to {moment(ahead[name])},"
                        f" but {source.name} begins at {moment(begins)}: its records would be late,"
                        " stored among the live ones and judged by nobody. Replay it to a cluster"
                        " of its own, or say --onto-live"
                    )


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
