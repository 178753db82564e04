"""One episode as it was judged: what an asset's feeds told, second by second, and the findings."""

from collections.abc import Iterable, Iterator

import msgspec

from schemas.bars import Bar
from schemas.findings import AssetPulse, CascadeFinding
from schemas.market import Liquidation, Trade
from schemas.status import FeedStatus
from schemas.words import SECOND
from streams.core import engine, fold
from streams.core.open_seconds import DataRecord
from streams.core.params import Params
from streams.core.shard import INPUTS, Finding, Shard
from streams.sources import Item

#: Of a score so far below its threshold nothing is drawn.
FLOOR = -6.0


class Picture(msgspec.Struct):
    """What is drawn of one asset, by second; `excess` is its score less its threshold, nats."""

    asset: str
    price: dict[int, float] = {}
    forced_usd: dict[int, float] = {}
    excess: dict[int, float] = {}
    findings: list[CascadeFinding] = []


def of_asset(params: Params, items: Iterable[Item], asset: str) -> Picture:
    """Judge `items` (with words on time between them) and keep what one asset's picture needs."""
    market = msgspec.structs.replace(params.market, majors=(asset,), pulse_floor=FLOOR)
    params = msgspec.structs.replace(params, market=market)
    picture, shard, state = Picture(asset), Shard(), fold.FoldState()
    for topic, record in items:
        if getattr(record, "asset", asset) != asset:
            continue
        if isinstance(record, Trade):
            fold.fold(state, record)
            picture.price[record.ts_event // SECOND] = record.price
            continue
        if isinstance(record, Liquidation):
            second, usd = record.ts_event // SECOND, record.notional_usd or 0.0
            picture.forced_usd[second] = picture.forced_usd.get(second, 0.0) + usd
        for to, taken in _for_engine(params, state, topic, record):
            for finding in engine.step(params, shard, to, taken).findings:
                _keep(picture, finding)
    return picture


def largest(picture: Picture) -> list[CascadeFinding]:
    """Return the findings of the called episode that forced the most USD, in order.

    Raises ValueError where none was called.
    """
    called = {f.episode_id for f in picture.findings if f.phase == "onset"}
    if not called:
        raise ValueError(f"no cascade of {picture.asset} was called")
    usd = {f.episode_id: f.notional_usd for f in picture.findings if f.episode_id in called}
    most = max(usd, key=lambda episode_id: (usd[episode_id], episode_id))
    return [finding for finding in picture.findings if finding.episode_id == most]


def _for_engine(
    params: Params, state: fold.FoldState, topic: str, record: msgspec.Struct
) -> Iterator[tuple[str, DataRecord | FeedStatus]]:
    """Yield what the engine is given: bars and rollup's word in place of words on trades."""
    if topic != "trades":
        if topic in INPUTS:
            yield topic, record  # type: ignore[misc]
        return
    if isinstance(record, FeedStatus):
        fold.tell_time(state, record, params)
        bars: list[Bar] = fold.drain(state)
        yield from (("bars", bar) for bar in bars)
        clock = fold.clock_record(state, 0, 1)
        if clock is not None:
            yield "bars", clock


def _keep(picture: Picture, finding: Finding) -> None:
    if isinstance(finding, AssetPulse):
        picture.excess[finding.ts_event // SECOND] = finding.excess
    elif isinstance(finding, CascadeFinding):
        picture.findings.append(finding)
