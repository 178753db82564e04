"""What the engine tells of an episode, and of corrections to orders it has counted. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from schemas.findings import CascadeFinding
from schemas.identity import natural_id
from schemas.market import Liquidation
from schemas.words import SECOND, Coverage, FeedClass, Phase, PositionSide
from streams.core.detectors import (
    beyond_orders,
    branching,
    darkness,
    interest,
    rate_state,
    reignition,
    totals,
    venue_rates,
)
from streams.core.detectors import episode as episodes
from streams.core.detectors.recent import Counts
from streams.core.detectors.totals import Total
from streams.core.params import Params


class View(NamedTuple):
    """What the feeds show of an episode by a second; `silent_around`: not all, or not before it."""

    now: episodes.Second
    rate: rate_state.RateState
    feed_class: FeedClass
    silent: list[str]
    counts: dict[str, Counts]
    silent_around: bool
    readings: dict[str, interest.Reading]


def corrected(counted: CascadeFinding, corrections: list[Liquidation]) -> Iterator[CascadeFinding]:
    """Yield one finding for each correction of an order that an episode has counted.

    `counted` has the episode's totals up to its `ts_event`. A correction that changes the
    position side itself reaches the episodes of the new side only.
    """
    side = "unknown" if counted.side_reason else counted.position_side
    for order in sorted(corrections, key=lambda c: (c.event_id, c.version)):
        second = order.ts_event // SECOND * SECOND
        if order.position_side == side and (counted.ts_onset <= second <= counted.ts_event):
            named = natural_id(counted.episode_id, "corrected", order.event_id, order.version)
            yield msgspec.structs.replace(counted, finding_id=named, phase="corrected")


def cascade_finding(
    params: Params,
    asset: str,
    side: PositionSide,
    running: episodes.Episode,
    view: View,
    phase: Phase,
) -> CascadeFinding:
    """Return what is told of a running episode as it enters `phase`."""
    now, rate = view.now, view.rate
    episode_id = natural_id(asset, side, running.onset, params.version)
    silent = sorted({*view.silent, *(darkness.FORCED + venue for venue in running.mute)})
    unseen = darkness.unseen(silent)
    coverage: Coverage = "unknown" if unseen else rate_state.coverage(rate)
    venues = sorted({venue_rates.venue_of(stream) for stream in rate.venues})
    whole, parts = _totals(params, running, unseen, venues)
    known = [part for part in parts if part.estimate is not None]
    estimated = known if len(known) == len(parts) else []
    drawdown = episodes.drawdown_bps(running)
    gone = interest.drop(view.readings, running.interest, running.onset)
    ratio = None
    if running.tier == "cascade" and view.feed_class == "full" and coverage == "full":
        ratio = branching.of_episode(view.counts, running.onset, now.second)
    return CascadeFinding(
        finding_id=natural_id(episode_id, phase, now.second),
        episode_id=episode_id,
        asset=asset,
        position_side=running.side if side == "unknown" else side,
        phase=phase,
        wave=running.wave,
        ts_onset=running.onset * SECOND,
        ts_event=now.second * SECOND,
        ts_detect=params.ts_judged(now.second),
        log_rate=now.score,
        threshold=now.threshold,
        threshold_is_default=beyond_orders.threshold_is_default(
            params, asset, view.feed_class, now.score_name
        ),
        feed_class=view.feed_class,
        coverage=coverage,
        orders=running.orders,
        notional_usd=running.usd,
        peak_usd_per_s=running.peak_rate,
        ts_peak=running.peak_at * SECOND if running.peak_at else None,
        drawdown_bps=drawdown,
        price_onset=running.price_onset,
        venues=venues,
        params_version=params.version,
        silent=silent,
        saturated=rate_state.saturated(params.onset, rate),
        side_reason=running.side_reason,
        score_name=now.score_name,
        estimate_usd=whole.estimate,
        estimate_low_usd=whole.low,
        estimate_high_usd=whole.high,
        venue_usd=[part.seen for part in parts],
        venue_estimate_usd=[part.estimate or 0.0 for part in estimated],
        venue_low_usd=[part.low or 0.0 for part in estimated],
        venue_high_usd=[part.high or 0.0 for part in estimated],
        reignition_probability=(
            reignition.stated(params.reignition, view.feed_class, running, now)
            if phase == "exhausted"
            else None
        ),
        reignition_is_default=params.reignition.weights_are_default,
        branching_ratio=None if ratio is None else ratio.point,
        branching_low=None if ratio is None else ratio.low,
        branching_high=None if ratio is None else ratio.high,
        impact_bps_per_musd=_impact(drawdown, whole.estimate),
        impact_low_bps_per_musd=_impact(drawdown, whole.high),
        impact_high_bps_per_musd=_impact(drawdown, running.usd if whole.low is None else whole.low),
        levels_swept=episodes.levels_swept(running),
        price_before=running.reference,
        price_worst=running.extreme,
        lead_venues=running.lead.order if running.lead else [],
        lead_p_value=running.lead.p_value if running.lead else None,
        missing_share=round(running.missing_share, 4),
        usual_usd_per_min=rate_state.usual_usd_per_min(rate),
        history_s=rate_state.history_s(rate),
        young=rate_state.history_s(rate) < params.onset.min_history_s,
        open_interest_drop=gone.share if gone else None,
        ts_open_interest=gone.second * SECOND if gone else None,
        # A score may pass both in one second.
        tier="watch" if phase == "watch" else running.tier,
    )


def _impact(drawdown_bps: float | None, usd: float | None) -> float | None:
    """Return the move per million dollars forced, basis points; None where either is missing."""
    return None if drawdown_bps is None or not usd else round(drawdown_bps / (usd / 1e6), 4)


def _totals(
    params: Params, running: episodes.Episode, unseen: list[str], venues: list[str]
) -> tuple[Total, list[Total]]:
    """Return the totals of an episode and of each venue."""
    named = {
        part_of_name
        for feed in unseen
        for part_of_name in feed.removeprefix(darkness.FORCED).split("-")
    }
    # A silent feed that bears no venue's name may have shown anything.
    missing_usd = running.missing_usd if not unseen or named & set(venues) else None
    streams = sorted(running.streams.items())
    parts = [
        totals.total(
            params.totals,
            (s for name, s in streams if venue_rates.venue_of(name) == venue),
            None if unseen else 0.0,
        )
        for venue in venues
    ]
    return totals.total(params.totals, (s for _, s in streams), missing_usd), parts
