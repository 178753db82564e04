"""One transaction at a time, in a thread of its own: the next trades are folded meanwhile.

fold ── cut ─────────── fold ── cut (waits for the one before, raises what it met) ── fold
          └ begin ─ bars, clocks, dead letters ─ offsets with bookmarks ─ commit ┘
"""

import contextlib
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Producer, TopicPartition

from schemas import metrics
from streams.kafka.records import Many, send
from streams.process.program import end_at_once

log = logging.getLogger("undertow.rollup")
#: An answer that takes longer is asked for again, so that stopping never waits longer.
ANSWER_S = 10
HANGS_AFTER_S = ANSWER_S + 2.0
#: Offsets of one request: the broker keeps them as one batch, below its megabyte with the longest
#: bookmarks.
OFFSETS_AT_ONCE = 200

#: A topic, a record for it (or many), and the partition where that is not for its key to say.
Sent = tuple[str, msgspec.Struct | Many, int | None]


class Cut(NamedTuple):
    """What one transaction holds: records by topic (and partition, where said), and offsets.

    Each offset's metadata is its partition's bookmark. `group` is the consumer's membership when
    it was cut: a later owner's broker refuses it.
    """

    records: list[Sent]
    offsets: list[TopicPartition]
    group: Any
    taken: int
    letters: int
    late: int
    repeats: int


class Commits:
    """Carries cuts out in order; a context manager that ends with the last one in or raised."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._thread = ThreadPoolExecutor(1, "rollup-commit")
        self._last: Future[None] | None = None

    def __enter__(self) -> "Commits":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._thread.shutdown()
        if kind is None:
            self.settle()

    def begin(self, cut: Cut) -> None:
        """Start a transaction once the one before is in; raises what that one met."""
        self.settle()
        self._last = self._thread.submit(_commit, self._producer, cut)

    def settle(self) -> None:
        """Wait for the last transaction; raises what it met."""
        if self._last is not None:
            self._last.result()

    def landed(self) -> None:
        """Wait for the last transaction, however it ends: its partitions are about to go."""
        if self._last is not None:
            wait([self._last])


def _commit(producer: Producer, cut: Cut) -> None:
    producer.begin_transaction()
    for topic, record, partition in cut.records:
        # Bars are sums of trades that were read, and bounded by those: reading back is dear.
        send(producer, topic, record, partition, is_checked=topic == "bars")
    for first in range(0, len(cut.offsets), OFFSETS_AT_ONCE):
        few = cut.offsets[first : first + OFFSETS_AT_ONCE]
        with _bounded():
            producer.send_offsets_to_transaction(few, cut.group, ANSWER_S)
    with _bounded():
        producer.commit_transaction(ANSWER_S)
    metrics.RECORDS.labels("trades").inc(cut.taken)
    metrics.DEAD_LETTERS.labels("trades").inc(cut.letters)
    metrics.REFUSED.labels("trades", "late").inc(cut.late)
    metrics.REFUSED.labels("trades", "duplicate").inc(cut.repeats)


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """End the process when a call outlasts its timeout: what starts it again aborts what it left.

    librdkafka 2.16's send_offsets_to_transaction may wait without end, whatever its timeout,
    where the coordinator died under it (confluentinc/librdkafka#5456).
    """
    alarm = threading.Timer(HANGS_AFTER_S, _leave)
    alarm.daemon = True
    alarm.start()
    try:
        yield
    finally:
        alarm.cancel()


def _leave() -> None:
    log.critical("rollup: a transaction has hung for %g s: ending, to begin anew", HANGS_AFTER_S)
    end_at_once()
