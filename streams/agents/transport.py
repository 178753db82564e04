"""What Faust has no setting for: committed records only, none dropped, Java's partitioner.

Each of these was needed to survive kill -9 under load on Faust 0.15.3 with nothing lost.
"""

from collections.abc import AsyncIterator, Sequence
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
    """Faust's consumer on a CommittedThread; each message says which one was fetched before it.

    `message.previous` is that one's offset, None for the first of a generation, so that an
    agent can tell a gap that Kafka left (a transaction's marker) from a record that got lost.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fetched: dict[tuple[Any, Any], int] = {}

    def _new_consumer_thread(self) -> Any:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[Any, Any]]:
        """Yield (partition, message) as fetched, with `previous` set."""
        async for tp, message in super().getmany(timeout):
            place = (tp, message.generation_id)
            before = self._fetched.get(place)
            # After a seek back, the record before it is the one at the offset below.
            seeks = before is not None and before >= message.offset
            previous = message.offset - 1 if seeks else before
            message.previous = previous  # type: ignore[attr-defined]
            self._fetched[place] = message.offset
            # Faust drops what lies below the last offset it read, and that mark outlives the
            # seek of a rebalance: whole runs of records vanish. Our state knows what it has.
            self._read_offset[tp] = None
            yield tp, message


class CommittedTransport(driver.Transport):
    """Faust's aiokafka transport with a CommittedConsumer."""

    Consumer = CommittedConsumer


class CommittedApp(faust.App):
    """A Faust app that sees every committed record, and no other."""

    def _new_transport(self) -> Any:
        return CommittedTransport(self.conf.broker_consumer, self)

    def FlowControlQueue(self, maxsize: int | None = None, *, clear_on_resume: bool = False) -> Any:
        """Return a queue that keeps what it holds across a rebalance.

        Faust empties it on suspending and again on resuming, when it may hold records of
        the new generation that nobody reads again; agents drop old generations themselves.
        """
        queue = super().FlowControlQueue(maxsize, clear_on_resume=False)
        queue.clear = lambda: None  # type: ignore[method-assign]
        return queue


def java_partitioner(
    key: bytes | None, all_partitions: Sequence[int], available: Sequence[int]
) -> int:
    """Pick the partition that Java and librdkafka's murmur2_random pick for a key."""
    place: int = (murmur2(key or b"") & 0x7FFFFFFF) % len(all_partitions)
    return all_partitions[place]
