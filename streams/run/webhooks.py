"""Alerts on their way to webhooks: kept at once, delivered by a thread of its own."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from schemas.findings import Alert
from sinks.webhooks.delivery import Deliverer, clock_us
from sinks.webhooks.endpoints import parse_endpoints
from sinks.webhooks.outbox import Outbox
from streams.process.settings import Settings

#: How often the thread looks whether the run has ended, seconds.
LOOK_S = 0.05


@contextlib.contextmanager
def kept(
    settings: Settings, data_dir: Path, stop: Callable[[], object]
) -> Iterator[Callable[[Alert], None]]:
    """Yield what takes an alert: when it returns, the alert is in the outbox.

    At the end what is due is tried once more, unless the run was told to `stop`: the
    outbox keeps it for the next start. Raises what the delivering thread failed with.
    """
    private = settings.webhook_allow_private
    allowed = [host for host in private.replace(",", " ").split() if host]
    endpoints = parse_endpoints(settings.webhook_urls, allowed)
    if not endpoints:
        yield lambda alert: None
        return
    ended, failed = threading.Event(), list[BaseException]()
    with Outbox(data_dir / "outbox.sqlite") as outbox:

        def keep(alert: Alert) -> None:
            if failed:
                raise failed[0]
            outbox.put(alert, endpoints, clock_us())

        def deliver() -> None:
            try:
                asyncio.run(_deliver(Deliverer(endpoints, outbox), ended, stop))
            except BaseException as problem:
                failed.append(problem)

        worker = threading.Thread(target=deliver, name="webhooks")
        worker.start()
        try:
            yield keep
        finally:
            ended.set()
            worker.join()
    if failed:
        raise failed[0]


async def _deliver(
    deliverer: Deliverer, ended: threading.Event, stop: Callable[[], object]
) -> None:
    stopping = asyncio.Event()
    running = asyncio.create_task(deliverer.run(stopping))
    while not ended.is_set() and not running.done():
        await asyncio.sleep(LOOK_S)
    stopping.set()
    await running
    if not stop():
        await deliverer.drain()
