"""The ClickHouse that a command's settings name: its client, and what answers a query."""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from streams.process import health
from streams.process.settings import Settings, clickhouse_tls


def client(settings: Settings, timeout_s: float = 60) -> Any:
    """Open it; raises as `sinks.clickhouse.client.open_client` does."""
    from sinks.clickhouse import client as clickhouse

    tls = clickhouse_tls(settings)
    return clickhouse.open_client(settings.clickhouse_url, settings.data_dir, tls, timeout_s)


def client_when_there(settings: Settings, stopping: Callable[[], bool]) -> Any:
    """Open it once its server answers, not ready till then; raises Stopped, and as `client`."""
    from sinks.clickhouse import client as clickhouse
    from sinks.kafka.membership import Stopped

    def wait(seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if stopping():
                raise Stopped
            health.come_round(ready=False)
            time.sleep(0.2)

    tls = clickhouse_tls(settings)
    return clickhouse.open_when_there(settings.clickhouse_url, settings.data_dir, tls, wait)


@contextlib.contextmanager
def asking(settings: Settings) -> Iterator[Any]:
    """Yield what answers a query; one reader of an embedded database serves them all."""
    from sinks.clickhouse.client import chdb_path
    from sinks.sql.query import query
    from sinks.sql.reader import Reader

    path = chdb_path(settings.clickhouse_url, settings.data_dir)
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(contextlib.closing(Reader(path))) if path else None
        yield partial(
            query,
            fmt="JSONCompactEachRow",
            url=settings.clickhouse_url,
            data_dir=settings.data_dir,
            token=settings.http_token,
            tls=clickhouse_tls(settings),
            reader=reader,
        )
