"""Rollup as Kafka transactions: consume trades, fold, produce bars, commit, atomically.

    poll batch ──> fold ──> begin ─ bars, clocks, dead letters ─ offsets ─ commit
                                    └── all of it, or none of it ──┘

A restarted worker re-reads a little before its committed offset, to know the ids and
the clock it knew before; bars of that stretch are dropped, they were told.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas import codec, metrics
from schemas.codec import InvalidRecord
from schemas.market import Trade
from schemas.status import FeedStatus
from streams import clock, kafka, refusals, slots
from streams.params import Params
from streams.rollup import fold
from streams.settings import Settings

log = logging.getLogger("undertow.rollup")
BATCH = 5_000
#: Messages re-read before the committed offset: more than any grace holds.
WARM_UP = 20_000
TRANSACTION_MS = 15_000
#: An answer that takes longer is asked for again, so that stopping never waits longer.
ANSWER_S = 10
HANGS_AFTER_S = 25.0
PAUSE_S = 0.5


class Partition(msgspec.Struct):
    """One owned trades partition; messages before `live_from` only warm the state."""

    state: fold.FoldState
    live_from: int
    position: int
    clock_told: tuple[int, str] = (0, "")


def run(settings: Settings, params: Params, stopping: Callable[[], bool]) -> None:
    """Fold until `stopping()`.

    A transaction that was refused (we were replaced, or a broker went) starts a new session
    from the last commit. Raises KafkaException when the cluster refuses for good, and
    refusals.TooManyRefused.
    """
    worker = slots.claim(settings.data_dir, "rollup")
    share = refusals.Share(settings.dead_letter_limit)
    while not stopping():
        try:
            _session(settings, params, worker, share, stopping)
        except KafkaException as problem:
            if not kafka.passes(problem):
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
    producer = kafka.producer(
        settings,
        **{
            "transactional.id": f"{settings.group}-rollup-{worker}",
            # What a worker that died for good leaves open holds readers back for this long.
            "transaction.timeout.ms": TRANSACTION_MS,
        },
    )
    producer.init_transactions(ANSWER_S)
    consumer = Consumer(kafka.consumer_conf(settings, "rollup", worker))
    owned: dict[int, Partition] = {}
    consumer.subscribe(
        ["trades"],
        on_assign=lambda c, parts: _assigned(c, parts, owned),
        on_revoke=lambda c, parts: _dropped(parts, owned),
        on_lost=lambda c, parts: _dropped(parts, owned),
    )
    try:
        parts = _partition_count(consumer, "trades")
        out = _partition_count(consumer, "bars")
        log.info("rollup: %d trades partitions into %d bars partitions", parts, out)
        while not stopping():
            messages = consumer.consume(BATCH, timeout=settings.flush_s)
            letters = [letter for m in messages for letter in _take(params, owned, m)]
            share.note(len(messages), len(letters))
            with _bounded():
                _flush(consumer, producer, owned, letters, parts, out)
            kafka.each_round(consumer)
            _observe(owned, len(messages), len(letters))
    finally:
        consumer.close()


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """End the process when a transaction hangs: what starts it again aborts what it left.

    librdkafka 2.16's send_offsets_to_transaction may wait without end, whatever its timeout,
    where the coordinator died under it (seen once in one to five kills of a broker).
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
    logging.shutdown()
    os._exit(70)


def _observe(owned: dict[int, Partition], taken: int, letters: int) -> None:
    metrics.RECORDS.labels("trades").inc(taken)
    metrics.DEAD_LETTERS.labels("trades").inc(letters)
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
        owned[tp.partition] = Partition(fold.FoldState(), live_from, live_from)
        parts[parts.index(TopicPartition(tp.topic, tp.partition))].offset = tp.offset
        log.info("rollup: trades[%d] from offset %d", tp.partition, live_from)
    consumer.assign(parts)


def _dropped(parts: list[TopicPartition], owned: dict[int, Partition]) -> None:
    for tp in parts:
        owned.pop(tp.partition, None)


def _take(params: Params, owned: dict[int, Partition], message: Message) -> list[msgspec.Struct]:
    """Fold one message; return the dead letters it gives."""
    if message.error():
        raise KafkaException(message.error())
    number, offset = message.partition(), message.offset()
    part = owned.get(number or 0)
    if part is None or offset is None:
        return []
    payload = message.value()
    live = offset >= part.live_from
    if live:
        if part.position <= part.live_from:
            fold.drain(part.state)
        part.position = offset + 1
    refused: str | None = None
    try:
        not_after = clock.not_after_message(message.timestamp()[1])
        record = codec.decode("trades", payload, number or 0, offset, not_after)
        if isinstance(record, FeedStatus):
            refused = fold.tell_time(part.state, record, params)
        elif isinstance(record, Trade):
            refused = fold.fold(part.state, record)
        if refused not in refusals.LETTERS:
            return []
        problem = InvalidRecord("trades", number or 0, offset, *refusals.LETTERS[refused])
    except InvalidRecord as found:
        problem = found
    return [kafka.dead_letter(problem, payload)] if live else []


def _flush(
    consumer: Consumer,
    producer: Producer,
    owned: dict[int, Partition],
    letters: list[msgspec.Struct],
    parts: int,
    out: int,
) -> None:
    moved = {n: p for n, p in owned.items() if p.position > p.live_from}
    if not moved:
        return
    producer.begin_transaction()
    for letter in letters:
        kafka.send(producer, "dead_letters", letter)
    for number, part in moved.items():
        for bar in fold.drain(part.state):
            kafka.send(producer, "bars", bar)
        word = fold.clock_record(part.state, number, parts)
        if word is not None and (word.ts_event, word.state) != part.clock_told:
            for target in range(out):
                kafka.send(producer, "bars", word, target)
            part.clock_told = word.ts_event, word.state
    offsets = [TopicPartition("trades", n, p.position) for n, p in moved.items()]
    producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), ANSWER_S)
    producer.commit_transaction(ANSWER_S)
    for part in moved.values():
        part.live_from = part.position
