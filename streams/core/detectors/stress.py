"""Market stress from taker flow and price alone, a minute at a time: no liquidations needed.

    S = 1/2 ln((F + f) / (muF + f)) + 1/2 ln((R + r) / (muR + r))    where both point one way

F: |net taker USD| a minute over three minutes; R: |move| of the middle price over five, bps;
muF, muR: their means over a day. Half breadth and half depth, as Z30 is (log_rate.py); 0 where
flow and price disagree. It says that a market moves hard, not that anybody is liquidated.

    minutes   . . S >= threshold . S . . . (30 min below) . .
    told          onset                                   closed
"""

import math
from collections.abc import Sequence

import msgspec

from schemas.bars import Bar
from schemas.findings import StressFinding
from schemas.identity import natural_id
from schemas.words import MINUTE, SECOND, StressPhase, grid_usd
from streams.core.params import Params

FLOW_MIN, MOVE_MIN = 3, 5
BASELINE_MIN = 1_440
#: No score before the baseline has seen this much.
HISTORY_MIN = 45
#: Added to flow and move above and below the line: what is nothing, USD a minute and bps.
FLOW_FLOOR, MOVE_FLOOR = 1e4, 2.0


class StressState(msgspec.Struct):
    """One asset: net USD and middle prices of the last minutes, the two means, their age.

    `minute` is the last one folded in, since the epoch; `onset` the second in which the stress
    that lasts was told, `last` the latest second at or above the threshold.
    """

    nets: list[float] = []
    middles: list[float] = []
    mu_flow: float = 0.0
    mu_move: float = 0.0
    age: int = 0
    minute: int = 0
    onset: int | None = None
    last: int = 0


def step(
    params: Params, state: StressState, asset: str, second: int, bars: Sequence[Bar]
) -> list[StressFinding]:
    """Fold in the minute bars of all venues that end with `second`; return what is to be told."""
    minute = bars[0].ts_open // MINUTE
    if minute != state.minute + 1:
        # A gap: the last minutes are not those before this one.
        state.nets, state.middles = [], []
    state.minute = minute
    net = sum(grid_usd(bar.buy_usd) - grid_usd(bar.sell_usd) for bar in bars)
    middle = (max(bar.high for bar in bars) + min(bar.low for bar in bars)) / 2
    score, threshold = fold(state, net, middle), params.stress.threshold
    venues = sorted({bar.venue for bar in bars})
    if score >= threshold:
        state.last = second
        if state.onset is None:
            state.onset = second
            return [_finding(params, state, asset, "onset", second, score, venues)]
    elif state.onset is not None and second - state.last > params.stress.rearm_s:
        closed = _finding(params, state, asset, "closed", second, score, venues)
        state.onset = None
        return [closed]
    return []


def fold(state: StressState, net_usd: float, middle: float) -> float:
    """Fold one closed minute in; return S in nats, above 0 only where flow and price agree."""
    state.nets = [*state.nets[1 - FLOW_MIN :], net_usd]
    state.middles = [*state.middles[-MOVE_MIN:], middle]
    net, move = sum(state.nets) / len(state.nets), _move_bps(state)
    state.age += 1
    score = 0.0
    if state.age > HISTORY_MIN and net * move > 0:
        score = 0.5 * _log_rate(abs(net), state.mu_flow, FLOW_FLOOR)
        score += 0.5 * _log_rate(abs(move), state.mu_move, MOVE_FLOOR)
    gain = 1.0 / min(state.age, BASELINE_MIN)
    state.mu_flow += (_winsorised(abs(net), state.mu_flow, FLOW_FLOOR) - state.mu_flow) * gain
    state.mu_move += (_winsorised(abs(move), state.mu_move, MOVE_FLOOR) - state.mu_move) * gain
    return score


def _finding(
    params: Params,
    state: StressState,
    asset: str,
    phase: StressPhase,
    second: int,
    score: float,
    venues: list[str],
) -> StressFinding:
    onset = state.onset if state.onset is not None else second
    episode_id = natural_id("stress", asset, onset, params.version)
    return StressFinding(
        finding_id=natural_id(episode_id, phase),
        episode_id=episode_id,
        asset=asset,
        phase=phase,
        ts_onset=onset * SECOND,
        ts_event=second * SECOND,
        ts_detect=params.ts_judged(second),
        stress=score,
        threshold=params.stress.threshold,
        threshold_is_default=params.stress.threshold_is_default,
        cvd_usd=sum(state.nets),
        move_bps=_move_bps(state),
        venues=venues,
        params_version=params.version,
    )


def _move_bps(state: StressState) -> float:
    return (state.middles[-1] / state.middles[0] - 1.0) * 1e4


def _log_rate(now: float, usual: float, floor: float) -> float:
    return math.log((now + floor) / (usual + floor))


def _winsorised(now: float, usual: float, floor: float) -> float:
    return min(now, 8 * usual + floor)
