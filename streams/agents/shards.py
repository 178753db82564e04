"""One partition's shard as a Faust worker holds it: applied offsets beside the state.

Every asset carries the offset of its last record of each input, the shard that of its
last FeedStatus: after a crash between two writes, each skips just what it has.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from schemas.findings import AssetPulse
from schemas.status import FeedStatus
from streams import engine
from streams.agents import tables
from streams.detectors import flow, watermark
from streams.detectors.contagion import MarketState
from streams.params import Params

Offsets = dict[str, int]


class StoredAsset(msgspec.Struct):
    """An asset in the changelog; its minute flows have a table of their own."""

    offsets: Offsets
    state: engine.AssetState


class StoredShard(msgspec.Struct):
    """What a shard knows beside its assets."""

    offsets: Offsets
    inputs: dict[str, watermark.InputClock]
    frontier: int
    born: int
    late: dict[str, int]


class StoredMarket(msgspec.Struct):
    """The market detector; it has one partition."""

    offset: int
    state: MarketState


class LiveShard(msgspec.Struct):
    """A shard in memory, and which of its assets have changed since they were stored."""

    partition: int
    shard: engine.Shard
    asset_offsets: dict[str, Offsets]
    offsets: Offsets
    dirty: set[str] = set()


def load(params: Params, partition: int, states: Any, minutes: Any) -> LiveShard:
    """Build the shard of a partition from its tables; empty tables give a new one."""
    live = LiveShard(partition, engine.Shard(), {}, {})
    for key, value in states.of_partition(partition):
        name = key.decode().partition("/")[2]
        if not name:
            stored = msgspec.msgpack.decode(value, type=StoredShard)
            live.offsets = stored.offsets
            live.shard.inputs = stored.inputs
            live.shard.frontier = stored.frontier
            live.shard.born = stored.born
            live.shard.late = stored.late
        else:
            asset = msgspec.msgpack.decode(value, type=StoredAsset)
            live.shard.assets[name] = asset.state
            live.asset_offsets[name] = asset.offsets
    for name, minute, value in tables.minutes_of_partition(minutes, partition):
        if name in live.shard.assets:
            cell = msgspec.convert(value, flow.MinuteFlow)
            live.shard.assets[name].flows.minutes[minute] = cell
    live.shard.busy = engine.under_way(params, live.shard)
    return live


def apply(
    params: Params, live: LiveShard, topic: str, offset: int, record: Any
) -> engine.Step | None:
    """Step the shard with one record, or return None where it is in the state already."""
    if isinstance(record, FeedStatus):
        if offset <= live.offsets.get(topic, -1):
            return None
        live.dirty |= live.shard.busy
        live.offsets[topic] = offset
    else:
        applied = live.asset_offsets.setdefault(record.asset, {})
        if offset <= applied.get(topic, -1):
            return None
        applied[topic] = offset
        live.dirty.add(record.asset)
    return engine.step(params, live.shard, topic, record)


def writes(live: LiveShard) -> Iterator[tuple[bytes, bytes]]:
    """Yield the state table's changed entries, the shard's own one last."""
    prefix = f"{live.partition}/"
    for name in sorted(live.dirty):
        state = live.shard.assets.get(name)
        if state is None:
            continue
        slim = msgspec.structs.replace(
            state, flows=flow.FlowState(oldest_kept=state.flows.oldest_kept)
        )
        stored = StoredAsset(live.asset_offsets.get(name, {}), slim)
        yield (prefix + name).encode(), msgspec.msgpack.encode(stored)
    shard = live.shard
    own = StoredShard(live.offsets, shard.inputs, shard.frontier, shard.born, shard.late)
    yield prefix.encode(), msgspec.msgpack.encode(own)


def minute_writes(live: LiveShard) -> Iterator[tuple[str, int, Any]]:
    """Yield the minute buckets that changed (or, as None, may go), and mark them stored."""
    for name in sorted(live.dirty):
        state = live.shard.assets.get(name)
        if state is None:
            continue
        for minute in sorted(state.flows.changed):
            yield name, minute, msgspec.to_builtins(state.flows.minutes[minute])
        for minute in sorted(state.flows.dropped):
            yield name, minute, None
        state.flows.changed.clear()
        state.flows.dropped.clear()


def pulses(findings: list[engine.Finding]) -> Iterator[AssetPulse]:
    """Yield what the market detector hears."""
    for finding in findings:
        if isinstance(finding, AssetPulse):
            yield finding
