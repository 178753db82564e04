"""The detect agent: one shard a partition, committed only behind its effects.

runs ──> wait by input ──> step ──> 1 findings delivered          after each batch
                                    2 state in the changelog ──> 3 commit      each STORE_EVERY_S
         a crash between any two repeats the rest under the same ids
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import msgspec
from faust.types import TP

from schemas import codec, metrics
from schemas.codec import InvalidRecord
from schemas.findings import Alert
from schemas.fitting import Message, sendable
from schemas.topics import TOPICS
from schemas.words import not_after_message
from streams.core import pipeline, refusals
from streams.core.alerts import dated
from streams.core.params import Params
from streams.core.shard import INPUTS
from streams.detect import (
    agent_metrics,
    backpressure,
    changelog_rows,
    faust_tables,
    misplaced,
    shards,
)
from streams.detect.commits import COMMIT_EVERY_S, Progress
from streams.kafka.records import dead_letter
from streams.process import clock
from streams.process.program import end_at_once
from streams.process.settings import Settings

log = logging.getLogger("undertow.detect")
#: Runs of records taken together at most: those that came while others were worked on.
RUNS = 8
#: Seconds between two times that the state is stored: what a crash has to repeat. With many
#: assets storing takes long: then it is done less often, for a fifth of the time at most.
STORE_EVERY_S, STORE_SHARE, STORE_LATEST_S = 1.0, 0.2, 10.0
#: Records after which others get the loop for a moment.
YIELD_EVERY = 500
#: No rebalance, recovery or absence of the broker keeps Faust so long from asking for records
#: or handing one on, nor a broker that answers a batch from its end.
STUCK_S = 120.0


def register(app: Any, params: Params, settings: Settings) -> None:
    """Add the detect agent and its tables to a Faust app."""
    worker = Worker(app, params, settings)
    topics = app.topic(*INPUTS, key_serializer="raw", value_serializer="raw")

    @app.agent(topics, name="detect", concurrency=1)  # type: ignore[untyped-decorator]
    async def detect(stream: Any) -> None:
        await each_batch("detect", stream, worker.take)

    @app.timer(COMMIT_EVERY_S)  # type: ignore[untyped-decorator]
    async def look() -> None:
        if why := stuck(app.consumer.idle_s(), worker.progress):
            log.critical("%s: ending, to begin anew", why)
            end_at_once()
        try:
            await worker.look()
        except Exception as problem:
            stop_before_commit("detect", [], problem)


async def each_batch(agent: str, stream: Any, take: Callable[[list[Any]], Awaitable[None]]) -> None:
    """Hand an agent's runs to `take`, none waiting for others; no exception leaves the body."""
    stream.enable_acks = False  # we commit ourselves
    waiting: asyncio.Queue[Any] = asyncio.Queue(RUNS)
    taking = asyncio.create_task(_take_each(agent, waiting, take))
    try:
        async for event in stream.events():
            await waiting.put(event)
    finally:
        taking.cancel()


async def _take_each(
    agent: str, waiting: asyncio.Queue[Any], take: Callable[[list[Any]], Awaitable[None]]
) -> None:
    while True:
        batch = [await waiting.get()]
        while not waiting.empty():
            batch.append(waiting.get_nowait())
        try:
            await take(batch)
        except Exception as problem:
            stop_before_commit(agent, batch, problem)


class Run(msgspec.Struct):
    """Messages of a topic taken since they were counted, and Kafka's stamp on the last."""

    messages: int = 0
    unreadable: int = 0
    stamp: int | None = None


