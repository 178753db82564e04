"""The ClickHouse that a command's settings name: its client, and what answers a query."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
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


def asking(settings: Settings) -> AbstractContextManager[Any]:
    """Return what yields an answer to each query; one reader of an embedded database serves all."""
    from sinks.sql import query

    tls = clickhouse_tls(settings)
    given = (settings.clickhouse_url, settings.data_dir, settings.http_token, tls)
    return query.asking(*given, fmt="JSONCompactEachRow")
