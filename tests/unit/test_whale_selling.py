"""The whale test on tape whose truth is known."""

import numpy as np
import pytest

from schemas.onchain import WhaleTransfer
from schemas.words import MINUTE
from streams.core.detectors import flow, whale_selling
from streams.core.detectors.flow import FlowState
from streams.core.detectors.whale_selling import Inflow
from streams.core.params import WhaleParams

PARAMS = WhaleParams()
DAY0 = 29_394_720  # minutes since the epoch


def tape(minutes: int, seed: int = 3, venues: tuple[str, ...] = ("binance", "bybit")) -> FlowState:
    """Minutes of flow: a common part on every venue and noise of its own."""
    draw = np.random.default_rng(seed)
    state = FlowState()
    common = draw.normal(0, 1e6, minutes)
    for i in range(minutes):
        for venue in venues:
            net = common[i] + draw.normal(0, 3e5)
            flow.add(state, DAY0 + i, venue, 5e6 + net / 2, 5e6 - net / 2)
        flow.add_range(state, DAY0 + i, 100.5, 99.5)
    return state


def sell(state: FlowState, venue: str, start: int, minutes: int, usd: float) -> None:
    for i in range(minutes):
        flow.add(state, DAY0 + start + i, venue, 0.0, usd / minutes)


def deposit(at_minute: int, venue: str = "binance") -> Inflow:
    return Inflow("x", venue, 5e7, (DAY0 + at_minute) * MINUTE)


def test_selling_on_the_destination_alone_is_consistent_with_selling() -> None:
    state = tape(1000)
    sell(state, "binance", 910, 30, 3e7)
    outcome = whale_selling.judge(PARAMS, state, deposit(900), [])
    assert outcome.verdict == "consistent_with_selling"
    assert outcome.p_value is not None
    assert outcome.p_value <= PARAMS.alpha
    assert outcome.excess_selling_usd == pytest.approx(3e7, rel=0.4)


def test_the_same_selling_on_every_venue_is_no_evidence() -> None:
    state = tape(1000)
    for venue in ("binance", "bybit"):
        sell(state, venue, 910, 30, 3e7)
    assert whale_selling.judge(PARAMS, state, deposit(900), []).verdict == "no_evidence"


def test_a_sale_of_ten_minutes_is_found_where_the_sum_of_the_window_hides_it() -> None:
    state = tape(1000)
    sell(state, "binance", 915, 10, 1.2e7)
    # The rest of the window is bought back, as by somebody else.
    sell(state, "binance", 930, 10, -1.2e7)
    outcome = whale_selling.judge(PARAMS, state, deposit(900), [])
    assert outcome.excess_selling_usd == pytest.approx(0, abs=5e6)
    assert outcome.verdict == "consistent_with_selling"


def test_one_wild_minute_is_no_sale() -> None:
    state = tape(1000)
    sell(state, "binance", 915, 1, 1e8)
    assert whale_selling.judge(PARAMS, state, deposit(900), []).verdict == "no_evidence"


def test_what_the_others_did_a_minute_ago_is_not_this_venues_own() -> None:
    state, draw = FlowState(), np.random.default_rng(5)
    common = draw.normal(0, 1e6, 1_000)
    common[905:935] -= 3e6
    for i in range(1_000):
        for venue, heard in (("binance", common[i - 1]), ("bybit", common[i])):
            net = heard + draw.normal(0, 3e5)
            flow.add(state, DAY0 + i, venue, 5e7 + net / 2, 5e7 - net / 2)
        flow.add_range(state, DAY0 + i, 100.5, 99.5)
    assert whale_selling.judge(PARAMS, state, deposit(900), []).verdict == "no_evidence"


def test_under_the_null_p_values_are_not_small_too_often() -> None:
    hits = [
        (whale_selling.judge(PARAMS, tape(1000, seed), deposit(900), []).p_value or 0) <= 0.05
        for seed in range(120)
    ]
    # 120 draws at 0.05: six expected, 14 or more has a chance below 0.003.
    assert sum(hits) < 14


@pytest.mark.parametrize(
    ("state", "at", "reason"),
    [
        (tape(1000, venues=("bybit", "okx")), 900, "no tape of binance"),
        (tape(1000, venues=("binance",)), 900, "no other venue"),
        (tape(200), 120, "min of history"),
        (tape(500), 400, "placebo windows before"),
        (tape(910), 900, "minutes after the transfer are missing"),
    ],
)
def test_what_cannot_be_tested_says_why(state: FlowState, at: int, reason: str) -> None:
    outcome = whale_selling.judge(PARAMS, state, deposit(at), [])
    assert outcome.verdict == "not_testable"
    assert reason in outcome.reason
    assert outcome.p_value is None


def test_with_more_windows_than_needed_the_nearest_in_state_are_compared() -> None:
    few = WhaleParams(placebos_max=150)
    outcome = whale_selling.judge(few, tape(1600), deposit(1500), [])
    assert outcome.placebos == 150


def transfer(**changes: object) -> WhaleTransfer:
    given: dict[str, object] = {
        "event_id": "1",
        "provider": "whale_alert",
        "chain": "bitcoin",
        "asset": "BTC",
        "transfer_kind": "transfer",
        "tx_hash": "ff",
        "leg": 0,
        "from_owner": "unknown",
        "from_kind": "unknown",
        "to_owner": "binance",
        "to_kind": "exchange",
        "quantity": 500.0,
        "notional_usd": 4.5e7,
        "ts_event": DAY0 * MINUTE,
        "ts_recv": DAY0 * MINUTE,
    }
    return WhaleTransfer(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"to_kind": "unknown"},
        {"from_kind": "exchange", "from_owner": "bybit"},
        {"from_owner": "binance"},
        {"transfer_kind": "mint"},
        {"asset": "USDT"},
        {"notional_usd": 1e5},
        {"notional_usd": None},
    ],
)
def test_what_is_not_a_deposit_that_could_be_sold_is_not_tested(changes: dict[str, object]) -> None:
    assert whale_selling.inflow_of(PARAMS, transfer()) is not None
    assert whale_selling.inflow_of(PARAMS, transfer(**changes)) is None
