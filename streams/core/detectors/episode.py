"""The life of one liquidation episode: watch, onset, waves, peak, exhausted, closed.

    calm ── Z >= watch ──> watch ── Z >= cascade ──> onset ──> wave* / peak* ──> exhausted
      ^                      │                                     ^               │   │
      └── Z low for 300 s ───┴──────────── closed <── Z low ───────┼───────────────┘   │
                                                                   └── reignited <─────┘
    Z low for 120 s, then Z >= cascade: reignited too, from any phase of an open cascade

Rules and their error rates: detection.md section 1 (lifecycle) and 4.3 (re-arming).
"""

import math
from collections.abc import Mapping

import msgspec

from schemas.words import THROTTLED, Phase, PositionSide, ScoreName, Tier
from streams.core.detectors import totals
from streams.core.detectors.lead import Lead
from streams.core.detectors.rate_state import RateState, missing_share, mute
from streams.core.detectors.venue_rates import VenueSecond, unthrottle
from streams.core.params import EpisodeParams, OnsetParams


class Second(msgspec.Struct):
    """One closed second of one asset and side, as the episode needs it."""

    second: int
    score: float
    threshold: float
    orders: int
    usd: float
    high: float | None
    low: float | None
    score_name: ScoreName = "Z30"


class Episode(msgspec.Struct):
    """What has been seen since the score left calm; sums are lower bounds."""

    onset: int
    tier: Tier = "watch"
    phase: Phase = "watch"
    orders: int = 0
    usd: float = 0.0
    rate: float = 0.0
    peak_rate: float = 0.0
    peak_at: int = 0
    peak_told: float = 0.0
    wave: int = 1
    falling: bool = False
    wave_peak: float = 0.0
    trough: float = 0.0
    below_half_since: int | None = None
    faded_since: int | None = None
    low_score_since: int | None = None
    #: The score was low for long enough that reaching its threshold is news.
    rested: bool = False
    #: Score less threshold, the most of any second.
    largest_excess: float = -math.inf
    reference: float | None = None
    extreme: float | None = None
    price_onset: float | None = None
    levels: int = 0
    #: Whether anything was forced since the last fill.
    forced: bool = False
    #: What is read from price and flow where orders do not tell their side.
    side: PositionSide = "unknown"
    side_reason: str = ""
    #: USD by stream, for the estimate of what throttled ones left out.
    streams: dict[str, totals.Seen] = {}
    #: USD to be expected of venues that were out, and the largest share of the usual they make.
    missing_usd: float = 0.0
    missing_share: float = 0.0
    #: Venues that showed nothing while the others did, though no feed said so.
    mute: list[str] = []
    #: The second of its onset, and which venues led then.
    called: int = 0
    lead: Lead | None = None
    #: Base units open as it began, by venue and instrument.
    interest: dict[str, float] = {}


def opens(params: OnsetParams, now: Second) -> bool:
    """Return whether a calm series leaves calm in this second."""
    return now.score >= now.threshold - params.watch_below


def open_episode(
    now: Second, side: PositionSide, before: tuple[float | None, float | None]
) -> Episode:
    """Start an episode; `before` is the (high, low) of fills in the minutes before it."""
    return Episode(onset=now.second, reference=before[1] if side == "short" else before[0])


def step(
    onset: OnsetParams, params: EpisodeParams, episode: Episode, side: PositionSide, now: Second
) -> list[Phase]:
    """Fold one closed second into the episode and return the phases it enters."""
    _accumulate(params, episode, side, now)
    entered: list[Phase] = []
    if episode.tier == "watch":
        if episode.onset == now.second:
            entered.append("watch")
        if now.score >= now.threshold:
            episode.tier = "cascade"
            episode.rested = False
            episode.phase = "onset"
            episode.called = now.second
            entered.append("onset")
    else:
        entered += _waves(params, episode, now)
        entered += _peak(params, episode, now)
        entered += _exhaustion(params, episode, now)
        entered += _again(episode, now, entered)
    _rest(onset, episode, now)
    if _calm_again(onset, episode, now):
        episode.phase = "closed"
        entered.append("closed")
    return entered


def add_up(
    params: OnsetParams, episode: Episode, rate: RateState, shown: Mapping[str, VenueSecond]
) -> None:
    """Add a closed second's USD by stream, and what throttles and venues that are out hid."""
    share = missing_share(rate)
    if share > 0.0:
        episode.missing_share = max(episode.missing_share, share)
        episode.mute = sorted({*episode.mute, *mute(params, rate)})
    for stream, second in shown.items():
        seen = episode.streams.get(stream)
        if seen is None:
            seen = episode.streams[stream] = totals.Seen(second.coverage)
        if sum(count for count, _ in second.entries) > len(second.entries):
            # A recorder's batches: how many seconds they fill is not told.
            seen.coverage = "unknown" if seen.coverage != "full" else "full"
        usd = sum(worth or 0.0 for _, worth in second.entries)
        factor = unthrottle(rate.venues[stream].b30, params.tau_count_s)
        totals.add(seen, usd, factor)
        if 0.0 < share < 1.0:
            shown_usd = usd * factor if seen.coverage in THROTTLED else usd
            episode.missing_usd += shown_usd * share / (1.0 - share)


