"""One shard of assets: its input clocks, each asset's detectors, and their findings.

    record ──> open second (sums, order lists, ids)
    FeedStatus ──> input clock ──> watermark = min over inputs
    watermark past t + grace ──> second t is closed, judged once, never reopened
    an input where all are silent ──> waited for up to a bound, then left out (darkness.py)
    a correction or removal ──> the open second in which it was told

Pure: no clock, no I/O. `step` changes the state that it is handed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple
from zlib import crc32

import msgspec

from schemas.bars import Bar
from schemas.findings import CascadeFinding, WhaleFinding
from schemas.market import Liquidation, OpenInterest
from schemas.status import FeedStatus
from schemas.words import MINUTE, SECOND, grid_usd
from streams.core import inflows, open_seconds, roster, sides
from streams.core.detectors import (
    darkness,
    faults,
    flow,
    interest,
    stress,
    taker,
    venue_rates,
    volatility,
    watermark,
)
from streams.core.episode_findings import corrected
from streams.core.open_seconds import DataRecord, second_of
from streams.core.params import Params
from streams.core.shard import AssetState, Finding, Shard
from streams.core.sides import AssetSecond

#: Over so many minutes the packing of an hour's flow is spread, by asset.
SETTLE_APART_MIN = 10


#: Venues and instruments of an asset at most, on each side: its state is one Kafka message.
NAMES = 512


class Step(NamedTuple):
    """What became certain; `refused` is "duplicate", "late", "told", "full", "crowded" or "behind".

    "full": there are too many assets that are new, or names of venues of one.
    "refuted": an earlier word of this one's producer, that was not believed yet, is not.
    `judged` are the assets of which a second was, `forgotten` those that are gone.
    """

    findings: Sequence[Finding] = ()
    refused: str | None = None
    judged: Sequence[str] = ()
    forgotten: Mapping[str, AssetState] = {}


#: What nearly every record leads to: nothing but that it waits for its second to close.
TAKEN_IN = Step()


def step(params: Params, shard: Shard, topic: str, record: DataRecord | FeedStatus) -> Step:
    """Take in one record of `topic`; return what became certain through it."""
    if isinstance(record, FeedStatus):
        return _tell_time(params, shard, topic, record)
    second = second_of(record)
    if shard.inputs[topic].pending:
        watermark.note(shard.inputs[topic], second * SECOND)
    late = second < shard.frontier or darkness.is_late(
        shard.inputs, shard.away, topic, second, params.grace, params.stale_after_s
    )
    late_share = shard.away.late_shares.get(topic)
    if late_share is None:
        late_share = shard.away.late_shares[topic] = faults.LateShare()
    late_share.records += 1
    if late:
        late_share.late += 1
        shard.late[topic] = shard.late.get(topic, 0) + 1
        return Step(refused="late")
    state = shard.assets.get(record.asset)
    if state is None:
        return _met(shard, record, second)
    if not isinstance(record, Bar) and not _has_room(state, record, second):
        return Step(refused="full")
    refused = _put_in(shard, state, record, second)
    return TAKEN_IN if refused is None else Step(refused=refused)


def _met(shard: Shard, record: DataRecord, second: int) -> Step:
    """Take in the first record of an asset, for which the one longest idle may have to go."""
    leaving = roster.leaving(shard.roster, shard.due.busy)
    if leaving is None:
        return Step(refused="full")
    forgotten = _forget(shard, [leaving] if leaving else [])
    return Step(refused=put_in(shard, record, second), forgotten=forgotten)


def _has_room(state: AssetState, record: DataRecord, second: int) -> bool:
    """Return whether an asset's venues and instruments may be one more, if this is a new one."""
    cell = state.open.cells.get(second)
    if isinstance(record, Liquidation):
        stream = venue_rates.stream_of(record.venue, record.instrument, record.coverage)
        side = state.sides.get(record.position_side)
        known = side.rate.venues if side is not None else {}
        opened = cell.orders.get(record.position_side, {}) if cell is not None else {}
        return len(known) + len(opened) < NAMES or stream in known or stream in opened
    if isinstance(record, OpenInterest):
        opened_here = len(cell.open_interest) if cell is not None else 0
        known_here = interest.name_of(record) in state.readings
        return known_here or len(state.readings) + opened_here < NAMES
    return True


