"""One closed second of one asset: each position side scored, its episode followed, told.

orders shown ──> score ──> episode: opened, stepped, ended ──> findings
                   └─────> the loudest side's excess ────────> pulse
"""

from functools import partial
from typing import NamedTuple

import msgspec

from schemas.findings import AssetPulse, CascadeFinding, SideScore, ThresholdFinding
from schemas.identity import natural_id
from schemas.words import SECOND, FeedClass, PositionSide, grid_usd
from streams.core.detectors import (
    beyond_orders,
    darkness,
    direction,
    flow,
    interest,
    lead,
    log_rate,
    rate_state,
    recent,
    self_calibration,
    venue_rates,
)
from streams.core.detectors import episode as episodes
from streams.core.detectors.episode import Episode, Second
from streams.core.episode_findings import View, cascade_finding, corrected
from streams.core.open_seconds import OpenSecond
from streams.core.params import Params
from streams.core.shard import AssetState, Finding, Shard, SideState

DAY = 86_400
#: Days for which an onset is remembered: the whale test asks whether one followed.
ONSETS_KEPT = 46 * DAY
#: Of the scores within this many seconds those are told that are higher than all before.
SCORE_S = 10
#: Closed episodes of an asset that a correction still reaches: of a day, and this many.
CLOSED_KEPT = 32


class AssetSecond(NamedTuple):
    """A closed second of one asset: what it belongs to, what came for it, its high and low fill."""

    params: Params
    shard: Shard
    asset: str
    state: AssetState
    second: int
    cell: OpenSecond
    fills: tuple[float | None, float | None]


class Excess(NamedTuple):
    """By how many nats a side's score is above its threshold."""

    nats: float
    side: PositionSide
    feed_class: FeedClass


def judge(at: AssetSecond) -> list[Finding]:
    """Score both sides of a second with orders or an open episode; return what there is to tell."""
    cell, state = at.cell, at.state
    if not cell.orders and not darkness.covers(at.shard.inputs, "liquidations", at.second):
        # Nobody watched: neither calm nor the end of an episode can be told from that.
        return []
    findings: list[Finding] = _recalibrated(at)
    loudest: Excess | None = None
    for side in sorted(set(cell.orders) | {s for s, v in state.sides.items() if v.episode}):
        side_state = state.sides.setdefault(side, SideState())
        now, feed_class = _scored(at, side, side_state)
        if side_state.rate.age < at.params.onset.least_history_s:
            continue
        findings += _followed(at, side, side_state, now, feed_class)
        if _is_news(side_state, now):
            findings.append(_score(at, side, side_state, now, feed_class))
        if side_state.rate.age < at.params.onset.min_history_s:
            continue
        _note_excess(at, side_state, now, feed_class)
        excess = Excess(now.score - now.threshold, side, feed_class)
        if loudest is None or excess.nats > loudest.nats:
            loudest = excess
    state.active = any(one.episode for one in state.sides.values())
    if loudest is not None and (pulse := _pulse(at, loudest)) is not None:
        findings.append(pulse)
    return findings


def _scored(at: AssetSecond, side: PositionSide, state: SideState) -> tuple[Second, FeedClass]:
    """Take the second into the side's rate; return its score beside its threshold."""
    params, second = at.params, at.second
    clock, shown = at.shard.inputs["liquidations"], at.cell.orders.get(side, {})
    born = clock.began // SECOND
    since = state.rate.at or min(born or second, second) - 1
    elapsed = max(1, clock.covered(second) - clock.covered(since))
    after = {venue_rates.venue_of(stream): born - 1 for stream in shown}
    away = darkness.absences(clock, after | dict.fromkeys(state.rate.usual, since), second)
    priors = params.prior.of(at.asset)
    score = log_rate.step(params.onset, state.rate, second, elapsed, shown, away, priors)
    recent.step(state.counts, second, shown)
    feed_class = rate_state.feed_class(state.rate)
    if state.episode is not None and elapsed < second - since:
        episodes.skip_dark(state.episode)
    now = Second(
        second=second,
        score=score,
        threshold=_threshold(at, state, feed_class),
        orders=sum(n for v in shown.values() for n, _ in v.entries),
        usd=sum(usd or 0.0 for v in shown.values() for _, usd in v.entries),
        high=at.fills[0],
        low=at.fills[1],
    )
    beyond_orders.add_flow(params, at.asset, side, at.state.tape, state.rate, now)
    beyond_orders.less_volatility(params, at.asset, at.state.price, feed_class, now)
    now.threshold += at.state.blocks.moved.get(feed_class, 0.0)
    beyond_orders.of_young(params, state.rate, now)
    return now, feed_class