class Worker:
    """The partitions that are ours: what waits of each, its shard, and how far we have come."""

    def __init__(self, app: Any, params: Params, settings: Settings) -> None:
        self.progress = Progress(app)
        self._app = app
        self._params = params
        self._partitions = settings.partitions
        self._states = faust_tables.StateTable(
            app, name="assets", partitions=settings.partitions, key_type=bytes, value_type=bytes
        )
        app.tables.add(self._states)
        app.state_of |= dict.fromkeys(INPUTS, self._states)
        self._flows = faust_tables.flow_table(app, "flows", settings.partitions)
        app.tables.add(self._flows.table)
        self._outgoing = Outgoing(app, settings.alert_max_age_s)
        self._share = refusals.Share(settings.dead_letter_limit)
        self._turn = asyncio.Lock()
        self._generation = -1
        self._store_at = 0.0
        self._live: dict[int, shards.LiveShard] = {}
        self._inputs: dict[int, backpressure.Inputs] = {}
        self._unstored: set[int] = set()
        self._market_heard: dict[int, int] = {}
        self._misplaced: set[str] = set()
        #: Kafka's stamp on the last record taken of each partition.
        self._stamps: dict[TP, int | None] = {}

    async def take(self, batch: list[Any]) -> None:
        """Take runs of records, and step with all that need not wait for another input."""
        async with self._turn:
            with self.progress.at_work():
                generation, events = await self.progress.take_ours(batch)
                await self._settle_in(generation)
                touched = set()
                for message in (event.message for event in events):
                    self.progress.take(message)
                    touched.add(message.partition)
                    waiting = self._inputs.setdefault(message.partition, backpressure.Inputs())
                    waiting.add(message.topic, message.records)
                await self._work(generation, touched)
                self._app.consumer.heard()

    async def look(self) -> None:
        """Once a second: what waited for an input that has no more, what is to be stored."""
        if not self._turn.locked():
            async with self._turn:
                with self.progress.at_work():
                    if self.progress.still(self._generation):
                        await self._work(self._generation, list(self._inputs))
        await self.progress.commit()
        agent_metrics.alive(self._app, self._live, self.progress.in_touch())

    async def _settle_in(self, generation: int) -> None:
        if self._generation != generation:
            # After a rebalance memory may be ahead of the changelog, or not ours.
            self._live.clear()
            self._inputs.clear()
            self._unstored.clear()
            self._market_heard.clear()
            self._generation = generation

    async def _work(self, generation: int, numbers: Iterable[int]) -> None:
        for number in sorted(numbers):
            if number not in self._live:
                self._live[number] = await self._take_over(number)
            await self._step(number)
            if not self.progress.still(generation):
                return
            self._tell_market(number)
            self._outgoing.send()
        await self._outgoing.delivered()
        began = time.monotonic()
        if self._unstored and began >= self._store_at:
            if not await self.progress.confirmed(generation):
                self._generation = -1
                return
            await _store([self._live[n] for n in sorted(self._unstored)], self._states, self._flows)
            self._unstored.clear()
            now = time.monotonic()
            self._store_at = now + store_again_s(now - began)
            await self.progress.done(generation, self._applied())
        if self.progress.still(generation):
            for number in numbers:
                backpressure.hold(self._app.consumer.unfetched, number, self._inputs[number].full())
            taken = {at: (offset, self._stamps.get(at)) for at, offset in self._applied().items()}
            agent_metrics.state(self._app, self._live, taken)

    async def _take_over(self, number: int) -> shards.LiveShard:
        """Become the one whose rows count from now on; build the shard from those there are."""
        await faust_tables.take_over(number, self._states, self._flows.table)
        live = shards.load(self._params, number, self._states, self._flows)
        spans = shards.to_read(live)
        read_back = (
            await changelog_rows.read_spans(self._app.recovery_conf, number, spans) if spans else {}
        )
        for topic, messages in read_back.items():
            for message in messages:
                not_after = not_after_message(message.timestamp()[1])
                where = topic, message.value(), number, message.offset(), not_after
                shards.again(live, topic, message.offset(), codec.decode_many(*where)[0])
        return live

    async def _step(self, number: int) -> None:
        """Step a shard with what waits, the input that lags first."""
        live, waiting = self._live[number], self._inputs[number]
        drained = waiting.idle(backpressure.DRAINED_S)
        overdue = waiting.idle(self._params.stale_after_s)
        live.shard.away.awaited = set(INPUTS) - set(overdue)
        runs: dict[str, Run] = {}
        taken = 0
        while topic := backpressure.next_input(live.shard, waiting.some(), drained, overdue):
            some, clock_of = waiting.waiting[topic], live.shard.inputs[topic]
            run, now = runs.setdefault(topic, Run()), clock_of.now
            while some and clock_of.now == now and taken < YIELD_EVERY:
                if live.wanting:
                    await shards.bring_days(live, self._flows)
                record = waiting.take(topic)
                run.unreadable += self._take_one(live, topic, record)
                run.stamp = record.timestamp
                run.messages += 1
                taken += 1
            if taken >= YIELD_EVERY:
                self._count(number, runs)
                self.progress.moved()
                await asyncio.sleep(0)
                taken = 0
        self._count(number, runs)

    def _count(self, number: int, runs: dict[str, Run]) -> None:
        """Count what was taken, by topic, and begin to count anew."""
        for topic, run in runs.items():
            metrics.RECORDS.labels(topic).inc(run.messages)
            self._share.note(topic, number, run.messages, run.unreadable)
            self._stamps[TP(topic, number)] = run.stamp
            self._unstored.add(number)
        runs.clear()

    def _take_one(self, live: shards.LiveShard, topic: str, record: Any) -> bool:
        """Step a shard with one message; return whether nothing of it could be read."""
        if record.offset <= live.offsets.get(topic, -1):
            metrics.REFUSED.labels(topic, "told").inc()
            return False
        not_after = not_after_message(record.timestamp)
        where = topic, record.value, live.partition, record.offset, not_after
        records, problem = codec.decode_many(*where)
        if topic != "bars":
            self._note_places(live.partition, topic, records)
            agent_metrics.lateness_of(topic, records, live.shard.inputs[topic].now)
        if problem is not None:
            self._outgoing.add("dead_letters", dead_letter(problem, record.value))
            metrics.REFUSED.labels(topic, "invalid").inc()
        for step in shards.apply(self._params, live, topic, record.offset, records):
            if step.refused:
                self._refuse(live, topic, record, step.refused)
            if not step.findings:
                continue
            for pulse in shards.pulses(step.findings):
                self._outgoing.add("market_evidence", pulse)
            for target, finding in pipeline.routed(step.findings):
                self._outgoing.add(target, finding)
        return not records

    def _note_places(self, number: int, topic: str, records: Iterable[Any]) -> None:
        """Tell of a record whose key belongs to another partition: its bars are there, not here."""
        for record in records:
            finding = misplaced.look(topic, record, number, self._partitions)
            if finding is None:
                continue
            metrics.MISPLACED.labels(topic).inc()
            if finding.finding_id not in self._misplaced:
                self._misplaced.add(finding.finding_id)
                log.warning("%s: %s", topic, finding.reason)
                for target, output in pipeline.routed([finding]):
                    self._outgoing.add(target, output)

    def _refuse(self, live: shards.LiveShard, topic: str, record: Any, why: str) -> None:
        metrics.REFUSED.labels(topic, why).inc()
        if why in refusals.LETTERS:
            letter = InvalidRecord(topic, live.partition, record.offset, *refusals.LETTERS[why])
            self._outgoing.add("dead_letters", dead_letter(letter, record.value))

    def _tell_market(self, number: int) -> None:
        clock = pipeline.shard_clock(self._live[number].shard, number, self._partitions)
        if clock is not None and clock.ts_event != self._market_heard.get(number):
            self._market_heard[number] = clock.ts_event
            self._outgoing.add("market_evidence", clock)

    def _applied(self) -> dict[TP, int]:
        return {
            TP(topic, number): offset
            for number, live in self._live.items()
            for topic, offset in live.offsets.items()
        }


