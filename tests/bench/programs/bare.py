"""(a) The practical limit: consume, decode, add up by instrument and second."""

import orjson
from confluent_kafka import Consumer

from bench.meter import Meter, arguments
from streams.rollup.worker import FETCH


def main() -> None:
    """Read to the end of what is wanted."""
    url, wanted, name = arguments()
    conf = {"bootstrap.servers": url, "group.id": name, "auto.offset.reset": "earliest"}
    consumer = Consumer(conf | FETCH)  # tuned as the rollup is
    consumer.subscribe(["trades"])
    meter = Meter(wanted)
    sums: dict[tuple[str, int], float] = {}
    while True:
        messages = consumer.consume(5_000, timeout=0.5)
        for message in messages:
            trade = orjson.loads(message.value())
            usd = trade.get("notional_usd")
            if usd is not None:
                key = (trade["instrument"], trade["ts_event"] // 1_000_000)
                sums[key] = sums.get(key, 0.0) + usd
        if meter.add(len(messages)):
            break
    meter.tell()


main()
