"""Two things Faust has no setting for: reading only committed records, and our partitioner."""

from collections.abc import Sequence
from typing import Any

import faust
from aiokafka.partitioner import murmur2
from faust.transport.drivers import aiokafka as driver


class CommittedThread(driver.AIOKafkaConsumerThread):
    """Bars of an aborted rollup transaction must not be counted."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust says read_committed only under its own exactly_once mode.
        consumer._isolation_level = "read_committed"
        return consumer


class CommittedConsumer(driver.Consumer):
    """Faust's consumer on a CommittedThread."""

    def _new_consumer_thread(self) -> Any:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)


class CommittedTransport(driver.Transport):
    """Faust's aiokafka transport with a CommittedConsumer."""

    Consumer = CommittedConsumer


class CommittedApp(faust.App):
    """A Faust app that never sees an aborted transaction."""

    def _new_transport(self) -> Any:
        return CommittedTransport(self.conf.broker_consumer, self)


def java_partitioner(
    key: bytes | None, all_partitions: Sequence[int], available: Sequence[int]
) -> int:
    """Pick the partition that Java and librdkafka's murmur2_random pick for a key."""
    place: int = (murmur2(key or b"") & 0x7FFFFFFF) % len(all_partitions)
    return all_partitions[place]
