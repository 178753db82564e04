"""Rollup as Kafka transactions: consume trades, fold, produce bars, commit, atomically.

    batches ──> fold ──every flush_s──> begin ─ bars, clocks, dead letters ─ offsets ─ commit
                     or as time is told         └── all of it, or none of it ──┘

A restarted worker re-reads a little before its committed offset, to know the ids and
the clock it knew before; bars of that stretch are dropped, they were told.
"""

import logging
import time
from collections.abc import Callable
from itertools import groupby

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas import metrics
from schemas.kafka_failures import mended_by_rejoining
from schemas.scan import columns
from streams.core import fold, refusals
from streams.core.params import Params
from streams.kafka import clients, lag, worker_names
from streams.process import clock, health
from streams.process.settings import Settings
from streams.rollup.commit import ANSWER_S, Commits, Cut
from streams.rollup.take import Partition, take

log = logging.getLogger("undertow.rollup")
BATCH = 10_000
#: Messages and sums after which bars are flushed before their time.
FLUSH_MESSAGES = 200_000
FLUSH_SUMS = 50_000
#: A queue that was full for a moment is filled again at once: by default librdkafka waits a
#: second, in which a flood's reader has emptied it and idles. Fewer, larger answers of a
#: partition than its default of 1 MB cost it and the broker less.
FETCH = {
    "fetch.queue.backoff.ms": 10,
    "queued.min.messages": 200_000,
    "fetch.message.max.bytes": 8_000_000,
}
#: Messages re-read before the committed offset: more than any grace holds.
WARM_UP = 20_000
#: How soon the feeds' word on time is seen while few trades come, seconds.
LOOK_S = 0.05
#: Part of flush_s for which bars wait at least, though everyone's clock has moved.
LEAST = 0.2
TRANSACTION_MS = 15_000
PAUSE_S = 0.5


def run(settings: Settings, params: Params, stopping: Callable[[], bool]) -> None:
    """Fold until `stopping()`.

    A transaction that was refused (we were replaced, or a broker went) starts a new session
    from the last commit. Raises KafkaException when the cluster refuses for good, and
    refusals.TooManyRefused.
    """
    worker = worker_names.claim(settings.data_dir, "rollup")
    health.collect_less()
    share = refusals.Share(settings.dead_letter_limit)
    while not stopping():
        try:
            _session(settings, params, worker, share, stopping)
        except KafkaException as problem:
            if not mended_by_rejoining(problem):
                raise
            log.warning("rollup: starting again from the last commit: %s", problem)
            metrics.RETRIES.labels("kafka").inc()
            time.sleep(PAUSE_S)


def _session(
    settings: Settings,
    params: Params,
    worker: str,
    share: refusals.Share,
    stopping: Callable[[], bool],
) -> None:
    producer = clients.producer(
        settings,
        **{
            "transactional.id": f"{settings.group}-rollup-{worker}",
            # What a worker that died for good leaves open holds readers back for this long.
            "transaction.timeout.ms": TRANSACTION_MS,
        },
    )
    producer.init_transactions(ANSWER_S)
    consumer = Consumer(clients.consumer_conf(settings, "rollup", worker) | FETCH)
    owned: dict[int, Partition] = {}
    words = columns.Words()
    commits = Commits(producer)
    consumer.subscribe(
        ["trades"],
        on_assign=lambda c, parts: _assigned(c, parts, owned),
        on_revoke=lambda c, parts: _dropped(parts, owned, commits),
        on_lost=lambda c, parts: _dropped(parts, owned, commits),
    )
    try:
        with commits:
            parts = _partition_count(consumer, "trades")
            out = _partition_count(consumer, "bars")
            log.info("rollup: %d trades partitions into %d bars partitions", parts, out)
            round_ = Round(settings.flush_s)
            while not stopping():
                messages = consumer.consume(BATCH, timeout=round_.left_s())
                refused = _take(params, words, owned, messages, share)
                round_.note(len(messages), refused)
                caught_up = len(messages) < BATCH
                if round_.is_due(owned) or (caught_up and round_.is_told(owned)):
                    _flush(consumer, commits, owned, round_, parts, out)
                    _observe(owned)
                    round_ = Round(settings.flush_s)
                lag.each_round(consumer)
            _flush(consumer, commits, owned, round_, parts, out)
    finally:
        consumer.close()


