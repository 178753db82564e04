"""(d) bytewax: one-second tumbling sums by event time, as its documentation shows."""

from datetime import UTC, datetime, timedelta

import bytewax.operators as op
import bytewax.operators.windowing as win
import orjson
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower
from bytewax.testing import TestingSink, run_main

from bench.meter import Meter, arguments


def main() -> None:
    """Run the dataflow until its source is at the end."""
    url, wanted, _ = arguments()
    meter = Meter(wanted)

    def parsed(message: object) -> tuple[str, tuple[datetime, float]] | None:
        if meter.add():
            raise EOFError
        trade = orjson.loads(message.value)  # type: ignore[attr-defined]
        if trade["type"] != "trade":
            return None
        when = datetime.fromtimestamp(trade["ts_event"] / 1e6, UTC)
        return trade["instrument"], (when, trade["notional_usd"])

    flow = Dataflow("bench")
    source = KafkaSource([url], ["trades"], tail=False)
    trades = op.filter_map("parsed", op.input("trades", flow, source), parsed)
    summed = win.reduce_window(
        "sums",
        trades,
        EventClock(lambda item: item[0], wait_for_system_duration=timedelta(seconds=1)),
        TumblingWindower(timedelta(seconds=1), datetime(2025, 1, 1, tzinfo=UTC)),
        lambda one, other: (one[0], one[1] + other[1]),
    )
    op.output("out", summed.down, TestingSink([]))
    try:
        run_main(flow)
    except BaseException:
        if meter.seen < wanted:
            raise
    meter.tell()


main()
