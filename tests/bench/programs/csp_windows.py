"""(f) csp: its own Kafka adapter and JSON mapper, one-second sums by event time in a node.

It is run by an interpreter of its own, which has csp and nothing of ours.
"""

from datetime import UTC, datetime, timedelta

import csp
from csp.adapters.kafka import DateTimeType, JSONTextMessageMapper, KafkaAdapterManager

from bench.meter import Meter, arguments


class Trade(csp.Struct):
    """The three fields of a trade that the sums need."""

    instrument: str
    ts_event: datetime
    notional_usd: float


def main() -> None:
    """Run the graph until all wanted records are in."""
    url, wanted, name = arguments()
    meter = Meter(wanted)

    @csp.node
    def second_sums(trades: csp.ts[[Trade]]) -> csp.ts[float]:
        with csp.state():
            s_sums = {}
        if csp.ticked(trades):
            for trade in trades:
                if hasattr(trade, "notional_usd"):
                    key = (trade.instrument, int(trade.ts_event.timestamp()))
                    s_sums[key] = s_sums.get(key, 0.0) + trade.notional_usd
            if meter.add(len(trades)):
                csp.stop_engine()
            return float(len(s_sums))

    @csp.graph
    def graph() -> None:
        kafka = KafkaAdapterManager(broker=url, group_id=name)
        trades = kafka.subscribe(
            ts_type=Trade,
            msg_mapper=JSONTextMessageMapper(datetime_type=DateTimeType.UINT64_MICROS),
            topic="trades",
            push_mode=csp.PushMode.BURST,
        )
        csp.add_graph_output("windows", second_sums(trades), tick_count=1)

    csp.run(
        graph,
        starttime=datetime.now(UTC).replace(tzinfo=None),
        endtime=timedelta(minutes=9),
        realtime=True,
    )
    meter.tell()


main()
