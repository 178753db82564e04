"""(b) Our rollup: validated, deduplicated, folded, bars and offsets in one transaction.

With the argument `plain` bars are flushed and offsets committed one after the other instead.
"""

import sys
from queue import SimpleQueue
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.meter import Meter, arguments
from schemas import metrics
from streams.core.params import Params
from streams.kafka import clients, lag
from streams.process.settings import Settings
from streams.rollup import worker


class Plain:
    """A producer without transactions under the calls of one with: at least once.

    Offsets go out by the consumer's own thread: confluent-kafka lets one thread at a time into
    a consumer, and one that only consumes need never let another in.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._offsets: list[TopicPartition] = []
        self._flushed: SimpleQueue[list[TopicPartition]] = SimpleQueue()
        self.produce, self.poll = producer.produce, producer.poll

    def init_transactions(self, timeout: float) -> None: ...

    def begin_transaction(self) -> None: ...

    def send_offsets_to_transaction(self, offsets: Any, group: Any, timeout: float) -> None:
        self._offsets = offsets

    def commit_transaction(self, timeout: float) -> None:
        self._producer.flush()
        self._flushed.put(self._offsets)

    def commit_flushed(self, consumer: Consumer) -> None:
        """Commit what lies behind flushed bars."""
        while not self._flushed.empty():
            consumer.commit(offsets=self._flushed.get(), asynchronous=False)


def without_transactions() -> None:
    """Have the worker work with a Plain producer."""
    made: list[Plain] = []

    def producer(settings: Settings, **extra: Any) -> Any:
        left = {k: v for k, v in extra.items() if not k.startswith("transaction")}
        made.append(Plain(real_producer(settings, **left)))
        return made[-1]

    def each_round(consumer: Consumer) -> None:
        made[-1].commit_flushed(consumer)
        real_round(consumer)

    real_producer, real_round = clients.producer, lag.each_round
    clients.producer, lag.each_round = producer, each_round


def main() -> None:
    """Run the worker's own loop until its committed records are those wanted."""
    url, wanted, name = arguments()
    if "plain" in sys.argv[4:]:
        without_transactions()
    meter = Meter(wanted)
    taken = metrics.RECORDS.labels("trades")._value

    def stopping() -> bool:
        return meter.add(int(taken.get()) - meter.seen)

    worker.run(Settings(kafka_url=url, group=name, data_dir="."), Params(), stopping)
    meter.tell()


main()
