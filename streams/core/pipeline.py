"""The whole of Undertow's thinking over one partition of everything. Pure.

    trades ──> fold ──> bars ──┐
    liquidations ──────────────┼──> engine ──> pulses ──> market
    whale_transfers ───────────┘        └──> findings ──> alerts

The Kafka shell runs these same functions in separate processes; the embedded shell,
the tests and the evaluation run them here, in the same order.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from schemas.bars import Bar
from schemas.findings import (
    AssetPulse,
    CascadeFinding,
    FeedFinding,
    MarketFinding,
    SideScore,
    StressFinding,
    ThresholdFinding,
    WhaleFinding,
)
from schemas.market import Trade
from schemas.status import FeedStatus
from schemas.words import SECOND
from streams.core import engine, fold
from streams.core.alerts import alert_of
from streams.core.detectors import contagion
from streams.core.fold import FoldState
from streams.core.params import Params
from streams.core.shard import Finding, Shard

#: Findings on feeds that are remembered, not to be told twice.
FEED_NEWS = 64
#: A topic and a record that belongs on it.
Output = tuple[str, msgspec.Struct]


class State(msgspec.Struct):
    """All state between two records; serialising it and going on changes nothing.

    `feed_news` are the ids of what was told of feeds last: one that speaks on several topics is
    seen to fall silent on each, by the fold of trades and by the engine.
    """

    fold: FoldState = msgspec.field(default_factory=FoldState)
    shard: Shard = msgspec.field(default_factory=Shard)
    market: contagion.MarketState = msgspec.field(default_factory=contagion.MarketState)
    feed_news: list[str] = []


class Step(NamedTuple):
    """What one record led to; `refused` is "duplicate", "late" or "crowded"."""

    outputs: list[Output]
    refused: str | None = None


def step(params: Params, state: State, topic: str, record: msgspec.Struct) -> Step:
    """Take in one record of a raw topic or of `bars`; return all that follows from it."""
    if isinstance(record, Trade):
        return Step([], fold.fold(state.fold, record))
    if topic == "trades" and isinstance(record, FeedStatus):
        refused = fold.tell_time(state.fold, record, params)
        news = list(routed(_new(state, fold.drain_news(state.fold))))
        return Step(news + _after_trades(params, state), refused)
    judged = engine.step(params, state.shard, topic, record)  # type: ignore[arg-type]
    outputs: list[Output] = [(topic, record)] if isinstance(record, Bar) else []
    outputs += routed(_new(state, judged.findings))
    outputs += market(params, state, judged.findings, isinstance(record, FeedStatus))
    return Step(outputs, judged.refused)


def _new(state: State, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield findings but for those on feeds that were told already."""
    for finding in findings:
        if isinstance(finding, FeedFinding):
            if finding.finding_id in state.feed_news:
                continue
            state.feed_news = [*state.feed_news[1 - FEED_NEWS :], finding.finding_id]
        yield finding


def routed(findings: Iterable[msgspec.Struct]) -> Iterator[Output]:
    """Yield each finding with its topic, and the alert it gives with `alerts`."""
    for finding in findings:
        if isinstance(finding, AssetPulse):
            continue
        if isinstance(finding, CascadeFinding | MarketFinding | StressFinding):
            yield "cascades", finding
        elif isinstance(finding, FeedFinding) and finding.state in ("silent", "recovered"):
            yield (
                "feed_status",
                FeedStatus(
                    producer=finding.producer,
                    state=finding.state,
                    ts_event=finding.ts_event,
                    reason=finding.reason,
                ),
            )
        elif isinstance(finding, WhaleFinding):
            yield "whale_selling", finding
        elif isinstance(finding, SideScore | ThresholdFinding):
            yield "scores", finding
            continue
        alert = alert_of(finding)
        if alert is not None:
            yield "alerts", alert


def shard_clock(shard: Shard, part: int, parts: int) -> FeedStatus | None:
    """Return a shard's word to the market detector: my pulses before here are out."""
    if shard.frontier <= 0:
        return None
    return FeedStatus(
        producer="detect",
        state="alive",
        ts_event=shard.frontier * SECOND,
        part=part,
        parts=parts,
    )


def _after_trades(params: Params, state: State) -> list[Output]:
    outputs: list[Output] = []
    for bar in fold.drain(state.fold):
        outputs += step(params, state, "bars", bar).outputs
    clock = fold.clock_record(state.fold, 0, 1)
    if clock is not None:
        outputs += step(params, state, "bars", clock).outputs
    return outputs


def market(
    params: Params, state: State, findings: Iterable[Finding], time_told: bool
) -> list[Output]:
    outputs: list[Output] = []
    for finding in findings:
        if isinstance(finding, AssetPulse):
            contagion.step(params, state.market, finding)
    frontier = shard_clock(state.shard, 0, 1) if time_told else None
    if frontier is not None:
        outputs += routed(contagion.step(params, state.market, frontier))
    return outputs
