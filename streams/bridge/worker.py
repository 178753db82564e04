"""The loop of `undertow bridge`: foreign topics read, records and words on time written as ours.

A venue's producer is `bridge-VENUE`. Its word `alive` follows the receipts of what was read, and
the clock once everything is read. Offsets are committed behind the records they made.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, Producer

from schemas import kafka_closing
from schemas.status import FeedStatus, letter
from schemas.topics import RAW_TOPICS, TOPICS
from schemas.words import SECOND, FeedState
from streams.bridge import cryptofeed, tardis_machine
from streams.feeds.frames import UnreadableFrame
from streams.kafka import clients
from streams.kafka.records import send
from streams.process import health
from streams.process.clock import now_us
from streams.process.settings import Settings
from streams.sources.lines import TOPIC_OF_TYPE

log = logging.getLogger("undertow.bridge")
#: (topic, message) -> records; raises UnreadableFrame.
Reader = Callable[[str, bytes], list[Any]]
READERS: dict[str, Reader] = {
    "cryptofeed": cryptofeed.of_message,
    "tardis-machine": tardis_machine.of_message,
}
DEFAULT_TOPICS = {"cryptofeed": cryptofeed.TOPICS, "tardis-machine": tardis_machine.TOPICS}
BATCH, WAIT_S = 1_000, 0.2
LAG = SECOND
#: A venue that gives nothing for so long is silent: who wrote its topics does not say.
SILENT_AFTER = 60 * SECOND


class Failed(Exception):
    """Kafka did not take what was bridged; the message is one line."""


class _Voice:
    """What was said of one venue, and up to when; microseconds."""

    def __init__(self, now: int) -> None:
        self.received: dict[str, int] = {}
        self.heard_at = now
        self.ts_alive = 0
        self.is_silent = False

    def last(self) -> int:
        """Return when its last message was received."""
        return max(self.received.values(), default=0)


class Bridge:
    """One bridge: what it reads, what it writes, and the words that it owes."""

    def __init__(self, settings: Settings, source: str, consumer: Consumer) -> None:
        self.counts: dict[str, int] = {"records": 0, "refused": 0}
        self._read = READERS[source]
        self._consumer = consumer
        self._producer: Producer = clients.producer(settings)
        known = self._producer.list_topics(timeout=30).topics
        if missing := [name for name in (*RAW_TOPICS, "dead_letters") if name not in known]:
            raise Failed(f"no topic {', '.join(missing)}; create them with `undertow topics`")
        self._parts = {name: len(known[name].partitions) for name in TOPICS if name in known}
        self._voices: dict[str, _Voice] = {}
        self._failed = ""
        self._spoke = 0

    def take(self, messages: list[Message]) -> None:
        """Write what messages hold, and the words that follow; commit behind it."""
        now = now_us()
        for message in messages:
            self._take(message, now)
        if now - self._spoke >= SECOND:
            self._spoke = now
            self._speak(now, is_caught_up(self._consumer))
        if self._producer.flush(30) or self._failed:
            raise Failed(self._failed or "no answer within 30 s")
        if messages:
            self._consumer.commit(asynchronous=False)

    def end(self) -> None:
        """Say that we stop."""
        for venue, voice in self._voices.items():
            if not voice.is_silent:
                self._say(
                    venue, "silent", max(voice.ts_alive, now_us() - LAG), "stopped on purpose"
                )
        self._producer.flush(10)

    def _take(self, message: Message, now: int) -> None:
        topic, value = message.topic() or "", message.value() or b""
        try:
            records = self._read(topic, value)
        except UnreadableFrame as problem:
            self.counts["refused"] += 1
            place = (topic, message.partition() or 0, message.offset() or 0)
            made = letter(place, problem.field, problem.reason, value, now)
            send(self._producer, "dead_letters", made, on_delivery=self._delivered)
            return
        for record in records:
            voice = self._voices.setdefault(record.venue, _Voice(now))
            voice.received[topic] = max(voice.received.get(topic, 0), record.ts_recv)
            voice.heard_at = now
            send(self._producer, TOPIC_OF_TYPE[type(record)], record, on_delivery=self._delivered)
            self.counts["records"] += 1

    def _speak(self, now: int, has_all: bool) -> None:
        """Say how far each venue has come; `has_all`: nothing waits to be read."""
        for venue, voice in self._voices.items():
            if now - voice.heard_at >= SILENT_AFTER and not voice.is_silent:
                voice.is_silent = True
                at = max(voice.ts_alive, voice.last())
                self._say(venue, "silent", at, "nothing comes on its topics")
            if voice.is_silent and now - voice.heard_at < SILENT_AFTER:
                voice.is_silent = False
                self._say(venue, "recovered", max(voice.ts_alive, voice.last() - LAG))
            # What waits in foreign topics is of the past, and each of them is read at its own pace.
            is_live = has_all and now - voice.last() < SILENT_AFTER
            behind = voice.last() if has_all else min(voice.received.values())
            at = ((now if is_live else behind) - LAG) // SECOND * SECOND
            if at > voice.ts_alive and not voice.is_silent:
                voice.ts_alive = at
                self._say(venue, "alive", at)

    def _say(self, venue: str, state: FeedState, at: int, reason: str = "") -> None:
        producer = f"bridge-{venue}"
        status = FeedStatus(producer=producer, state=state, ts_event=at, reason=reason)
        for topic in RAW_TOPICS:
            for partition in range(self._parts[topic]):
                send(self._producer, topic, status, partition, self._delivered)
        if state != "alive":
            send(self._producer, "feed_status", status, on_delivery=self._delivered)

    def _delivered(self, error: Any, message: Message) -> None:
        if error is not None:
            self._failed = self._failed or f"{message.topic()}: {error}"


def is_caught_up(consumer: Consumer) -> bool:
    """Say whether every message that Kafka has for us was read, as far as is known here."""
    for place in consumer.position(consumer.assignment()):
        _, end = consumer.get_watermark_offsets(place, cached=True)
        # Nothing was read of it yet, so that where it ends is not known: it may be empty.
        if place.offset < 0 or end < 0:
            _, end = consumer.get_watermark_offsets(place, timeout=5.0)
            begun = consumer.committed([place], timeout=5.0)[0].offset
            if end > max(begun, 0):
                return False
        elif place.offset < end:
            return False
    return True


def run(settings: Settings, source: str, topics: list[str], stopping: Callable[[], bool]) -> None:
    """Bridge until `stopping()`. Raises Failed."""
    conf = clients.consumer_conf(settings, f"bridge-{source}") | {
        # Their topics appear as their symbols do.
        "topic.metadata.refresh.interval.ms": 5_000,
    }
    consumer = Consumer(conf)
    try:
        bridge = Bridge(settings, source, consumer)
        consumer.subscribe(topics)
        logged = time.monotonic()
        while not stopping():
            messages = consumer.consume(BATCH, WAIT_S)
            bridge.take([message for message in messages if message.error() is None])
            health.come_round()
            if time.monotonic() - logged >= 60:
                logged = time.monotonic()
                log.info("%(records)d records written, %(refused)d messages refused", bridge.counts)
        bridge.end()
    except KafkaException as problem:
        raise Failed(str(problem)) from None
    finally:
        kafka_closing.close(consumer)
