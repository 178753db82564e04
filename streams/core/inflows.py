"""Whale inflows of one asset: superseded by version, judged when their window has passed.

    version 1 ──> waiting ── window passed ──> verdict ──┬── version 2 ──> retracted, judged anew
                     └── version 2: takes its place,     └── removed ────> retracted
                         removed: it is dropped, nothing had been said

A correction belongs to the second in which it was told, so it never reopens one. What waits is
kept in the order in which it is due: a second looks at what it judges, and at nothing else.
"""

from bisect import bisect_left, insort
from itertools import takewhile
from operator import attrgetter

import msgspec

from schemas.findings import WhaleFinding
from schemas.identity import natural_id
from schemas.onchain import WhaleTransfer
from schemas.words import MINUTE, SECOND, Verdict
from streams.core.detectors import whale_evidence, whale_selling
from streams.core.detectors.flow import FlowState
from streams.core.detectors.whale_evidence import Evidence
from streams.core.detectors.whale_selling import Inflow, Outcome
from streams.core.params import Params

#: How long, and of how many transfers of an asset, versions are known. Past either the
#: oldest telling is dropped: a correction of it is then judged as if it were the first.
#: An asset's state is one Kafka message, so the count keeps it well below a megabyte.
KEPT_S = 7 * 86_400
KEPT = 1_000
#: Deposits of an asset that wait at most, for the same message: one more is told at once, untested.
WAITING = 1_000
_MINUTE = attrgetter("minute")
#: An inflow's (USD, overlap of windows in [0, 1], sender) to another.
Rival = tuple[float, float, str]


class Telling(msgspec.Struct, array_like=True):
    """The highest version of a transfer, the second it was told in, and what we said of it.

    `inflow` is None for what is none (any more); `verdict` is None while it waits. Judged
    in second `judged`, it brought a p-value and a ln factor of its sender's e-value.
    """

    version: int
    second: int
    inflow: Inflow | None
    verdict: Verdict | None = None
    finding_id: str = ""
    p_value: float | None = None
    factor: float = 0.0
    judged: int = 0


class Inflows(msgspec.Struct):
    """One asset's inflows that wait, the first due first, and all tellings still known."""

    waiting: list[Inflow] = []
    #: `told` as stored.
    tellings: dict[str, Telling] = msgspec.field(default_factory=dict, name="told")
    evidence: Evidence = msgspec.field(default_factory=Evidence)


def step(
    params: Params,
    state: Inflows,
    asset: str,
    second: int,
    transfers: list[WhaleTransfer],
    onsets: list[int],
) -> list[WhaleFinding]:
    """Take in a closed second's transfers; return what is told of them at once.

    Retractions, and deposits that find no room to wait.
    """
    findings = []
    for transfer in sorted(transfers, key=lambda t: (t.ts_event, t.event_id, t.version)):
        name = transfer.event_id
        before = state.tellings.get(name)
        if before is not None and before.version >= transfer.version:
            continue
        inflow = None if transfer.removed else whale_selling.inflow_of(params.whale, transfer)
        if inflow is None and transfer.version == 1:
            continue
        if before is not None and before.inflow is not None and before.verdict is not None:
            _unlearn(params, state, before, before.inflow)
            findings.append(
                _retraction(params, state, asset, second, transfer, before, before.inflow, onsets)
            )
        state.tellings.pop(name, None)
        state.tellings[name] = Telling(transfer.version, second, inflow)
        if before is not None and before.inflow is not None and before.verdict is None:
            _withdraw(state, before.inflow)
        if inflow is not None and len(state.waiting) < WAITING:
            insort(state.waiting, inflow, key=_MINUTE)
        elif inflow is not None:
            reason = f"{WAITING} other deposits of the asset wait to be tested"
            untested = Outcome("not_testable", reason)
            findings.append(_verdict(params, state, asset, second, inflow, untested, onsets))
    _forget(state, second)
    return findings


def judge(
    params: Params,
    state: Inflows,
    asset: str,
    second: int,
    flows: FlowState,
    onsets: list[int],
) -> list[WhaleFinding]:
    """Return the verdicts on the inflows whose window has passed by a closed second."""
    due = list(takewhile(lambda i: i.due_second(params.whale) <= second, state.waiting))
    del state.waiting[: len(due)]
    return [
        _verdict(
            params,
            state,
            asset,
            second,
            inflow,
            whale_selling.judge(params.whale, flows, inflow, onsets),
            onsets,
        )
        for inflow in due
    ]


def due_second(params: Params, state: Inflows) -> int | None:
    """Return the second in which the next verdict is due, None while nothing waits."""
    return state.waiting[0].due_second(params.whale) if state.waiting else None


def _withdraw(state: Inflows, inflow: Inflow) -> None:
    """Take out one that waits: its next version takes its place."""
    at = bisect_left(state.waiting, inflow.minute, key=_MINUTE)
    while at < len(state.waiting) and state.waiting[at].minute == inflow.minute:
        if state.waiting[at].event_id == inflow.event_id:
            del state.waiting[at]
        else:
            at += 1


