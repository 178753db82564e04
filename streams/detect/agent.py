"""The detect agent: one shard a partition, committed only behind its effects.

batch ──> step ──> 1 findings delivered ──> 2 state in the changelog ──> 3 commit
          a crash between any two repeats the rest under the same ids
"""

import asyncio
import logging
import os
import time
from collections.abc import Iterable
from typing import Any, NoReturn

import msgspec

from schemas import codec, metrics
from schemas.codec import InvalidRecord
from schemas.topics import TOPICS, key_of
from schemas.words import not_after_message
from streams.core import engine, pipeline, refusals
from streams.core.params import Params
from streams.detect import agent_metrics, backpressure, faust_tables, shards
from streams.detect.commits import COMMIT_EVERY_S, Progress
from streams.kafka import records
from streams.process.settings import Settings

log = logging.getLogger("undertow.detect")
BATCH = 1_000
#: How long a record waits for others at most, seconds.
WITHIN_S = 0.05
#: No rebalance, recovery or absence of the broker keeps Faust so long from asking for records
#: or handing one on, nor a broker that answers a batch from its end.
STUCK_S = 120.0
#: An input that gives nothing for so long, though it is asked, has nothing more to read.
DRAINED_S = 5.0


def register(app: Any, params: Params, settings: Settings) -> None:
    """Add the detect agent and its tables to a Faust app."""
    partitions = settings.partitions
    states = faust_tables.StateTable(
        app, name="assets", partitions=partitions, key_type=bytes, value_type=bytes
    )
    app.tables.add(states)
    flows = faust_tables.flow_table(app, "flows", partitions)
    app.tables.add(flows.table)
    inputs = app.topic(*engine.INPUTS, key_serializer="raw", value_serializer="raw")
    outgoing = Outgoing(app)
    progress = Progress(app)
    share = refusals.Share(settings.dead_letter_limit)
    live: dict[int, shards.LiveShard] = {}
    held_by: list[int] = [-1]
    held_since: list[float] = [0.0]
    came_at: dict[tuple[str, int], float] = {}
    market_heard: dict[int, int] = {}

    def hold_back(numbers: Iterable[int]) -> None:
        now = time.monotonic()
        for number in numbers:
            idle_s = {n: now - came_at.get((n, number), held_since[0]) for n in engine.INPUTS}
            drained = [name for name, idle in idle_s.items() if idle >= DRAINED_S]
            overdue = [name for name in drained if idle_s[name] >= params.stale_after_s]
            backpressure.hold(app.consumer.held, number, live[number].shard, drained, overdue)

    async def apply(batch: list[Any]) -> None:
        generation, events = await progress.own(batch)
        if held_by[0] != generation:
            # After a rebalance memory may be ahead of the changelog, or not ours.
            live.clear()
            came_at.clear()
            market_heard.clear()
            held_since[0] = time.monotonic()
            held_by[0] = generation
        if not events:
            return
        touched = set()
        for event in events:
            number = event.message.partition
            if number not in live:
                live[number] = await shards.take_over(params, number, states, flows)
            touched.add(number)
            came_at[event.message.topic, number] = time.monotonic()
            progress.take(event.message)
            if live[number].wanting:
                await shards.bring_days(live[number], flows)
            unreadable = _take(params, live[number], event.message, outgoing)
            share.note(event.message.topic, number, 1, unreadable)
        for number in sorted(touched):
            word = pipeline.shard_clock(live[number].shard, number, partitions)
            if word is not None and word.ts_event != market_heard.get(number):
                market_heard[number] = word.ts_event
                outgoing.add("market_evidence", word)
        await outgoing.delivered()
        if not await progress.confirmed(generation):
            held_by[0] = -1
            return
        await _store(live, touched, states, flows)
        await progress.done(generation)
        if progress.still(generation):
            hold_back(touched)
        agent_metrics.state(app, live, progress.taken)

    @app.agent(inputs, name="detect", concurrency=1)  # type: ignore[untyped-decorator]
    async def detect(stream: Any) -> None:
        async for batch in stream.noack_take(BATCH, within=min(settings.flush_s, WITHIN_S)):
            try:
                with progress.at_work():
                    await apply(batch)
            except Exception as problem:
                stop_before_commit("detect", batch, problem)

    @app.timer(COMMIT_EVERY_S)  # type: ignore[untyped-decorator]
    async def commit_when_quiet() -> None:
        if why := stuck(app.consumer.idle_s(), progress):
            log.critical("%s: ending, to begin anew", why)
            end()
        await progress.commit()
        if progress.still(held_by[0]):
            hold_back(live)
        agent_metrics.alive(app, progress.in_touch())


