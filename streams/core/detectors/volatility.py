"""How restless an asset's price is beside its own usual: what a burst may be owed to.

    Z30-vol = Z30 - weight * ln(V / usual)

V: move between minutes' mid prices (20 min memory, the running minute as if it had ended),
usual: its 7-day mean. A restless
market closes more positions by itself, so the same burst says less of a cascade. Developed
on simulator seeds 151-154; where all venues are throttled and no flow is added, Z30 is better.
"""

import math

import msgspec

from streams.core.params import VolatilityParams

#: No fills for longer: the next price is a new beginning, not a move.
GAP_MIN = 10
#: Moves of a minute (log) are winsorised at this many usual ones and a little more.
_TIMES, _MORE, _LEAST = 10.0, 1e-3, 1e-6


class VolatilityState(msgspec.Struct):
    """The open minute's fill range, the last closed one's ln mid, mean moves; `age` in minutes.

    `last` is the ln mid of the last second or bar.
    """

    last: float = 0.0
    minute: int = 0
    high: float = 0.0
    low: float = 0.0
    closed: int = 0
    mid: float = 0.0
    recent: float = 0.0
    usual: float = 0.0
    age: int = 0


def step(
    params: VolatilityParams, state: VolatilityState, second: int, high: float, low: float
) -> None:
    """Fold in the fill range of a second, or of the bar that ended with it."""
    minute = second // 60
    _pass(params, state, minute)
    known = state.minute == minute
    state.high = max(state.high, high) if known else high
    state.low = min(state.low, low) if known else low
    state.minute, state.last = minute, math.log((high + low) / 2)


def owed(params: VolatilityParams, state: VolatilityState, second: int) -> float | None:
    """Return what the market's restlessness takes off Z in a second, nats; None if not told."""
    minute = second // 60
    _pass(params, state, minute)
    if not params.weight or state.age < params.min_history_min or minute - state.closed > GAP_MIN:
        return None
    recent = state.recent + (abs(state.last - state.mid) - state.recent) / params.tau_min
    wild = math.log((recent + _LEAST) / (state.usual + _LEAST))
    return params.weight * min(max(wild, -params.limit), params.limit)


def _pass(params: VolatilityParams, state: VolatilityState, minute: int) -> None:
    if not state.minute or minute <= state.minute:
        return
    mid = math.log((state.high + state.low) / 2)
    if state.closed and state.minute - state.closed <= GAP_MIN:
        _fold(params, state, abs(mid - state.mid))
    state.mid, state.closed, state.minute = mid, state.minute, 0


def _fold(params: VolatilityParams, state: VolatilityState, move: float) -> None:
    state.age += 1
    state.recent += (move - state.recent) / min(state.age, params.tau_min)
    move = min(move, _TIMES * state.usual + _MORE)
    state.usual += (move - state.usual) / min(state.age, params.baseline_min)
