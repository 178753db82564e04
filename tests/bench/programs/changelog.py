"""The limit of a recovery: a consumer that reads the changelog and looks at nothing.

With "keep" as a fourth word it keeps the rows in a dict, as whoever recovers must.
"""

import sys

from confluent_kafka import Consumer, TopicPartition

from bench import rig
from bench.meter import Meter, arguments


def main() -> None:
    """Read all of it, from the first request on."""
    url, wanted, name = arguments()
    meter = Meter(wanted, skip=0)
    meter.add(0)
    consumer = Consumer(
        {
            "bootstrap.servers": url,
            "group.id": name,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 10,
        }
    )
    topic = "recovery-detect-flows-changelog"
    consumer.assign([TopicPartition(topic, number, 0) for number in range(rig.PARTITIONS)])
    keeping, kept = "keep" in sys.argv[4:], {}
    while meter.seen < wanted:
        messages = consumer.consume(min(5_000, wanted - meter.seen), timeout=0.5)
        if keeping:
            kept.update((message.key(), message.value()) for message in messages)
        meter.add(len(messages))
    meter.tell()


main()
