"""Plays a recording into Kafka at the pace an attack needs, and never loses a record."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from confluent_kafka import Producer

from schemas.status import FeedStatus
from schemas.topics import TOPICS
from streams.kafka import clients
from streams.kafka.records import send
from streams.process.settings import Settings

#: A broker that is killed and repaired must not cost a record.
DELIVERED_WITHIN_MS = 600_000


class Feeder:
    """A thread that plays (topic, record); `finish_in` says how long the rest may take."""

    def __init__(self, url: str, items: Sequence[Any], partitions: int) -> None:
        self._producer = clients.producer(
            Settings(kafka_url=url), **{"message.timeout.ms": DELIVERED_WITHIN_MS}
        )
        self._items = items
        self._partitions = partitions
        self._failed: list[str] = []
        #: The share at which it waits, however long a round takes.
        self.limit = 1.0
        self._at = 0
        self.started = 0.0
        #: Called behind each item: topic, record, share played.
        self.after: Callable[[str, msgspec.Struct, float], None] | None = None
        self._rate = 1.0
        self._began = (time.monotonic(), 0)
        self._changed = threading.Event()
        self._thread = threading.Thread(target=self._play, name="feeder", daemon=True)

    @property
    def share(self) -> float:
        """How much of the recording has been played, 0 to 1."""
        return self._at / len(self._items)

    @property
    def producer(self) -> Producer:
        """For records that the recording does not have."""
        return self._producer

    def start(self, seconds: float) -> None:
        """Begin, to be done in so many seconds."""
        self.started = time.monotonic()
        self.finish_in(seconds)
        self._thread.start()

    def finish_in(self, seconds: float) -> None:
        """Change the pace, so that the rest takes so many seconds."""
        self._rate = (len(self._items) - self._at) / max(seconds, 0.001)
        self._began = (time.monotonic(), self._at)
        self._changed.set()

    def finish(self, deadline: float) -> None:
        """Play the rest at once and wait until the broker has all of it."""
        self.limit = 1.0
        self.finish_in(0)
        self._thread.join(max(1.0, deadline - time.monotonic()))
        left = self._producer.flush(max(1.0, deadline - time.monotonic()))
        if self._thread.is_alive() or left or self._failed:
            raise RuntimeError(f"the feeder could not deliver: {left} left, {self._failed[:1]}")

    def _play(self) -> None:
        try:
            self._play_all()
        except Exception as problem:
            self._failed.append(repr(problem))

    def _play_all(self) -> None:
        for topic, record in self._items:
            self._wait()
            self._at += 1
            if isinstance(record, FeedStatus):
                for partition in range(self._partitions if TOPICS[topic].split else 1):
                    send(self._producer, topic, record, partition, self._delivered)
            else:
                send(self._producer, topic, record, on_delivery=self._delivered)
            if self.after is not None:
                self.after(topic, record, self.share)
            if self._at % 100 == 0:
                self._producer.poll(0)

    def _wait(self) -> None:
        while True:
            self._changed.clear()
            began, at = self._began
            ahead = began + (self._at - at) / self._rate - time.monotonic()
            if ahead <= 0.005 and self.share < self.limit:
                return
            self._producer.poll(0)
            self._changed.wait(max(0.05, min(ahead, 1.0)))

    def _delivered(self, error: object, _: object) -> None:
        if error is not None:
            self._failed.append(str(error))
