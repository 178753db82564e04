"""Which score decides: Z30, or with flow and volatility where these say more than orders do.

every stream latest, tape there ──> Z30+flow ──┬── price there ──> -vol
a venue complete                ──> Z30 ───────┘
otherwise                       ──> Z30 as it is: throttled, Z measures duration
a young baseline, ten times an assumed mean for minutes ──> Z60
"""

from schemas.words import FeedClass, PositionSide, ScoreName
from streams.core.detectors import rate_state, taker, volatility
from streams.core.detectors.episode import Second
from streams.core.detectors.rate_state import RateState
from streams.core.detectors.taker import TakerState
from streams.core.detectors.volatility import VolatilityState
from streams.core.params import Params


def threshold_is_default(
    params: Params, asset: str, feed_class: FeedClass, score_name: ScoreName
) -> bool:
    """Return whether the threshold of such a score was not fitted for this asset and feeds."""
    if "flow" in score_name:
        return params.flow.thresholds_are_default
    return params.onset.is_default(asset, feed_class)


def add_flow(
    params: Params, asset: str, side: PositionSide, tape: TakerState, rate: RateState, now: Second
) -> None:
    """Add what takers did to a closed second's score where orders only say that there was one."""
    threshold = params.flow_threshold(asset, rate.usual_orders)
    if threshold is None or not rate_state.only_latest(rate):
        return
    more = taker.added(params.flow, tape, now.second, side, rate.active)
    if more is not None:
        now.score, now.threshold, now.score_name = now.score + more, threshold, "Z30+flow"


def less_volatility(
    params: Params, asset: str, price: VolatilityState, feed_class: FeedClass, now: Second
) -> None:
    """Take from a closed second's score what its price's usual unrest explains."""
    with_flow = now.score_name == "Z30+flow"
    if feed_class == "throttled" and not with_flow:
        return
    default = threshold_is_default(params, asset, feed_class, now.score_name)
    usual, less = params.volatility, volatility.owed(params.volatility, price, now.second)
    if less is None or not params.counts_volatility(default):
        return
    now.score -= less
    if not with_flow:
        now.threshold, now.score_name = now.threshold - usual.lower, "Z30-vol"
    else:
        now.threshold, now.score_name = now.threshold - usual.lower_with_flow, "Z30+flow-vol"


def of_young(params: Params, rate: RateState, now: Second) -> None:
    """Take a minute's rates instead where, on a young baseline, they alone have long been high."""
    young = rate_state.history_s(rate) < params.onset.min_history_s
    if young and rate.above_s >= params.onset.young_hold_s and now.score < now.threshold:
        now.score, now.threshold = rate.minute_score, params.onset.young_nats
        now.score_name = "Z60"
