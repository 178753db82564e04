"""The limit of any consumer in Python: messages taken, nothing looked at."""

from confluent_kafka import Consumer

from bench.meter import Meter, arguments
from streams.rollup.worker import FETCH


def main() -> None:
    """Take what is wanted."""
    url, wanted, name = arguments()
    conf = {"bootstrap.servers": url, "group.id": name, "auto.offset.reset": "earliest"}
    consumer = Consumer(conf | FETCH)
    consumer.subscribe(["trades"])
    meter = Meter(wanted)
    while not meter.add(len(consumer.consume(5_000, timeout=0.5))):
        pass
    meter.tell()


main()
