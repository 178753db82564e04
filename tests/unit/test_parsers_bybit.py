"""Bybit's liquidations name the position, its trades the taker."""

import json

import pytest
from venues import FIXTURES, NO_FIXTURES, RECV, parsed, records, refused

from schemas.words import grid_usd

ITEM = {"T": 1_791_565_600_992, "s": "BTCUSDT", "S": "Buy", "v": "0.006", "p": "82396.90"}
PRINT = ITEM | {"i": "0cbf2330-952d-5d03-a462-4bf826c867af", "L": "PlusTick", "BT": False}


def frame(*items, topic="allLiquidation.BTCUSDT"):
    message = {"topic": topic, "type": "snapshot", "ts": 1_791_565_601_482, "data": list(items)}
    return json.dumps(message).encode()


def liquidations(message, ts_recv=RECV):
    return records("bybit", "allLiquidation", message, ts_recv=ts_recv)


def trades(message):
    return records("bybit", "publicTrade", message)


def test_a_buy_update_is_a_long_position_liquidated_by_a_sell_order():
    (record,) = liquidations(frame(ITEM))
    assert (record.position_side, record.order_side) == ("long", "sell")
    (record,) = liquidations(frame(ITEM | {"S": "Sell"}))
    assert (record.position_side, record.order_side) == ("short", "buy")


def test_the_price_is_labelled_bankruptcy_and_the_feed_complete():
    (record,) = liquidations(frame(ITEM))
    assert (record.price, record.price_kind) == (82_396.9, "bankruptcy")
    assert record.coverage == "full"
    assert record.notional_usd == grid_usd(0.006 * 82_396.9)


def test_every_item_of_a_message_is_read():
    items = [ITEM | {"v": str(size)} for size in (1, 2, 3)]
    assert [r.quantity for r in liquidations(frame(*items))] == [1, 2, 3]


def test_two_equal_orders_in_one_message_are_two_and_a_redelivery_is_the_same_two():
    first = liquidations(frame(ITEM, ITEM))
    again = liquidations(frame(ITEM, ITEM), RECV + 7)
    assert len({r.event_id for r in first}) == 2
    assert [r.event_id for r in first] == [r.event_id for r in again]


def test_inverse_sizes_are_dollars():
    item = ITEM | {"s": "BTCUSD", "v": "1000", "p": "50000"}
    (record,) = liquidations(frame(item, topic="allLiquidation.BTCUSD"))
    assert (record.notional_usd, record.quantity) == (1000.0, 0.02)
    (record,) = trades(
        frame(PRINT | {"s": "BTCUSD", "v": "1000", "p": "50000"}, topic="publicTrade.BTCUSD")
    )
    assert (record.notional_usd, record.quantity) == (1000.0, 0.02)


def test_a_trades_side_is_the_takers_and_its_id_the_venues():
    (record,) = trades(frame(PRINT, topic="publicTrade.BTCUSDT"))
    assert record.aggressor_side == "buy"
    assert record.event_id == f"bybit:BTCUSDT:{PRINT['i']}"
    (record,) = trades(frame(PRINT | {"S": "Sell"}, topic="publicTrade.BTCUSDT"))
    assert record.aggressor_side == "sell"


def test_block_trades_are_prints_like_any_other():
    block = PRINT | {"BT": True, "i": "b"}
    assert len(trades(frame(PRINT, block, topic="publicTrade.BTCUSDT"))) == 2


@pytest.mark.parametrize(
    "reply",
    [
        b'{"success":true,"ret_msg":"","conn_id":"x","op":"subscribe"}',
        b'{"op":"pong","args":["1"]}',
    ],
)
def test_replies_hold_no_records(reply):
    for channel in ("allLiquidation", "publicTrade", None):
        result = parsed("bybit", channel, reply)
        assert (result.records, result.refusals, result.control) == ([], [], True)


