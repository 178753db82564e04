"""The ClickHouse client that a command's settings name, opened now or when its server is there."""

import time
from collections.abc import Callable
from typing import Any

from streams.process import health
from streams.process import settings as settings_module
from streams.process.settings import Settings


def client(settings: Settings, timeout_s: float = 60) -> Any:
    """Open it; raises as `sinks.clickhouse.client.open_client` does."""
    from sinks.clickhouse import client as clickhouse

    tls = settings_module.clickhouse_tls(settings)
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

    tls = settings_module.clickhouse_tls(settings)
    return clickhouse.open_when_there(settings.clickhouse_url, settings.data_dir, tls, wait)
