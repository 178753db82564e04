"""(g) Pathway: one-second tumbling sums by event time, as its documentation shows.

It is run by an interpreter of its own, which has Pathway and nothing of ours. Records are
counted by the windows that they change, as looking at each would cost more than the sums.
"""

import os
from typing import Any

import pathway as pw

from bench.meter import Meter, arguments


class Trade(pw.Schema):
    """The three fields of a trade that the sums need; the feed's own words have none."""

    instrument: str | None
    ts_event: int
    notional_usd: float | None


def main() -> None:
    """Run until all wanted records are in."""
    url, wanted, name = arguments()
    meter = Meter(wanted)
    conf = {"bootstrap.servers": url, "group.id": name, "auto.offset.reset": "earliest"}
    trades = pw.io.kafka.read(conf, topic="trades", format="json", schema=Trade)
    trades = trades.filter(pw.this.notional_usd.is_not_none())
    sums = trades.windowby(
        pw.this.ts_event,
        window=pw.temporal.tumbling(duration=1_000_000),
        instance=pw.this.instrument,
    ).reduce(total=pw.reducers.sum(pw.this.notional_usd), trades=pw.reducers.count())

    def count(key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:
        if meter.add(row["trades"] if is_addition else -row["trades"]):
            meter.tell()
            os._exit(0)  # it has no word for the end of a stream

    pw.io.subscribe(sums, count)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


main()
