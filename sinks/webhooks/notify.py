"""Alerts from Kafka to webhooks: the offset is committed behind the outbox row."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaException,
    Message,
    TopicPartition,
)

from schemas import codec, metrics
from schemas.codec import InvalidRecord
from schemas.findings import Alert
from schemas.kafka_failures import is_left_behind
from sinks.kafka.membership import check
from sinks.webhooks.delivery import Deliverer, clock_us
from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.outbox import Outbox
from sinks.webhooks.signing import check_webhook_id

log = logging.getLogger("undertow.notify")
#: A lost outbox must not send two months of alerts again: older ones are history.
MAX_AGE_US = 24 * 3600 * 1_000_000
#: Alerts put into the outbox in one transaction, at most.
BATCH = 500


def run(
    conf: dict[str, Any],
    endpoints: list[Endpoint],
    outbox: Outbox,
    stopping: Callable[[], bool],
    each_round: Callable[[Consumer], object] = lambda _: None,
) -> None:
    """Move alerts into the outbox, and the outbox to its receivers, until `stopping()`.

    Raises KafkaException, sqlite3.Error.
    """
    failed: list[BaseException] = []
    ended = threading.Event()
    deliverer = Deliverer(endpoints, outbox)
    worker = threading.Thread(target=_deliver, args=(deliverer, ended, failed), name="deliver")
    worker.start()
    consumer = Consumer(conf)
    try:
        consumer.subscribe(["alerts"])
        while not stopping() and not failed:
            each_round(consumer)
            # Not consume alone, which would hold the first alert until more have come.
            first = consumer.poll(0.5)
            if first is not None:
                messages = [first, *consumer.consume(BATCH - 1, timeout=0)]
                _put(messages, endpoints, outbox)
                _commit(consumer, messages)
            _note_waiting(endpoints, outbox)
    finally:
        # Not `stopping` itself: an error here must end the deliverer too.
        ended.set()
        metrics.READY.set(0)
        consumer.close()
        worker.join()
    if failed:
        raise failed[0]


def _put(messages: list[Message], endpoints: list[Endpoint], outbox: Outbox) -> None:
    alerts = []
    for message in messages:
        check(message.error())
        if message.error():
            continue
        metrics.RECORDS.labels("alerts").inc()
        if (alert := _alert(message)) is not None:
            alerts.append(alert)
    if alerts:
        outbox.put_many(alerts, endpoints, clock_us())


def _alert(message: Message) -> Alert | None:
    """Return the alert to send, None with a line in the log where none is."""
    try:
        alert: Alert = codec.decode(
            "alerts", message.value(), message.partition() or 0, message.offset() or 0
        )
        check_webhook_id(alert.alert_id)
    except (InvalidRecord, ValueError) as problem:
        log.warning("cannot be sent, passed over: %s", problem)
        return None
    kind, told_ms = message.timestamp()
    if kind != TIMESTAMP_NOT_AVAILABLE and clock_us() - told_ms * 1_000 > MAX_AGE_US:
        log.info("alert %s is older than a day, not sent", alert.alert_id)
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


_noted_at = [0.0]


def _note_waiting(endpoints: list[Endpoint], outbox: Outbox) -> None:
    if time.monotonic() - _noted_at[0] < 1:
        return
    _noted_at[0] = time.monotonic()
    waiting = outbox.pending()
    for name in {endpoint.name for endpoint in endpoints} | waiting.keys():
        metrics.OUTBOX.labels(name).set(waiting.get(name, 0))


def _deliver(deliverer: Deliverer, ended: threading.Event, failed: list[BaseException]) -> None:
    async def work() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(deliverer.run(stop))
        while not ended.is_set() and not running.done():
            await asyncio.sleep(0.1)
        stop.set()
        with suppress(asyncio.CancelledError):
            await running

    try:
        asyncio.run(work())
    except BaseException as problem:
        while isinstance(problem, BaseExceptionGroup):
            problem = problem.exceptions[0]
        failed.append(problem)
