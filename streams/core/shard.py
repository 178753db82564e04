"""What one partition of assets remembers: its input clocks, and of each asset every state."""

import msgspec

from schemas.findings import (
    AssetPulse,
    CascadeFinding,
    FeedFinding,
    SideScore,
    StressFinding,
    ThresholdFinding,
    WhaleFinding,
)
from schemas.words import PositionSide
from streams.core import inflows
from streams.core.detectors import (
    darkness,
    flow,
    interest,
    rate_state,
    recent,
    self_calibration,
    taker,
    volatility,
    watermark,
)
from streams.core.detectors.episode import Episode
from streams.core.detectors.stress import StressState
from streams.core.open_seconds import Due, OpenSeconds
from streams.core.roster import Roster

#: Every shard hears these; a second closes when all of them have passed it.
INPUTS = ("liquidations", "bars", "whale_transfers")

Finding = (
    CascadeFinding | StressFinding | WhaleFinding | AssetPulse | FeedFinding | SideScore
    | ThresholdFinding
)  # fmt: skip


class SideState(msgspec.Struct):
    """One position side of one asset."""

    rate: rate_state.RateState = msgspec.field(default_factory=rate_state.RateState)
    episode: Episode | None = None
    counts: dict[str, recent.Counts] = {}
    #: The ten seconds of which a score was told last, and the score.
    scored: tuple[int, float] = (0, 0.0)


class AssetState(msgspec.Struct):
    """Everything remembered about one asset. `at` is the last second judged, `met` the first."""

    at: int = 0
    met: int = 0
    open: OpenSeconds = msgspec.field(default_factory=OpenSeconds)
    sides: dict[PositionSide, SideState] = {}
    #: Whether an episode is open: then every second is judged, records or not.
    active: bool = False
    #: The side and second of the last pulse.
    pulsed: tuple[str, int] = ("", 0)
    tape: taker.TakerState = msgspec.field(default_factory=taker.TakerState)
    price: volatility.VolatilityState = msgspec.field(default_factory=volatility.VolatilityState)
    flows: flow.FlowState = msgspec.field(default_factory=flow.FlowState)
    stress: StressState = msgspec.field(default_factory=StressState)
    #: Open interest as told last.
    readings: dict[str, interest.Reading] = {}
    whales: inflows.Inflows = msgspec.field(default_factory=inflows.Inflows)
    #: Of no use unless thresholds move by themselves.
    blocks: self_calibration.Blocks = msgspec.field(default_factory=self_calibration.Blocks)
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
    roster: Roster = msgspec.field(default_factory=Roster)
    frontier: int = 0
    late: dict[str, int] = {}
    #: Assets that were known once, and are not any more.
    forgotten: int = 0
