"""(c) quixstreams: one-second tumbling sums by event time, as its documentation shows.

It is run by an interpreter of its own, which has quixstreams and nothing of ours.
"""

from typing import Any

from quixstreams import Application

from bench.meter import Meter, arguments


def main() -> None:
    """Run the application until all wanted records are in."""
    url, wanted, name = arguments()
    meter = Meter(wanted)
    app = Application(
        broker_address=url,
        consumer_group=name,
        auto_offset_reset="earliest",
        state_dir="state",
        loglevel="WARNING",
    )
    trades = app.topic(
        "trades",
        value_deserializer="json",
        timestamp_extractor=lambda value, *_: value["ts_event"] // 1_000,
    )

    def count(_: Any) -> None:
        if meter.add():
            app.stop()

    stream = app.dataframe(trades).update(count)
    stream = stream[stream["type"] == "trade"]
    stream = stream.apply(lambda trade: trade["notional_usd"])
    stream = stream.tumbling_window(duration_ms=1_000).sum().final()
    stream.to_topic(app.topic(f"{name}-sums"))
    app.run(stream)
    meter.tell()


main()
