"""Alerts from Kafka to webhooks: the offset is committed behind the outbox row.

While the outbox's disk is full nothing is taken and nothing is sent; what was not committed is
read again once there is room.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaException,
    Message,
    TopicPartition,
)

from schemas import codec, kafka_closing, metrics
from schemas.codec import InvalidRecord
from schemas.findings import Alert
from schemas.kafka_failures import REPLACED, catchable, is_left_behind
from schemas.topic_identity import TopicWatch, is_of_other, marked
from sinks.kafka.membership import check
from sinks.webhooks import turn
from sinks.webhooks.history import History
from sinks.webhooks.mirror import Mirror, mirroring
from sinks.webhooks.notifier import Notifier
from sinks.webhooks.outbox import Outbox
from sinks.webhooks.outbox_file import OutboxFull, OutboxUnusable
from sinks.webhooks.signing import check_webhook_id

log = logging.getLogger("undertow.notify")
#: How long to wait before it is looked whether a full disk has room again.
FULL_S = 1.0
#: Alerts put into the outbox in one transaction, at most.
BATCH = 500


def run(
    conf: dict[str, Any],
    notifier: Notifier,
    outbox: Outbox,
    stopping: Callable[[], bool],
    each_round: Callable[[Consumer | None], object] = lambda _: None,
    ours: turn.Turn | None = None,
) -> None:
    """Move alerts from Kafka into the outbox until `stopping()`, as the group's one member.

    While another is at work this one stands by, and `ours` says so to what delivers. `each_round`
    gets no consumer while the outbox's disk is full and there is none. Raises sqlite3.Error, and
    KafkaException or TopicChanged, after which a new run may do: whoever calls knows
    (`streams.kafka.rejoin`).
    """
    ours = ours or turn.Turn()
    while not stopping():
        turn.wait(conf, ours, stopping)
        if not stopping():
            try:
                _work(conf, notifier, outbox, ours, stopping, each_round)
            except OutboxFull:
                # Another, with room, may have its turn meanwhile.
                ours.is_ours = False
                _await_room(outbox, stopping, each_round)
            except KafkaException as problem:
                if problem.args[0].code() in REPLACED:
                    ours.is_ours = False
                raise


def _work(
    conf: dict[str, Any],
    notifier: Notifier,
    outbox: Outbox,
    ours: turn.Turn,
    stopping: Callable[[], bool],
    each_round: Callable[[Consumer | None], object],
) -> None:
    """Work until `stopping()`, or until it is another's turn."""
    mirror = Mirror(conf, outbox)
    watch = TopicWatch(conf, ["alerts"], stopping)
    topic_id = watch.began["alerts"].topic_id
    consumer = Consumer(conf)
    noted_at = 0.0
    try:
        history = History(conf)
        on_assign = catchable(partial(_assigned, topic_id, ours))
        consumer.subscribe(["alerts"], on_assign=on_assign, on_revoke=ours.revoked)
        with mirroring(mirror) as check_mirror:
            while not stopping() and not ours.must_leave:
                each_round(consumer)
                check_mirror()
                # Not consume alone, which would hold the first alert until more have come.
                first = consumer.poll(0.5)
                if ours.is_whole and not ours.has_taken_over:
                    mirror.take_over()
                    ours.is_ours = ours.has_taken_over = True
                if first is not None and ours.is_whole:
                    messages = [first, *consumer.consume(BATCH - 1, timeout=0)]
                    _put(messages, history, notifier, outbox)
                    mirror.send()
                    # Alerts have identities, their offsets only within the topic they are of.
                    watch.check()
                    _commit(consumer, messages, topic_id)
                watch.check_at_times()
                if time.monotonic() - noted_at >= 1:
                    noted_at = time.monotonic()
                    _note_waiting(notifier.names, outbox)
                    outbox.look()
    finally:
        metrics.READY.set(0)
        kafka_closing.close(consumer)


def _await_room(
    outbox: Outbox, stopping: Callable[[], bool], each_round: Callable[[Consumer | None], object]
) -> None:
    while not stopping() and not outbox.has_room():
        each_round(None)
        metrics.came_round()
        metrics.READY.set(0)
        time.sleep(FULL_S)


def opened(path: Path, stopping: Callable[[], bool]) -> Outbox | None:
    """Open the outbox, waiting while its disk is full; None when `stopping()` before there is room.

    Raises as Outbox does for whatever else is wrong with the file.
    """
    said = False
    while not stopping():
        try:
            return Outbox(path)
        except OutboxUnusable as problem:
            if not problem.lacks_room:
                raise
            if not said:
                log.error("%s", problem)
            said = True
        metrics.came_round()
        time.sleep(FULL_S)
    return None


def _put(messages: list[Message], history: History, notifier: Notifier, outbox: Outbox) -> None:
    alerts = []
    for message in messages:
        check(message.error())
        if message.error():
            continue
        metrics.RECORDS.labels("alerts").inc()
        if (alert := _alert(message)) is None:
            continue
        if history.holds(message):
            log.info("alert %s is older than a day, not sent", alert.alert_id)
            continue
        alerts.append(alert)
    if alerts:
        notifier.take(alerts, outbox)


def _alert(message: Message) -> Alert | None:
    """Return the alert, None with a line in the log where it cannot be sent."""
    try:
        alert: Alert = codec.decode(
            "alerts", message.value(), message.partition() or 0, message.offset() or 0
        )
        check_webhook_id(alert.alert_id)
    except (InvalidRecord, ValueError) as problem:
        log.warning("cannot be sent, passed over: %s", problem)
        return None
    return alert


def _assigned(
    topic_id: str, ours: turn.Turn, consumer: Consumer, parts: list[TopicPartition]
) -> None:
    for tp in consumer.committed(parts, timeout=30):
        if is_of_other(tp.metadata, topic_id):
            log.error("alerts[%d] was made anew: read from its beginning", tp.partition)
            tp.offset = OFFSET_BEGINNING
        parts[parts.index(TopicPartition(tp.topic, tp.partition))].offset = tp.offset
    consumer.assign(parts)
    ours.assigned(consumer, parts)


def _commit(consumer: Consumer, messages: list[Message], topic_id: str) -> None:
    """Commit behind `messages`; what the group refuses comes again, as the same rows."""
    last = {(m.topic(), m.partition()): m.offset() for m in messages if not m.error()}
    mark = marked(topic_id)
    done = [
        TopicPartition(topic or "", number or 0, (offset or 0) + 1, metadata=mark)
        for (topic, number), offset in last.items()
    ]
    if not done:
        return
    try:
        consumer.commit(offsets=done, asynchronous=False)
    except KafkaException as problem:
        error = problem.args[0]
        if is_left_behind(error):
            log.warning("not committed, no longer ours: %s", error)
        else:
            check(error)


def _note_waiting(names: frozenset[str], outbox: Outbox) -> None:
    waiting = outbox.pending()
    for name in names | waiting.keys():
        metrics.OUTBOX.labels(name).set(waiting.get(name, 0))