def _verdict(
    params: Params,
    state: Inflows,
    asset: str,
    second: int,
    inflow: Inflow,
    outcome: Outcome,
    onsets: list[int],
) -> WhaleFinding:
    # Version 1 is not named: ids of what is never corrected stay what they were.
    version = () if inflow.version == 1 else (inflow.version,)
    telling = state.tellings.get(inflow.event_id) or Telling(inflow.version, second, inflow)
    rivals = _rivals(params, state, inflow)
    finding = msgspec.structs.replace(
        _finding(
            params,
            asset,
            second,
            inflow,
            outcome,
            finding_id=natural_id("whale_selling", inflow.event_id, *version, params.version),
            shared=bool(rivals),
            onset_followed=whale_selling.followed_by_onset(params.whale, inflow, onsets),
        ),
        **_learn(params, state, second, inflow, outcome, telling, rivals),
    )
    telling.verdict, telling.finding_id = finding.verdict, finding.finding_id
    return finding


def _learn(
    params: Params,
    state: Inflows,
    second: int,
    inflow: Inflow,
    outcome: Outcome,
    telling: Telling,
    rivals: list[Rival],
) -> dict[str, float | None]:
    """Return what the asset's and the sender's other tests say of this one; remember it."""
    usd = inflow.notional_usd
    evidence: dict[str, float | None] = {
        "credit": round(whale_evidence.credit(usd, [r[:2] for r in rivals]), 6)
    }
    if outcome.p_value is None:
        return evidence
    p, name = outcome.p_value, inflow.sender
    telling.p_value, telling.judged = p, second
    # What the sender's own deposits may have led to is the sender's.
    share = whale_evidence.credit(usd, [r[:2] for r in rivals if not name or r[2] != name])
    likely = whale_evidence.learn(state.evidence, p, share)
    evidence["posterior"] = None if likely is None else round(likely, 6)
    if name:
        span = _span(params, inflow)
        telling.factor = whale_evidence.multiply(state.evidence, name, p, share, span, second)
        evidence["address_e"] = _address_e(state, name)
    return evidence


def _address_e(state: Inflows, name: str) -> float | None:
    e_value = whale_evidence.e_of(state.evidence, name)
    return None if e_value is None else round(e_value, 6)


def _unlearn(params: Params, state: Inflows, before: Telling, inflow: Inflow) -> None:
    if before.p_value is not None:
        whale_evidence.take_back(
            state.evidence,
            inflow.sender,
            before.p_value,
            before.factor,
            _span(params, inflow),
            before.judged,
        )


def _span(params: Params, inflow: Inflow) -> tuple[int, int]:
    return inflow.minute * MINUTE, inflow.due_second(params.whale) * SECOND


def _retraction(
    params: Params,
    state: Inflows,
    asset: str,
    second: int,
    transfer: WhaleTransfer,
    before: Telling,
    inflow: Inflow,
    onsets: list[int],
) -> WhaleFinding:
    reason = (
        "removed by a reorg" if transfer.removed else f"corrected by version {transfer.version}"
    )
    made = _finding(
        params,
        asset,
        second,
        inflow,
        Outcome("retracted", reason),
        finding_id=natural_id("retraction", inflow.event_id, transfer.version, params.version),
        shared=False,
        onset_followed=whale_selling.followed_by_onset(params.whale, inflow, onsets),
    )
    return msgspec.structs.replace(
        made,
        version=transfer.version,
        retracts=before.finding_id,
        retracted_verdict=before.verdict,
        address_e=_address_e(state, inflow.sender),
    )


def _finding(
    params: Params,
    asset: str,
    second: int,
    inflow: Inflow,
    outcome: Outcome,
    *,
    finding_id: str,
    shared: bool,
    onset_followed: bool,
) -> WhaleFinding:
    return WhaleFinding(
        finding_id=finding_id,
        event_id=inflow.event_id,
        asset=asset,
        venue=inflow.venue,
        notional_usd=inflow.notional_usd,
        shared=shared,
        onset_followed=onset_followed,
        ts_event=inflow.ts_event,
        ts_window_end=inflow.due_second(params.whale) * SECOND,
        ts_detect=params.ts_judged(second),
        params_version=params.version,
        version=inflow.version,
        sender=inflow.sender or None,
        **msgspec.structs.asdict(outcome),
    )


def _rivals(params: Params, state: Inflows, inflow: Inflow) -> list[Rival]:
    """Return the venue's other inflows whose windows overlap: at most KEPT are looked at."""
    window = params.whale.window_min * MINUTE
    others = (telling.inflow for telling in state.tellings.values())
    return [
        (other.notional_usd, 1 - abs(other.ts_event - inflow.ts_event) / window, other.sender)
        for other in others
        if other is not None
        and other.venue == inflow.venue
        and other.event_id != inflow.event_id
        and abs(other.ts_event - inflow.ts_event) < window
    ]


def _forget(state: Inflows, second: int) -> None:
    while state.tellings:
        oldest = next(iter(state.tellings))
        if len(state.tellings) <= KEPT and state.tellings[oldest].second >= second - KEPT_S:
            return
        del state.tellings[oldest]
