"""What Faust has no setting for: committed records only, none dropped, Java's partitioner.

Each of these was needed to survive kill -9 under load on Faust 0.15.3 with nothing lost.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import faust
from aiokafka.partitioner import murmur2
from faust.transport.drivers import aiokafka as driver

from schemas import metrics

log = logging.getLogger(__name__)
#: A commit that meets a rebalance may never answer. The thread has two hands for whatever it
#: is asked: two such commits, and nothing is fetched any more.
COMMIT_WITHIN_S = 5.0
#: Records that one message of Faust's stands for at most, and such messages that wait for agents.
RUN = 500
RUNS_BUFFERED = 64
#: How long the others are waited for while some partition is held: it may be free any moment, and
#: what is asked for once is asked for until its time is up.
BESIDE_HELD_S = 0.02
#: Bytes of a batch of ours at most; Kafka takes none above a megabyte.
BATCH_BYTES = 500_000
#: A record as bytes (no value deletes), and what goes with each of several.
KeyAndValue = tuple[bytes | None, bytes | None]
Headers = Sequence[tuple[str, bytes]]


class Fetched(NamedTuple):
    """Records by partition, the generation they were taken in, and what was fetched before.

    `before` has each partition's last fetched offset, unless none was since the last seek.
    """

    records: Mapping[Any, list[Any]]
    generation: int
    before: dict[Any, int]


class Run(NamedTuple):
    """Records of one partition that follow each other, and the offset fetched before them."""

    records: list[Any]
    previous: int | None


class CommittedThread(driver.AIOKafkaConsumerThread):
    """Fetches committed records only, and takes back what nobody waits for any more."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._turn = 0
        self._generation = -1
        self._last: dict[Any, int] = {}

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust says read_committed only under its own exactly_once mode: bars of an aborted
        # rollup transaction must not be counted.
        consumer._isolation_level = "read_committed"
        return consumer

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> Any:
        """Fetch, unless a rebalance, a seek or another fetch has made this one stale.

        Whoever waited for a stale one may be gone, and Faust would lose its records. They
        were taken behind the seek, so the next fetch can have them.
        """
        self._turn += 1
        turn, generation = self._turn, self.app.consumer_generation_id
        records = await super()._fetch_records(consumer, *args, **kwargs)
        if self._generation != self.app.consumer_generation_id:
            self._generation = self.app.consumer_generation_id
            self._last.clear()
        if turn != self._turn or generation != self._generation:
            for tp in records.keys() & consumer.assignment():
                consumer.seek(tp, records[tp][0].offset)
            return Fetched({}, self._generation, {})
        before = {tp: self._last[tp] for tp in records if tp in self._last}
        self._last.update((tp, taken[-1].offset) for tp, taken in records.items() if taken)
        return Fetched(records, generation, before)

    async def seek_to_committed(self) -> Any:
        """Seek every partition to what is committed, past any fetch under way.

        One that has no state, its changelog lost, is read again from its beginning.
        """
        return await self.call_thread(self._seek_to_committed)

    async def _seek_to_committed(self) -> Any:
        self._turn += 1
        consumer = self._ensure_consumer()
        committed = await consumer.seek_to_committed()
        begun = [tp for tp, offset in committed.items() if offset]
        stateless = self.app.stateless(begun)  # type: ignore[attr-defined]
        for tp, first in (await consumer.beginning_offsets(stateless)).items() if stateless else ():
            if committed[tp] > first:
                log.error(
                    "%s[%d]: the state behind offset %d is lost: read again from its beginning",
                    *tp,
                    committed[tp],
                )
                consumer.seek(tp, first)
                committed[tp] = first
        self._turn += 1
        self._last.clear()
        return committed

    async def _seek_wait(self, consumer: Any, partitions: Any) -> None:
        self._turn += 1
        await super()._seek_wait(consumer, partitions)
        self._turn += 1
        for tp in partitions:
            self._last.pop(tp, None)

    async def _commit(self, offsets: Any) -> bool:
        try:
            return await asyncio.wait_for(super()._commit(offsets), COMMIT_WITHIN_S)
        except TimeoutError:
            log.warning("the broker has not answered a commit for %.0f s", COMMIT_WITHIN_S)
            return False


