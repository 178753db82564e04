"""One partition's shard as a Faust worker holds it, in rows that survive a crash between any two.

    row of        keyed                holds                       guards against repetition by
    a minute      (asset, minute)      taker flow, fill range      the last second folded in
    an hour, day  (asset, hour/day)    packed minutes              its end: all before is packed
    an asset      p/asset              detectors' state            `at`, the last second judged
    the shard     p/                   clocks                      the last offset of each topic

Written in that order (parts are dropped after what they were packed into), so whatever is there
after a crash skips just what it has. What is open is in no row: it is still on its topic, from
the offset that the shard's row names, and is read from there again. Days stay in the changelog
until a deposit is to be judged by them: 45 of them are 1.7 MB an asset.
"""

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from schemas.findings import AssetPulse
from schemas.onchain import WhaleTransfer
from schemas.status import FeedStatus
from streams.core import engine, open_seconds
from streams.core.detectors import flow, watermark
from streams.core.detectors.contagion import MarketState
from streams.core.detectors.darkness import Darkness
from streams.core.params import Params
from streams.core.shard import INPUTS, AssetState, Finding, Shard
from streams.detect import faust_tables

log = logging.getLogger("undertow.detect")
Offsets = dict[str, int]
#: A message's offset, and a record's place in it.
Place = tuple[int, int]


class StoredShard(msgspec.Struct):
    """What a shard knows beside its assets.

    `offsets` are the last ones taken of each topic, `since` the first ones of what is open.
    `refused` were late for their own input, though their second is open on another's account.
    """

    offsets: Offsets
    inputs: dict[str, watermark.InputClock]
    frontier: int
    late: dict[str, int]
    away: Darkness = msgspec.field(default_factory=Darkness)
    since: Offsets = {}
    refused: dict[str, list[Place]] = {}


class StoredSecond(msgspec.Struct):
    """A row of earlier versions: an open second, with the offsets that are in it."""

    offsets: Offsets
    cell: open_seconds.OpenSecond


class StoredMarket(msgspec.Struct):
    """The market detector; it has one partition."""

    offset: int
    state: MarketState


class Opened(msgspec.Struct):
    """Of one topic: the offset that each open second begins with, and what of it was late."""

    firsts: deque[Place] = msgspec.field(default_factory=deque)
    seconds: set[int] = set()
    refused: list[tuple[int, Place]] = []


class LiveShard(msgspec.Struct):
    """A shard in memory, and what of it has changed since it was stored.

    `near` are the assets whose days of flow are here; `wanting` must have them before any time
    passes. `old` are the seconds that rows of an earlier version hold, `gone` the assets that
    were forgotten, with their rows of flow.
    """

    partition: int
    shard: Shard
    offsets: Offsets
    opened: dict[str, Opened] = msgspec.field(
        default_factory=lambda: {name: Opened() for name in INPUTS}
    )
    dirty: set[str] = set()
    near: set[str] = set()
    wanting: set[str] = set()
    since: Offsets = {}
    refused: dict[str, set[Place]] = {}
    old: set[tuple[str, int]] = set()
    gone: dict[str, set[flow.Row]] = {}


def load(params: Params, partition: int, states: Any, flows: Any) -> LiveShard:
    """Build the shard of a partition from its tables; empty tables give a new one.

    What is open is not in it: `again` has to be handed the messages of `to_read`.
    """
    live = LiveShard(partition, Shard(), {})
    seconds: dict[tuple[str, int], StoredSecond] = {}
    for key, value in states.of_partition(partition):
        _, asset, *second = key.decode().split("/")
        if second:
            seconds[asset, int(second[0])] = msgspec.msgpack.decode(value, type=StoredSecond)
        elif asset:
            live.shard.assets[asset] = msgspec.msgpack.decode(value, type=AssetState)
        else:
            _restore(live, msgspec.msgpack.decode(value, type=StoredShard))
    live.shard.away.awaited = set(INPUTS)
    rows: dict[str, dict[flow.Row, bytes | None]] = {}
    for asset, row, value in faust_tables.rows_of_partition(flows, partition):
        rows.setdefault(asset, {})[row] = None if isinstance(value, faust_tables.Left) else value
    for asset in rows:
        live.shard.assets.setdefault(asset, AssetState())
    for (asset, number), stored in seconds.items():
        live.old.add((asset, number))
        state = live.shard.assets.setdefault(asset, AssetState())
        if number > state.at:
            open_seconds.restore(state.open, number, stored.cell)
    for asset, state in live.shard.assets.items():
        state.flows.changed = set()
        flow.restore(state.flows, rows.get(asset, {}))
        _want(live, asset)
    engine.enrol(live.shard)
    for asset, number in engine.under_way(params, live.shard).items():
        open_seconds.await_second(live.shard.due, asset, number)
    return live


def _restore(live: LiveShard, stored: StoredShard) -> None:
    live.offsets = stored.offsets
    live.shard.inputs = stored.inputs
    live.shard.frontier = stored.frontier
    live.shard.late = stored.late
    live.shard.away = stored.away
    live.since = stored.since
    live.refused = {topic: set(places) for topic, places in stored.refused.items()}


def to_read(live: LiveShard) -> dict[str, range]:
    """Return the offsets, by topic, of what a loaded shard must be handed again."""
    spans = {name: range(live.since[name], live.offsets[name] + 1) for name in live.since}
    return {name: span for name, span in spans.items() if span}


