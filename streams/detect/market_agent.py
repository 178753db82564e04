"""The market agent: pulses of all assets, on one partition, to market-wide onsets."""

from typing import Any

import msgspec

from schemas import codec
from schemas.codec import InvalidRecord
from streams.core import pipeline
from streams.core.detectors import contagion
from streams.core.params import Params
from streams.detect import faust_tables, shards
from streams.detect.agent import RUNS, WITHIN_S, Outgoing, stop_before_commit
from streams.detect.commits import COMMIT_EVERY_S, Progress
from streams.kafka import records
from streams.process.settings import Settings

KEY = b"market"


def register(app: Any, params: Params, settings: Settings) -> None:
    """Add the market agent and its one-row table to a Faust app."""
    table = faust_tables.StateTable(
        app, name="market", partitions=1, key_type=bytes, value_type=bytes
    )
    app.tables.add(table)
    evidence = app.topic("market_evidence", key_serializer="raw", value_serializer="raw")
    outgoing = Outgoing(app)
    progress = Progress(app)
    held_by: list[int] = [-1]

    async def apply(batch: list[Any]) -> None:
        generation, events = await progress.take_ours(batch)
        if not events:
            return
        if held_by[0] != generation:
            await faust_tables.take_over(0, table)
            held_by[0] = generation
        value = dict(table.of_partition(0)).get(KEY)
        if value is None:
            stored = shards.StoredMarket(-1, contagion.MarketState())
        else:
            stored = msgspec.msgpack.decode(value, type=shards.StoredMarket)
        for message in (event.message for event in events):
            progress.take(message)
            for record in message.records:
                if record.offset > stored.offset:
                    stored.offset = record.offset
                    _take(params, stored.state, record, outgoing)
        await outgoing.delivered()
        if not await progress.confirmed(generation):
            return
        await (await table.put(KEY, msgspec.msgpack.encode(stored), 0))
        await progress.done(generation, progress.taken)

    @app.agent(evidence, name="market", concurrency=1)  # type: ignore[untyped-decorator]
    async def market(stream: Any) -> None:
        async for batch in stream.noack_take(RUNS, within=min(settings.flush_s, WITHIN_S)):
            try:
                await apply(batch)
            except Exception as problem:
                stop_before_commit("market", batch, problem)

    @app.timer(COMMIT_EVERY_S)  # type: ignore[untyped-decorator]
    async def commit_when_quiet_market() -> None:
        await progress.commit()


def _take(params: Params, state: contagion.MarketState, record: Any, outgoing: Outgoing) -> None:
    try:
        evidence = codec.decode("market_evidence", record.value, 0, record.offset)
    except InvalidRecord as problem:
        outgoing.add("dead_letters", records.dead_letter(problem, record.value))
        return
    findings = contagion.step(params, state, evidence)
    for target, finding in pipeline.routed(findings):
        outgoing.add(target, finding)
