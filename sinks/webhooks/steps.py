"""Steps of notifications from the outbox to `notifications`: kept until they are there."""

import contextlib
import logging
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from confluent_kafka import Producer

from schemas import codec
from schemas.codec import InvalidRecord
from schemas.notifications import NotificationStep
from schemas.topic_identity import connection_of
from schemas.topics import TOPICS, key_of
from sinks.clickhouse.client import Batch, Writer
from sinks.webhooks.outbox import Outbox
from sinks.webhooks.outbox_file import OutboxFull

log = logging.getLogger("undertow.notify")
#: Steps on their way at once.
MOST = 1_000
TOPIC = "notifications"
#: Stands for a topic in rows that came past Kafka.
_OUTBOX = "outbox"


class Steps:
    """Sends what the outbox has noted to Kafka, beside whatever else its process does.

    A step that Kafka has not taken is sent again, at the latest by the next process: twice is one
    row. Nothing waits for it.
    """

    def __init__(self, conf: Mapping[str, Any], outbox: Outbox) -> None:
        """`conf` says how to reach the cluster."""
        self._producer = Producer(connection_of(conf) | {"partitioner": "murmur2_random"})
        self._outbox = outbox
        self._sent = 0
        self._taken: list[int] = []
        self._failed = False

    def each_round(self) -> None:
        """Note what was taken, send what is new."""
        self._producer.poll(0)
        self._forget()
        if self._failed and not len(self._producer):
            self._failed, self._sent = False, 0
        for number, record in self._outbox.steps(self._sent, MOST - len(self._producer)):
            self._sent = number
            if (step := _read(record)) is None:
                self._taken.append(number)
                continue
            key = key_of(TOPICS[TOPIC], step)
            self._producer.produce(TOPIC, record, key, on_delivery=self._noted(number))

    def close(self) -> None:
        """Wait a moment for what is on its way; the rest is for the next process."""
        self._producer.flush(5)
        self._forget()

    def _forget(self) -> None:
        # Those for which a full disk has no room are sent again by the next process.
        with contextlib.suppress(OutboxFull):
            if self._taken:
                self._outbox.forget_steps(self._taken)
                self._taken = []

    def _noted(self, number: int) -> Any:
        def noted(error: object, _: object) -> None:
            if error is None:
                self._taken.append(number)
            else:
                self._failed = True

        return noted


def store(outbox: Outbox, writer: Writer) -> int:
    """Write what the outbox has noted into its table, where there is no Kafka; return how many."""
    count, epoch = 0, uuid4().hex[:8]
    while rows := outbox.steps(0, MOST):
        read = [(number, step) for number, raw in rows if (step := _read(raw)) is not None]
        if read:
            numbers, steps = [number for number, _ in read], [step for _, step in read]
            # An outbox made anew counts from one again: an epoch keeps their tokens apart.
            bounds = (numbers[0], numbers[-1])
            writer.insert(Batch(TOPIC, _OUTBOX, 0, *bounds, steps, numbers, epoch))
        outbox.forget_steps(number for number, _ in rows)
        count += len(read)
    return count


def _read(record: bytes) -> NotificationStep | None:
    """Return the step, None for one of another version that cannot be read."""
    try:
        step: NotificationStep = codec.decode(TOPIC, record)
    except InvalidRecord as problem:
        log.warning("a step of a notification is dropped: %s", problem)
        return None
    return step
