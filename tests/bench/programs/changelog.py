"""The limit of a recovery: a consumer that reads the changelog and looks at nothing."""

from confluent_kafka import Consumer

from bench.meter import Meter, arguments


def main() -> None:
    """Read all of it."""
    url, wanted, name = arguments()
    consumer = Consumer(
        {
            "bootstrap.servers": url,
            "group.id": name,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 10,
        }
    )
    consumer.subscribe(["recovery-detect-minutes-changelog"])
    meter = Meter(wanted, skip=1)
    while not meter.add(len(consumer.consume(min(5_000, wanted - meter.seen), timeout=0.5))):
        pass
    meter.tell()


main()
