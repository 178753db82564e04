"""One partition's shard as a Faust worker holds it, in rows that survive a crash between any two.

    row of        keyed                holds                       guards against repetition by
    a second      p/asset/second       open orders, bars, ids      the offsets applied to it
    a minute      (asset, minute)      taker flow, fill range      the last second folded in
    an hour, day  (asset, hour/day)    packed minutes              its end: all before is packed
    an asset      p/asset              detectors' state            `at`, the last second judged
    the shard     p/                   clocks                      the offset of its last FeedStatus

Written in that order (parts are dropped after what they were packed into, closed seconds
after their asset), so whatever is there after a crash skips just what it has. Days stay in
the changelog until a deposit is to be judged by them: 45 of them are 1.7 MB an asset.
"""

import logging
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from schemas.findings import AssetPulse
from schemas.onchain import WhaleTransfer
from schemas.status import FeedStatus
from streams.core import engine
from streams.core.detectors import flow, watermark
from streams.core.detectors.contagion import MarketState
from streams.core.detectors.darkness import Darkness
from streams.core.params import Params
from streams.detect import faust_tables

log = logging.getLogger("undertow.detect")
Offsets = dict[str, int]
Cell = tuple[str, int]


class StoredSecond(msgspec.Struct):
    """An open second, and the last offset of each topic that is in it."""

    offsets: Offsets
    cell: engine.OpenSecond


class StoredShard(msgspec.Struct):
    """What a shard knows beside its assets."""

    offsets: Offsets
    inputs: dict[str, watermark.InputClock]
    frontier: int
    late: dict[str, int]
    away: Darkness = msgspec.field(default_factory=Darkness)


class StoredMarket(msgspec.Struct):
    """The market detector; it has one partition."""

    offset: int
    state: MarketState


class LiveShard(msgspec.Struct):
    """A shard in memory, and what of it has changed since it was stored.

    `near` are the assets whose days of flow are here; `wanting` must have them before any time
    passes.
    """

    partition: int
    shard: engine.Shard
    offsets: Offsets
    second_offsets: dict[Cell, Offsets] = {}
    stored_seconds: set[Cell] = set()
    dirty: set[str] = set()
    dirty_seconds: set[Cell] = set()
    near: set[str] = set()
    wanting: set[str] = set()


async def take_over(params: Params, partition: int, states: Any, flows: Any) -> LiveShard:
    """Become the one whose rows count from here on, and build the shard from those there are."""
    await faust_tables.take_over(partition, states, flows.table)
    return load(params, partition, states, flows)


def load(params: Params, partition: int, states: Any, flows: Any) -> LiveShard:
    """Build the shard of a partition from its tables; empty tables give a new one."""
    live = LiveShard(partition, engine.Shard(), {})
    seconds: dict[Cell, StoredSecond] = {}
    for key, value in states.of_partition(partition):
        _, asset, *second = key.decode().split("/")
        if second:
            seconds[asset, int(second[0])] = msgspec.msgpack.decode(value, type=StoredSecond)
        elif asset:
            live.shard.assets[asset] = msgspec.msgpack.decode(value, type=engine.AssetState)
        else:
            _restore(live, msgspec.msgpack.decode(value, type=StoredShard))
    for (asset, second_number), stored in seconds.items():
        live.stored_seconds.add((asset, second_number))
        state = live.shard.assets.setdefault(asset, engine.AssetState())
        if second_number > state.at:
            state.open[second_number] = stored.cell
            live.second_offsets[asset, second_number] = stored.offsets
    rows: dict[str, dict[flow.Row, bytes | None]] = {}
    for asset, row, value in faust_tables.rows_of_partition(flows, partition):
        rows.setdefault(asset, {})[row] = None if isinstance(value, faust_tables.Left) else value
    for asset in rows:
        live.shard.assets.setdefault(asset, engine.AssetState())
    for asset, state in live.shard.assets.items():
        state.flows.changed = set()
        flow.restore(state.flows, rows.get(asset, {}))
        _want(live, asset)
    live.shard.busy = engine.under_way(params, live.shard)
    return live


def _restore(live: LiveShard, stored: StoredShard) -> None:
    live.offsets = stored.offsets
    live.shard.inputs = stored.inputs
    live.shard.frontier = stored.frontier
    live.shard.late = stored.late
    live.shard.away = stored.away