class Round:
    """What has been taken since the last flush, and how long it may still wait."""

    def __init__(self, flush_s: float) -> None:
        self.taken = 0
        self.letters = 0
        self._flush_s = flush_s
        self._due = 0.0
        self._ripe = time.monotonic() + LEAST * flush_s

    def left_s(self) -> float:
        """Return how long to wait for more, seconds."""
        left = self._due - time.monotonic() if self.taken else self._flush_s
        return max(0.0, min(left, LOOK_S))

    def note(self, taken: int, letters: int) -> None:
        """Count what came; the first of it starts the clock."""
        if taken and not self.taken:
            self._due = time.monotonic() + self._flush_s
        self.taken += taken
        self.letters += letters

    def is_due(self, owned: dict[int, Partition]) -> bool:
        """Say whether the oldest has waited long enough, or it has become much."""
        sums = sum(len(part.state.sums) for part in owned.values())
        much = self.taken >= FLUSH_MESSAGES or sums >= FLUSH_SUMS
        return bool(self.taken) and (much or time.monotonic() >= self._due)

    def is_told(self, owned: dict[int, Partition]) -> bool:
        """Say whether the clock of every partition has moved on: detect waits for just that."""
        moved = all(part.state.clock.now > part.clock_told[0] for part in owned.values())
        return bool(self.taken) and moved and time.monotonic() >= self._ripe


def _observe(owned: dict[int, Partition]) -> None:
    for number, part in owned.items():
        metrics.STATE.labels("ids", str(number)).set(sum(map(len, part.state.ids.values())))
        if part.state.clock.now:
            age = (clock.now_us() - part.state.clock.now) / 1e6
            metrics.WATERMARK_AGE.labels("trades", str(number)).set(age)


def _partition_count(consumer: Consumer, topic: str) -> int:
    found = consumer.list_topics(topic, timeout=30).topics[topic]
    if found.error is not None or not found.partitions:
        raise KafkaException(found.error or KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    return len(found.partitions)


def _assigned(consumer: Consumer, parts: list[TopicPartition], owned: dict[int, Partition]) -> None:
    for tp in consumer.committed(parts, timeout=30):
        low, _ = consumer.get_watermark_offsets(tp, timeout=30)
        live_from = max(tp.offset, low) if tp.offset >= 0 else low
        tp.offset = max(low, live_from - WARM_UP)
        owned[tp.partition] = Partition(tp.partition, fold.FoldState(), live_from, live_from)
        parts[parts.index(TopicPartition(tp.topic, tp.partition))].offset = tp.offset
        log.info("rollup: trades[%d] from offset %d", tp.partition, live_from)
    consumer.assign(parts)


def _dropped(parts: list[TopicPartition], owned: dict[int, Partition], commits: Commits) -> None:
    commits.landed()
    for tp in parts:
        owned.pop(tp.partition, None)


def _take(
    params: Params,
    words: columns.Words,
    owned: dict[int, Partition],
    messages: list[Message],
    share: refusals.Share,
) -> int:
    """Fold what came, partition by partition; return how many became dead letters."""
    for problem in filter(None, map(Message.error, messages)):
        raise KafkaException(problem)
    of: dict[int | None, list[Message]] = {}
    for number, those in groupby(messages, Message.partition):
        of.setdefault(number, []).extend(those)
    refused = 0
    for number, run in of.items():
        if number is not None and number in owned:
            before = len(owned[number].letters)
            refused += take(params, words, owned[number], run)
            unreadable = refusals.unreadable(owned[number].letters[before:])
            share.note("trades", number, len(run), unreadable)
    return refused


def _flush(
    consumer: Consumer,
    commits: Commits,
    owned: dict[int, Partition],
    round_: Round,
    parts: int,
    out: int,
) -> None:
    """Hand what was folded to the next transaction; should that fail, the session ends."""
    moved = {n: p for n, p in owned.items() if p.position > p.live_from}
    if not moved:
        return
    records: list[tuple[str, msgspec.Struct, int | None]] = []
    for number, part in moved.items():
        records += [("dead_letters", letter, None) for letter in part.letters]
        part.letters.clear()
        records += [("bars", bar, None) for bar in fold.drain(part.state)]
        word = fold.clock_record(part.state, number, parts)
        if word is not None and (word.ts_event, word.state) != part.clock_told:
            records += [("bars", word, target) for target in range(out)]
            part.clock_told = word.ts_event, word.state
        part.live_from = part.position
    offsets = [TopicPartition("trades", n, p.position) for n, p in moved.items()]
    group = consumer.consumer_group_metadata()
    commits.begin(Cut(records, offsets, group, round_.taken, round_.letters))
