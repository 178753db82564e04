"""Faust's state back from its changelog: from the first request to "recovery complete".

And then the days of one asset, as a whale's deposit asks for them.
"""

import os
import resource
import time
from pathlib import Path
from typing import Any

from bench.meter import Meter, arguments
from streams.core.params import Params
from streams.detect import faust_tables
from streams.detect.app import create_app, work
from streams.detect.faust_recovery import QuickRecovery
from streams.process.settings import Settings


def main() -> None:
    """Start the worker; end when it has its state."""
    url, wanted, name = arguments()
    meter = Meter(wanted, skip=0)
    take, read = faust_tables.StateTable.take, QuickRecovery._read
    completed = QuickRecovery.on_recovery_completed
    before: list[int] = []

    async def reads(self: Any, *args: Any) -> None:
        before.append(_resident())
        meter.add(0)
        await read(self, *args)

    def taken(self: Any, partition: int, rows: list[faust_tables.Row]) -> None:
        take(self, partition, rows)
        meter.seen += len(rows)

    async def done(self: Any, generation_id: int = 0) -> None:
        await completed(self, generation_id)
        if meter.add(0):
            grown = _resident() - before[0]
            meter.tell({"grown_bytes": grown, "days_s": await _days(self.app.tables["flows"])})
            os._exit(0)

    QuickRecovery._read = reads  # type: ignore[method-assign]
    faust_tables.StateTable.take = taken  # type: ignore[method-assign]
    QuickRecovery.on_recovery_completed = done  # type: ignore[method-assign]
    settings = Settings(kafka_url=url, group="recovery", data_dir=f"./{name}")
    work(create_app(settings, Params()))


async def _days(flows: Any) -> float:
    began = time.perf_counter()
    keys = [
        key
        for key, cell in flows.of_partition(0)
        if key[0] == "A0" and isinstance(cell, faust_tables.Left)
    ]
    flow_rows = await flows.read_left(0, keys)
    if len(flow_rows) != len(keys) or not flow_rows:
        raise AssertionError(f"{len(flow_rows)} of {len(keys)} days")
    return time.perf_counter() - began


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


main()
