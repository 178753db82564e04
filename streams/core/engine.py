"""One shard of assets: its input clocks, each asset's detectors, and their findings.

    record ──> open second (sums, order lists, ids)
    FeedStatus ──> input clock ──> watermark = min over inputs
    watermark past t + grace ──> second t is closed, judged once, never reopened
    an input where all are silent ──> waited for up to a bound, then left out (darkness.py)
    a correction or removal ──> the open second in which it was told

Pure: no clock, no I/O. `step` is handed the state and hands it back changed.
"""

from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

import msgspec

from schemas.bars import Bar
from schemas.findings import AssetPulse, CascadeFinding, FeedFinding, WhaleFinding
from schemas.market import Liquidation
from schemas.status import FeedStatus
from schemas.words import SECOND, PositionSide, grid_usd
from streams.core import inflows, open_seconds
from streams.core.detectors import (
    beyond_orders,
    darkness,
    direction,
    flow,
    interest,
    lead,
    log_rate,
    recent,
    taker,
    volatility,
    watermark,
)
from streams.core.detectors import episode as episodes
from streams.core.episode_findings import View, cascade_finding, corrected
from streams.core.open_seconds import DataRecord, Due, OpenSecond, OpenSeconds, second_of
from streams.core.params import Params

#: Every shard hears these; a second closes when all of them have passed it.
INPUTS = ("liquidations", "bars", "whale_transfers")
DAY = 86_400
#: Closed episodes of an asset that a correction still reaches: of a day, and this many.
CLOSED_KEPT = 32
#: Over so many minutes the packing of an hour's flow is spread, by asset.
SETTLE_APART_MIN = 10

Finding = CascadeFinding | WhaleFinding | AssetPulse | FeedFinding


class SideState(msgspec.Struct):
    """One position side of one asset."""

    rate: log_rate.RateState = msgspec.field(default_factory=log_rate.RateState)
    episode: episodes.Episode | None = None
    counts: dict[str, recent.Counts] = {}


class AssetState(msgspec.Struct):
    """Everything remembered about one asset. `at` is the last second judged."""

    at: int = 0
    open: OpenSeconds = msgspec.field(default_factory=OpenSeconds)
    sides: dict[PositionSide, SideState] = {}
    #: Whether an episode is open: then every second is judged, records or not.
    active: bool = False
    #: The side and second of the last pulse.
    pulsed: tuple[str, int] = ("", 0)
    tape: taker.TakerState = msgspec.field(default_factory=taker.TakerState)
    price: volatility.VolatilityState = msgspec.field(default_factory=volatility.VolatilityState)
    flows: flow.FlowState = msgspec.field(default_factory=flow.FlowState)
    #: Open interest as told last.
    readings: dict[str, interest.Reading] = {}
    whales: inflows.Inflows = msgspec.field(default_factory=inflows.Inflows)
    onsets: list[int] = []
    #: The last finding of each episode that ended lately.
    closed: list[CascadeFinding] = []


class Shard(msgspec.Struct):
    """The assets of one partition, and how far event time has come for them."""

    inputs: dict[str, watermark.InputClock] = msgspec.field(
        default_factory=lambda: {name: watermark.InputClock() for name in INPUTS}
    )
    away: darkness.Darkness = msgspec.field(default_factory=darkness.Darkness)
    assets: dict[str, AssetState] = {}
    due: Due = msgspec.field(default_factory=Due)
    frontier: int = 0
    late: dict[str, int] = {}


class Step(NamedTuple):
    """What became certain; `refused` is "duplicate", "late", "told", "crowded" or "behind".

    "refuted": an earlier word of this one's producer, that was not believed yet, is not.
    `judged` are the assets of which a second was.
    """

    findings: list[Finding]
    refused: str | None = None
    judged: list[str] = []


def step(params: Params, shard: Shard, topic: str, record: DataRecord | FeedStatus) -> Step:
    """Take in one record of `topic`; return what became certain through it."""
    if isinstance(record, FeedStatus):
        refused = watermark.refusal(shard.inputs[topic], record, params.stale_after_s)
        return Step([], refused) if refused else _tell_time(params, shard, topic, record)
    second = second_of(record)
    watermark.note(shard.inputs[topic], second * SECOND)
    if second < shard.frontier or darkness.is_late(
        shard.inputs, shard.away, topic, second, params.grace_s, params.stale_after_s
    ):
        shard.late[topic] = shard.late.get(topic, 0) + 1
        return Step([], "late")
    return Step([], put_in(shard, record, second))


