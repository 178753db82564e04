"""The market agent: pulses of all assets, on one partition, to market-wide onsets."""

from typing import Any

import msgspec

from schemas import codec
from schemas.codec import InvalidRecord
from streams.core import pipeline
from streams.core.detectors import contagion
from streams.core.params import Params
from streams.detect import faust_tables, shards
from streams.detect.agent import Outgoing, each_batch
from streams.detect.commits import COMMIT_EVERY_S, Progress
from streams.kafka import records
from streams.process.settings import Settings

KEY = b"market"


def register(app: Any, params: Params, settings: Settings) -> None:
    """Add the market agent and its one-row table to a Faust app."""
    worker = Worker(app, params, settings)
    evidence = app.topic("market_evidence", key_serializer="raw", value_serializer="raw")

    @app.agent(evidence, name="market", concurrency=1)  # type: ignore[untyped-decorator]
    async def market(stream: Any) -> None:
        await each_batch("market", stream, worker.take)

    @app.timer(COMMIT_EVERY_S)  # type: ignore[untyped-decorator]
    async def commit_when_quiet_market() -> None:
        await worker.progress.commit()


class Worker:
    """The one partition of evidence while it is ours, its state, and how far we have come."""

    def __init__(self, app: Any, params: Params, settings: Settings) -> None:
        self.progress = Progress(app)
        self._params = params
        self._table = faust_tables.StateTable(
            app, name="market", partitions=1, key_type=bytes, value_type=bytes
        )
        app.tables.add(self._table)
        app.state_of |= {"market_evidence": self._table}
        self._outgoing = Outgoing(app, settings.alert_max_age_s)
        self._generation = -1

    async def take(self, batch: list[Any]) -> None:
        """Take runs of evidence: findings delivered, then the state stored, then the commit."""
        generation, events = await self.progress.take_ours(batch)
        if not events:
            return
        if self._generation != generation:
            await faust_tables.take_over(0, self._table)
            self._generation = generation
        stored = self._stored()
        for message in (event.message for event in events):
            self.progress.take(message)
            for record in message.records:
                if record.offset > stored.offset:
                    stored.offset = record.offset
                    _take(self._params, stored.state, record, self._outgoing)
        await self._outgoing.delivered()
        if not await self.progress.confirmed(generation):
            return
        await self._table.put([(KEY, msgspec.msgpack.encode(stored))], 0)
        await self.progress.done(generation, self.progress.taken)

    def _stored(self) -> shards.StoredMarket:
        value = dict(self._table.of_partition(0)).get(KEY)
        if value is None:
            return shards.StoredMarket(-1, contagion.MarketState())
        return msgspec.msgpack.decode(value, type=shards.StoredMarket)


def _take(params: Params, state: contagion.MarketState, record: Any, outgoing: Outgoing) -> None:
    try:
        evidence = codec.decode("market_evidence", record.value, 0, record.offset)
    except InvalidRecord as problem:
        outgoing.add("dead_letters", records.dead_letter(problem, record.value))
        return
    findings = contagion.step(params, state, evidence)
    for target, finding in pipeline.routed(findings):
        outgoing.add(target, finding)
