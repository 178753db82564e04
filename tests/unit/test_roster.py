"""Names cost nothing to make up: a shard keeps those it can use, and says when there are too many."""

import itertools

import msgspec
import pytest
from nights import PARAMS, START, alive, deposit, liquidation

from schemas.market import Liquidation, OpenInterest
from streams.core import engine, roster
from streams.core.detectors import flow
from streams.core.shard import INPUTS, AssetState, Shard

IDLE_S = 60 * PARAMS.whale.history_min + 3_600


def order(asset: str, second: int, venue: str = "bybit", instrument: str = "") -> Liquidation:
    made = liquidation(START + second, second, 1e4, asset, venue)
    return msgspec.structs.replace(made, instrument=instrument or made.instrument)


def close(shard: Shard, second: int) -> dict[str, AssetState]:
    """Tell the time a second on; return who was forgotten."""
    gone: dict[str, AssetState] = {}
    for topic in INPUTS:
        gone |= engine.step(PARAMS, shard, topic, alive("x", second)).forgotten
    return gone


def begun() -> Shard:
    shard = Shard()
    for second in (-3, -2):
        close(shard, second)
    return shard


def test_made_up_names_push_each_other_out_and_nobody_who_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(roster, "ASSETS", 50)
    shard = begun()
    for second in range(200):
        if second % 3 == 0 and second <= roster.TRIAL_S + 3:
            engine.step(PARAMS, shard, "liquidations", order("REAL", second))
        for number in range(10):
            name = f"X{second}A{number}"
            assert not engine.step(PARAMS, shard, "liquidations", order(name, second)).refused
        close(shard, second)
        assert len(shard.assets) <= 50
    assert shard.assets.keys() == shard.roster.newcomers.keys() | shard.roster.known.keys()
    assert list(shard.roster.known) == ["REAL"]
    assert shard.forgotten == 10 * 200 - 49


def test_where_all_newcomers_are_under_way_one_more_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(roster, "ASSETS", 50)
    shard = begun()
    refused = [
        engine.step(PARAMS, shard, "liquidations", order(f"X{number}", 5)).refused
        for number in range(60)
    ]
    assert refused == [None] * 50 + ["full"] * 10
    assert not engine.step(PARAMS, shard, "liquidations", order("X7", 6)).refused
    for second in range(8):
        close(shard, second)
    assert not engine.step(PARAMS, shard, "liquidations", order("LATER", 9)).refused


def test_what_no_detector_can_use_any_more_is_forgotten_and_what_waits_is_not() -> None:
    shard = begun()
    for second in (0, roster.TRIAL_S + 5):
        engine.step(PARAMS, shard, "liquidations", order("OLD", second))
    engine.step(PARAMS, shard, "whale_transfers", deposit(START + 6, asset="ONCE"))
    gone: dict[str, AssetState] = {}
    # Words leap by no more than ten seconds; a day of them would take long.
    second = 0
    for second in range(0, 400, 5):
        gone |= close(shard, second)
    assert not gone
    assert "ONCE" not in shard.due.busy  # judged
    shard.roster.known["OLD"] -= IDLE_S
    shard.roster.known["ONCE"] -= IDLE_S
    shard.due.busy["ONCE"] = START + 10**6
    for later in range(second, second + 140, 5):
        gone |= close(shard, later)
    assert gone.keys() == {"OLD"}
    assert shard.assets.keys() == {"ONCE"}


def test_an_asset_of_too_many_instruments_takes_no_more_and_keeps_those_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "NAMES", 5)
    shard = begun()

    def refusal(number: int, second: int) -> str | None:
        made = order("BTC", second, "binance", f"BTC-USDT-26030{number}")
        made = msgspec.structs.replace(made, event_id=f"{number} {second}")
        return engine.step(PARAMS, shard, "liquidations", made).refused

    # All in one second, and one by one.
    assert [refusal(number, 1) for number in range(7)] == [None] * 5 + ["full"] * 2
    for second in range(4):
        close(shard, second)
    assert [refusal(number, 9) for number in range(7)] == [None] * 5 + ["full"] * 2
    assert len(shard.assets["BTC"].sides["long"].rate.venues) == 5


def test_readings_of_too_many_instruments_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "NAMES", 5)
    shard = begun()
    numbers = itertools.count()

    def refusal(symbol: str) -> str | None:
        made = OpenInterest(
            event_id=f"r{next(numbers)}", venue="okx", instrument="BTC-USDT-PERP",
            venue_symbol=symbol, asset="BTC", quantity=1.0, notional_usd=None,
            ts_event=(START + 1) * 10**6, ts_recv=(START + 1) * 10**6,
        )  # fmt: skip
        return engine.step(PARAMS, shard, "liquidations", made).refused

    assert [refusal(f"S{number}") for number in range(7)] == [None] * 5 + ["full"] * 2


def test_a_shard_stored_asset_by_asset_has_the_same_order_again() -> None:
    shard = begun()
    for second in range(0, 300, 7):
        for name in ("A", "B", f"X{second}"):
            engine.step(PARAMS, shard, "liquidations", order(name, second))
        close(shard, second)
    stored = shard.roster
    shard.roster = roster.Roster()
    engine.enrol(shard)
    assert (set(shard.roster.known), set(shard.roster.newcomers)) == (
        set(stored.known),
        set(stored.newcomers),
    )
    assert list(shard.roster.known.values()) == sorted(shard.roster.known.values())


def test_rows_of_flow_are_all_named() -> None:
    state = flow.FlowState(changed={(5, 1)})
    flow.add(state, 7, "okx", 1.0, 0.0)
    state.hours[60], state.days[1_440] = b"", None
    assert flow.rows(state) == {(5, 1), (7, 1), (60, 60), (1_440, 1_440)}
