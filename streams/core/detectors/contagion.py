"""Market-wide onset: the second largest excess over the majors decides.

Pool evidence, not dollars: summing assets lets one alt's squeeze hide the market.
Source: detection.md 8.1 (market score), 8.3.5.
"""

import msgspec

from schemas import words
from schemas.findings import AssetPulse, MarketFinding
from schemas.identity import natural_id
from schemas.status import FeedStatus
from schemas.words import SECOND, Coverage, FeedClass, Phase
from streams.core.detectors import lead, recent, watermark
from streams.core.params import Params


class Pulse(msgspec.Struct, array_like=True):
    """What one asset's pulse said."""

    excess: float
    feed_class: FeedClass
    coverage: Coverage
    silent: list[str]
    orders: list[int] = []


class MarketState(msgspec.Struct):
    """Pulses of seconds not closed yet, and the open market episode if there is one."""

    clock: watermark.InputClock = msgspec.field(default_factory=watermark.InputClock)
    pending: dict[int, dict[str, Pulse]] = {}
    onset: int | None = None
    last_above: int = 0
    assets: list[str] = []
    threshold_is_default: bool = True
    coverage: Coverage = "unknown"
    silent: list[str] = []
    #: Orders a second of each asset that pulses; who led, once that was looked at.
    counts: dict[str, recent.Counts] = {}
    looked: bool = False
    led: lead.Lead | None = None


def step(
    params: Params, state: MarketState, record: AssetPulse | FeedStatus
) -> list[MarketFinding]:
    """Take in one asset's pulse or a shard's clock; return what it concludes."""
    if isinstance(record, AssetPulse):
        second = record.ts_event // SECOND
        if record.asset in params.market.majors and second >= state.clock.now // SECOND:
            state.pending.setdefault(second, {})[record.asset] = Pulse(
                record.excess, record.feed_class, record.coverage, record.silent, record.orders
            )
        return []
    findings: list[MarketFinding] = []
    if watermark.step(state.clock, record, params.stale_after_s, trusted=True).moved:
        frontier = state.clock.now // SECOND
        for second in sorted(s for s in state.pending if s < frontier):
            findings += _expire(params, state, second)
            findings += _judge(params, state, second, state.pending.pop(second))
        findings += _expire(params, state, frontier)
        _forget(state, frontier)
    return findings


def _judge(
    params: Params, state: MarketState, second: int, pulses: dict[str, Pulse]
) -> list[MarketFinding]:
    _count(state, second, pulses)
    if len(pulses) < 2:
        return []
    ranked = sorted(pulses.items(), key=lambda p: (-p[1].excess, p[0]))
    excess = ranked[1][1].excess
    feed_class = ranked[1][1].feed_class
    threshold = params.market.threshold[feed_class]
    if excess < threshold:
        return []
    state.last_above = second
    if state.onset is not None:
        return []
    state.onset, state.looked, state.led = second, False, None
    state.assets = sorted(asset for asset, pulse in pulses.items() if pulse.excess >= threshold)
    state.threshold_is_default = params.market.is_default(feed_class)
    state.coverage = words.least_complete(p.coverage for p in pulses.values())
    state.silent = sorted({feed for p in pulses.values() for feed in p.silent})
    return [_finding(params, state, "onset", second, excess, threshold)]


def _expire(params: Params, state: MarketState, frontier: int) -> list[MarketFinding]:
    ends = state.last_above + params.market.rearm_s
    if state.onset is None or frontier <= ends:
        return []
    _look(state, ends)
    finding = _finding(params, state, "closed", ends, 0.0, 0.0)
    state.onset = state.led = None
    return [finding]


def _count(state: MarketState, second: int, pulses: dict[str, Pulse]) -> None:
    """Keep the orders that pulses tell; look who led before the window is forgotten."""
    if state.onset is not None and second >= state.onset + lead.AFTER_S:
        _look(state, second)
    for asset, pulse in pulses.items():
        if pulse.orders:
            recent.follow(state.counts.setdefault(asset, recent.Counts()), second, pulse.orders)
        else:
            state.counts.pop(asset, None)


def _look(state: MarketState, second: int) -> None:
    if state.onset is None or state.looked:
        return
    of_called = {asset: counts for asset, counts in state.counts.items() if asset in state.assets}
    state.looked, state.led = True, lead.of_assets(of_called, state.onset, second)


def _forget(state: MarketState, frontier: int) -> None:
    """Drop what the next pulse will tell again."""
    if state.onset is None:
        stale = [a for a, kept in state.counts.items() if kept.end < frontier - lead.BEFORE_S]
        for asset in stale:
            del state.counts[asset]


def _finding(
    params: Params, state: MarketState, phase: Phase, second: int, excess: float, threshold: float
) -> MarketFinding:
    episode_id = natural_id("market", state.onset, params.version)
    return MarketFinding(
        finding_id=natural_id(episode_id, phase),
        episode_id=episode_id,
        phase=phase,
        ts_onset=(state.onset or 0) * SECOND,
        ts_event=second * SECOND,
        ts_detect=params.ts_judged(second),
        assets=list(state.assets),
        excess=excess,
        threshold=threshold,
        threshold_is_default=state.threshold_is_default,
        params_version=params.version,
        coverage=state.coverage,
        silent=list(state.silent),
        lead_assets=state.led.order if state.led else [],
        lead_p_value=state.led.p_value if state.led else None,
    )
