"""Ground truth of a tape: bursts, and which of them were cascades (detection.md, 2.1)."""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from streams.simulate.market.params import Market
from streams.simulate.market.state import DAY, Floats32, Tape

Kind = Literal["cascade", "grey", "exo"]
#: A burst: 60 s of forced USD above this many times a median day's rate; gaps merged.
BURST_TIMES = 20.0
BURST_WINDOW = 60
MERGE_GAP = 600
#: (endogenous share, endogenous USD as a share of a median day) at least.
CASCADE_AT = (0.30, 0.25)
GREY_AT = (0.15, 0.08)


class Episode(NamedTuple):
    """One burst: seconds t0 (2 % of its USD by cause), t50, t95, and its first and last.

    `usd` forced in the burst, `endo_usd` caused by forced impact, `drop` log price from
    t0 to the extreme until t95, in the direction of the liquidations.
    """

    asset: int
    side: int
    kind: Kind
    start: int
    t0: int
    t50: int
    t95: int
    end: int
    usd: float
    endo_usd: float
    drop: float


def median_day(forced: Floats32) -> float:
    """Return the median day's USD of a (T,) series of whole days."""
    days = len(forced) // DAY
    return float(np.median(forced[: days * DAY].reshape(days, DAY).sum(axis=1, dtype=np.float64)))


def bursts(forced: Floats32, usual_day_usd: float) -> npt.NDArray[np.int64]:
    """Return (n, 2) first and last second of each burst."""
    total = np.concatenate([[0.0], np.cumsum(forced, dtype=np.float64)])
    window = total[1:] - total[np.maximum(np.arange(1, len(total)) - BURST_WINDOW, 0)]
    hot = np.flatnonzero(window > BURST_TIMES * usual_day_usd * BURST_WINDOW / DAY)
    if not len(hot):
        return np.empty((0, 2), np.int64)
    cut = np.flatnonzero(np.diff(hot) >= MERGE_GAP)
    first, last = hot[np.append(0, cut + 1)], hot[np.append(cut, len(hot) - 1)]
    return np.stack([np.maximum(first - BURST_WINDOW + 1, 0), last], axis=1)


def episodes(tape: Tape, asset: int, side: int, usual_day_usd: float) -> list[Episode]:
    """Return the labelled bursts of one asset and side, in time order."""
    forced, endo = tape.forced[asset, side], tape.endo[asset, side]
    price = tape.price[asset] * (-1 if side == 0 else 1)
    labelled = []
    for start, end in bursts(forced, usual_day_usd):
        usd = np.cumsum(forced[start : end + 1], dtype=np.float64)
        caused = np.cumsum(endo[start : end + 1], dtype=np.float64)
        kind = _kind(caused[-1], usd[-1], usual_day_usd)
        grown = usd if kind == "exo" else caused
        t0, t50, t95 = (
            int(start + np.searchsorted(grown, q * grown[-1])) for q in (0.02, 0.5, 0.95)
        )
        drop = float(price[t0 : t95 + 1].max() - price[t0])
        labelled.append(
            Episode(asset, side, kind, int(start), t0, t50, t95, int(end),
                    float(usd[-1]), float(caused[-1]), drop)
        )  # fmt: skip
    return labelled


def truth(market: Market, tape: Tape) -> list[Episode]:
    """Return the labelled bursts of every asset and side, by onset.

    The yardstick is the asset's usual day in `normal`, of the long side for both sides.
    """
    all_episodes = [
        episode
        for asset, row in enumerate(market.assets)
        for side in (0, 1)
        for episode in episodes(tape, asset, side, row.median_day_usd)
    ]
    return sorted(all_episodes, key=lambda e: (e.t0, e.asset, e.side))


def _kind(endo: float, usd: float, usual_day_usd: float) -> Kind:
    share, size = endo / max(usd, 1.0), endo / usual_day_usd
    if share >= CASCADE_AT[0] and size >= CASCADE_AT[1]:
        return "cascade"
    return "grey" if share >= GREY_AT[0] and size >= GREY_AT[1] else "exo"
