"""Deribit marks forced prints on the tape: the taker's, the maker's, or both."""

import json

import pytest
from venues import FIXTURES, NO_FIXTURES, parsed, records, refused

PRINT = {
    "timestamp": 1_790_000_000_123, "price": 80000, "amount": 40000, "direction": "sell",
    "instrument_name": "BTC-PERPETUAL", "trade_seq": 1, "trade_id": "t-1", "contracts": 4000,
}  # fmt: skip


def tape(*items, channel="trades.BTC-PERPETUAL.100ms"):
    params = {"channel": channel, "data": list(items)}
    return {"jsonrpc": "2.0", "method": "subscription", "params": params}


@pytest.mark.parametrize(
    ("mark", "direction", "closed"),
    [
        ("T", "sell", ["long"]),
        ("T", "buy", ["short"]),
        ("M", "sell", ["short"]),
        ("M", "buy", ["long"]),
        ("MT", "sell", ["long", "short"]),
        ("MT", "buy", ["short", "long"]),
    ],
)
def test_the_mark_says_whose_position_was_closed_and_m_flips_the_side(mark, direction, closed):
    trade, *forced = records(
        "deribit", None, tape(PRINT | {"liquidation": mark, "direction": direction})
    )
    assert trade.aggressor_side == direction
    assert [r.position_side for r in forced] == closed
    assert [r.order_side for r in forced] == [{"long": "sell", "short": "buy"}[c] for c in closed]
    assert len({r.event_id for r in (trade, *forced)}) == 1 + len(closed)


def test_an_unmarked_print_is_a_trade_alone():
    (trade,) = records("deribit", None, tape(PRINT))
    assert trade.event_id == "deribit:BTC-PERPETUAL:t-1"


def test_amounts_are_dollars_on_inverse_futures_and_contracts_are_not_read():
    (trade,) = records("deribit", None, tape(PRINT | {"contracts": 1}))
    assert (trade.quantity, trade.notional_usd) == (0.5, 40000.0)


def test_amounts_are_coins_on_linear_futures():
    (trade,) = records(
        "deribit", None, tape(PRINT | {"instrument_name": "BTC_USDC-PERPETUAL", "amount": 0.5})
    )
    assert (trade.quantity, trade.notional_usd, trade.instrument) == (0.5, 40000.0, "BTC-USDC-PERP")


def test_metadata_says_what_is_linear():
    metadata = {
        "jsonrpc": "2.0",
        "result": [
            {
                "instrument_name": "BTC-PERPETUAL",
                "base_currency": "BTC",
                "quote_currency": "USD",
                "instrument_type": "linear",
                "settlement_period": "perpetual",
            }
        ],
    }
    (trade,) = records("deribit", None, tape(PRINT | {"amount": 0.5}), metadata)
    assert trade.quantity == 0.5


@pytest.mark.parametrize(
    "name", ["BTC-24SEP21-8000-P", "BTC-FS-30SEP22_PERP", "MATIC_USDC-9MAR24-1d02-C"]
)
def test_options_and_combos_are_not_followed(name):
    assert refused(
        "deribit", None, tape(PRINT | {"instrument_name": name, "liquidation": "T"})
    ) == ["params.data[0].symbol"]


def test_a_bad_print_costs_itself_and_its_liquidation_only():
    bad = PRINT | {"liquidation": "T", "price": "NaN", "trade_id": "t-2"}
    result = parsed("deribit", None, tape(PRINT | {"liquidation": "T"}, bad))
    assert len(result.records) == 2
    assert [r.field for r in result.refusals] == ["params.data[1].price"]


@pytest.mark.parametrize(
    ("frame", "reasons"),
    [
        ({"jsonrpc": "2.0", "id": 0, "result": "ok"}, 0),
        ({"jsonrpc": "2.0", "id": 1, "result": ["trades.BTC-PERPETUAL.100ms"], "usIn": 1}, 0),
        ({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "heartbeat"}}, 0),
        ({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "test_request"}}, 0),
        (
            {
                "jsonrpc": "2.0",
                "id": 1,
                "error": {
                    "code": 13778,
                    "message": "raw_subscriptions_not_available_for_unauthorized",
                },
            },
            1,
        ),
    ],
)
def test_replies_and_heartbeats_are_control(frame, reasons):
    for channel in (None, "trades", "ticker"):
        result = parsed("deribit", channel, frame)
        assert (result.records, len(result.refusals), result.control) == ([], reasons, True)


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=NO_FIXTURES)
def test_a_recorded_forced_sale_closed_a_long_of_dollars():
    lines = (FIXTURES / "tardis_node_mapper_liquidation_msgs.jsonl").read_text().splitlines()
    frames = [row["raw"] for row in map(json.loads, lines) if "deribit" in row["test"]]
    trade, forced = records("deribit", None, frames[0])
    assert (forced.position_side, forced.notional_usd) == ("long", 1120.0)
    assert forced.quantity == trade.quantity == 1120 / 4469.5


def test_a_print_whose_liquidation_is_null_was_not_forced():
    assert len(records("deribit", None, tape(PRINT | {"liquidation": None}))) == 1
