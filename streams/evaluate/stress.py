"""Market stress from taker flow and price alone, a minute at a time: no liquidations needed.

    S = 1/2 ln((F + f) / (muF + f)) + 1/2 ln((R + r) / (muR + r))    where both point one way

F: |net taker USD| a minute over three minutes; R: |move| of the middle price over five, bps;
muF, muR: their means over a day. Half breadth and half depth, as Z30 is (log_rate.py); 0 where
flow and price disagree. It says that a market moves hard, not that anybody is liquidated.
"""

import math

import msgspec

FLOW_MIN, MOVE_MIN = 3, 5
BASELINE_MIN = 1_440
#: No score before the baseline has seen this much.
HISTORY_MIN = 45
#: Added to flow and move above and below the line: what is nothing, USD a minute and bps.
FLOW_FLOOR, MOVE_FLOOR = 1e4, 2.0


class StressState(msgspec.Struct):
    """One asset: net USD and middle prices of the last minutes, the two means, their age."""

    nets: list[float] = []
    middles: list[float] = []
    mu_flow: float = 0.0
    mu_move: float = 0.0
    age: int = 0


def step(state: StressState, net_usd: float, middle: float) -> float:
    """Fold one closed minute in; return S in nats, above 0 only where flow and price agree."""
    state.nets = [*state.nets[1 - FLOW_MIN :], net_usd]
    state.middles = [*state.middles[-MOVE_MIN:], middle]
    net = sum(state.nets) / len(state.nets)
    move = (middle / state.middles[0] - 1.0) * 1e4
    state.age += 1
    score = 0.0
    if state.age > HISTORY_MIN and net * move > 0:
        score = 0.5 * _log_rate(abs(net), state.mu_flow, FLOW_FLOOR)
        score += 0.5 * _log_rate(abs(move), state.mu_move, MOVE_FLOOR)
    gain = 1.0 / min(state.age, BASELINE_MIN)
    state.mu_flow += (_winsorised(abs(net), state.mu_flow, FLOW_FLOOR) - state.mu_flow) * gain
    state.mu_move += (_winsorised(abs(move), state.mu_move, MOVE_FLOOR) - state.mu_move) * gain
    return score


def _log_rate(now: float, usual: float, floor: float) -> float:
    return math.log((now + floor) / (usual + floor))


def _winsorised(now: float, usual: float, floor: float) -> float:
    return min(now, 8 * usual + floor)
