"""The thread that delivers while its process does something else."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

from sinks.webhooks.beside import beside
from sinks.webhooks.delivery import Deliverer
from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.outbox import Outbox
from sinks.webhooks.pictures import Draw

#: How often the thread looks whether it is to end, seconds.
LOOK_S = 0.05


@contextlib.contextmanager
def delivering(
    endpoints: Sequence[Endpoint],
    outbox: Outbox,
    drained: Callable[[], bool] = lambda: False,
    may_send: Callable[[], bool] = lambda: True,
    draw: Draw | None = None,
) -> Iterator[Callable[[], None]]:
    """Deliver in a thread while `may_send()`; yield what raises the error that ended it.

    At the end a request under way is finished; if `drained()`, what is due is tried once more.
    Raises what the thread failed with, such as sqlite3.Error.
    """

    def deliver(ended: threading.Event) -> None:
        deliverer = Deliverer(endpoints, outbox, may_send=may_send, draw=draw)
        asyncio.run(_deliver(deliverer, ended, drained, may_send))

    with beside("webhooks", deliver) as check:
        yield check
    check()


async def _deliver(
    deliverer: Deliverer,
    ended: threading.Event,
    drained: Callable[[], bool],
    may_send: Callable[[], bool],
) -> None:
    stopping = asyncio.Event()
    running = asyncio.create_task(deliverer.run(stopping))
    while not ended.is_set() and not running.done():
        await asyncio.sleep(LOOK_S)
        may_send()  # asked also while a request is under way: a gap tells a freeze
    stopping.set()
    await running
    if drained():
        await deliverer.drain()
