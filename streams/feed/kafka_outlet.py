"""A feed's records into Kafka: one idempotent producer, batches by partition, words in order."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import msgspec
from confluent_kafka import KafkaError, Message

from schemas.status import DeadLetter
from schemas.topics import TOPICS
from streams.feed.outages import Spoken
from streams.feed.places import Places
from streams.kafka import clients
from streams.kafka.records import by_partition, send
from streams.process.settings import Settings

log = logging.getLogger("undertow.feed")
#: Records wait so long for company in a message, seconds.
FLUSH_S = 0.05
#: Messages on their way above which nobody reads on: what a venue sends meanwhile waits at it.
MOST_WAITING = 100_000
ENDS_WITHIN_S = 12.0


class NotDelivered(Exception):
    """Kafka refused a record for good; the message says which."""


class KafkaOutlet:
    """The one producer of a feed process; `places` learns how far each topic was written."""

    def __init__(self, settings: Settings, places: Places) -> None:
        # A record that Kafka has not taken yet is kept for as long as we live.
        self._producer = clients.producer(settings, **{"message.timeout.ms": 0})
        known = self._producer.list_topics(timeout=30).topics
        missing = [name for name in TOPICS if name not in known]
        if missing:
            raise NotDelivered(f"no topic {', '.join(missing)}; create them with `undertow topics`")
        self._parts = {name: len(known[name].partitions) for name in TOPICS}
        self._places = places
        self._waiting: dict[str, list[msgspec.Struct]] = {}
        self._failed = ""

    def records(self, topic: str, records: Sequence[msgspec.Struct]) -> None:
        """Take records of a topic; they leave with the next flush."""
        self._waiting.setdefault(topic, []).extend(records)

    def say(self, spoken: Spoken) -> None:
        """Send a word behind what came before it: to each partition, and where people read."""
        self.flush()
        status = spoken.status
        for topic in spoken.topics:
            written = self._places.written(topic, status, self._parts[topic])
            for partition in range(self._parts[topic]):
                send(self._producer, topic, status, partition, self._then(written))
        if status.state != "alive":
            send(self._producer, "feed_status", status, on_delivery=self._delivered)

    def letter(self, letter: DeadLetter) -> None:
        """Send a dead letter."""
        send(self._producer, "dead_letters", letter, on_delivery=self._delivered)

    async def room(self) -> None:
        """Wait while too much is on its way; raises NotDelivered."""
        while len(self._producer) > MOST_WAITING:
            self.flush()
            self._producer.poll(0)
            await asyncio.sleep(FLUSH_S)
        if self._failed:
            raise NotDelivered(self._failed)

    async def keep_flushing(self) -> None:
        """Send what waits, again and again; raises NotDelivered."""
        while True:
            self.flush()
            self._producer.poll(0)
            await self.room()
            await asyncio.sleep(FLUSH_S)

    def flush(self) -> None:
        """Hand what waits to the producer."""
        waiting, self._waiting = self._waiting, {}
        for topic, records in waiting.items():
            if TOPICS[topic].many:
                for partition, many in by_partition(topic, records, self._parts[topic]):
                    send(self._producer, topic, many, partition, self._delivered)
            else:
                for record in records:
                    send(self._producer, topic, record, on_delivery=self._delivered)

    def close(self) -> None:
        """Send everything; raises NotDelivered for what Kafka has not taken in time."""
        self.flush()
        remaining = self._producer.flush(ENDS_WITHIN_S)
        if remaining:
            raise NotDelivered(f"{remaining} messages were not taken within {ENDS_WITHIN_S:.0f} s")

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed = self._failed or f"{message.topic()}: {error}"
            log.critical("not delivered: %s: %s", message.topic(), error)

    def _then(self, written: Any) -> Any:
        def delivered(error: KafkaError | None, message: Message) -> None:
            self._delivered(error, message)
            if error is None:
                written()

        return delivered