def test_a_refused_subscription_is_told():
    reply = b'{"success":false,"ret_msg":"error:handler not found","op":"subscribe"}'
    result = parsed("bybit", "allLiquidation", reply)
    assert result.control
    assert "handler not found" in result.refusals[0].reason


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"v": "NaN"}, "data[0].v"), ({"p": "-1"}, "data[0].p"), ({"p": "inf"}, "data[0].p"),
     ({"S": "Hold"}, "data[0].S"), ({"T": "x"}, "data[0].T"), ({"s": "X"}, "data[0].symbol")],
)  # fmt: skip
def test_a_bad_item_names_its_field_and_costs_only_itself(changes, field):
    for channel in ("allLiquidation", "publicTrade"):
        good = PRINT | {"v": "7", "i": "good"}
        result = parsed("bybit", channel, frame(good, PRINT | changes, topic=f"{channel}.X"))
        assert [r.quantity for r in result.records] == [7]
        assert [r.field for r in result.refusals] == [field.replace("0", "1")]


@pytest.mark.parametrize(
    "bad", [b"", b"[]", b'{"topic":"tickers.BTCUSDT","data":[]}', b'{"topic":"allLiquidation.X"}']
)
def test_another_topic_or_no_data_is_unreadable(bad):
    assert len(refused("bybit", "allLiquidation", bad)) == 1


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=NO_FIXTURES)
def test_recorded_frames_of_2026_read_as_they_were_captured():
    lines = (FIXTURES / "live_2026-10_liquidation_frames.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines if line]
    frames = [json.dumps(row["frame"]).encode() for row in rows if row["venue"] == "bybit"]
    parsed_records = [r for f in frames for r in liquidations(f)]
    assert [(r.asset, r.quantity, r.position_side) for r in parsed_records] == [
        ("BTC", 0.006, "long"),
        ("BTC", 0.038, "long"),
        ("STRK", 2084.9, "long"),
    ]


def test_the_stream_that_was_closed_in_2025_is_not_taken_for_the_new_one():
    old = {
        "topic": "liquidation.GALAUSDT",
        "type": "snapshot",
        "data": {"side": "Buy", "size": "1"},
    }
    assert refused("bybit", None, old) == ["channel"]


def test_an_options_print_is_not_followed():
    item = PRINT | {"s": "BTC-25DEC26-100000-C-USDT"}
    assert refused("bybit", None, frame(item, topic="publicTrade.BTC")) == ["data[0].symbol"]


def test_a_delta_of_the_ticker_tells_what_changed_and_nothing_else():
    delta = {
        "topic": "tickers.BTCUSDT",
        "type": "delta",
        "ts": 1_790_000_000_000,
        "data": {"symbol": "BTCUSDT"},
    }
    assert records("bybit", None, delta) == []
    delta["data"]["markPrice"] = "80000"
    assert [r.price for r in records("bybit", None, delta)] == [80000.0]


def test_open_interest_on_inverse_contracts_is_dollars_and_coins_need_a_price():
    data = {"symbol": "BTCUSD", "openInterest": "8000000"}
    ticker = {"topic": "tickers.BTCUSD", "type": "delta", "ts": 1_790_000_000_000, "data": data}
    (record,) = records("bybit", None, ticker)
    assert (record.quantity, record.notional_usd, record.sides) == (None, 8_000_000.0, "both")
    data["markPrice"] = "80000"
    assert records("bybit", None, ticker)[0].quantity == 100.0


def test_one_bad_item_among_many_costs_one_record():
    items = [ITEM | {"v": str(n)} for n in range(1, 200)]
    items[100] = {"T": "soon"}
    result = parsed("bybit", None, frame(*items))
    assert len(result.records) == 198
    assert [r.field for r in result.refusals] == ["data[100].T"]


def test_metadata_says_what_is_inverse():
    row = {
        "symbol": "BTCUSDT",
        "baseCoin": "BTC",
        "quoteCoin": "USDT",
        "contractType": "InversePerpetual",
    }
    (record,) = records("bybit", None, frame(ITEM | {"v": "1000"}), {"result": {"list": [row]}})
    assert record.notional_usd == 1000.0
