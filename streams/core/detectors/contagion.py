"""Market-wide onset: many assets forced at once, or two majors far above their own usual.

    pulses of all assets ──┬── breadth: S by position side     ──┐
                           └── second largest excess of majors ──┴── the larger excess decides

    calm ── S or excess >= threshold ──> onset ── twice as many assets ──> wave* ──> closed
                                           └────── neither for 300 s ──────────────────┘

Pool evidence, not dollars: summing assets lets one alt's squeeze hide the market. Small assets
whose rows come in batches never reach thresholds of their own; breadth needs none.
Source: detection.md 8.1 (market score), 8.3.5; METHOD.md, "Market-wide".
"""

from typing import NamedTuple

import msgspec

from schemas import words
from schemas.findings import AssetPulse, MarketFinding
from schemas.identity import natural_id
from schemas.status import FeedStatus
from schemas.words import SECOND, Coverage, FeedClass, MarketScore, Phase, PositionSide
from streams.core.detectors import breadth, lead, recent, watermark
from streams.core.params import Params

#: From the least complete on: a sum of feeds is as complete as its least complete one.
_WORST_FIRST: tuple[FeedClass, ...] = ("throttled", "mixed", "full")


class Pulse(msgspec.Struct, array_like=True):
    """What one asset's pulse said."""

    excess: float
    feed_class: FeedClass
    coverage: Coverage
    silent: list[str]
    orders: list[int] = []
    position_side: PositionSide = "unknown"
    forced_usd: float = 0.0


class Score(NamedTuple):
    """A score in nats, its threshold, and what it rests on."""

    name: MarketScore
    value: float
    threshold: float
    feed_class: FeedClass
    assets: list[str]


class Wide(msgspec.Struct):
    """An open market-wide episode of one side; the last finding spoke of `announced` assets."""

    onset: int
    last_above: int
    score: MarketScore
    threshold: float
    threshold_is_default: bool
    coverage: Coverage
    assets: list[str] = []
    announced: int = 0
    largest: float = 0.0
    usd: float = 0.0
    silent: list[str] = []
    looked: bool = False
    led: lead.Lead | None = None


class MarketState(msgspec.Struct):
    """Pulses of seconds not closed yet; of each side its breadth and its open episode, if any."""

    clock: watermark.InputClock = msgspec.field(default_factory=watermark.InputClock)
    born: int = 0
    pending: dict[int, dict[str, Pulse]] = {}
    forced: dict[PositionSide, breadth.Breadth] = {}
    open: dict[PositionSide, Wide] = {}
    #: Orders a second of each asset that pulses: who led is looked at a while after the onset.
    counts: dict[str, recent.Counts] = {}


def step(
    params: Params, state: MarketState, record: AssetPulse | FeedStatus
) -> list[MarketFinding]:
    """Take in one asset's pulse or a shard's clock; return what it concludes."""
    if isinstance(record, AssetPulse):
        second = record.ts_event // SECOND
        if second >= state.clock.now // SECOND:
            state.pending.setdefault(second, {})[record.asset] = Pulse(
                record.excess, record.feed_class, record.coverage, record.silent, record.orders,
                record.position_side, record.forced_usd,
            )  # fmt: skip
        return []
    findings: list[MarketFinding] = []
    if watermark.step(state.clock, record, params.stale_after_s, trusted=True).moved:
        frontier = state.clock.now // SECOND
        state.born = state.born or frontier // 60
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
    findings = []
    for side in sorted({pulse.position_side for pulse in pulses.values()}):
        of_side = {a: pulse for a, pulse in pulses.items() if pulse.position_side == side}
        decides = _loudest(params, state, side, second, of_side)
        running = state.open.get(side)
        if running is not None:
            _grow(running, of_side, second, decides)
        elif decides is not None and decides.value >= decides.threshold:
            running = state.open[side] = _begun(params, second, of_side, decides)
            findings.append(_finding(params, running, side, "onset", second, decides.value))
        if running is not None and len(running.assets) >= 2 * running.announced:
            running.announced = len(running.assets)
            findings.append(_finding(params, running, side, "wave", second, running.largest))
    return findings


