"""Simulated deposits put to the product's whale test: one path is one asset of one seed.

tape ──> minute flows by venue ──> FlowMatrix ──┐
whales ──> chain ──> inflow_of ─────────────────┴──> whale_selling.weigh ──> Judged
the same moved by 3 to 9 h ───────────────────────────────┘   (placebo shift)
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.words import MINUTE
from streams.core.detectors import whale_evidence, whale_selling
from streams.core.detectors.flow import FlowMatrix
from streams.core.params import WhaleParams
from streams.evaluate.events import Floats, Ints
from streams.simulate.market import chain, labels
from streams.simulate.market.emit import START_US
from streams.simulate.market.params import VENUES, Market
from streams.simulate.market.state import Tape

Flags = npt.NDArray[np.bool_]
#: Deposits of the first days are not judged: their placebo pool is not yet what it will be.
FIRST_DAY = 30
SHIFT_MIN = (180, 540)


class Judged(NamedTuple):
    """A path's judged deposits in order of their windows' ends.

    `minute` of the tape, `venue` index, `sells` planted, `crowded`: another whale sells on the
    venue inside the window; `p` and `p_shifted` (NaN where not testable), `credit`, and whether
    a planted cascade began within the window, beside the share of placebos of which that is so.
    """

    minute: Ints
    venue: Ints
    sells: Flags
    crowded: Flags
    p: Floats
    p_shifted: Floats
    credit: Floats
    onset: Flags
    onset_placebo: Floats


def judged(market: Market, tape: Tape, seed: int, params: WhaleParams) -> list[Judged]:
    """Test every deposit of a tape that the product would test, by asset."""
    transfers = [t for t in chain.transfers(market, tape, seed, len(VENUES)) if t.version == 1]
    paths = []
    for asset, row in enumerate(market.assets):
        laid = [laid_out(tape, asset, venue) for venue in range(len(VENUES))]
        inflows = [
            (inflow, int(inflow.event_id.rsplit(":", 1)[1]))
            for t in transfers
            if t.asset == row.asset and (inflow := whale_selling.inflow_of(params, t))
        ]
        usual = labels.median_day(tape.forced[asset, 0])
        onsets = [e.t0 for e in labels.episodes(tape, asset, 0, usual) if e.kind == "cascade"]
        rng = np.random.default_rng([seed, asset, 99])
        paths.append(_path(params, tape.whales[tape.whales[:, 0] == asset], tape.whales,
                           inflows, laid, onsets, rng))  # fmt: skip
    return paths


def laid_out(tape: Tape, asset: int, venue: int) -> FlowMatrix:
    """Lay the whole path out as flow.matrix would: net USD here and elsewhere, mid price."""
    net = tape.flow[asset]
    minutes = tape.price.shape[1] // 60
    price = np.exp(tape.price[asset, : minutes * 60].astype(np.float64)).reshape(-1, 60)
    here = net[venue, :minutes].copy()
    return FlowMatrix(
        start=0,
        here=here,
        elsewhere=net[:, :minutes].sum(axis=0) - here,
        present=np.ones(minutes, np.bool_),
        mid=(price.max(axis=1) + price.min(axis=1)) / 2,
        has_elsewhere=True,
    )


def cut(laid: FlowMatrix, start: int, end: int) -> FlowMatrix:
    """Return minutes [start, end) of a path."""
    return FlowMatrix(
        laid.start + start, laid.here[start:end], laid.elsewhere[start:end],
        laid.present[start:end], laid.mid[start:end], laid.has_elsewhere,
    )  # fmt: skip


def _path(
    params: WhaleParams,
    whales: Floats,
    all_whales: Floats,
    inflows: list[tuple[whale_selling.Inflow, int]],
    laid: list[FlowMatrix],
    onsets: list[int],
    rng: np.random.Generator,
) -> Judged:
    last = len(laid[0].here) - params.window_min - SHIFT_MIN[1] - 2
    rows = []
    minutes = [(i.ts_event - START_US) // MINUTE for i, _ in inflows]
    worth = np.array([i.notional_usd for i, _ in inflows])
    venue = np.array([VENUES.index(i.venue) for i, _ in inflows])
    at = np.array([(i.ts_event - START_US) / MINUTE for i, _ in inflows])
    for n, (_, number) in enumerate(inflows):
        minute = minutes[n]
        if not FIRST_DAY * 1440 <= minute <= last:
            continue
        tape = laid[venue[n]]
        moved = minute + int(rng.integers(*SHIFT_MIN))
        there, then = (weighed(params, tape, m, onsets) for m in (minute, moved))
        gap = np.abs(at - at[n]) / params.window_min
        rival = (venue == venue[n]) & (gap < 1)
        rival[n] = False
        share = whale_evidence.credit(worth[n], zip(worth[rival], 1 - gap[rival], strict=True))
        deposit = all_whales[number]
        rows.append(
            (
                minute, venue[n], deposit[4] > 0,
                _crowded(whales, deposit, minute, params.window_min),
                there.p_value, then.p_value, share,
                any(minute < t // 60 <= minute + params.window_min for t in onsets),
                there.onset_placebo_rate,
            )
        )  # fmt: skip
    rows.sort(key=lambda r: r[0])
    columns = list(zip(*rows, strict=True))
    kinds = (np.int64, np.int64, np.bool_, np.bool_, float, float, float, np.bool_, float)
    return Judged(*(np.array(c, k) for c, k in zip(columns, kinds, strict=True)))


def weighed(
    params: WhaleParams, laid: FlowMatrix, minute: int, onsets: list[int]
) -> whale_selling.Outcome:
    start = max(0, minute - params.history_min)
    span = cut(laid, start, minute + params.window_min + 1)
    return whale_selling.weigh(params, span, "simulated", minute - start, onsets)


def _crowded(whales: Floats, deposit: Floats, minute: int, window: int) -> bool:
    """Return whether another whale sells on the same venue within the window."""
    first, last = (minute + 1) * 60, (minute + window + 1) * 60
    other = (whales[:, 4] > 0) & (whales[:, 3] == deposit[3]) & (whales[:, 1] != deposit[1])
    return bool((other & (whales[:, 6] < last) & (whales[:, 6] + whales[:, 7] > first)).any())
