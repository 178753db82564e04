"""Was a whale's transfer into an exchange followed by selling there beyond placebo?

    inflow at t ──> minutes m0+1 .. m0+45 on the destination venue
    d = flow(destination) - sum over lags of b * flow(other venues)     difference in differences
    s = -d / mean |d| of 2 h before, at most CUT either way
    T = mean over lengths of (largest sum of s over so many minutes on end, in standard scores)
    p = (1 + #{placebo T >= T}) / (1 + placebos)            same venue, windows before t

A sale takes minutes, and nobody knows which of the 45: runs of several lengths find it, where
the sum over all of them also adds up the noise of those in which nothing was sold. Placebo
windows may hold other inflows: leaving those out selects for calm and doubles false positives.
Source: detection.md section 5 (5.1 for the choice, 5.3 the procedure);
METHOD.md, "Whales", for what lengths, lags and the cut gain.
"""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.onchain import WhaleTransfer
from schemas.words import MINUTE, SECOND, Verdict
from streams.core.detectors import flow, inflow_kind
from streams.core.detectors.flow import FlowMatrix, FlowState
from streams.core.detectors.flow_block import Floats
from streams.core.params import WhaleParams

MAX_MISSING_MIN = 4
#: Minutes on end over which selling is looked for; the window itself is the longest.
LENGTHS = (10, 20)
#: The other venues' flow of so many minutes ago tells of this one's too: not all hear at once.
LAGS = (0, 1, 2)
#: One minute counts as so many usual ones at most.
CUT = 8.0


class Inflow(msgspec.Struct, frozen=True):
    """A transfer into a venue that waits for its window to pass; times in microseconds."""

    event_id: str
    venue: str
    notional_usd: float
    ts_event: int
    version: int = 1
    sender: str = ""

    @property
    def minute(self) -> int:
        """Minute of the transfer since the epoch."""
        return self.ts_event // MINUTE

    def due_second(self, params: WhaleParams) -> int:
        """First second at which every minute of the window is complete."""
        return (self.minute + 1 + params.window_min) * 60


class Outcome(msgspec.Struct, frozen=True):
    """The test's answer; numbers are None where it could not be made."""

    verdict: Verdict
    reason: str = ""
    statistic: float | None = None
    p_value: float | None = None
    placebos: int = 0
    excess_selling_usd: float | None = None
    onset_placebo_rate: float | None = None


def inflow_of(params: WhaleParams, transfer: WhaleTransfer) -> Inflow | None:
    """Return the inflow to test, or None for what is not a deposit that could be sold."""
    if inflow_kind.inflow_kind(params, transfer) != "deposit" or transfer.notional_usd is None:
        return None
    return Inflow(
        transfer.event_id,
        transfer.to_owner,
        transfer.notional_usd,
        transfer.ts_event,
        transfer.version,
        inflow_kind.sender(transfer),
    )


def judge(params: WhaleParams, flows: FlowState, inflow: Inflow, onsets: list[int]) -> Outcome:
    """Test one inflow whose window has passed; `onsets` are the asset's, in seconds."""
    m0, window = inflow.minute, params.window_min
    known = flow.oldest(flows)
    oldest = m0 if known is None else known
    if oldest > m0 + window:
        return Outcome("not_testable", "the tape begins after the window")
    start = max(oldest, m0 - params.history_min)
    laid = flow.matrix(flows, inflow.venue, start, m0 + window + 1)
    return weigh(params, laid, inflow.venue, m0 - start, onsets)


def weigh(params: WhaleParams, laid: FlowMatrix, venue: str, at: int, onsets: list[int]) -> Outcome:
    """Test an inflow in minute `at` of tape that is laid out to the end of its window."""
    complaint = _untestable(params, venue, laid, at)
    if complaint:
        return Outcome("not_testable", complaint)
    d = _besides_others(laid, at)
    starts = _placebo_starts(params, laid, at)
    if starts.size < params.placebos_min:
        return Outcome(
            "not_testable",
            f"{starts.size} placebo windows before the transfer, {params.placebos_min} needed",
            placebos=int(starts.size),
        )
    return _compare(params, laid, d, at, starts, onsets)


def _compare(
    params: WhaleParams,
    laid: FlowMatrix,
    d: Floats,
    at: int,
    starts: NDArray[np.int64],
    onsets: list[int],
) -> Outcome:
    window = params.window_min
    sums, scales = _prefix(d), _prefix(np.abs(d))
    if starts.size > params.placebos_max:
        starts = _nearest(params, laid, sums, scales, at, starts)
    sold = _sold(d, scales, np.concatenate([[at], starts]), params)
    statistic, placebo = sold[0], sold[1:]
    p_value = (1 + int(np.sum(placebo >= statistic))) / (1 + starts.size)
    return Outcome(
        verdict="consistent_with_selling" if p_value <= params.alpha else "no_evidence",
        statistic=round(float(statistic), 6),
        p_value=p_value,
        placebos=int(starts.size),
        excess_selling_usd=round(float(-(sums[at + window + 1] - sums[at + 1])), 2),
        onset_placebo_rate=_onset_rate(laid.start, starts, window, onsets),
    )


