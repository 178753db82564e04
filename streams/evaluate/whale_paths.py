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


class Sales(NamedTuple):
    """What whales sell, a row each: venue index, and seconds of the tape [first, last)."""

    venue: Ints
    first: Ints
    last: Ints


class Deposits(NamedTuple):
    """Deposits to be tested, a row each: minute of the tape, venue index, USD, row of its sale.

    `sale` is -1 where nothing of it is sold.
    """

    at: Floats
    venue: Ints
    usd: Floats
    sale: Ints


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
        sellers = np.flatnonzero((tape.whales[:, 0] == asset) & (tape.whales[:, 4] > 0))
        whales = tape.whales[sellers]
        begin, end = whales[:, 6], whales[:, 6] + whales[:, 7]
        sales = Sales(*(x.astype(np.int64) for x in (whales[:, 3], begin, np.ceil(end))))
        row_of = {int(number): n for n, number in enumerate(sellers)}
        deposits = Deposits(
            np.array([(i.ts_event - START_US) / MINUTE for i, _ in inflows]),
            np.array([VENUES.index(i.venue) for i, _ in inflows], np.int64),
            np.array([i.notional_usd for i, _ in inflows]),
            np.array([row_of.get(number, -1) for _, number in inflows], np.int64),
        )
        usual = labels.median_day(tape.forced[asset, 0])
        onsets = [e.t0 for e in labels.episodes(tape, asset, 0, usual) if e.kind == "cascade"]
        rng = np.random.default_rng([seed, asset, 99])
        paths.append(path(params, laid, deposits, sales, onsets, rng))
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


def path(
    params: WhaleParams, laid: list[FlowMatrix], deposits: Deposits, sales: Sales,
    onsets: list[int], rng: np.random.Generator,
) -> Judged:  # fmt: skip
    """Test one asset's deposits, each where it is and moved by some hours."""
    window = params.window_min
    last = len(laid[0].here) - window - SHIFT_MIN[1] - 2
    rows = []
    for n, (at, venue, usd, sale) in enumerate(zip(*deposits, strict=True)):
        minute = int(at)
        if not FIRST_DAY * 1440 <= minute <= last:
            continue
        moved = minute + int(rng.integers(*SHIFT_MIN))
        there, then = (weighed(params, laid[venue], m, onsets) for m in (minute, moved))
        gap = np.abs(deposits.at - at) / window
        rival = (deposits.venue == venue) & (gap < 1)
        rival[n] = False
        share = whale_evidence.credit(usd, zip(deposits.usd[rival], 1 - gap[rival], strict=True))
        rows.append(
            (
                minute, venue, sale >= 0, _crowded(sales, sale, venue, minute, window),
                there.p_value, then.p_value, share,
                any(minute < t // 60 <= minute + window for t in onsets),
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


def _crowded(sales: Sales, own: int, venue: int, minute: int, window: int) -> bool:
    """Return whether another whale sells on the same venue within the window."""
    first, last = (minute + 1) * 60, (minute + window + 1) * 60
    within = (sales.venue == venue) & (sales.first < last) & (sales.last > first)
    if own >= 0:
        within[own] = False
    return bool(within.any())
