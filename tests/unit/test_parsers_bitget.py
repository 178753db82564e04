"""Bitget names the position and counts its worth in the quote currency."""

import gzip
import json

import pytest
from venues import FIXTURES, NO_FIXTURES, parsed, records

ITEM = {"symbol": "ARBUSDT", "side": "buy", "price": "0.5", "amount": "100", "ts": "1790000000123"}
PRINT = {
    "i": "3",
    "p": "80000",
    "v": "0.5",
    "S": "sell",
    "T": "1790000000123",
    "L": "4",
    "isRPI": "no",
}


def push(topic, *data, kind="usdt-futures", action="update", **arg):
    return {
        "action": action,
        "arg": {"instType": kind, "topic": topic} | arg,
        "data": list(data),
        "ts": 1_790_000_000_900,
    }


def test_buy_is_a_long_liquidated_by_a_sell_order():
    long, short = records("bitget", None, push("liquidation", ITEM, ITEM | {"side": "sell"}))
    assert (long.position_side, long.order_side) == ("long", "sell")
    assert (short.position_side, short.order_side) == ("short", "buy")


def test_the_amount_is_in_the_quote_currency_never_coins_times_price():
    (record,) = records("bitget", None, push("liquidation", ITEM))
    assert (record.quantity, record.notional_usd) == (200.0, 100.0)


def test_the_kind_of_its_price_is_not_documented_so_none_is_told():
    (record,) = records("bitget", None, push("liquidation", ITEM))
    assert (record.price, record.price_kind) == (None, None)


def test_only_the_largest_order_a_second_is_told_and_the_record_says_so():
    (record,) = records("bitget", None, push("liquidation", ITEM))
    assert record.coverage == "largest_per_second"


def test_items_keep_their_own_times_twenty_seconds_before_the_push():
    (record,) = records("bitget", None, push("liquidation", ITEM | {"ts": "1789999980123"}))
    assert record.ts_event == 1_789_999_980_123_000


def test_coin_margined_orders_are_dollars_too():
    (record,) = records(
        "bitget",
        None,
        push(
            "liquidation",
            ITEM | {"symbol": "BTCUSD", "price": "80000", "amount": "40000"},
            kind="coin-futures",
        ),
    )
    assert (record.quantity, record.notional_usd, record.instrument) == (
        0.5,
        40000.0,
        "BTC-USD-PERP",
    )


def test_trades_count_coins_on_every_product_and_the_symbol_stands_in_arg():
    for kind, symbol, instrument in (
        ("usdt-futures", "BTCUSDT", "BTC-USDT-PERP"),
        ("coin-futures", "BTCUSD", "BTC-USD-PERP"),
        ("usdc-futures", "BTCPERP", "BTC-USDC-PERP"),
        ("spot", "BTCUSDT", "BTC-USDT-SPOT"),
    ):
        (record,) = records("bitget", None, push("publicTrade", PRINT, kind=kind, symbol=symbol))
        assert (record.quantity, record.instrument, record.aggressor_side) == (
            0.5,
            instrument,
            "sell",
        )


def test_a_snapshot_of_trades_is_history():
    assert parsed(
        "bitget", None, push("publicTrade", PRINT, action="snapshot", symbol="BTCUSDT")
    ).history
    assert not parsed("bitget", None, push("publicTrade", PRINT, symbol="BTCUSDT")).history


def test_one_bad_item_costs_itself():
    result = parsed(
        "bitget", None, push("liquidation", ITEM, ITEM | {"amount": "-1"}, ITEM | {"symbol": "X"})
    )
    assert len(result.records) == 1
    assert [r.field for r in result.refusals] == ["data[1].amount", "data[2].symbol"]


@pytest.mark.parametrize(
    ("frame", "reasons"),
    [
        (b"pong", 0),
        (b'{"event":"subscribe","arg":{"instType":"usdt-futures","topic":"liquidation"}}', 0),
        (b'{"event":"error","arg":{},"code":"30001","msg":"does not exist","op":"subscribe"}', 1),
        (b'{"event":"error","code":30001,"msg":"does not exist"}', 1),
    ],
)
def test_replies_are_control(frame, reasons):
    for channel in (None, "liquidation", "publicTrade", "ticker"):
        result = parsed("bitget", channel, frame)
        assert (result.records, len(result.refusals), result.control) == ([], reasons, True)


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=NO_FIXTURES)
def test_recorded_frames_of_v3_read_as_they_were_captured():
    with gzip.open(FIXTURES / "tardis_node_mapper_all_raw.jsonl.gz", "rt") as lines:
        raw = [
            r["raw"]
            for r in map(json.loads, lines)
            if r["test"] == "map bitget-futures v3 messages"
        ]
    parsed_records = [r for frame in raw for r in parsed("bitget", None, frame).records]
    assert [(type(r).__name__, getattr(r, "quantity", None)) for r in parsed_records] == [
        ("Trade", 0.01), ("Trade", 0.01), ("OpenInterest", 29539.3825), ("MarkPrice", None),
    ]  # fmt: skip