def stuck(idle_s: float, progress: Progress) -> str:
    """Return what has not moved for too long, empty while all does."""
    if idle_s > STUCK_S:
        return f"nothing was fetched or handed on for {idle_s:.0f} s"
    if progress.in_touch() and progress.at_work_s() > STUCK_S:
        return f"one batch has taken {progress.at_work_s():.0f} s"
    return ""


def _take(params: Params, live: shards.LiveShard, message: Any, outgoing: "Outgoing") -> bool:
    """Step a shard with one message; return whether it could not be read."""
    topic, offset = message.topic, message.offset
    metrics.RECORDS.labels(topic).inc()
    not_after = not_after_message(stamp(message))
    try:
        record = codec.decode(topic, message.value, live.partition, offset, not_after)
    except InvalidRecord as problem:
        outgoing.add("dead_letters", records.dead_letter(problem, message.value))
        metrics.REFUSED.labels(topic, "invalid").inc()
        return True
    told = shards.apply(params, live, topic, offset, record)
    if told is None:
        metrics.REFUSED.labels(topic, "told").inc()
        return False
    if told.refused:
        metrics.REFUSED.labels(topic, told.refused).inc()
    if told.refused in refusals.LETTERS:
        again = InvalidRecord(topic, live.partition, offset, *refusals.LETTERS[told.refused])
        outgoing.add("dead_letters", records.dead_letter(again, message.value))
    for pulse in shards.pulses(told.findings):
        outgoing.add("market_evidence", pulse)
    for target, finding in pipeline.routed(told.findings):
        outgoing.add(target, finding)
    return False


def stamp(message: Any) -> int | None:
    """Return Kafka's stamp on a message, milliseconds; Faust keeps it in float seconds."""
    return None if message.timestamp is None else round(message.timestamp * 1_000)


async def _store(
    live: dict[int, shards.LiveShard], touched: Iterable[int], states: Any, flows: Any
) -> None:
    """Write what changed; returns when the changelog has it all."""
    held = [live[number] for number in sorted(touched)]
    sent = []
    for shard in held:
        for key, value in shards.second_writes(shard):
            sent.append(await states.put(key, value, shard.partition))
        for name, row, content in shards.flow_writes(shard):
            bucket = faust_tables.bucket_of(name, *row)
            sent.append(await flows.table.put(bucket, content, shard.partition))
    # Between two topics only waiting makes an order, and an asset's row says that its flow
    # is stored.
    await asyncio.gather(*sent)
    sent = [
        await states.put(key, value, shard.partition)
        for shard in held
        for key, value in shards.writes(shard)
    ]
    await asyncio.gather(*sent)
    for shard in held:
        shards.put_days_away(shard)


class Outgoing:
    """Records on their way to topics; `delivered` waits until the broker has them all."""

    def __init__(self, app: Any) -> None:
        self._topics = {
            name: app.topic(name, key_serializer="raw", value_serializer="raw") for name in TOPICS
        }
        self._waiting: list[tuple[str, msgspec.Struct]] = []

    def add(self, topic: str, record: msgspec.Struct) -> None:
        """Queue one record."""
        self._waiting.append((topic, record))
        agent_metrics.sent(topic, record)

    async def delivered(self) -> None:
        """Send everything queued and wait for the broker's word on each."""
        waiting, self._waiting = self._waiting, []
        sent = []
        for topic, record in waiting:
            where = 0 if not TOPICS[topic].split else None
            key = key_of(TOPICS[topic], record) or None
            sent.append(
                await self._topics[topic].send(key=key, value=codec.encode(record), partition=where)
            )
        await asyncio.gather(*sent)


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
    end()


def end() -> NoReturn:
    """End the process at once; what is not committed is taken again by the next one."""
    logging.shutdown()
    os._exit(70)
