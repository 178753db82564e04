"""Breadth over a whole recording: S by second, as detectors/breadth.py steps it."""

from collections import defaultdict

import numpy as np

from schemas.words import SECOND, grid_usd
from streams.core.detectors import breadth
from streams.core.params import MarketParams
from streams.evaluate import recorded
from streams.evaluate.recorded import Cuts, Recording
from streams.evaluate.scores import Floats32, second_usd, z30

#: Where no two assets are forced, S is not defined: far below any threshold.
NOTHING = -10.0


def series(
    recording: Recording, params: MarketParams, cuts: Cuts, length: int
) -> dict[str, Floats32]:
    """Return S of each position side, (length,) nats; assets without a worth are left out."""
    forced: dict[str, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for asset, side in sorted(recording.orders):
        feed = recorded.feed(recording, (asset, side), cuts)
        usd = second_usd(feed).astype(np.float64)
        for second in np.flatnonzero((usd > 0) & (z30(feed) >= params.forced_nats)).tolist():
            forced[side][second][asset] = grid_usd(usd[second])
    # Minutes are those of the clock.
    offset = recording.first // SECOND % 60
    made = {}
    for side, by_second in forced.items():
        out = np.full(length, NOTHING, np.float32)
        state = breadth.begin(min(by_second) // 60, 0)
        for second in sorted(by_second):
            value = breadth.step(params, state, second + offset, by_second[second])
            if value is not None:
                out[second] = value
        made[side] = out
    return made
