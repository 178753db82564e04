"""(a) What a few lines of Python reach: consume, decode three fields, add up by instrument and second."""

import msgspec
from confluent_kafka import Consumer

from bench.meter import Meter, arguments
from streams.rollup.worker import FETCH


class Worth(msgspec.Struct):
    """The three fields of a trade that the sums need."""

    instrument: str = ""
    ts_event: int = 0
    notional_usd: float | None = None


def main() -> None:
    """Read to the end of what is wanted."""
    url, wanted, name = arguments()
    conf = {"bootstrap.servers": url, "group.id": name, "auto.offset.reset": "earliest"}
    consumer = Consumer(conf | FETCH)  # tuned as the rollup is
    consumer.subscribe(["trades"])
    meter, decode = Meter(wanted), msgspec.json.Decoder(Worth).decode
    sums: dict[tuple[str, int], float] = {}
    while True:
        messages = consumer.consume(5_000, timeout=0.5)
        for message in messages:
            trade = decode(message.value())
            if trade.notional_usd is not None:
                key = (trade.instrument, trade.ts_event // 1_000_000)
                sums[key] = sums.get(key, 0.0) + trade.notional_usd
        if meter.add(len(messages)):
            break
    meter.tell()


main()
