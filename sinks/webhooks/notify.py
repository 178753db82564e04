"""Alerts from Kafka to webhooks: the offset is committed behind the outbox row."""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from schemas import codec, metrics
from schemas.codec import InvalidRecord
from schemas.findings import Alert
from schemas.kafka_failures import is_left_behind
from sinks.kafka.membership import ADMIN_KEYS, check
from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.outbox import Outbox, wall_us
from sinks.webhooks.signing import check_webhook_id

log = logging.getLogger("undertow.notify")
#: A lost outbox must not send two months of alerts again: older ones are history.
MAX_AGE_MS = 24 * 3600 * 1_000
#: Alerts put into the outbox in one transaction, at most.
BATCH = 500
#: How long Kafka may take to say when the newest alert was written, seconds.
ASK_S = 30.0


def run(
    conf: dict[str, Any],
    endpoints: list[Endpoint],
    outbox: Outbox,
    stopping: Callable[[], bool],
    each_round: Callable[[Consumer], object] = lambda _: None,
) -> None:
    """Move alerts from Kafka into the outbox until `stopping()`, as one member of the group.

    Raises sqlite3.Error, and KafkaException, after which a new run may do: whoever calls knows
    (`streams.kafka.rejoin`).
    """
    consumer = Consumer(conf)
    noted_at = 0.0
    try:
        newest_ms = _newest_ms(conf)
        consumer.subscribe(["alerts"])
        while not stopping():
            each_round(consumer)
            # Not consume alone, which would hold the first alert until more have come.
            first = consumer.poll(0.5)
            if first is not None:
                messages = [first, *consumer.consume(BATCH - 1, timeout=0)]
                newest_ms = max(newest_ms, *(_written_ms(message) for message in messages))
                _put(messages, newest_ms, endpoints, outbox)
                _commit(consumer, messages)
            if time.monotonic() - noted_at >= 1:
                noted_at = time.monotonic()
                _note_waiting(endpoints, outbox)
    finally:
        metrics.READY.set(0)
        consumer.close()


def _newest_ms(conf: dict[str, Any]) -> int:
    """Return when the newest alert in Kafka was written, milliseconds UTC, 0 without any."""
    admin = AdminClient({k: v for k, v in conf.items() if k.startswith(ADMIN_KEYS)})
    topic = admin.list_topics("alerts", timeout=ASK_S).topics["alerts"]
    if topic.error:
        raise KafkaException(topic.error)
    latest = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]
    places = {TopicPartition("alerts", number): latest for number in topic.partitions}
    asked = admin.list_offsets(places, request_timeout=ASK_S)
    return max((future.result().timestamp for future in asked.values()), default=0)


def _written_ms(message: Message) -> int:
    kind, written_ms = message.timestamp()
    return 0 if message.error() or kind == TIMESTAMP_NOT_AVAILABLE else written_ms


def _put(
    messages: list[Message], newest_ms: int, endpoints: Iterable[Endpoint], outbox: Outbox
) -> None:
    alerts = []
    for message in messages:
        check(message.error())
        if message.error():
            continue
        metrics.RECORDS.labels("alerts").inc()
        if (alert := _alert(message)) is None:
            continue
        if _is_history(_written_ms(message), newest_ms):
            log.info("alert %s is older than a day, not sent", alert.alert_id)
            continue
        alerts.append(alert)
    if alerts:
        outbox.put_many(alerts, endpoints)


def _is_history(written_ms: int, newest_ms: int) -> bool:
    """Say whether an alert is a day older than the newest one, and than this moment too.

    Either alone may be wrong: our clock, or the clock of whoever wrote the newest.
    """
    oldest_ms = min(newest_ms, wall_us() // 1_000) - MAX_AGE_MS
    return 0 < written_ms < oldest_ms


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


def _commit(consumer: Consumer, messages: list[Message]) -> None:
    """Commit behind `messages`; what the group refuses comes again, as the same rows."""
    last = {(m.topic(), m.partition()): m.offset() for m in messages if not m.error()}
    done = [TopicPartition(t or "", p or 0, (o or 0) + 1) for (t, p), o in last.items()]
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


def _note_waiting(endpoints: Iterable[Endpoint], outbox: Outbox) -> None:
    waiting = outbox.pending()
    for name in {endpoint.name for endpoint in endpoints} | waiting.keys():
        metrics.OUTBOX.labels(name).set(waiting.get(name, 0))
