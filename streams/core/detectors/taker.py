"""Net taker flow of an asset second by second: what a saturated feed cannot say.

    Z30+flow = Z30 + weight * b30^2 * ln(1 + F / s)

F: net taker USD sold a second (30 s memory; bought, for shorts), s: its usual size (7 days),
b30: share of seconds with an order. Above some four orders a second a feed that shows the
latest one only says "yes"; the tape, which is not throttled, says how much. Developed on
simulator seeds 151-154; where any venue is complete or shows the largest, Z30 is better.
"""

import math

import msgspec

from schemas.words import PositionSide
from streams.core.params import FlowParams

#: No bar for longer: nobody watched, which is neither flow nor history.
GAP_S = 600
#: Seconds before the usual size is winsorised, and how.
_RAW_S, _TIMES, _FLOOR_USD = 600, 5.0, 1_000.0


class TakerState(msgspec.Struct):
    """Net USD sold a second, its usual size, seconds of history, the last one folded in.

    `coarse`: bars are wider than a second, so that none of this can be told.
    """

    sold: float = 0.0
    usual: float = 0.0
    age: int = 0
    at: int = 0
    last_bar: int = 0
    coarse: bool = False


def step(params: FlowParams, state: TakerState, second: int, net_usd: float) -> None:
    """Fold in a second's taker USD, bought less sold; seconds without bars before it are 0."""
    _pass(params, state, second - 1)
    _fold(params, state, second, net_usd)
    state.last_bar = second


def added(
    params: FlowParams, state: TakerState, second: int, side: PositionSide, active: float
) -> float | None:
    """Return what flow adds to Z30 in a closed second, nats; None where it cannot be told."""
    if side == "unknown" or state.coarse or second - state.last_bar > params.stale_s:
        return None
    _pass(params, state, second)
    if state.age < params.min_history_s:
        return None
    forced = state.sold if side == "long" else -state.sold
    return params.weight * active * active * math.log(1 + max(forced, 0.0) / (state.usual + 1.0))


def _pass(params: FlowParams, state: TakerState, second: int) -> None:
    if second - state.at > GAP_S:
        state.sold, state.at = 0.0, second
    for empty in range(state.at + 1, second + 1):
        _fold(params, state, empty, 0.0)


def _fold(params: FlowParams, state: TakerState, second: int, net_usd: float) -> None:
    state.sold += (-net_usd - state.sold) / params.tau_s
    size = abs(state.sold)
    if state.age > _RAW_S:
        size = min(size, _TIMES * state.usual + _FLOOR_USD)
    state.age += 1
    state.usual += (size - state.usual) / min(state.age, params.baseline_s)
    state.at = second