class CommittedConsumer(driver.Consumer):
    """Faust's consumer on a CommittedThread; of the app's `in_runs` a message stands for many.

    `message.records` are the records of a run, as fetched, of which the message is the last:
    Faust's own path costs 100 us a message, whatever it carries. `message.previous` is the
    offset fetched before them, None for the first since a seek, so that an agent can tell a gap
    that Kafka left (a transaction's marker) from a record that got lost.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Partitions not fetched for now. Faust's own pause drops what it has fetched of a
        #: partition but not handed on yet, and nothing reads that again.
        self.unfetched: set[Any] = set()
        self._held_in = -1
        self._generation = -1
        self._moved_at = time.monotonic()
        self._runs: dict[tuple[Any, int], Run] = {}

    def _new_consumer_thread(self) -> Any:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
        """Fetch from the partitions that are not held, and note what came before what."""
        if self._held_in != self.app.consumer_generation_id:
            self._held_in = self.app.consumer_generation_id
            self.unfetched.clear()
        if self.unfetched:
            timeout = min(timeout, BESIDE_HELD_S)
        if active_partitions is not None:
            active_partitions = active_partitions - self.unfetched
            if not active_partitions:  # to aiokafka, none is all
                await asyncio.sleep(timeout)
                return {}
        fetched: Any = await super()._getmany(active_partitions, timeout)
        self._generation = fetched.generation
        handed_on: dict[Any, list[Any]] = {}
        for tp, taken in fetched.records.items():
            previous = fetched.before.get(tp)
            length = RUN if tp.topic in self.app.in_runs else 1  # type: ignore[attr-defined]
            for run in (taken[at : at + length] for at in range(0, len(taken), length)):
                self._runs[tp, run[-1].offset] = Run(run, previous)
                previous = run[-1].offset
                handed_on.setdefault(tp, []).append(run[-1])
        return handed_on

    def idle_s(self) -> float:
        """Return for how long nothing was asked for nor handed on: seconds, while all is well."""
        return time.monotonic() - self._moved_at

    def heard(self) -> None:
        """Note that things move: recovery reads by itself, and one fetch may take an hour."""
        metrics.came_round()
        self._moved_at = time.monotonic()

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[Any, Any]]:
        """Yield (partition, message) as fetched, with `previous` set."""
        # Recovery fetches too, and may take minutes: alive, though no agent runs.
        self.heard()
        self._runs.clear()
        async for tp, message in super().getmany(timeout):
            # Faust names the generation of this moment, not the one it was fetched in.
            message.generation_id = self._generation
            run = self._runs.pop((tp, message.offset), None)
            if run is None:
                continue  # of a fetch before this one; its agent finds a hole, and begins anew
            message.records, message.previous = run  # type: ignore[attr-defined]
            # Faust drops what lies below the last offset it read, and that mark outlives the
            # seek of a rebalance: whole runs of records vanish. Our state knows what it has.
            self._read_offset[tp] = None
            yield tp, message
            self.heard()


class TrackingProducer(driver.Producer):
    """Faust's producer, but what waits to be sent keeps its topic's leader known.

    Before it tracks any topic aiokafka 0.14 knows all; once it meets an unknown one it asks for
    that alone and forgets the rest. What then waits for those goes out when somebody sends there
    again: never, where the sender waits for just that.
    """

    async def send(self, topic: str, *args: Any, **kwargs: Any) -> Any:
        """Send as Faust does, the topic tracked first."""
        self._ensure_producer().client.add_topic(topic)
        return await super().send(topic, *args, **kwargs)

    async def send_rows(
        self, topic: str, partition: int, rows: Iterable[KeyAndValue], headers: Headers
    ) -> list[int]:
        """Send rows to one partition in their order; return their offsets once it has them all.

        In batches: a row by itself costs Faust and aiokafka some 200 us, one of a batch 1 us.
        """
        producer = self._ensure_producer()
        producer.client.add_topic(topic)
        sent, now = [], int(time.time() * 1e3)
        batch = producer.create_batch()
        for key, value in rows:
            row = {"timestamp": now, "key": key, "value": value, "headers": headers}
            if batch.append(**row) is None:
                sent.append((batch, await producer.send_batch(batch, topic, partition=partition)))
                batch = producer.create_batch()
                batch.append(**row)
        if batch.record_count():
            sent.append((batch, await producer.send_batch(batch, topic, partition=partition)))
        offsets: list[int] = []
        for batch, delivered in sent:
            first = (await delivered).offset
            offsets += range(first, first + batch.record_count())
        return offsets

    async def send_keyed(
        self, topic: str, records: Iterable[tuple[bytes | None, bytes]], split: bool
    ) -> None:
        """Send records to the partitions of their keys, or all to the first unless it is `split`.

        Returns once the broker has them all.
        """
        producer = self._ensure_producer()
        producer.client.add_topic(topic)
        partitions = sorted(await producer.partitions_for(topic)) if split else [0]
        of: dict[int, list[KeyAndValue]] = {}
        for key, value in records:
            of.setdefault(java_partitioner(key, partitions, partitions), []).append((key, value))
        await asyncio.gather(
            *(self.send_rows(topic, number, few, []) for number, few in of.items())
        )


class CommittedTransport(driver.Transport):
    """Faust's aiokafka transport with a CommittedConsumer and a TrackingProducer."""

    Consumer = CommittedConsumer
    Producer = TrackingProducer


class CommittedApp(faust.App):
    """A Faust app that sees every committed record, and no other.

    `recovery_conf` are the settings of the librdkafka consumer that reads its changelogs,
    `in_runs` the topics of which an agent is handed many records at a time, `state_of` has the
    table in which a topic's agent keeps its state.
    """

    recovery_conf: dict[str, Any]
    in_runs: frozenset[str] = frozenset()
    state_of: Mapping[str, Any] = {}

    def stateless(self, tps: Iterable[Any]) -> list[Any]:
        """Return the partitions whose recovered state has no row."""
        partitions_of = {topic: table.partitions_kept() for topic, table in self.state_of.items()}
        return [tp for tp in tps if tp.partition not in partitions_of.get(tp.topic, {tp.partition})]

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
