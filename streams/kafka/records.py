"""Records into Kafka: sent under their key, or as the dead letter of what could not be read."""

from collections.abc import Callable
from typing import Any

import msgspec
from confluent_kafka import Producer

from schemas.codec import InvalidRecord
from schemas.fitting import sendable
from schemas.status import DeadLetter, letter
from streams.process.clock import now_us


def send(
    to: Producer,
    topic: str,
    record: msgspec.Struct,
    partition: int | None = None,
    on_delivery: Callable[[Any, Any], None] | None = None,
) -> None:
    """Queue one record under its topic's key, waiting while the queue is full.

    One that nobody could read goes as `schemas.fitting` makes it, with a dead letter.
    """
    for name, _, key, value in sendable(topic, record, now_us):
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
