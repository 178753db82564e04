"""The market agent: pulses of all assets, on one partition, to market-wide onsets."""

from typing import Any

import msgspec

from schemas import codec
from schemas.codec import InvalidRecord
from streams import kafka, pipeline
from streams.agents import shards, tables
from streams.agents.detect import BATCH, Outgoing, stop_before_ack
from streams.detectors import contagion
from streams.params import Params

KEY = b"market"


def register(app: Any, params: Params, flush_s: float) -> None:
    """Add the market agent and its one-row table to a Faust app."""
    table = tables.StateTable(app, name="market", partitions=1, key_type=bytes, value_type=bytes)
    app.tables.add(table)
    evidence = app.topic("market_evidence", key_serializer="raw", value_serializer="raw")
    outgoing = Outgoing(app)

    async def apply(events: list[Any]) -> None:
        value = dict(table.of_partition(0)).get(KEY)
        if value is None:
            held = shards.StoredMarket(-1, contagion.MarketState())
        else:
            held = msgspec.msgpack.decode(value, type=shards.StoredMarket)
        for message in (e.message for e in events if e.message.offset > held.offset):
            held.offset = message.offset
            try:
                record = codec.decode("market_evidence", message.value, 0, message.offset)
            except InvalidRecord as problem:
                outgoing.add("dead_letters", kafka.dead_letter(problem, message.value))
                continue
            _, found = contagion.step(params, held.state, record)
            for target, finding in pipeline.routed(found):
                outgoing.add(target, finding)
        await outgoing.delivered()
        await table.put(KEY, msgspec.msgpack.encode(held), 0)

    @app.agent(evidence, name="market", concurrency=1)  # type: ignore[untyped-decorator]
    async def market(stream: Any) -> None:
        async for batch in stream.noack_take(BATCH, within=flush_s):
            generation = app.consumer_generation_id
            events = [e for e in batch if e.message.generation_id == generation]
            try:
                if events:
                    await apply(events)
            except Exception:
                stop_before_ack("market", events)
            for event in events:
                await stream.ack(event)