def apply(
    params: Params, live: LiveShard, topic: str, offset: int, record: Any
) -> engine.Step | None:
    """Step the shard with one record, or return None where it is in the state already."""
    if isinstance(record, FeedStatus):
        if offset <= live.offsets.get(topic, -1):
            return None
        live.offsets[topic] = offset
        due = dict(live.shard.busy)
        told = engine.step(params, live.shard, topic, record)
        live.dirty |= {asset for asset, second in due.items() if second < live.shard.frontier}
        return told
    cell = (record.asset, engine.second_of(record))
    applied = live.second_offsets.get(cell, {})
    if offset <= applied.get(topic, -1):
        return None
    told = engine.step(params, live.shard, topic, record)
    if told.refused == "told":
        return None
    if told.refused is None:
        flows = live.shard.assets[record.asset].flows
        if flows.changed is None:
            flows.changed = set()
        live.second_offsets.setdefault(cell, {})[topic] = offset
        live.dirty_seconds.add(cell)
        if isinstance(record, WhaleTransfer):
            _want(live, record.asset)
    return told


def _want(live: LiveShard, asset: str) -> None:
    state = live.shard.assets[asset]
    if _reads_days(state) and flow.away(state.flows):
        live.wanting.add(asset)


def _reads_days(state: engine.AssetState) -> bool:
    return bool(state.whales.waiting) or any(cell.transfers for cell in state.open.values())


async def bring_days(live: LiveShard, flows: Any) -> None:
    """Read back the days of the assets that want them. Raises left.RowGone."""
    for asset in sorted(live.wanting):
        state, began = live.shard.assets[asset].flows, time.monotonic()
        buckets = {faust_tables.bucket_of(asset, *row): row[0] for row in flow.away(state)}
        rows = await flows.table.read_left(live.partition, buckets)
        flow.bring_back(state, {buckets[bucket]: held for bucket, held in rows.items()})
        live.near.add(asset)
        took = time.monotonic() - began
        log.info("%s: %d days of flow read back in %.2f s", asset, len(rows), took)
    live.wanting.clear()


def put_days_away(live: LiveShard) -> None:
    """Let go of days that nothing is waiting to be judged by; everything must be stored."""
    for asset in [a for a in live.near if not _reads_days(live.shard.assets[a])]:
        flow.put_away(live.shard.assets[asset].flows)
        live.near.discard(asset)


def second_writes(live: LiveShard) -> Iterator[tuple[bytes, bytes]]:
    """Yield the rows of the open seconds that changed."""
    for asset, second in sorted(live.dirty_seconds):
        cell = live.shard.assets[asset].open.get(second)
        if cell is None:
            continue
        stored = StoredSecond(live.second_offsets[asset, second], cell)
        live.stored_seconds.add((asset, second))
        yield f"{live.partition}/{asset}/{second}".encode(), msgspec.msgpack.encode(stored)
    live.dirty_seconds.clear()


def flow_writes(live: LiveShard) -> Iterator[tuple[str, flow.Row, bytes | None]]:
    """Yield the rows of flow that changed, then as None those that are packed or forgotten."""
    for name in sorted(live.dirty):
        flows = live.shard.assets[name].flows
        # The older first: a packed row says that all before its end is stored.
        rows = [(row, flow.row(flows, *row)) for row in sorted(flows.changed or ())]
        for row, value in rows:
            if value is not None:
                yield name, row, value
                if row[1] == flow.DAY:
                    live.near.add(name)
        for row, value in rows:
            if value is None:
                yield name, row, None
        flows.changed = set()


def writes(live: LiveShard) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield the changed assets' rows, then closed seconds as None, the shard's row last."""
    for name in sorted(live.dirty):
        state = live.shard.assets[name]
        kept = flow.FlowState(oldest_kept=state.flows.oldest_kept)
        slim = msgspec.structs.replace(state, open={}, flows=kept)
        yield f"{live.partition}/{name}".encode(), msgspec.msgpack.encode(slim)
    live.dirty.clear()
    for asset, second in sorted(live.stored_seconds):
        if second not in live.shard.assets[asset].open:
            live.stored_seconds.discard((asset, second))
            yield f"{live.partition}/{asset}/{second}".encode(), None
    live.second_offsets = {
        cell: offsets
        for cell, offsets in live.second_offsets.items()
        if cell[1] in live.shard.assets[cell[0]].open
    }
    shard = live.shard
    own = StoredShard(live.offsets, shard.inputs, shard.frontier, shard.late, shard.away)
    yield f"{live.partition}/".encode(), msgspec.msgpack.encode(own)


def pulses(findings: list[engine.Finding]) -> Iterator[AssetPulse]:
    """Yield what the market detector hears."""
    for finding in findings:
        if isinstance(finding, AssetPulse):
            yield finding