def turn(
    episode: Episode, side: PositionSide, reason: str, before: tuple[float | None, float | None]
) -> None:
    """Take what price and flow say of the side; moves count anew when it is another."""
    if side != episode.side:
        episode.reference = before[1] if side == "short" else before[0]
        episode.extreme = None
        episode.levels = 0
    episode.side, episode.side_reason = side, reason


def skip_dark(episode: Episode) -> None:
    """Forget since when a rate or score is low: between then and now nobody watched."""
    episode.below_half_since = episode.faded_since = episode.low_score_since = None


def drawdown_bps(episode: Episode) -> float | None:
    """Return the move against the closed positions since onset, basis points >= 0.

    From the best fill of the minutes before onset to the worst since; fills only.
    """
    if episode.reference is None or episode.extreme is None:
        return None
    return round(abs(episode.extreme / episode.reference - 1.0) * 1e4, 2)


def levels_swept(episode: Episode) -> int | None:
    """Return how many price levels fills passed for the first time while orders were forced.

    Levels lie `level_bps` apart in log price. Counted from the worst fill of the first second
    with one; None without fills. A coarse bar of trades is one step: what was forced within it
    counts for all of its way.
    """
    return None if episode.extreme is None else episode.levels


def _accumulate(params: EpisodeParams, episode: Episode, side: PositionSide, now: Second) -> None:
    episode.largest_excess = max(episode.largest_excess, now.score - now.threshold)
    episode.orders += now.orders
    episode.usd += now.usd
    episode.rate += (now.usd - episode.rate) / params.tau_rate_s
    if episode.rate > episode.peak_rate:
        episode.peak_rate, episode.peak_at = episode.rate, now.second
    episode.forced = episode.forced or now.orders > 0
    worst = now.high if side == "short" else now.low
    if worst is None:
        return
    if episode.price_onset is None:
        episode.price_onset = worst
    if episode.reference is None:
        episode.reference = worst
    before = worst if episode.extreme is None else episode.extreme
    pick = max if side == "short" else min
    episode.extreme = pick(before, worst)
    if episode.forced:
        episode.levels += abs(_level(params, episode.extreme) - _level(params, before))
    episode.forced = False


def _level(params: EpisodeParams, price: float) -> int:
    return math.floor(math.log(price) * 1e4 / params.level_bps)


def _waves(params: EpisodeParams, episode: Episode, now: Second) -> list[Phase]:
    if not episode.falling:
        episode.wave_peak = max(episode.wave_peak, episode.rate)
        if episode.rate < params.wave_fall * episode.wave_peak:
            episode.falling, episode.trough = True, episode.rate
        return []
    episode.trough = min(episode.trough, episode.rate)
    rising = episode.rate > params.wave_rise * episode.trough
    if not (rising and episode.rate > params.wave_share * episode.peak_rate):
        return []
    episode.falling, episode.wave_peak = False, episode.rate
    episode.wave += 1
    episode.faded_since = None
    again: Phase = "reignited" if episode.phase == "exhausted" else "wave"
    episode.phase = again
    return [again]


def _peak(params: EpisodeParams, episode: Episode, now: Second) -> list[Phase]:
    if episode.rate >= params.peak_fall * episode.peak_rate:
        episode.below_half_since = None
        return []
    if episode.below_half_since is None:
        episode.below_half_since = now.second
    is_past = now.second - episode.below_half_since >= params.peak_hold_s
    if not is_past or episode.peak_told == episode.peak_rate:
        return []
    episode.peak_told = episode.peak_rate
    episode.phase = "peak"
    return ["peak"]


def _exhaustion(params: EpisodeParams, episode: Episode, now: Second) -> list[Phase]:
    if episode.rate >= params.exhausted_share * episode.peak_rate:
        episode.faded_since = None
        return []
    if episode.faded_since is None:
        episode.faded_since = now.second
    is_faded = now.second - episode.faded_since >= params.exhausted_hold_s
    if not is_faded or episode.phase == "exhausted":
        return []
    episode.phase = "exhausted"
    return ["exhausted"]


def _again(episode: Episode, now: Second, entered: list[Phase]) -> list[Phase]:
    """Call a cascade that comes while the episode of a burst before it is still open."""
    if "reignited" in entered:
        episode.rested = False
    if not episode.rested or now.score < now.threshold:
        return []
    episode.rested = False
    if "wave" not in entered:
        episode.wave += 1
    episode.falling, episode.wave_peak, episode.faded_since = False, episode.rate, None
    episode.phase = "reignited"
    return ["reignited"]


def _rest(params: OnsetParams, episode: Episode, now: Second) -> None:
    if now.score >= now.threshold - params.rearm_below:
        episode.low_score_since = None
        return
    if episode.low_score_since is None:
        episode.low_score_since = now.second
    if now.second - episode.low_score_since >= params.again_s - 1:
        episode.rested = True


def _calm_again(params: OnsetParams, episode: Episode, now: Second) -> bool:
    low = episode.low_score_since
    if low is None or now.second - low < params.rearm_s:
        return False
    return episode.tier == "watch" or episode.phase == "exhausted"