def store_again_s(took_s: float) -> float:
    """Return how long to wait before storing again what took so long."""
    return min(max(STORE_EVERY_S, took_s * (1 / STORE_SHARE - 1)), STORE_LATEST_S)


def stuck(idle_s: float, progress: Progress) -> str:
    """Return what has not moved for too long, empty while all does."""
    still_s = progress.still_s()
    if still_s is None:
        return f"nothing was fetched or handed on for {idle_s:.0f} s" if idle_s > STUCK_S else ""
    # While a batch is worked on nothing need be fetched, and a broker away is waited for.
    stands = still_s > STUCK_S and progress.in_touch()
    return f"a batch has not come along for {still_s:.0f} s" if stands else ""


async def _store(live: list[shards.LiveShard], states: Any, flows: Any) -> None:
    """Write what changed; returns when the changelog has it all."""
    # Between two topics only waiting makes an order, and an asset's row says that its flow
    # is stored.
    await asyncio.gather(*(flows.table.put(_flow_rows(one), one.partition) for one in live))
    await asyncio.gather(*(states.put(shards.writes(one), one.partition) for one in live))
    for shard in live:
        shards.put_days_away(shard)


def _flow_rows(live: shards.LiveShard) -> Iterator[tuple[Any, bytes | None]]:
    for name, row, content in shards.flow_writes(live):
        yield faust_tables.bucket_of(name, *row), content


class Outgoing:
    """Records on their way to topics; `delivered` waits until the broker has them all.

    A key's records keep their order where one `send` has them all, or the next comes once they
    are delivered.
    """

    def __init__(self, app: Any, alert_max_age_s: float) -> None:
        self._app = app
        self._alert_max_age_s = alert_max_age_s
        self._waiting: list[Message] = []
        self._under_way: list[asyncio.Future[Any]] = []

    def add(self, topic: str, record: msgspec.Struct) -> None:
        """Queue one record, as `schemas.fitting` makes it where nobody could read it."""
        if isinstance(record, Alert):
            record = dated(record, clock.now_us(), self._alert_max_age_s)
        for message in sendable(topic, record, clock.now_us):
            self._waiting.append(message)
            agent_metrics.sent(message.topic, message.record)

    def send(self) -> None:
        """Begin to send everything queued, beside whatever its sender does next."""
        waiting, self._waiting = self._waiting, []
        records: dict[str, list[tuple[bytes | None, bytes]]] = {}
        for topic, _, key, value in waiting:
            records.setdefault(topic, []).append((key, value))
        send = self._app.producer.send_keyed
        for topic, of in records.items():
            sending = send(topic, of, TOPICS[topic].split)
            self._under_way.append(asyncio.ensure_future(sending))

    async def delivered(self) -> None:
        """Send everything queued, and wait until the broker has it all."""
        self.send()
        under_way, self._under_way = self._under_way, []
        await asyncio.gather(*under_way)


def stop_before_commit(agent: str, events: list[Any], problem: Exception) -> None:
    """Log where it happened and end the process: Faust would restart the agent and go on."""
    first: dict[str, int] = {}
    for message in (event.message for event in events):
        place = f"{message.topic}[{message.partition}]"
        first[place] = min(message.offset, first.get(place, message.offset))
    spans = [f"{place}@{offset}" for place, offset in sorted(first.items())]
    if isinstance(problem, refusals.TooManyRefused):
        log.critical("%s: stopping before the commit of %s: %s", agent, spans, problem)
    else:
        log.critical(
            "%s: unexpected, stopping before the commit of %s", agent, spans, exc_info=problem
        )
    end_at_once()