def _threshold(at: AssetSecond, state: SideState, feed_class: FeedClass) -> float:
    throttle, usual_orders = rate_state.throttle(state.rate), state.rate.usual_orders
    venues = rate_state.venues(state.rate)
    return at.params.threshold(at.asset, usual_orders, feed_class, throttle, venues)


def _recalibrated(at: AssetSecond) -> list[Finding]:
    """Move a threshold by itself where a day is over, everybody watches and nothing is called."""
    params, second, inputs = at.params.self_calibration, at.second, at.shard.inputs
    if not params.budget or at.state.active or darkness.silent_feeds(inputs, second, second):
        return []
    covered = inputs["liquidations"].covered(second)
    move = self_calibration.close(params, at.state.blocks, second, covered)
    if move is None:
        return []
    busiest = max((side.rate.usual_orders for side in at.state.sides.values()), default=0.0)
    usual = at.params.threshold(at.asset, busiest, move.feed_class)
    version = at.params.version
    return [
        ThresholdFinding(
            finding_id=natural_id("threshold", at.asset, move.feed_class, second, version),
            asset=at.asset,
            feed_class=move.feed_class,
            threshold_before=usual + move.before,
            threshold=usual + move.after,
            blocks=move.blocks,
            budget_per_week=params.budget,
            ts_event=second * SECOND,
            ts_detect=at.params.ts_judged(second),
            params_version=version,
        )
    ]


def _note_excess(at: AssetSecond, state: SideState, now: Second, feed_class: FeedClass) -> None:
    """Remember by how much the score was above the threshold of Params; not of a young baseline."""
    params, blocks = at.params.self_calibration, at.state.blocks
    if not params.budget or now.score_name == "Z60" or state.rate.age < params.block_s:
        return
    covered = at.shard.inputs["liquidations"].covered(at.second)
    excess = now.score - now.threshold + blocks.moved.get(feed_class, 0.0)
    self_calibration.note(params, blocks, (at.second, covered), feed_class, excess)


def _followed(
    at: AssetSecond, side: PositionSide, state: SideState, now: Second, feed_class: FeedClass
) -> list[CascadeFinding]:
    """Step the side's episode, or open one where the score says so; tell what it enters."""
    begun = state.episode.onset if state.episode else at.second
    episode = state.episode = state.episode or _opened(at, side, now)
    if episode is None:
        return []
    shown, inputs = at.cell.orders.get(side, {}), at.shard.inputs
    silent_around = bool(darkness.silent_feeds(inputs, begun - lead.BEFORE_S, at.second))
    silent = darkness.silent_feeds(inputs, begun, at.second)
    view = View(now, state.rate, feed_class, silent, state.counts, silent_around, at.state.readings)
    _infer_side(at, side, episode)
    episodes.add_up(at.params.onset, episode, state.rate, shown)
    closed = episode.side if side == "unknown" else side
    entered = episodes.step(at.params.onset, at.params.episode, episode, closed, now)
    if entered and episode.tier == "cascade" and not silent_around:
        episode.lead = lead.of_venues(state.counts, episode.called, at.second, episode.lead)
    finding = partial(cascade_finding, at.params, at.asset, side, episode, view)
    if "onset" in entered:
        recently = [s for s in at.state.onsets if s > at.second - ONSETS_KEPT]
        at.state.onsets = [*recently, at.second]
    findings = [finding(phase) for phase in entered]
    if at.cell.corrections:
        findings += corrected(finding("corrected"), at.cell.corrections)
    if episode.phase == "closed":
        lately = [f for f in at.state.closed if f.ts_event > (at.second - DAY) * SECOND]
        at.state.closed = [*lately[1 - CLOSED_KEPT :], finding("closed")]
        state.episode = None
    return findings


