"""Alerts from Kafka to webhooks: the offset is committed behind the outbox row."""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from confluent_kafka import Consumer, KafkaException

from schemas import codec
from schemas.codec import InvalidRecord
from sinks.webhooks.delivery import Deliverer, clock_us
from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.outbox import Outbox

log = logging.getLogger("undertow.notify")
#: A lost outbox must not send two months of alerts again: older ones are history.
MAX_AGE_US = 24 * 3600 * 1_000_000


def run(
    conf: dict[str, Any],
    endpoints: list[Endpoint],
    outbox: Outbox,
    stopping: Callable[[], bool],
) -> None:
    """Move alerts into the outbox, and the outbox to its receivers, until `stopping()`."""
    failed: list[BaseException] = []
    worker = threading.Thread(
        target=_deliver, args=(Deliverer(endpoints, outbox), stopping, failed), name="deliver"
    )
    worker.start()
    consumer = Consumer(conf)
    consumer.subscribe(["alerts"])
    try:
        while not stopping() and not failed:
            message = consumer.poll(0.5)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            _put(message, endpoints, outbox)
            consumer.commit(message=message, asynchronous=False)
    finally:
        consumer.close()
        worker.join()
    if failed:
        raise failed[0]


def _put(message: Any, endpoints: list[Endpoint], outbox: Outbox) -> None:
    try:
        alert = codec.decode("alerts", message.value(), message.partition(), message.offset())
    except InvalidRecord as problem:
        log.warning("not an alert, passed over: %s", problem)
        return
    told = message.timestamp()[1] * 1_000
    if clock_us() - told > MAX_AGE_US:
        log.info("alert %s is older than a day, not sent", alert.alert_id)
        return
    try:
        outbox.put(alert, endpoints, clock_us())
    except ValueError as problem:
        log.warning("alert %s cannot be sent: %s", alert.alert_id, problem)


def _deliver(
    deliverer: Deliverer, stopping: Callable[[], bool], failed: list[BaseException]
) -> None:
    async def work() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(deliverer.run(stop))
        while not stopping() and not running.done():
            await asyncio.sleep(0.1)
        stop.set()
        with suppress(asyncio.CancelledError):
            await running

    try:
        asyncio.run(work())
    except BaseException as problem:
        failed.append(problem)
