"""OKX counts contracts, tells orders once a second, and calls a linear perpetual a USD future."""

import json

import pytest
from venues import FIXTURES, NO_FIXTURES, parsed, records, refused

DETAIL = {"side": "sell", "posSide": "long", "bkPx": "80000", "sz": "10", "ts": "1790000000123"}
SWAP = {"ctType": "linear", "ctVal": "0.01", "ctMult": "1", "ctValCcy": "BTC"}


def forced(*details, symbol="BTC-USDT-SWAP", kind="SWAP"):
    data = [{"instId": symbol, "instType": kind, "details": list(details)}]
    return {"arg": {"channel": "liquidation-orders", "instType": kind}, "data": data}


def test_the_orders_side_tells_in_one_way_mode_where_pos_side_is_net():
    sold, bought = records(
        "okx", None, forced(DETAIL | {"posSide": "net"}, DETAIL | {"posSide": "net", "side": "buy"})
    )
    assert (sold.position_side, sold.order_side) == ("long", "sell")
    assert (bought.position_side, bought.order_side) == ("short", "buy")


def test_a_position_that_its_order_cannot_have_closed_is_refused():
    assert refused("okx", None, forced(DETAIL | {"side": "buy"})) == [
        "data[0].details[0].order_side"
    ]


def test_sizes_are_contracts_of_value_times_multiplier_and_may_be_fractions():
    metadata = {"BTC-USDT-SWAP": SWAP | {"ctMult": "2"}}
    (record,) = records("okx", None, forced(DETAIL | {"sz": "8.5"}), metadata)
    assert record.quantity == 0.17


def test_inverse_contracts_are_dollars_and_never_multiplied_by_the_price():
    (record,) = records("okx", None, forced(DETAIL, symbol="BTC-USD-SWAP"))
    assert (record.notional_usd, record.quantity) == (1000.0, 0.0125)


def test_the_contract_type_of_the_metadata_decides_not_the_name():
    symbol = "BTC-USD_UM_XPERP-310404"
    linear = {symbol: SWAP | {"ctVal": "0.0001"}}
    (record,) = records("okx", None, forced(DETAIL, symbol=symbol, kind="FUTURES"), linear)
    assert (record.quantity, record.notional_usd) == (0.001, 80.0)
    inverse = {"BTC-USDT-SWAP": {"ctType": "inverse", "ctVal": "100", "ctValCcy": "USD"}}
    (record,) = records("okx", None, forced(DETAIL), inverse)
    assert record.notional_usd == 1000.0


def test_a_margined_pair_counts_coins():
    (record,) = records("okx", None, forced(DETAIL, symbol="BTC-USDT", kind="MARGIN"))
    assert (record.quantity, record.instrument) == (10.0, "BTC-USDT-SPOT")


def test_the_price_is_a_bankruptcy_price_not_a_print():
    (record,) = records("okx", None, forced(DETAIL))
    assert (record.price, record.price_kind) == (80000.0, "bankruptcy")


def test_an_unknown_contract_is_refused_with_a_hint_and_its_neighbours_are_read():
    message = forced(DETAIL)
    message["data"] += forced(DETAIL, symbol="NOPE-USDT-SWAP")["data"]
    result = parsed("okx", None, message)
    assert [r.venue_symbol for r in result.records] == ["BTC-USDT-SWAP"]
    (refusal,) = result.refusals
    assert refusal.field == "data[1].details[0].symbol"
    assert "NOPE-USDT-SWAP" in refusal.reason
    assert "--instruments" in refusal.reason


def test_metadata_given_by_the_caller_is_the_whole_of_it_for_swaps():
    assert (
        len(refused("okx", None, forced(DETAIL, symbol="NOPE-USDT-SWAP"), {"X-USDT-SWAP": SWAP}))
        == 1
    )


def test_one_bad_detail_costs_itself_and_not_its_instrument():
    result = parsed("okx", None, forced(DETAIL, DETAIL | {"sz": "NaN"}, DETAIL | {"sz": "7"}))
    assert [r.quantity for r in result.records] == [0.1, 0.07]
    assert [r.field for r in result.refusals] == ["data[0].details[1].sz"]


def test_a_bad_instrument_costs_itself():
    message = forced(DETAIL)
    message["data"].append({"instId": 7, "details": [DETAIL]})
    result = parsed("okx", None, message)
    assert len(result.records) == 1
    assert [r.field for r in result.refusals] == ["data[1].instId"]


def test_two_equal_orders_of_one_message_are_two():
    first, second = records("okx", None, forced(DETAIL, DETAIL))
    assert second.event_id == first.event_id + "#1"


def test_a_dated_future_is_as_large_as_its_swap():
    (record,) = records("okx", None, forced(DETAIL, symbol="ETH-USDT-261225", kind="FUTURES"))
    assert (record.quantity, record.instrument) == (1.0, "ETH-USDT-261225")


@pytest.mark.parametrize(
    "frame",
    [
        b"pong",
        b'{"event":"subscribe","arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"connId":"8"}',
        b'{"event":"channel-conn-count","channel":"orders","connCount":"2","connId":"8"}',
        b'{"event":"notice","code":"64008","msg":"The connection will soon be closed","connId":"8"}',
    ],
)
def test_replies_and_notices_are_control(frame):
    for channel in (None, "trades", "liquidation-orders", "open-interest", "mark-price"):
        result = parsed("okx", channel, frame)
        assert (result.records, result.refusals, result.control) == ([], [], True)


def test_a_refused_subscription_is_control_that_says_why():
    frame = {"event": "error", "code": "60018", "msg": "Wrong URL or channel", "connId": "8"}
    result = parsed("okx", "trades-all", frame)
    assert result.control
    assert "60018 Wrong URL" in result.refusals[0].reason


def test_an_option_is_not_followed():
    assert len(refused("okx", None, forced(DETAIL, symbol="BTC-USD-261225-90000-C"))) == 1


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=NO_FIXTURES)
def test_recorded_frames_of_2026_read_as_they_were_captured():
    lines = (FIXTURES / "live_2026-10_liquidation_frames.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines if line]
    parsed_records = [
        r for row in rows if row["venue"] == "okx" for r in records("okx", None, row["frame"])
    ]
    assert [(r.asset, r.position_side, r.quantity, r.price) for r in parsed_records] == [
        ("BTC", "long", 0.0855, 82_655.7),
        ("CELO", "short", 19_979.0, 0.09583),
    ]


def test_open_interest_of_dollar_contracts_is_worth_them_where_oi_usd_is_not_told():
    row = {"instType": "SWAP", "instId": "BTC-USD-SWAP", "oi": "5000", "oiCcy": "6.25"}
    frame = {"arg": {"channel": "open-interest"}, "data": [row | {"ts": "1790000000123"}]}
    (reading,) = records("okx", "open-interest", frame)
    assert (reading.quantity, reading.notional_usd) == (6.25, 500_000.0)