def _loudest(
    params: Params, state: MarketState, side: PositionSide, second: int, pulses: dict[str, Pulse]
) -> Score | None:
    """Return the score that is furthest above its threshold, None where there is none."""
    market = params.market
    scores = []
    forced = {a: p.forced_usd for a, p in pulses.items() if p.forced_usd}
    of_side = state.forced.get(side)
    if forced or of_side is not None:
        if of_side is None:
            of_side = state.forced[side] = breadth.begin(second // 60, state.born)
        value = breadth.step(market, of_side, second, forced)
        if value is not None and forced:
            worst = next(c for c in _WORST_FIRST if c in {p.feed_class for p in pulses.values()})
            limit = market.breadth[worst]
            scores.append(Score("breadth", value, limit, worst, sorted(of_side.sums)))
    majors = sorted(
        ((a, p) for a, p in pulses.items() if a in market.majors and p.excess > market.pulse_floor),
        key=lambda one: (-one[1].excess, one[0]),
    )
    if len(majors) > 1:
        pulse = majors[1][1]
        limit = market.threshold[pulse.feed_class]
        above = sorted(asset for asset, p in majors if p.excess >= limit)
        scores.append(Score("majors", pulse.excess, limit, pulse.feed_class, above))
    return max(scores, key=lambda score: score.value - score.threshold, default=None)


def _begun(params: Params, second: int, pulses: dict[str, Pulse], decides: Score) -> Wide:
    return Wide(
        onset=second,
        last_above=second,
        score=decides.name,
        threshold=decides.threshold,
        threshold_is_default=params.market.is_default(decides.name, decides.feed_class),
        coverage=words.least_complete(p.coverage for p in pulses.values()),
        assets=decides.assets,
        announced=len(decides.assets),
        largest=decides.value,
        usd=sum(p.forced_usd for p in pulses.values()),
        silent=sorted({feed for p in pulses.values() for feed in p.silent}),
    )


def _grow(running: Wide, pulses: dict[str, Pulse], second: int, decides: Score | None) -> None:
    """Add a second to an open episode: who takes part, what is forced, how long it lasts."""
    running.usd += sum(p.forced_usd for p in pulses.values())
    joined = {asset for asset, pulse in pulses.items() if pulse.forced_usd}
    if decides is not None and decides.value >= decides.threshold:
        running.last_above = second
        joined.update(decides.assets)
    if decides is not None and decides.name == running.score:
        running.largest = max(running.largest, decides.value)
    if not joined <= set(running.assets):
        running.assets = sorted(joined.union(running.assets))
    running.coverage = words.least_complete(
        [running.coverage, *(p.coverage for p in pulses.values())]
    )
    running.silent = sorted(
        {*running.silent, *(feed for p in pulses.values() for feed in p.silent)}
    )


def _expire(params: Params, state: MarketState, frontier: int) -> list[MarketFinding]:
    findings = []
    for side, running in sorted(state.open.items()):
        ends = running.last_above + params.market.rearm_s
        if frontier > ends:
            _look(state, running, ends)
            findings.append(_finding(params, running, side, "closed", ends, running.largest))
            del state.open[side]
    return findings


def _count(state: MarketState, second: int, pulses: dict[str, Pulse]) -> None:
    """Keep the orders that pulses tell; look who led before the window is forgotten."""
    for running in state.open.values():
        if second >= running.onset + lead.AFTER_S:
            _look(state, running, second)
    for asset, pulse in pulses.items():
        if pulse.orders:
            recent.follow(state.counts.setdefault(asset, recent.Counts()), second, pulse.orders)
        else:
            state.counts.pop(asset, None)


def _look(state: MarketState, running: Wide, second: int) -> None:
    if running.looked:
        return
    of_called = {a: counts for a, counts in state.counts.items() if a in running.assets}
    running.looked, running.led = True, lead.of_assets(of_called, running.onset, second)


def _forget(state: MarketState, frontier: int) -> None:
    """Drop what the next pulse will tell again."""
    if not state.open:
        stale = [a for a, kept in state.counts.items() if kept.end < frontier - lead.BEFORE_S]
        for asset in stale:
            del state.counts[asset]


def _finding(
    params: Params, running: Wide, side: PositionSide, phase: Phase, second: int, score: float
) -> MarketFinding:
    episode_id = natural_id("market", side, running.onset, params.version)
    return MarketFinding(
        finding_id=natural_id(episode_id, phase, *([second] if phase == "wave" else [])),
        episode_id=episode_id,
        phase=phase,
        position_side=side,
        ts_onset=running.onset * SECOND,
        ts_event=second * SECOND,
        ts_detect=params.ts_judged(second),
        assets=list(running.assets),
        score_name=running.score,
        excess=score,
        threshold=running.threshold,
        threshold_is_default=running.threshold_is_default,
        params_version=params.version,
        coverage=running.coverage,
        silent=list(running.silent),
        lead_assets=running.led.order if running.led else [],
        lead_p_value=running.led.p_value if running.led else None,
        notional_usd=running.usd,
    )
