"""One asset's forced selling as a physical chain: sells press the price, the price finds sells."""

from dataclasses import dataclass
from math import exp

import numpy as np

from streams.simulate.night.setting import DAY, Floats

#: How long a wave is followed before what is left is only price recovery (seconds).
HORIZON = 1500
#: Share of the impact that stays; the rest reverts over REVERT_S (detection.md, section 3).
PERMANENT = 0.45
REVERT_S = 1200.0
#: The liquidation engine works its queue off over this time (detection.md, section 3).
QUEUE_S = 8.0
LEVELS = 1000


@dataclass(frozen=True)
class Swept:
    """A wave's forced USD per second as a share of its own total, and the log price it moved."""

    share: Floats
    log_price: Floats


def _level_map(rng: np.random.Generator, width: float) -> list[float]:
    """Return the share of positions triggered within each depth of fall, in LEVELS steps.

    Most stops lie in a hump whose gain (impact of what it frees, over its own width) is above
    one; a thin tail beyond it is below one, which is where the chain dies.
    """
    x = np.arange(LEVELS) / LEVELS * 2.2
    density = np.where(x < 1, 1.0, np.exp(-(x - 1) / 0.25)) * np.exp(rng.normal(0, 0.5, LEVELS))
    density[: max(1, int(0.1 * LEVELS / 2.2))] *= 0.05
    return list(np.cumsum(density) / density.sum())


def sweep(rng: np.random.Generator, drive: Floats, impact: float, rate: float) -> Swept:
    """Run the chain at 1 s steps: positions passed -> queue -> sold -> impact -> price -> ...

    `drive` is the log price others impose (<= 0, HORIZON long), `impact` the log fall if every
    position were sold, `rate` the engine's largest share of the total per second.
    """
    width = 0.55 * (impact - float(drive.min()))
    swept_at, top = _level_map(rng, width), LEVELS - 1
    per_level = width * 2.2 / LEVELS
    pace = np.exp(rng.normal(0, 0.25, HORIZON)).tolist()
    drift = drive.tolist()
    queue = freed = mark = kept = passing = 0.0
    sold, moved = [], []
    for t in range(HORIZON):
        fall = kept + passing - drift[t]
        mark += (fall - mark) / 4
        reached = swept_at[max(0, min(top, int(mark / per_level)))] if mark > 0 else 0.0
        if reached > freed:
            queue, freed = queue + reached - freed, reached
        # The book thins and engines slow as a wave ages, so it starts faster than it ends.
        most = rate * pace[t] * (0.35 + 0.65 * exp(-t / 220))
        sale = min(queue * (1 - exp(-1 / QUEUE_S)), most)
        queue -= sale
        kept += impact * PERMANENT * sale
        passing = passing * exp(-1 / REVERT_S) + impact * (1 - PERMANENT) * sale
        sold.append(sale)
        moved.append(-(kept + passing))
    share = np.asarray(sold)
    return Swept(share / share.sum(), _to_the_end(np.asarray(moved), kept, passing))


def _to_the_end(moved: Floats, kept: float, passing: float) -> Floats:
    """Extend a wave's log price to a whole day: the passing part goes on reverting."""
    rest = np.arange(1, DAY - HORIZON + 1)
    return np.concatenate([moved, -(kept + passing * np.exp(-rest / REVERT_S))])


def trigger(rng: np.random.Generator, size: float, lag: int) -> Floats:
    """Return the log price of a news shock that falls by `size` over half a minute."""
    t = np.arange(HORIZON) - lag
    return -size * np.clip(t / float(rng.uniform(20, 35)), 0, 1)


def lagged(path: Floats, lag: int) -> Floats:
    """Return the first HORIZON seconds of `path`, as an asset `lag` seconds behind sees it."""
    return np.concatenate([np.zeros(lag), path[: HORIZON - lag]])
