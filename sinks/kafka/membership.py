"""The sink's place in its consumer group: what it owns, where that begins, what it may commit.

    assigned ──> new, paused ──last intents read──> buffer, fetched ──> committed behind the write
    revoked or lost ──> buffer dropped; what was formed from it is not committed by us

The wait for ClickHouse polls with everything paused, so that the group sees a living
member and nothing piles up. Partitions may come and go within it.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from schemas import metrics
from schemas.kafka_failures import catchable, is_left_behind, is_waited_out
from schemas.scan import columns
from schemas.topic_identity import is_of_other, marked, unmarked
from schemas.topics import TOPICS
from sinks.clickhouse.intents import Intents
from sinks.clickhouse.retry import Retry
from sinks.clickhouse.rows import NOT_STORED, Piece

log = logging.getLogger("undertow.sink")
#: The topics whose records have a table.
SUNK = tuple(name for name, topic in TOPICS.items() if NOT_STORED.isdisjoint(topic.payload))
#: Seconds between polls that slow inserts may take; the group allows 300.
POLL_EVERY_S = 10.0
Place = tuple[str, int]
Result = TypeVar("Result")


class Stopped(Exception):
    """Asked to stop while a store did not answer."""


class Lost(Exception):
    """A partition went to another while a batch of it was being taken apart."""


class Buffer(msgspec.Struct):
    """Undelivered records of one partition from offset `lo`; `until` ends a repeated range.

    `epoch` is the topic's own id. Trades that were checked by the batch wait as columns in
    `pieces`, by the `words` of this partition; `rows` counts both. No more than `most` of them
    are one batch, 0 where none was slow to be taken apart lately.
    """

    epoch: str
    lo: int
    since: float
    hi: int = -1
    until: int = -1
    rows: int = 0
    most: int = 0
    records: list[msgspec.Struct] = []
    offsets: list[int] = []
    pieces: list[Piece] = []
    words: Any = msgspec.field(default_factory=columns.Words)


def check(error: KafkaError | None) -> None:
    """Pass over what heals by itself; raises KafkaException for any other error."""
    if error is None:
        return
    if not is_waited_out(error):
        raise KafkaException(error)
    log.warning("kafka: %s", error)


def answered(ask: Callable[[], Result]) -> Result:
    """Return what a question to Kafka gives, asking again for a minute while brokers come and go.

    Raises KafkaException.
    """
    deadline = time.monotonic() + 60
    while True:
        try:
            return ask()
        except KafkaException as problem:
            if time.monotonic() > deadline:
                raise
            check(problem.args[0])
            time.sleep(0.5)


class Membership:
    """Owns `buffers`, one for each partition that is ours and whose start is known."""

    def __init__(
        self,
        consumer: Consumer,
        epochs: Mapping[str, str],
        stopping: Callable[[], bool],
        each_round: Callable[[Consumer], object],
        store_id: str = "",
        still_same: Callable[[], object] = lambda: None,
    ) -> None:
        """`epochs` are the topics' own ids, `store_id` names the database that is written to.

        `still_same` raises TopicChanged when the topics are no longer those.
        """
        self.buffers: dict[Place, Buffer] = {}
        #: Tries again without end: only a stop, or an error that lasts, leaves a write.
        self.retry = Retry(give_up_after_s=math.inf, sleep=self.wait)
        self._consumer = consumer
        self._epochs = epochs
        self.store_id = store_id
        self._still_same = still_same
        self._stopping = stopping
        self._each_round = each_round
        self._new: dict[Place, int] = {}
        self._early: list[Message] = []
        self._paused = False
        self._polled = time.monotonic()

    def subscribe(self) -> None:
        """Join the group."""
        on_assign = catchable(self._assigned)
        self._consumer.subscribe(
            list(SUNK), on_assign=on_assign, on_revoke=self._gone, on_lost=self._gone
        )

    def _assigned(self, consumer: Consumer, parts: list[TopicPartition]) -> None:
        # Paused until `start_new`: where they begin is in ClickHouse, which may not
        # answer, and a callback cannot wait.
        start = []
        for tp in answered(lambda: consumer.committed(parts, timeout=30)):
            low = self._low(tp)
            position = tp.offset if tp.offset >= 0 and self._is_of_here(tp, low) else low
            self._new[tp.topic, tp.partition] = position
            start.append(TopicPartition(tp.topic, tp.partition, position))
        consumer.assign(start)
        consumer.pause(start)
        metrics.REBALANCES.inc()

    def _is_of_here(self, tp: TopicPartition, low: int) -> bool:
        """Say whether a committed offset speaks of this topic and of this database."""
        _, store_id = unmarked(tp.metadata)
        place = f"{tp.topic}[{tp.partition}]"
        if is_of_other(tp.metadata, self._epochs[tp.topic]):
            log.error("%s was deleted and made anew: read from its beginning", place)
            return False
        if store_id and self.store_id and store_id != self.store_id:
            log.error(
                "%s was written to another database (of %s, this is of %s): what is committed may"
                " not be in this one; read again from offset %d, the first that Kafka still has",
                place, store_id, self.store_id, low,
            )  # fmt: skip
            return False
        return True

    def _low(self, tp: TopicPartition) -> int:
        low, _ = answered(lambda: self._consumer.get_watermark_offsets(tp, timeout=30))
        return int(low)

    def _gone(self, _: Consumer, parts: list[TopicPartition]) -> None:
        for tp in parts:
            self.buffers.pop((tp.topic, tp.partition), None)
            self._new.pop((tp.topic, tp.partition), None)
        gone = {(tp.topic, tp.partition) for tp in parts}
        self._early = [m for m in self._early if (m.topic(), m.partition()) not in gone]

    def start_new(self, intents: Intents) -> None:
        """Start each new partition where its last intended range began, if not committed.

        Raises SinkError, KafkaException, Stopped.
        """
        if not self._new:
            return
        meant: dict[Place, tuple[int, int]] = {}
        for intent in intents.last(self.retry):
            place = (intent.topic, intent.partition)
            if intent.epoch == self._epochs.get(intent.topic):
                # A range that filled two tables is one range: the latest counts.
                meant[place] = max(meant.get(place, (-1, -1)), (intent.lo, intent.hi))
        # Only now: the wait above may have brought other partitions.
        for place, position in self._new.items():
            low = self._low(TopicPartition(*place))
            lo, hi = meant.get(place, (position, -1))
            repeat = lo <= position <= hi and lo >= low
            lo = lo if repeat else position
            if lo != position:
                self._seek(TopicPartition(*place, lo))
            until = hi if repeat else -1
            self.buffers[place] = Buffer(self._epochs[place[0]], lo, time.monotonic(), until=until)
        self._new.clear()
        self._paused = True
        self.resume()

    def _seek(self, to: TopicPartition) -> None:
        # A partition assigned this moment refuses until its fetcher has started.
        for attempt in range(50):
            try:
                self._consumer.seek(to)
                return
            except KafkaException as problem:
                if attempt == 49 or problem.args[0].code() != KafkaError._STATE:
                    raise
                time.sleep(0.1)

    def holds(self, place: Place, buffer: Buffer) -> bool:
        """Say whether `buffer` is still the one of `place`: not lost, nor lost and regained."""
        return self.buffers.get(place) is buffer

    def consume(self, most: int, timeout_s: float) -> list[Message]:
        """Return what has come, errors included."""
        early, self._early = self._early, []
        self._polled = time.monotonic()
        return early + self._consumer.consume(most, timeout=timeout_s)

    def confirm(self) -> None:
        """Wait for Kafka's word that the topics are still those; raises TopicChanged, Stopped."""
        while True:
            try:
                self._still_same()
                return
            except KafkaException as problem:
                check(problem.args[0])
                self.wait(1.0)

    def wait(self, seconds: float) -> None:
        """Stay in the group for `seconds` with everything paused; raises Stopped."""
        self._poll_paused(seconds, ready=False)

    def stay(self) -> None:
        """Poll when inserts have taken long, as `wait` does; raises Stopped."""
        if time.monotonic() - self._polled > POLL_EVERY_S:
            self._poll_paused(0, ready=True)

    def between(self, place: Place, buffer: Buffer) -> None:
        """Look up between the inserts of one batch; raises Stopped, Lost."""
        if self._stopping():
            raise Stopped
        self.stay()
        if not self.holds(place, buffer):
            raise Lost

    def _poll_paused(self, seconds: float, ready: bool) -> None:
        deadline = time.monotonic() + seconds
        self._consumer.pause(self._consumer.assignment())
        self._paused = True
        while True:
            if self._stopping():
                raise Stopped
            self._each_round(self._consumer)
            metrics.READY.set(ready)
            left = deadline - time.monotonic()
            message = self._consumer.poll(min(max(left, 0), 0.2))
            self._polled = time.monotonic()
            if message is not None:
                # Paused partitions give none; a record that came all the same is kept.
                self._early.append(message)
            if left <= 0:
                return

    def resume(self) -> None:
        """Let the partitions with a buffer be fetched again."""
        if self._paused:
            self._consumer.resume([TopicPartition(*place) for place in self.buffers])
            self._paused = False
        metrics.READY.set(1)

    def commit(self, written: Mapping[Place, Buffer]) -> None:
        """Commit the buffers that are still ours, waiting for Kafka where it must, and empty them.

        Raises KafkaException, Stopped.
        """
        while ours := {p: b for p, b in written.items() if self.holds(p, b)}:
            done = [
                TopicPartition(*place, buffer.hi + 1, metadata=marked(buffer.epoch, self.store_id))
                for place, buffer in ours.items()
            ]
            error = self._commit(done)
            if error is None:
                for buffer in ours.values():
                    _empty(buffer)
                return
            if is_left_behind(error):
                log.warning("not committed, no longer ours: %s", error)
                self._gone(self._consumer, done)
                return
            check(error)
            # The next range must not begin before this one is committed: a restart
            # would form the two as one, under a token of its own.
            self.wait(1.0)

    def _commit(self, done: list[TopicPartition]) -> KafkaError | None:
        try:
            answers = self._consumer.commit(offsets=done, asynchronous=False) or []
        except KafkaException as problem:
            error: KafkaError = problem.args[0]
            return error
        return next((tp.error for tp in answers if tp.error), None)


def _empty(buffer: Buffer) -> None:
    buffer.lo, buffer.hi, buffer.until = buffer.hi + 1, -1, -1
    buffer.records, buffer.offsets, buffer.pieces, buffer.rows = [], [], [], 0
    buffer.since = time.monotonic()
