"""Whose positions were closed, where the feed does not say: read from price and taker flow.

Closing longs sells, closing shorts buys, and both move the price their way. Only where the
takers' net flow and the price agree, and neither is a trifle, a side is named.
"""

from typing import NamedTuple

from schemas.words import PositionSide
from streams.core.detectors import flow
from streams.core.detectors.flow import FlowState
from streams.core.params import EpisodeParams


class Direction(NamedTuple):
    """A side, `unknown` where it cannot be told, and why."""

    side: PositionSide
    reason: str


def infer(params: EpisodeParams, flows: FlowState, second: int) -> Direction:
    """Return which side was closed in the minutes up to `second`, by trades of all venues."""
    last = second // 60
    cells = flow.cells(flows, last - params.direction_min, last)
    bought = sum(sums[0] for cell in cells for sums in cell.venues.values())
    sold = sum(sums[1] for cell in cells for sums in cell.venues.values())
    middles = [(c.high + c.low) / 2 for c in cells if c.high is not None and c.low is not None]
    if len(middles) < 2 or bought + sold <= 0:
        return Direction(
            "unknown", f"no trades in the {params.direction_min} min before to tell by"
        )
    move = (middles[-1] / middles[0] - 1) * 1e4
    lean = (bought - sold) / (bought + sold)
    figures = (
        f"price {move / 100:+.2f} % and takers {'bought' if lean > 0 else 'sold'} "
        f"{abs(lean):.0%} more than they {'sold' if lean > 0 else 'bought'} "
        f"over {params.direction_min} min"
    )
    if abs(move) < params.direction_move_bps or abs(lean) < params.direction_lean:
        return Direction("unknown", f"too little to tell by: {figures}")
    if (move > 0) != (lean > 0):
        return Direction("unknown", f"flow and price disagree: {figures}")
    return Direction("short" if move > 0 else "long", f"not told by the feed; {figures}")