def put_in(shard: Shard, record: DataRecord, second: int) -> str | None:
    """Put a record that is not late into its second, or say why not: "told" or "duplicate"."""
    state = shard.assets.get(record.asset)
    if state is None:
        state = shard.assets[record.asset] = AssetState()
        roster.note(shard.roster, record.asset, second)
    return _put_in(shard, state, record, second)


def _put_in(shard: Shard, state: AssetState, record: DataRecord, second: int) -> str | None:
    if second <= state.at:
        # Only after a restart: the asset was stored later than its shard's clock.
        return "told"
    cell = open_seconds.cell_of(state.open, second)
    open_seconds.await_second(shard.due, record.asset, second)
    return None if open_seconds.put(cell, record) else "duplicate"


def under_way(params: Params, shard: Shard) -> dict[str, int]:
    """Return what is due when of each asset, from the assets alone."""
    due = ((asset, _next_second(params, state)) for asset, state in shard.assets.items())
    return {asset: second for asset, second in due if second is not None}


def _tell_time(params: Params, shard: Shard, topic: str, status: FeedStatus) -> Step:
    before = darkness.lasting(shard.inputs)
    without = darkness.left_out(shard.away) if shard.away.dark else set[str]()
    seen = darkness.step(shard.inputs, shard.away, topic, status, params.stale_after_s)
    if seen.refused is not None:
        return Step(refused=seen.refused)
    findings: list[Finding] = []
    if before or darkness.lasting(shard.inputs):
        findings += darkness.news(shard.inputs, before, status, params.stale_after_s)
    if shard.away.dark:
        findings += darkness.unspoken(shard.inputs, without, shard.away, status)
    refused = None
    if seen.refuted is not None:
        refused, reached = "refuted", shard.inputs[topic].now // SECOND
        findings += filter(None, [faults.doubt(shard.away.doubts, seen.refuted.producer, reached)])
    if not seen.moved:
        return Step(findings, refused) if findings or refused else TAKEN_IN
    if topic in shard.away.late_shares:
        late_share, reached = shard.away.late_shares[topic], shard.inputs[topic].now // SECOND
        findings += filter(None, [faults.look(late_share, topic, reached)])
    frontier = darkness.frontier(shard.inputs, shard.away, params.grace)
    if frontier <= shard.frontier:
        return Step(findings, refused) if findings or refused else TAKEN_IN
    before_frontier, shard.frontier = shard.frontier, frontier
    findings += _of_stuck_inputs(shard, topic)
    judged = open_seconds.due_before(shard.due, frontier)
    for asset in judged:
        following = _close_until(params, shard, asset, shard.assets[asset], frontier, findings)
        if following is not None:
            open_seconds.await_second(shard.due, asset, following)
        roster.note(shard.roster, asset, shard.assets[asset].at)
    idle: list[str] = []
    if frontier // 60 > before_frontier // 60:
        oldest = frontier - 60 * params.whale.history_min - 3_600
        idle = roster.overdue(shard.roster, shard.due.busy, oldest)
    return Step(findings, refused, judged, _forget(shard, idle))


def _of_stuck_inputs(shard: Shard, topic: str) -> Iterator[Finding]:
    """Yield what there is to tell of other inputs whose records are late and whose time stands."""
    for name, late_share in shard.away.late_shares.items():
        if name != topic and late_share.late >= faults.ENOUGH:
            yield from filter(None, [faults.look(late_share, name, shard.frontier)])


def _forget(shard: Shard, assets: Iterable[str]) -> dict[str, AssetState]:
    """Let go of assets, and return what they were."""
    forgotten = {}
    for asset in assets:
        roster.drop(shard.roster, asset)
        forgotten[asset] = shard.assets.pop(asset)
    shard.forgotten += len(forgotten)
    return forgotten


