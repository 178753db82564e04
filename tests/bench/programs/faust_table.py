"""(e) A plain Faust agent that adds up in a tumbling table, as Faust's documentation shows."""

import os
import sys

import faust

from bench.meter import Meter, arguments

URL, WANTED, NAME = arguments()
METER = Meter(WANTED)

app = faust.App(
    NAME,
    broker=f"kafka://{URL}",
    store="memory://",
    topic_partitions=4,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    stream_wait_empty=False,
    web_enabled=False,
)
trades = app.topic("trades", value_serializer="json", key_serializer="raw")
sums = app.Table("sums", default=float).tumbling(1.0, expires=3600.0)


@app.agent(trades)  # type: ignore[untyped-decorator]
async def add_up(stream: faust.StreamT[dict[str, float]]) -> None:
    """Add each trade to its instrument's second."""
    async for trade in stream:
        if trade["type"] == "trade":
            sums[trade["instrument"]] += trade["notional_usd"]
        if METER.add():
            METER.tell()
            os._exit(0)


sys.argv[1:] = ["worker", "-l", "info"]
app.main()
