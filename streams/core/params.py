"""Every number the detectors use, with where it comes from; versioned by content."""

from functools import lru_cache
from typing import Annotated

import msgspec

from schemas.identity import natural_id
from schemas.words import SECOND, FeedClass, MarketScore, Throttle
from streams.core.detectors.prior import PriorParams
from streams.core.shipped import (
    DEFAULT_BY_RATE,
    DEFAULT_BY_RATE_DEEP,
    ByRate,
    ByVenue,
    ThrottledRate,
    by_rate,
    shown_of,
)

#: detection.md 8.3.5: both assets slightly below their own thresholds.
DEFAULT_MARKET: dict[str, float] = {"full": -0.6, "mixed": -0.6, "throttled": -0.3}
#: METHOD.md, "Market-wide": full and mixed from simulated markets of three assets, throttled from
#: a recording of 151 (one venue's batches): one other alarm in 9.6 days.
DEFAULT_BREADTH: dict[str, float] = {"full": 4.0, "mixed": 4.0, "throttled": 4.5}
#: Fitted on simulator seeds 171, 172 under the rules of each class of feed.
DEFAULT_REIGNITION: dict[str, tuple[float, float, float, float, float]] = {
    "full": (-0.3303, -0.01, -1.3033, -0.7195, 0.3969),
    "mixed": (-1.0544, -0.1756, -1.5978, -0.5099, 0.3435),
    "throttled": (-1.0118, -0.0877, -2.3156, -0.6008, 0.4497),
}
#: Minutes back that are surely at hand one by one: the flow of an hour ago may be packed.
MINUTES_NEAR = 60
MAJORS = ("ADA", "AVAX", "BCH", "BNB", "BTC", "DOGE", "DOT", "ETH", "LINK", "LTC", "SOL", "XRP")
DEFAULT_MULTIPLIERS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "latest_per_second": (
        (0.0, 0.0, 8.22),
        (0.23, 2.11, 9.64),
        (0.58, 3.2, 11.41),
        (0.81, 4.2, 13.18),
        (1.31, 7.43, 32.62),
        (1.92, 8.21, 29.01),
        (1.27, 22.49, 71.66),
    ),
    "largest_per_second": (
        (0.0, 0.0, 2.78),
        (0.08, 0.69, 2.47),
        (0.13, 0.79, 2.17),
        (0.25, 0.73, 1.51),
        (0.38, 0.75, 1.94),
        (0.25, 0.6, 0.96),
        (0.29, 1.06, 1.67),
    ),
}
STABLECOINS = ("BUSD", "DAI", "FDUSD", "TUSD", "USDC", "USDT")


class OnsetParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Z30: windows in seconds, winsorisation in mean orders, thresholds in nats."""

    tau_count_s: int = 30
    tau_usd_s: int = 10
    tau_baseline_input_s: int = 60
    baseline_s: int = 7 * 86_400
    winsor_orders: float = 50.0
    mean_order_memory: int = 5_000
    #: A venue that has shown nothing while so many orders were to be expected of it by what the
    #: others show (at most one a second) is out, though no feed says so.
    mute_orders: float = 20.0
    #: Until the baseline has seen this much covered time findings say that it is `young`;
    #: nothing is called before `least_history_s`.
    min_history_s: int = 3_600
    least_history_s: int = 300
    #: While it is young, ten times the assumed mean rate for so long is called too: a mean is four
    #: times the usual, from which bursts are cut (simulator seed 171), and a minute's memory
    #: reaches 27 of those 40 times within the second one. Held for three minutes, not five, it
    #: raises five times as many false alarms.
    young_nats: float = 3.3
    young_hold_s: int = 300
    #: Thresholds of an asset by class of feed, "*" those of all others; who has none is judged by
    #: `by_rate`.
    cascade: dict[str, dict[str, float]] = {}
    by_rate: dict[str, ByRate] = msgspec.field(default_factory=lambda: dict(DEFAULT_BY_RATE))
    by_rate_deep: dict[str, ByRate] = msgspec.field(
        default_factory=lambda: dict(DEFAULT_BY_RATE_DEEP)
    )
    throttled_rate: ThrottledRate = ThrottledRate()
    #: Watch tier lies this far below (detection.md 4.3: 7 a week against 1 a week).
    watch_below: float = 0.65
    #: An episode ends when the score was this far below the threshold for `rearm_s`; one that
    #: is still open is called again after `again_s` of it (4.3: 60 s find more than 300 s).
    rearm_below: float = 1.4
    rearm_s: int = 300
    again_s: int = 120
    thresholds_are_default: bool = True
    #: Classes of feed that an asset's thresholds were fitted on; empty: all that are given.
    calibrated: dict[str, tuple[FeedClass, ...]] = {}

    def is_default(self, asset: str, feed_class: FeedClass) -> bool:
        """Return whether this threshold was never fitted to anybody's history."""
        if self.thresholds_are_default or not self.calibrated:
            return self.thresholds_are_default
        return feed_class not in self.calibrated.get(asset, self.calibrated.get("*", ()))


class FlowParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Z30+flow, for feeds that show the latest order only: seconds, and thresholds in nats.

    Used where every venue of an asset is such, and never beside calibrated thresholds of
    Z30 while its own are defaults. Without a `cascade` `OnsetParams.by_rate` decides; an
    empty one switches it off.
    """

    weight: float = 2.0
    tau_s: int = 30
    baseline_s: int = 7 * 86_400
    min_history_s: int = 3_600
    #: Without a bar for longer there is no tape.
    stale_s: int = 60
    cascade: dict[str, float] | None = None
    thresholds_are_default: bool = True


class VolatilityParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Z30-vol, where a venue is complete or flow is added: minutes and nats.

    Thresholds are those without it, less `lower`: on simulator seeds 151-154 it was .17 to .22
    for each asset on complete and mixed feeds, .31 to .46 beside flow. Never used beside
    calibrated thresholds while `lower` is a default. No weight: switched off.
    """

    weight: float = 0.35
    tau_min: int = 20
    baseline_min: int = 7 * 1440
    min_history_min: int = 60
    #: So that no crash can silence itself: at most this many nats of volatility count.
    limit: float = 2.0
    lower: float = 0.19
    lower_with_flow: float = 0.4
    lower_is_default: bool = True


class EpisodeParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """detection.md section 1, lifecycle: shares of the peak rate; seconds and minutes."""

    tau_rate_s: int = 30
    wave_fall: float = 0.5
    wave_rise: float = 2.0
    wave_share: float = 0.2
    peak_fall: float = 0.5
    peak_hold_s: int = 30
    exhausted_share: float = 0.05
    exhausted_hold_s: int = 120
    reference_min: Annotated[int, msgspec.Meta(ge=1, le=MINUTES_NEAR)] = 5
    #: How far price levels lie apart.
    level_bps: float = 10.0
    #: Where the side is not told: minutes read, and what is too little to tell by.
    direction_min: Annotated[int, msgspec.Meta(ge=1, le=MINUTES_NEAR)] = 5
    direction_lean: float = 0.02
    direction_move_bps: float = 10.0


class ReignitionParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of core.detectors.reignition by class of feed; a class without states none."""

    weights: dict[str, tuple[float, float, float, float, float]] = msgspec.field(
        default_factory=lambda: dict(DEFAULT_REIGNITION)
    )
    weights_are_default: bool = True


class MarketParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Market-wide onset: breadth over all assets, or the second largest excess over the majors.

    `threshold` is of the majors' excess, `breadth` of the other; nats. An asset is forced in a
    second in which it has orders and its Z30 is at least `forced_nats`.
    """

    majors: tuple[str, ...] = MAJORS
    threshold: dict[str, float] = msgspec.field(default_factory=lambda: dict(DEFAULT_MARKET))
    breadth: dict[str, float] = msgspec.field(default_factory=lambda: dict(DEFAULT_BREADTH))
    forced_nats: float = 1.5
    baseline_min: int = 7 * 1440
    min_history_min: int = 60
    #: What one ordinary forced order is worth, USD.
    order_usd: float = 2_500.0
    pulse_floor: float = -1.0
    rearm_s: int = 300
    thresholds_are_default: bool = True
    calibrated: tuple[FeedClass, ...] = ()
    breadth_calibrated: tuple[FeedClass, ...] = ()

    def is_default(self, score: MarketScore, feed_class: FeedClass) -> bool:
        """Return whether a score's threshold was never fitted to anybody's history."""
        if score == "breadth":
            return feed_class not in self.breadth_calibrated
        return self.thresholds_are_default or bool(
            self.calibrated and feed_class not in self.calibrated
        )


class SelfCalibrationParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds that the engine moves by itself: off without a `budget`, alarms a week and asset.

    True alarms count, as nobody labels them. `blocks` of `block_s` seconds are remembered; the
    threshold it began with weighs as much as `weight_blocks` of them. It moves by `step` nats at
    most a block, and by `reach` in all.
    """

    budget: Annotated[float, msgspec.Meta(ge=0, le=50)] = 0.0
    block_s: Annotated[int, msgspec.Meta(ge=3_600)] = 86_400
    blocks: Annotated[int, msgspec.Meta(ge=1, le=400)] = 90
    least_blocks: Annotated[int, msgspec.Meta(ge=1)] = 14
    weight_blocks: Annotated[float, msgspec.Meta(ge=0)] = 10.0
    step: Annotated[float, msgspec.Meta(ge=0)] = 0.1
    reach: Annotated[float, msgspec.Meta(ge=0)] = 1.0


class TotalsParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What throttled feeds hide: from simulated complete tapes, `tests/bench/totals.py`.

    `multipliers` of the hidden USD (2.5 %, median, 97.5 %) by rule, where hidden / seen is
    below each of `shares`, and above.
    """

    shares: tuple[float, ...] = (0.1, 0.3, 0.7, 1.3, 2.0, 2.6)
    multipliers: dict[str, tuple[tuple[float, float, float], ...]] = msgspec.field(
        default_factory=lambda: dict(DEFAULT_MULTIPLIERS)
    )


class StressParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stress by minute bars: nats, and seconds below the threshold until it is over.

    Fitted at one alarm a week and asset on busy months of five assets' futures; quiet months and
    the crash of 2025-10-10: `python -m streams.evaluate.real`.
    """

    threshold: float = 2.49
    rearm_s: int = 1_800
    threshold_is_default: bool = True


class WhaleParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """detection.md 5.3: window and history in minutes, floors in USD."""

    window_min: int = 45
    history_min: int = 45 * 1440
    scale_min: int = 120
    placebo_step_min: int = 3
    placebos_max: int = 1_500
    placebos_min: int = 150
    alpha: float = 0.01
    #: Stands in for a tenth of the 1 % depth until a book feed exists.
    floor_usd: dict[str, float] = msgspec.field(
        default_factory=lambda: {"BTC": 15e6, "ETH": 7e6, "*": 1e6}
    )
    not_sold: tuple[str, ...] = STABLECOINS

    def floor(self, asset: str) -> float:
        """Return the smallest inflow worth testing, USD."""
        return self.floor_usd.get(asset, self.floor_usd["*"])


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of them; two sets that differ anywhere have different versions."""

    #: Event time past a second's end after which it is judged; what comes later is late. Measured
    #: on recordings no trade came more than 0.3 s behind; `undertow feeds --lateness` tells yours.
    grace_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 250
    #: A feed that says nothing while another's time runs on this far is held for silent.
    stale_after_s: int = 60
    onset: OnsetParams = OnsetParams()
    flow: FlowParams = FlowParams()
    volatility: VolatilityParams = VolatilityParams()
    prior: PriorParams = PriorParams()
    self_calibration: SelfCalibrationParams = SelfCalibrationParams()
    episode: EpisodeParams = EpisodeParams()
    reignition: ReignitionParams = ReignitionParams()
    market: MarketParams = MarketParams()
    stress: StressParams = StressParams()
    whale: WhaleParams = WhaleParams()
    totals: TotalsParams = TotalsParams()

    def thresholds(self, asset: str, usual_orders: float) -> dict[str, float]:
        """Return an asset's cascade thresholds in nats by class of feed, and kind of throttle.

        `usual_orders`: those forced on one position side on a usual day.
        """
        rows = self.onset.cascade
        if given := rows.get(asset, rows.get("*")):
            return given
        names = (*self.onset.by_rate, "mixed")
        return {name: self._shipped(asset, usual_orders, name, None) for name in names}

    def threshold(
        self, asset: str, usual_orders: float, feed_class: FeedClass,
        throttle: Throttle | None = None, venues: ByVenue | None = None,
    ) -> float:  # fmt: skip
        """Return the cascade threshold in nats for an asset on a class of feed.

        `throttle`: what a throttled one is where that has a threshold of its own; `venues`: what
        is usual at each, without which half of a mixed feed is taken for complete.
        """
        rows = self.onset.cascade
        given = rows.get(asset, rows.get("*"))
        names = given or self.onset.by_rate
        name = throttle if throttle is not None and throttle in names else feed_class
        return given[name] if given else self._shipped(asset, usual_orders, name, venues)

    def flow_threshold(self, asset: str, usual_orders: float) -> float | None:
        """Return the threshold of Z30+flow in nats, None where it is not to be used."""
        calibrated = self.onset.thresholds_are_default or not self.flow.thresholds_are_default
        if not calibrated:
            return None
        if (rows := self.flow.cascade) is not None:
            return rows.get(asset, rows.get("*"))
        return self._by_rate(asset, usual_orders, "flow")

    def _shipped(self, asset: str, usual_orders: float, name: str, venues: ByVenue | None) -> float:
        if name == "mixed":
            half = usual_orders / 2
            venues, name = venues or ByVenue(half, (half,)), "throttled"
        elif name not in ("throttled", "latest") or venues is None:
            return self._by_rate(asset, usual_orders, name)
        alone = self._by_rate(asset, usual_orders, name)
        if not venues.complete and len(venues.throttled) < 2:
            return alone
        full = self._by_rate(asset, usual_orders, "full")
        return max(alone, shown_of(self.onset.throttled_rate, full, venues))

    def _by_rate(self, asset: str, usual_orders: float, name: str) -> float:
        is_deep = self.prior.liquidity(asset) == "deep"
        rows = self.onset.by_rate_deep if is_deep else self.onset.by_rate
        return by_rate(rows[name], usual_orders)

    def counts_volatility(self, threshold_is_default: bool) -> bool:
        """Return whether volatility goes with a threshold: a calibrated one is not shifted."""
        return threshold_is_default or not self.volatility.lower_is_default

    @property
    def grace(self) -> int:
        """Grace in microseconds."""
        return self.grace_ms * 1_000

    def ts_judged(self, second: int) -> int:
        """Return the event time at which a second is judged, microseconds."""
        return (second + 1) * SECOND + self.grace

    @property
    def version(self) -> str:
        """Identity of this set of numbers, 20 hex characters."""
        return _version(msgspec.json.encode(self))


@lru_cache(maxsize=64)
def _version(content: bytes) -> str:
    return natural_id(content.decode())


class ParamsError(Exception):
    """A parameter file that cannot be used; the message says where."""
