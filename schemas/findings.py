"""What the detectors conclude, each with the inputs it rests on."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.words import (
    Asset,
    AssetOrNone,
    Count,
    Coverage,
    FeedClass,
    FeedNews,
    Finite,
    Identity,
    MarketScore,
    Micros,
    Name,
    NotionalUsd,
    Phase,
    PositionSide,
    Price,
    Probability,
    ScoreName,
    Severity,
    StressPhase,
    SumUsd,
    Text,
    Tier,
    Verdict,
    Version,
)

#: Far more than there are venues or producers; a finding stays one message of Kafka's.
MOST = 1_000
Names = Annotated[list[Name], Meta(max_length=MOST)]
Assets = Annotated[list[Asset], Meta(max_length=MOST)]
Identities = Annotated[list[Identity], Meta(max_length=MOST)]
Totals = Annotated[list[SumUsd], Meta(max_length=MOST)]
Counts = Annotated[list[Count], Meta(max_length=MOST)]


class CascadeFinding(msgspec.Struct, frozen=True, kw_only=True, tag="cascade"):
    """One step in the life of a liquidation episode of one asset and position side.

    `ts_onset` is when the score left calm, `ts_event` the second that decided this
    step, `ts_detect` the event time at which that second was closed. Totals are what
    was seen since onset: a lower bound wherever `coverage` is not `full`. `corrected`:
    a venue took back or changed an order after it was counted here; the totals stay as
    they were counted, and a sum over `liquidations` is the better one from then on.
    `silent`: feeds ("topic/producer", or "liquidations/venue" of one that showed nothing while
    the others did) that told nothing at some time since onset; one of liquidations makes
    `coverage` unknown. `missing_share`: the largest share, since onset, of the usual USD that
    belongs to venues which told nothing; score and baseline both leave these out.
    `saturated`: throttled venues whose order a second came every second, so that `log_rate` is
    a floor and measures duration. `side_reason` is given where the orders' side is not told:
    what `position_side` was read from, or why not.
    `score_name` says what `log_rate` and `threshold` are of (`Z60`: a minute's rates are some ten
    times an assumed mean for minutes, called while `young`); `threshold_is_default`: that one
    was not fitted for this asset and class of feed. `estimate_usd` adds what throttled feeds
    left out, with its 95 % interval, and what silent venues usually show beside the others; None
    where a silent feed is no known venue's or a coverage is not known. `venue_…` are the same
    for each of `venues`, the estimates empty where one of them is not known.
    `reignition_probability`, when `exhausted`: that another fifth of all USD forced since onset
    follows within half an hour; None for a class of feed or a score without fitted
    weights, by simulated markets' weights while `reignition_is_default`.
    `branching_ratio`: orders that one forced order sets off, with its 95 % interval, of the last
    quarter of an hour since onset at most; 1 stands for 1 or more. None unless every venue is
    complete, and with few orders. Interval and ratio hold for an outer rate that does not drift.
    `impact_bps_per_musd`: `drawdown_bps` over `estimate_usd` in millions, `impact_low_…` and
    `impact_high_…` over its interval. It holds whatever else moved the price, so it is from
    above; without an estimate only `impact_high_…` is told, over the USD seen, which are a lower
    bound. None without trades: no liquidation's own price enters.
    `levels_swept`: of the levels, 10 basis points apart, beyond the worst fill of the first second,
    those that fills passed for the first time while orders were forced (in the same bar of
    trades); the rest of the way was made without. `price_before` and `price_worst` are the fills
    that `drawdown_bps` runs between.
    `lead_venues`: complete venues in the order in which their orders rose and fell, from 5 min
    before the onset to 10 min after it at most; `lead_p_value`: of there being no such order, by
    block shifts. Empty and None with fewer than two, or too few orders, or a silent feed. Who
    comes first need not be the cause: contagion and a common shock look the same.
    `open_interest_drop`: the share of open positions (in base units, over the instruments with a
    reading before the episode and one since) that are gone, negative where they grew;
    `ts_open_interest`: the oldest reading it rests on. None where no feed tells.
    `tier`: `watch` until the score has passed the threshold, `cascade` from then on; None in
    findings of older versions.
    `usual_usd_per_min`: what the venues that speak force in a usual minute of the last days, their
    largest orders cut; None before anything was learnt.
    `history_s`: watched seconds that the usual was learnt from, of the venue known longest. Before
    seven days of it an assumed usual of assets alike is mixed in, the more the less there is;
    `young`: it is under an hour.
    """

    finding_id: Identity
    episode_id: Identity
    asset: Asset
    position_side: PositionSide
    phase: Phase
    wave: Count
    ts_onset: Micros
    ts_event: Micros
    ts_detect: Micros
    log_rate: Finite
    threshold: Finite
    threshold_is_default: bool
    feed_class: FeedClass
    coverage: Coverage
    orders: Count
    notional_usd: SumUsd
    peak_usd_per_s: SumUsd
    ts_peak: Micros | None
    drawdown_bps: Finite | None
    price_onset: Price | None
    venues: Names
    params_version: Identity
    silent: Identities = []
    saturated: Names = []
    side_reason: Text = ""
    score_name: ScoreName = "Z30"
    estimate_usd: SumUsd | None = None
    estimate_low_usd: SumUsd | None = None
    estimate_high_usd: SumUsd | None = None
    venue_usd: Totals = []
    venue_estimate_usd: Totals = []
    venue_low_usd: Totals = []
    venue_high_usd: Totals = []
    reignition_probability: Probability | None = None
    reignition_is_default: bool = True
    branching_ratio: Probability | None = None
    branching_low: Probability | None = None
    branching_high: Probability | None = None
    impact_bps_per_musd: Finite | None = None
    impact_low_bps_per_musd: Finite | None = None
    impact_high_bps_per_musd: Finite | None = None
    levels_swept: Count | None = None
    price_before: Price | None = None
    price_worst: Price | None = None
    lead_venues: Names = []
    lead_p_value: Probability | None = None
    open_interest_drop: Finite | None = None
    ts_open_interest: Micros | None = None
    missing_share: Probability = 0.0
    usual_usd_per_min: SumUsd | None = None
    tier: Tier | None = None
    history_s: Count = 0
    young: bool = False


class MarketFinding(msgspec.Struct, frozen=True, kw_only=True, tag="market"):
    """A market-wide cascade of one position side begins (`onset`), widens (`wave`) or is over.

    `score_name`: which score decided. `breadth`: assets forced at once and their USD, against a
    usual minute; `majors`: the second largest excess of the majors over their own thresholds.
    `excess` is that score in nats, from the first `wave` on its largest since onset.
    `assets`: those that took part since onset; a `wave` is told when they are twice as many as
    were told last. `notional_usd`: what was seen forced of them since onset, in seconds in which
    each was far above its own usual: a lower bound.
    `coverage` is that of the least complete asset's evidence, `silent` all their silent feeds.
    `lead_assets`, when `closed`: those of `assets` whose venues are all complete, in the order in
    which their orders rose and fell, from 5 min before onset to 10 min after it at most;
    `lead_p_value`: of there being no such order, by block shifts. Empty and None with fewer than
    two. The order of onset seconds says less: who is larger passes its threshold earlier. Nor is
    who comes first the cause: contagion and a common shock look the same.
    """

    finding_id: Identity
    episode_id: Identity
    phase: Phase
    ts_onset: Micros
    ts_event: Micros
    ts_detect: Micros
    assets: Assets
    excess: Finite
    threshold: Finite
    threshold_is_default: bool
    params_version: Identity
    coverage: Coverage = "unknown"
    silent: Identities = []
    lead_assets: Assets = []
    lead_p_value: Probability | None = None
    position_side: PositionSide = "unknown"
    score_name: MarketScore = "majors"
    notional_usd: SumUsd | None = None


class StressFinding(msgspec.Struct, frozen=True, kw_only=True, tag="stress"):
    """An asset's price and taker flow run one way far beyond the usual, by minute bars alone.

    No liquidation is seen or meant. `stress` is a score in nats, `cvd_usd` what takers bought less
    what they sold in the last three minutes, `move_bps` the move of the middle price in the last
    five. `closed`: it has been below its threshold for half an hour.
    """

    finding_id: Identity
    episode_id: Identity
    asset: Asset
    phase: StressPhase
    ts_onset: Micros
    ts_event: Micros
    ts_detect: Micros
    stress: Finite
    threshold: Finite
    threshold_is_default: bool
    cvd_usd: Finite
    move_bps: Finite
    venues: Names
    params_version: Identity


class WhaleFinding(msgspec.Struct, frozen=True, kw_only=True, tag="whale_selling"):
    """Was a transfer into an exchange followed by selling there beyond placebo?

    `p_value` is (1 + placebos at least as extreme) / (1 + placebos) under the null
    that the inflow changed nothing on the destination venue relative to the others.
    `consistent_with_selling` is not proof; `not_testable` says why in `reason`.
    `shared`: other inflows to the same venue overlap; `credit` is its share of them by
    USD and overlap, which is a convention, not a measurement. `posterior`: the chance that
    its own selling followed, by the asset's p-values before it (None before 50 of them).
    `address_e`: the e-value so far of `sender`, a label or else an address; one that never
    sells on reaches 20 with a chance of at most 1/20. None where the sender is not known.
    `venue` is the exchange as the provider labels it. `version` is the transfer's. `retracted`
    takes back the finding that `retracts` names, whose verdict was `retracted_verdict`: that
    version was the one that superseded it.
    `coverage` is `full` unless a feed in `silent` told nothing at some time of the window.
    """

    finding_id: Identity
    event_id: Identity
    asset: Asset
    venue: Identity
    verdict: Verdict
    reason: Text
    notional_usd: NotionalUsd | None
    excess_selling_usd: Finite | None
    statistic: Finite | None
    p_value: Probability | None
    placebos: Count
    shared: bool
    onset_followed: bool
    onset_placebo_rate: Probability | None
    ts_event: Micros
    ts_window_end: Micros
    ts_detect: Micros
    params_version: Identity
    version: Version = 1
    retracts: Identity | None = None
    retracted_verdict: Verdict | None = None
    credit: Probability | None = None
    posterior: Probability | None = None
    address_e: Finite | None = None
    sender: Identity | None = None
    coverage: Coverage = "full"
    silent: Identities = []


class AssetPulse(msgspec.Struct, frozen=True, kw_only=True, tag="pulse"):
    """One asset's largest excess (score minus threshold) over its sides in one closed second.

    `forced_usd`: what was forced of that side in it, where its Z30 says that far more is than
    usual; else 0.
    `orders`, of majors: forced orders of each second since the last pulse, of 300 at most, up to
    this one; empty where not every venue is complete, or one was silent.
    """

    asset: Asset
    ts_event: Micros
    excess: Finite
    feed_class: FeedClass
    coverage: Coverage = "unknown"
    silent: Identities = []
    orders: Counts = []
    position_side: PositionSide = "unknown"
    forced_usd: SumUsd = 0.0


class SideScore(msgspec.Struct, frozen=True, kw_only=True, tag="score"):
    """How near an asset's position side is to its next alarm, in one closed second.

    Told of a second in which the score is higher than before in the same ten seconds. Without
    forced orders there is none, nor before enough was learnt. `log_rate`, `threshold` and
    `score_name` are as in `CascadeFinding`; at `log_rate` >= `threshold` a cascade is called.
    """

    asset: Asset
    position_side: PositionSide
    ts_event: Micros
    ts_detect: Micros
    log_rate: Finite
    threshold: Finite
    threshold_is_default: bool
    score_name: ScoreName
    feed_class: FeedClass
    coverage: Coverage


class ThresholdFinding(msgspec.Struct, frozen=True, kw_only=True, tag="threshold"):
    """The engine moved an asset's threshold on a class of feed towards the budget.

    `threshold_before` and `threshold` are of Z30 on the busier side, nats; all others move by as
    much. `blocks`: days whose largest score decided. `budget_per_week`: alarms that are wanted.
    """

    finding_id: Identity
    asset: Asset
    feed_class: FeedClass
    threshold_before: Finite
    threshold: Finite
    blocks: Count
    budget_per_week: Finite
    ts_event: Micros
    ts_detect: Micros
    params_version: Identity


class FeedFinding(msgspec.Struct, frozen=True, kw_only=True, tag="feed"):
    """A producer fell silent (by its word, or without one), is back, or is at fault: an alert.

    `ts_event` is its last word before the silence, or its first after it. Of what is `late` or
    `misplaced` the input stands in for the producer, whose name no record bears.
    """

    finding_id: Identity
    producer: Name
    state: FeedNews
    reason: Text
    ts_event: Micros
    ts_detect: Micros


class Alert(msgspec.Struct, frozen=True, kw_only=True, tag="alert"):
    """A finding told to people; its identity carries no volatile number.

    `title` and `text` are for reading; every number in them is a field too, None where the
    finding has none: those of a cascade as in `CascadeFinding`, `p_value` of a deposit's verdict.
    `assets`: those of a market-wide cascade. `pace_usd_per_min`: forced now, at the rate of the
    worst seconds so far. `cvd_usd` and `move_bps`: those of a stress. `replayed`: written so long
    after `ts_detect` that nobody need be woken.
    """

    alert_id: Identity
    dedup_key: Identity
    kind: Identity
    tier: Tier
    severity: Severity
    asset: AssetOrNone
    title: Text
    text: Text
    finding_id: Identity
    ts_event: Micros
    ts_detect: Micros
    ts_onset: Micros | None = None
    position_side: PositionSide | None = None
    venues: Names = []
    assets: Assets = []
    coverage: Coverage | None = None
    silent: Identities = []
    threshold_is_default: bool | None = None
    orders: Count | None = None
    notional_usd: SumUsd | None = None
    estimate_usd: SumUsd | None = None
    estimate_low_usd: SumUsd | None = None
    estimate_high_usd: SumUsd | None = None
    pace_usd_per_min: SumUsd | None = None
    usual_usd_per_min: SumUsd | None = None
    price_before: Price | None = None
    price_worst: Price | None = None
    drawdown_bps: Finite | None = None
    reignition_probability: Probability | None = None
    excess_selling_usd: Finite | None = None
    p_value: Probability | None = None
    posterior: Probability | None = None
    cvd_usd: Finite | None = None
    move_bps: Finite | None = None
    replayed: bool = False
    history_s: Count | None = None