def again(live: LiveShard, topic: str, offset: int, records: Iterable[Any]) -> None:
    """Put back what of a message was open when the shard was stored; it was told of already."""
    late = live.refused.get(topic, ())
    for number, record in enumerate(records):
        if isinstance(record, FeedStatus):
            continue
        second = open_seconds.second_of(record)
        if second < live.shard.frontier:
            continue
        if (offset, number) in late:
            live.opened[topic].refused.append((second, (offset, number)))
        elif engine.put_in(live.shard, record, second) is None:
            _note_open(live, topic, offset, record, second)


def apply(
    params: Params, live: LiveShard, topic: str, offset: int, records: Sequence[Any]
) -> list[engine.Step]:
    """Step the shard with the records of one message, unless they are in the state already."""
    if offset <= live.offsets.get(topic, -1):
        return []
    live.offsets[topic] = offset
    return [_apply(params, live, topic, (offset, n), record) for n, record in enumerate(records)]


def _apply(params: Params, live: LiveShard, topic: str, place: Place, record: Any) -> engine.Step:
    result = engine.step(params, live.shard, topic, record)
    if result is engine.TAKEN_IN and isinstance(record, FeedStatus):
        return result
    live.dirty.update(result.judged)
    for asset, state in result.forgotten.items():
        live.gone.setdefault(asset, set()).update(flow.rows(state.flows))
        for assets in (live.dirty, live.near, live.wanting):
            assets.discard(asset)
    if isinstance(record, FeedStatus):
        return result
    if result.refused is None:
        _note_open(live, topic, place[0], record, open_seconds.second_of(record))
    elif result.refused == "late":
        second = open_seconds.second_of(record)
        if second >= live.shard.frontier:
            live.opened[topic].refused.append((second, place))
    return result


def _note_open(live: LiveShard, topic: str, offset: int, record: Any, second: int) -> None:
    flows = live.shard.assets[record.asset].flows
    if flows.changed is None:
        flows.changed = set()
    opened = live.opened[topic]
    if second not in opened.seconds:
        opened.seconds.add(second)
        opened.firsts.append((offset, second))
    if isinstance(record, WhaleTransfer):
        _want(live, record.asset)


def _since(opened: Opened, frontier: int) -> int | None:
    """Return the offset of the first message with anything open, and forget what is closed."""
    while opened.firsts and opened.firsts[0][1] < frontier:
        opened.seconds.discard(opened.firsts.popleft()[1])
    if opened.refused:
        opened.refused = [late for late in opened.refused if late[0] >= frontier]
    return opened.firsts[0][0] if opened.firsts else None


def _want(live: LiveShard, asset: str) -> None:
    state = live.shard.assets[asset]
    if _reads_days(state) and flow.away(state.flows):
        live.wanting.add(asset)


def _reads_days(state: AssetState) -> bool:
    return bool(state.whales.waiting) or any(cell.transfers for cell in state.open.cells.values())


async def bring_days(live: LiveShard, flows: Any) -> None:
    """Read back the days of the assets that want them. Raises RowGone."""
    for asset in sorted(live.wanting):
        state, began = live.shard.assets[asset].flows, time.monotonic()
        buckets = {faust_tables.bucket_of(asset, *row): row[0] for row in flow.away(state)}
        rows = await flows.table.read_left(live.partition, buckets)
        flow.bring_back(state, {buckets[bucket]: packed for bucket, packed in rows.items()})
        live.near.add(asset)
        took = time.monotonic() - began
        log.info("%s: %d days of flow read back in %.2f s", asset, len(rows), took)
    live.wanting.clear()


def put_days_away(live: LiveShard) -> None:
    """Let go of days that nothing is waiting to be judged by; everything must be stored."""
    for asset in [a for a in live.near if not _reads_days(live.shard.assets[a])]:
        flow.put_away(live.shard.assets[asset].flows)
        live.near.discard(asset)


def flow_writes(live: LiveShard) -> Iterator[tuple[str, flow.Row, bytes | None]]:
    """Yield the rows of flow that changed, then as None those that are packed or forgotten."""
    for name, gone in sorted(live.gone.items()):
        again = live.shard.assets.get(name)
        kept = set(flow.rows(again.flows)) if again is not None else set()
        yield from ((name, row, None) for row in sorted(gone - kept))
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
    """Yield the changed assets' rows, those of assets forgotten as None, the shard's row last."""
    for name in sorted(live.gone.keys() - live.dirty):
        yield f"{live.partition}/{name}".encode(), None
    live.gone.clear()
    for name in sorted(live.dirty):
        state = live.shard.assets[name]
        kept = flow.FlowState(oldest_kept=state.flows.oldest_kept)
        slim = msgspec.structs.replace(state, open=open_seconds.OpenSeconds(), flows=kept)
        yield f"{live.partition}/{name}".encode(), msgspec.msgpack.encode(slim)
    live.dirty.clear()
    shard = live.shard
    for asset, second in sorted(cell for cell in live.old if cell[1] < shard.frontier):
        live.old.discard((asset, second))
        yield f"{live.partition}/{asset}/{second}".encode(), None
    since = {name: _since(opened, shard.frontier) for name, opened in live.opened.items()}
    stored = StoredShard(
        offsets=live.offsets,
        inputs=shard.inputs,
        frontier=shard.frontier,
        late=shard.late,
        away=shard.away,
        since={name: offset for name, offset in since.items() if offset is not None},
        refused={
            name: [place for _, place in opened.refused]
            for name, opened in live.opened.items()
            if opened.refused
        },
    )
    yield f"{live.partition}/".encode(), msgspec.msgpack.encode(stored)


def pulses(findings: Iterable[Finding]) -> Iterator[AssetPulse]:
    """Yield what the market detector hears."""
    for finding in findings:
        if isinstance(finding, AssetPulse):
            yield finding
