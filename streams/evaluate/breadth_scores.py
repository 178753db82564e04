"""Breadth of whole histories: S a second, as streams/core/detectors/breadth.py steps it."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from schemas.words import SECOND, grid_usd
from streams.core.detectors import breadth
from streams.core.params import MarketParams
from streams.evaluate import recorded
from streams.evaluate.recorded import Cuts, Recording
from streams.evaluate.scores import Floats32, Shown, second_usd, z30

#: Where no two assets are forced, S is not defined: far below any threshold.
NOTHING = -10.0


def of_feeds(
    feeds: Mapping[str, Shown], params: MarketParams, length: int, offset: int = 0
) -> Floats32:
    """Return S of one position side, (length,) nats; feeds by asset, `offset` into a minute."""
    forced: dict[int, dict[str, float]] = defaultdict(dict)
    for asset, feed in feeds.items():
        usd = second_usd(feed).astype(np.float64)
        for second in np.flatnonzero((usd > 0) & (z30(feed) >= params.forced_nats)).tolist():
            forced[second][asset] = grid_usd(usd[second])
    out = np.full(length, NOTHING, np.float32)
    state = breadth.begin(offset // 60, offset // 60)
    for second in sorted(forced):
        value = breadth.step(params, state, second + offset, forced[second])
        if value is not None:
            out[second] = value
    return out


def of_recording(
    recording: Recording, params: MarketParams, cuts: Cuts, length: int
) -> dict[str, Floats32]:
    """Return S of each position side; orders without a worth are left out."""
    sides = sorted({side for _, side in recording.orders})
    # Minutes are those of the clock.
    offset = recording.first // SECOND % 60
    return {
        side: of_feeds(
            {
                asset: recorded.feed(recording, (asset, of_side), cuts)
                for asset, of_side in sorted(recording.orders)
                if of_side == side
            },
            params, length, offset,
        )
        for side in sides
    }  # fmt: skip