def put_in(shard: Shard, record: DataRecord, second: int) -> str | None:
    """Put a record that is not late into its second, or say why not: "told" or "duplicate"."""
    state = shard.assets.get(record.asset)
    if state is None:
        state = shard.assets[record.asset] = AssetState()
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
    before, without = darkness.lasting(shard.inputs), darkness.left_out(shard.away)
    seen = darkness.observe(shard.inputs, shard.away, topic, status, params.stale_after_s)
    findings: list[Finding] = []
    findings += darkness.news(shard.inputs, before, status, params.stale_after_s)
    findings += darkness.unspoken(shard.inputs, without, shard.away, status)
    refused = "refuted" if seen.refuted else None
    if not seen.moved:
        return Step(findings, refused)
    frontier = darkness.frontier(shard.inputs, shard.away, params.grace_s)
    if frontier <= shard.frontier:
        return Step(findings, refused)
    shard.frontier = frontier
    judged = open_seconds.due_before(shard.due, frontier)
    for asset in judged:
        following = _close_until(params, shard, asset, shard.assets[asset], frontier, findings)
        if following is not None:
            open_seconds.await_second(shard.due, asset, following)
    return Step(findings, refused, judged)


def _next_second(params: Params, state: AssetState) -> int | None:
    """Return the next second that needs judging, or None while nothing is under way."""
    if state.active:
        return state.at + 1
    following = state.open.order[:1]
    if (due := inflows.due_second(params, state.whales)) is not None:
        following.append(max(due, state.at + 1))
    return min(following, default=None)


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
        state.at = second
        high, low = _take_bars(params, state, second, cell.bars)
        if cell.open_interest:
            interest.take(state.readings, cell.open_interest)
        if cell.corrections:
            findings += _correct_closed(params, state, second, cell.corrections)
        _judge_sides(params, shard, asset, state, second, cell, (high, low), findings)
        if cell.transfers:
            findings += inflows.take(
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
    flow.take_second(state.flows, second, bars)
    if state.sides:
        # Of no use to an asset of which nothing was ever liquidated.
        state.tape.coarse = any(bar.width > SECOND for bar in bars)
        net = sum(grid_usd(bar.buy_usd) - grid_usd(bar.sell_usd) for bar in bars)
        taker.take(params.flow, state.tape, second, net)
    # An hour back: no bar is longer, so none can open before that any more. And not all
    # assets in the same minute, as a day's packing takes a millisecond each.
    if second // 60 - 60 >= state.flows.settled + 60:
        apart = crc32(bars[0].asset.encode()) % SETTLE_APART_MIN
        flow.settle(state.flows, second // 60 - 60 - apart)
    flow.forget(state.flows, second // 60 - params.whale.history_min - 60)
    high, low = max(bar.high for bar in bars), min(bar.low for bar in bars)
    if state.sides:
        volatility.take(params.volatility, state.price, second, high, low)
    return high, low


def _judge_sides(
    params: Params,
    shard: Shard,
    asset: str,
    state: AssetState,
    second: int,
    cell: OpenSecond,
    fills: tuple[float | None, float | None],
    findings: list[Finding],
) -> None:
    if not cell.orders and not state.active:
        return
    if not cell.orders and not darkness.covers(shard.inputs, "liquidations", second):
        # Nobody watched: neither calm nor the end of an episode can be told from that.
        return
    clock = shard.inputs["liquidations"]
    born = clock.began // SECOND
    silent = darkness.silent_feeds(shard.inputs, second, second)
    pulse: AssetPulse | None = None
    loudest: PositionSide = "unknown"
    for side in sorted(set(cell.orders) | {s for s, v in state.sides.items() if v.episode}):
        held = state.sides.setdefault(side, SideState())
        shown = cell.orders.get(side, {})
        since = held.rate.at or min(born or second, second) - 1
        elapsed = max(1, clock.covered(second) - clock.covered(since))
        after = {log_rate.venue_of(stream): born - 1 for stream in shown}
        away = darkness.absences(clock, after | dict.fromkeys(held.rate.usual, since), second)
        score = log_rate.step(params.onset, held.rate, second, elapsed, shown, away)
        recent.take(held.counts, second, shown)
        feed_class = log_rate.feed_class(held.rate)
        if held.episode is not None and elapsed < second - since:
            episodes.skip_dark(held.episode)
        now = episodes.Second(
            second=second,
            score=score,
            threshold=params.onset.threshold(asset, feed_class),
            orders=sum(n for v in shown.values() for n, _ in v.entries),
            usd=sum(usd or 0.0 for v in shown.values() for _, usd in v.entries),
            high=fills[0],
            low=fills[1],
        )
        beyond_orders.judge(
            params, asset, side, state.tape, state.price, held.rate, feed_class, now
        )
        if held.rate.age < params.onset.min_history_s:
            continue
        begun = held.episode.onset if held.episode else second
        view = View(
            feed_class,
            darkness.silent_feeds(shard.inputs, begun, second),
            held.counts,
            bool(darkness.silent_feeds(shard.inputs, begun - lead.BEFORE_S, second)),
            state.readings,
        )
        _follow(params, asset, side, state, held, now, view, shown, cell.corrections, findings)
        excess = now.score - now.threshold
        heard = asset in params.market.majors and excess > params.market.pulse_floor
        if heard and (pulse is None or excess > pulse.excess):
            pulse = AssetPulse(
                asset=asset,
                ts_event=second * SECOND,
                excess=excess,
                feed_class=feed_class,
                coverage="unknown" if darkness.unseen(silent) else log_rate.coverage(held.rate),
                silent=silent,
            )
            loudest = side
    state.active = any(held.episode for held in state.sides.values())
    if pulse is not None:
        findings.append(_with_orders(shard, state, loudest, second, pulse))


def _with_orders(
    shard: Shard, state: AssetState, side: PositionSide, second: int, pulse: AssetPulse
) -> AssetPulse:
    """Give a pulse the orders since the last one, where every venue shows them all."""
    first = second - lead.BEFORE_S + 1
    if state.pulsed[0] == side:
        first = max(first, state.pulsed[1] + 1)
    state.pulsed = (side, second)
    if pulse.coverage != "full" or darkness.silent_feeds(shard.inputs, first, second):
        return pulse
    orders = recent.added(state.sides[side].counts, first, second)
    return msgspec.structs.replace(pulse, orders=orders)


def _follow(
    params: Params,
    asset: str,
    side: PositionSide,
    state: AssetState,
    held: SideState,
    now: episodes.Second,
    view: View,
    shown: dict[str, log_rate.VenueSecond],
    corrections: list[Liquidation],
    findings: list[Finding],
) -> None:
    if held.episode is None:
        if not episodes.opens(params.onset, now):
            return
        before = flow.extremes(state.flows, now.second // 60, params.episode.reference_min)
        held.episode = episodes.open_episode(now, side, before)
        held.episode.interest = interest.before(state.readings, now.second)
    running = held.episode
    if side == "unknown" and (running.side == "unknown" or running.tier == "watch"):
        told = direction.infer(params.episode, state.flows, now.second)
        before = flow.extremes(state.flows, now.second // 60, params.episode.reference_min)
        episodes.turn(running, *told, before)
    episodes.add_up(params.onset, running, held.rate, shown)
    closed = running.side if side == "unknown" else side
    _, entered = episodes.step(params.onset, params.episode, running, closed, now)
    if entered and running.tier == "cascade" and not view.silent_around:
        running.lead = lead.of_venues(held.counts, running.called, now.second, running.lead)
    for phase in entered:
        if phase == "onset":
            state.onsets = [s for s in state.onsets if s > now.second - 46 * DAY] + [now.second]
        findings.append(cascade_finding(params, asset, side, held.rate, running, phase, now, view))
    if corrections:
        counted = cascade_finding(params, asset, side, held.rate, running, "corrected", now, view)
        findings += corrected(counted, corrections)
    if running.phase == "closed":
        ended = cascade_finding(params, asset, side, held.rate, running, "closed", now, view)
        lately = [f for f in state.closed if f.ts_event > (now.second - DAY) * SECOND]
        state.closed = [*lately[1 - CLOSED_KEPT :], ended]
        held.episode = None


def _correct_closed(
    params: Params, state: AssetState, second: int, corrections: list[Liquidation]
) -> Iterator[CascadeFinding]:
    """Yield what corrections mean for episodes that have ended."""
    detected = (second + 1 + params.grace_s) * SECOND
    for ended in state.closed:
        for finding in corrected(ended, corrections):
            yield msgspec.structs.replace(finding, ts_event=second * SECOND, ts_detect=detected)


def _with_silences(shard: Shard, verdict: WhaleFinding) -> WhaleFinding:
    first, last = verdict.ts_event // SECOND, verdict.ts_window_end // SECOND
    if silent := darkness.silent_feeds(shard.inputs, first, last):
        return msgspec.structs.replace(verdict, coverage="unknown", silent=silent)
    return verdict