def _opened(at: AssetSecond, side: PositionSide, now: Second) -> Episode | None:
    if not episodes.opens(at.params.onset, now):
        return None
    episode = episodes.open_episode(now, side, _extremes_before(at))
    episode.interest = interest.before(at.state.readings, at.second)
    return episode


def _infer_side(at: AssetSecond, side: PositionSide, episode: Episode) -> None:
    """Say whose positions they are by flow and price, where the feed does not."""
    if side == "unknown" and (episode.side == "unknown" or episode.tier == "watch"):
        inferred = direction.infer(at.params.episode, at.state.flows, at.second)
        episodes.turn(episode, *inferred, _extremes_before(at))


def _extremes_before(at: AssetSecond) -> tuple[float | None, float | None]:
    return flow.extremes(at.state.flows, at.second // 60, at.params.episode.reference_min)


def _is_news(state: SideState, now: Second) -> bool:
    """Note a score, and return whether it is higher than those told of the same ten seconds."""
    stretch = now.second // SCORE_S
    if stretch == state.scored[0] and now.score <= state.scored[1]:
        return False
    state.scored = stretch, now.score
    return True


def _score(
    at: AssetSecond, side: PositionSide, state: SideState, now: Second, feed_class: FeedClass
) -> SideScore:
    silent = darkness.silent_feeds(at.shard.inputs, at.second, at.second)
    return SideScore(
        asset=at.asset,
        position_side=side,
        ts_event=at.second * SECOND,
        ts_detect=at.params.ts_judged(at.second),
        log_rate=now.score,
        threshold=now.threshold,
        threshold_is_default=beyond_orders.threshold_is_default(
            at.params, at.asset, feed_class, now.score_name
        ),
        score_name=now.score_name,
        feed_class=feed_class,
        coverage="unknown" if darkness.unseen(silent) else rate_state.coverage(state.rate),
    )


def _pulse(at: AssetSecond, loudest: Excess) -> AssetPulse | None:
    """Return the market detector's evidence, None where there is none.

    A major's has its orders since the last pulse, where every venue shows them all, and showed
    them all that time.
    """
    state, inputs, market = at.state.sides[loudest.side], at.shard.inputs, at.params.market
    shown = at.cell.orders.get(loudest.side, {})
    is_forced = state.rate.score >= market.forced_nats
    worths = (worth or 0.0 for venue in shown.values() for _, worth in venue.entries)
    forced_usd = sum(map(grid_usd, worths)) if is_forced else 0.0
    is_major = at.asset in market.majors
    if not forced_usd and not (is_major and loudest.nats > market.pulse_floor):
        return None
    silent = darkness.silent_feeds(inputs, at.second, at.second)
    pulse = AssetPulse(
        asset=at.asset,
        ts_event=at.second * SECOND,
        excess=loudest.nats,
        feed_class=loudest.feed_class,
        coverage="unknown" if darkness.unseen(silent) else rate_state.coverage(state.rate),
        silent=silent,
        position_side=loudest.side,
        forced_usd=forced_usd,
    )
    if not is_major:
        return pulse
    side, pulsed_at = at.state.pulsed
    at.state.pulsed = (loudest.side, at.second)
    first = at.second - lead.BEFORE_S + 1
    if side == loudest.side:
        first = max(first, pulsed_at + 1)
    if pulse.coverage != "full" or darkness.silent_feeds(inputs, first, at.second):
        return pulse
    return msgspec.structs.replace(pulse, orders=recent.added(state.counts, first, at.second))
