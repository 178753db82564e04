"""Every check, in the order in which one would look: what is asked for, then what lies on it."""

from collections.abc import Callable, Iterator

from confluent_kafka import KafkaException

from streams.doctor import kafka, machine, messages, receivers, store, waits
from streams.doctor.verdict import Verdict, broken, look
from streams.process.settings import Settings


def examine(settings: Settings, ask: store.Ask, clock: Callable[[], int]) -> Iterator[Verdict]:
    """Yield a verdict for each thing looked at; nothing is changed, nothing is sent.

    `ask` answers a query on the store, `clock` tells microseconds UTC.
    """
    yield from machine.checks(settings, clock())
    yield from store.checks(settings, ask, clock)
    yield from receivers.checks(settings)
    if not settings.kafka_url:
        yield from waits.of_run(settings)
        next_step = "`undertow run` needs none; else set KAFKA_URL, or start `undertow stack`"
        yield look("kafka", "none is named", next_step)
        return
    try:
        yield from _on_kafka(settings, clock)
    except KafkaException as problem:
        yield broken("kafka", str(problem.args[0]), "look into the broker's log")


def _on_kafka(settings: Settings, clock: Callable[[], int]) -> Iterator[Verdict]:
    verdict, counts = kafka.reachable(settings)
    yield verdict
    if verdict.state == "broken":
        return
    yield from kafka.topics(settings, counts)
    if not counts:
        return
    yield from kafka.stages(settings)
    by_topic = messages.tails(settings, counts)
    yield from messages.unreadable(by_topic)
    yield from messages.places(by_topic)
    yield from messages.feeds(by_topic, counts, clock())
    yield from waits.on_kafka(settings)
    yield from messages.labels(by_topic, clock())
    yield messages.conclusions(by_topic)
