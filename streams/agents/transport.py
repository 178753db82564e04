"""What Faust has no setting for: committed records only, none dropped, Java's partitioner.

Each of these was needed to survive kill -9 under load on Faust 0.15.3 with nothing lost.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import faust
from aiokafka.partitioner import murmur2
from faust.transport.drivers import aiokafka as driver

from schemas import metrics


class CommittedThread(driver.AIOKafkaConsumerThread):
    """Bars of an aborted rollup transaction must not be counted."""

    #: The generation that the last records were taken in.
    taken_in = -1

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust says read_committed only under its own exactly_once mode.
        consumer._isolation_level = "read_committed"
        return consumer

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        """Fetch, and note the generation that the records were taken in.

        Here, where assignments are made too: seen from the main thread a rebalance may
        fall between the two.
        """
        records = await super()._fetch_records(*args, **kwargs)
        self.taken_in = self.app.consumer_generation_id
        return records


class CommittedConsumer(driver.Consumer):
    """Faust's consumer on a CommittedThread; each message says which one was fetched before it.

    `message.previous` is that one's offset, None for the first of a generation, so that an
    agent can tell a gap that Kafka left (a transaction's marker) from a record that got lost.
    """

    _thread: CommittedThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Partitions not fetched for now. Faust's own pause drops what it has fetched of a
        #: partition but not handed on yet, and nothing reads that again.
        self.held: set[Any] = set()
        self._held_in = -1
        self._generation = -1
        self._fetched: dict[Any, int] = {}
        self._before: dict[tuple[Any, int], int | None] = {}

    def _new_consumer_thread(self) -> Any:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
        """Fetch from the partitions that are not held, and note what came before what."""
        if self._held_in != self.app.consumer_generation_id:
            self._held_in = self.app.consumer_generation_id
            self.held.clear()
        if active_partitions is not None:
            active_partitions = active_partitions - self.held
            if not active_partitions:  # to aiokafka, none is all
                await asyncio.sleep(timeout)
                return {}
        records = await super()._getmany(active_partitions, timeout)
        if self._generation != self._thread.taken_in:
            self._generation = self._thread.taken_in
            self._fetched.clear()
        for tp, fetched in records.items():
            last = self._fetched.get(tp)
            for record in fetched:
                # After a seek back, the record before it is the one at the offset below.
                seeks = last is not None and last >= record.offset
                self._before[tp, record.offset] = record.offset - 1 if seeks else last
                last = record.offset
            if last is not None:
                self._fetched[tp] = last
        return records

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[Any, Any]]:
        """Yield (partition, message) as fetched, with `previous` set."""
        # Recovery fetches too, and may take minutes: alive, though no agent runs.
        metrics.LAST_ROUND.set_to_current_time()
        self._before.clear()
        async for tp, message in super().getmany(timeout):
            # Faust names the generation of this moment, not the one it was fetched in.
            message.generation_id = self._generation
            message.previous = self._before.get((tp, message.offset))  # type: ignore[attr-defined]
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