def followed_by_onset(params: WhaleParams, inflow: Inflow, onsets: list[int]) -> bool:
    """Return whether a cascade of the asset began within the window after the transfer."""
    after = inflow.ts_event // SECOND
    return any(after < onset <= after + params.window_min * 60 for onset in onsets)


def _untestable(params: WhaleParams, venue: str, laid: FlowMatrix, at: int) -> str:
    if not laid.present.any():
        return f"no tape of {venue}"
    if not laid.has_elsewhere:
        return "no other venue to compare with"
    if at < params.scale_min + params.window_min:
        return f"{at} min of history, {params.scale_min + params.window_min} needed"
    missing = int(params.window_min - laid.present[at + 1 :].sum())
    if missing > MAX_MISSING_MIN:
        return f"{missing} of {params.window_min} minutes after the transfer are missing"
    return ""


def _besides_others(laid: FlowMatrix, at: int) -> Floats:
    """Return the venue's flow less what the others' explains by the day before, winsorised."""
    before = slice(max(LAGS[-1], at - 1440), at)
    others = [np.concatenate([np.zeros(lag), laid.elsewhere[: laid.elsewhere.size - lag]])
              for lag in LAGS]  # fmt: skip
    known = np.stack([_winsorised(other[before]) for other in others], axis=1)
    slopes = np.linalg.lstsq(known, _winsorised(laid.here[before]), rcond=None)[0]
    return np.asarray(laid.here - np.stack(others, axis=1) @ slopes)


def _winsorised(x: Floats) -> Floats:
    low, high = np.quantile(x, [0.01, 0.99])
    return np.clip(x, low, high)


def _placebo_starts(params: WhaleParams, laid: FlowMatrix, at: int) -> NDArray[np.int64]:
    """Window starts whose window ends before the transfer and lacks few minutes."""
    starts = np.arange(at - params.window_min, params.scale_min - 1, -params.placebo_step_min)
    seen = _prefix(laid.present.astype(np.float64))
    span = params.window_min + params.scale_min
    have = seen[starts + params.window_min + 1] - seen[starts + 1 - params.scale_min]
    enough: NDArray[np.int64] = starts[have >= span - 2 * MAX_MISSING_MIN]
    return enough


def _sold(d: Floats, scales: Floats, starts: NDArray[np.int64], params: WhaleParams) -> Floats:
    """Return how much selling in a row there is in each window, in standard scores of them all."""
    window, back = params.window_min, params.scale_min
    usual = np.maximum((scales[starts + 1] - scales[starts + 1 - back]) / back, 1e-9)
    minutes = d[starts[:, None] + np.arange(1, window + 1)]
    total = np.zeros((starts.size, window + 1))
    np.cumsum(np.clip(-minutes / usual[:, None], -CUT, CUT), axis=1, out=total[:, 1:])
    lengths = [*(length for length in LENGTHS if length < window), window]
    most = [(total[:, length:] - total[:, :-length]).max(axis=1) for length in lengths]
    scores = [(one - one.mean()) / max(float(one.std()), 1e-9) for one in most]
    # Rounded, so that windows alike to the last digit but one are ties wherever they are computed.
    return np.asarray(np.round(np.mean(scores, axis=0), 9))


def _nearest(
    params: WhaleParams,
    laid: FlowMatrix,
    sums: Floats,
    scales: Floats,
    at: int,
    starts: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Keep the placebos whose state before them is most like the transfer's."""
    log_price = np.log(laid.mid)
    step = np.concatenate([[0.0], np.abs(np.diff(log_price))])
    vol = _prefix(step)
    where = np.concatenate([[at], starts])
    usual = (scales[where + 1] - scales[where + 1 - params.scale_min]) / params.scale_min
    sigma = np.maximum((vol[where + 1] - vol[where - 59]) / 60, 1e-9)
    hour = (laid.start + where) % 1440 * (2 * math.pi / 1440)
    features = np.column_stack(
        [
            (log_price[where] - log_price[where - 15]) / sigma,
            (log_price[where] - log_price[where - 60]) / sigma,
            np.log(sigma),
            (sums[where + 1] - sums[where - 14]) / np.maximum(usual, 1e-9),
            np.log(np.maximum(usual, 1e-9)),
            np.sin(hour),
            np.cos(hour),
        ]
    )
    spread = np.maximum(features.std(axis=0), 1e-9)
    distance = (((features[1:] - features[0]) / spread) ** 2).sum(axis=1)
    return starts[np.argsort(distance, kind="stable")[: params.placebos_max]]


def _onset_rate(start: int, starts: NDArray[np.int64], window: int, onsets: list[int]) -> float:
    """Share of placebo windows in which a cascade of the asset began."""
    minutes = np.array([onset // 60 - start for onset in onsets], dtype=np.int64)
    if minutes.size == 0:
        return 0.0
    hit = (minutes[None, :] > starts[:, None]) & (minutes[None, :] <= starts[:, None] + window)
    return float(hit.any(axis=1).mean())


def _prefix(x: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(x)])
