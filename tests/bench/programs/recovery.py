"""Faust's state back from its changelog: from the first row applied to "recovery complete"."""

import os
from typing import Any

from faust.tables.recovery import Recovery

from bench.meter import Meter, arguments
from streams.agents import tables
from streams.app import create_app, work
from streams.params import Params
from streams.settings import Settings


def main() -> None:
    """Start the worker; end when it has its state."""
    url, wanted, name = arguments()
    meter = Meter(wanted, skip=1)
    apply, completed = tables.StateTable.apply_changelog_batch, Recovery.on_recovery_completed

    def applied(self: Any, batch: Any) -> None:
        events = list(batch)
        apply(self, events)
        meter.seen += len(events)
        if meter.seen < wanted:
            meter.add(0)

    async def done(self: Any, generation_id: int = 0) -> None:
        await completed(self, generation_id)
        if meter.add(0):
            meter.tell()
            os._exit(0)

    tables.StateTable.apply_changelog_batch = applied  # type: ignore[method-assign]
    Recovery.on_recovery_completed = done  # type: ignore[method-assign]
    settings = Settings(kafka_url=url, group="recovery", data_dir=f"./{name}")
    work(create_app(settings, Params()))


main()