def enrol(shard: Shard) -> None:
    """Put the assets of a shard that was stored asset by asset into its roster."""
    for asset, state in sorted(shard.assets.items(), key=lambda item: (item[1].at, item[0])):
        # Never judged as its own row says: its flow was stored, the row was not.
        met, last = (state.met, state.at) if state.at else (shard.frontier, shard.frontier)
        roster.note(shard.roster, asset, met)
        roster.note(shard.roster, asset, last)


def _next_second(params: Params, state: AssetState) -> int | None:
    """Return the next second that needs judging, or None while nothing is under way."""
    if state.active:
        return state.at + 1
    opened = state.open.order[0] if state.open.order else None
    if not state.whales.waiting:
        return opened
    due = max(inflows.due_second(params, state.whales) or 0, state.at + 1)
    return due if opened is None else min(opened, due)


def _close_until(
    params: Params,
    shard: Shard,
    asset: str,
    state: AssetState,
    frontier: int,
    findings: list[Finding],
) -> int | None:
    """Judge the seconds before `frontier`; return the next one that needs judging."""
    while True:
        second = _next_second(params, state)
        if second is None or second >= frontier:
            return second
        cell = open_seconds.close(state.open, second)
        state.at, state.met = second, state.met or second
        fills = _take_bars(params, state, second, cell.bars)
        if minutes := [bar for bar in cell.bars if bar.width == MINUTE]:
            findings += stress.step(params, state.stress, asset, second, minutes)
        if cell.open_interest:
            interest.step(state.readings, cell.open_interest)
        if cell.corrections:
            findings += _correct_closed(params, state, second, cell.corrections)
        if cell.orders or state.active:
            findings += sides.judge(AssetSecond(params, shard, asset, state, second, cell, fills))
        if cell.transfers:
            findings += inflows.step(
                params, state.whales, asset, second, cell.transfers, state.onsets
            )
        if state.whales.waiting:
            verdicts = inflows.judge(params, state.whales, asset, second, state.flows, state.onsets)
            findings += (_with_silences(shard, verdict) for verdict in verdicts)


def _take_bars(
    params: Params, state: AssetState, second: int, bars: list[Bar]
) -> tuple[float | None, float | None]:
    """Add a second's bars to the minute flows and return its fill range."""
    if not bars:
        return None, None
    flow.step(state.flows, second, bars)
    if state.sides:
        # Of no use to an asset of which nothing was ever liquidated.
        state.tape.coarse = any(bar.width > SECOND for bar in bars)
        net = sum(grid_usd(bar.buy_usd) - grid_usd(bar.sell_usd) for bar in bars)
        taker.step(params.flow, state.tape, second, net)
    # An hour back: no bar is longer, so none can open before that any more. And not all
    # assets in the same minute, as a day's packing takes a millisecond each.
    minute = second // 60
    if minute - 60 >= state.flows.settled + 60:
        apart = crc32(bars[0].asset.encode()) % SETTLE_APART_MIN
        flow.settle(state.flows, minute - 60 - apart)
    flow.forget(state.flows, minute - params.whale.history_min - 60)
    high, low = bars[0].high, bars[0].low
    for bar in bars:
        high, low = max(high, bar.high), min(low, bar.low)
    if state.sides:
        volatility.step(params.volatility, state.price, second, high, low)
    return high, low


def _correct_closed(
    params: Params, state: AssetState, second: int, corrections: list[Liquidation]
) -> Iterator[CascadeFinding]:
    """Yield what corrections mean for episodes that have ended."""
    detected = params.ts_judged(second)
    for ended in state.closed:
        for finding in corrected(ended, corrections):
            yield msgspec.structs.replace(finding, ts_event=second * SECOND, ts_detect=detected)


def _with_silences(shard: Shard, verdict: WhaleFinding) -> WhaleFinding:
    first, last = verdict.ts_event // SECOND, verdict.ts_window_end // SECOND
    if silent := darkness.silent_feeds(shard.inputs, first, last):
        return msgspec.structs.replace(verdict, coverage="unknown", silent=silent)
    return verdict
