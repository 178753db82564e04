"""BitMEX's liquidation table holds states of orders, without a time, in contracts of many sizes."""

import json

import pytest
from venues import FIXTURES, NO_FIXTURES, RECV, parsed, records, refused

ORDER = {"orderID": "o-1", "symbol": "XBTUSD", "side": "Sell", "price": 80000, "leavesQty": 40000}
PRINT = {
    "timestamp": "2026-09-21T14:13:20.123Z", "symbol": "XBTUSD", "side": "Buy", "size": 100,
    "price": 80000, "trdMatchID": "m-1", "homeNotional": 0.00125, "foreignNotional": 100,
    "trdType": "Regular",
}  # fmt: skip


def table(name, action, *rows):
    return {"table": name, "action": action, "data": list(rows)}


def test_the_orders_side_closes_the_opposite_position():
    long, short = records(
        "bitmex",
        None,
        table("liquidation", "insert", ORDER, ORDER | {"side": "Buy", "orderID": "o-2"}),
    )
    assert (long.position_side, long.order_side) == ("long", "sell")
    assert (short.position_side, short.order_side) == ("short", "buy")


def test_there_is_no_time_so_that_of_receipt_stands_for_both():
    (record,) = records("bitmex", None, table("liquidation", "insert", ORDER))
    assert record.ts_event == record.ts_recv == RECV


def test_xbt_is_btc():
    (record,) = records("bitmex", None, table("liquidation", "insert", ORDER))
    assert (record.asset, record.venue_symbol) == ("BTC", "XBTUSD")


@pytest.mark.parametrize("action", ["update", "delete"])
def test_what_leaves_the_book_tells_of_no_new_order(action):
    row = {"orderID": "o-1", "symbol": "XBTUSD", "leavesQty": 1}
    assert records("bitmex", None, table("liquidation", action, row)) == []


def test_orders_of_unknown_age_in_a_partial_tell_nothing_new():
    assert records("bitmex", None, table("liquidation", "partial", ORDER)) == []
    assert records("bitmex", None, table("liquidation", "partial")) == []


def test_an_insert_told_twice_is_one_order():
    first, second = (
        records("bitmex", None, table("liquidation", "insert", ORDER))[0] for _ in "ab"
    )
    assert first.event_id == second.event_id


def test_linear_contracts_are_divided_by_the_multiplier_of_the_position():
    metadata = [
        {
            "symbol": "ABCUSDT",
            "underlying": "ABC",
            "quoteCurrency": "USDT",
            "isInverse": False,
            "isQuanto": False,
            "underlyingToPositionMultiplier": 10000,
        }
    ]
    (record,) = records(
        "bitmex",
        None,
        table("liquidation", "insert", ORDER | {"symbol": "ABCUSDT", "price": 2}),
        metadata,
    )
    assert (record.quantity, record.notional_usd) == (4.0, 8.0)


def test_a_quanto_keeps_its_side_and_price_and_no_invented_worth():
    (record,) = records(
        "bitmex", None, table("liquidation", "insert", ORDER | {"symbol": "ETHUSD"})
    )
    assert (record.quantity, record.notional_usd, record.price) == (None, None, 80000.0)
    assert record.position_side == "long"


def test_a_future_in_months_expires_on_the_months_last_friday():
    (record,) = records(
        "bitmex", None, table("liquidation", "insert", ORDER | {"symbol": "XBTZ26"})
    )
    assert (record.instrument, record.notional_usd) == ("BTC-USD-261225", 40000.0)


def test_a_contract_of_unknown_size_is_refused_and_its_neighbour_read():
    rows = ORDER | {"symbol": "NOPEUSDT"}, ORDER
    result = parsed("bitmex", None, table("liquidation", "insert", *rows))
    assert len(result.records) == 1
    assert [r.field for r in result.refusals] == ["data[0].symbol"]


def test_a_trade_is_worth_its_foreign_notional_whatever_a_contract_is():
    (record,) = records(
        "bitmex",
        None,
        table(
            "trade", "insert", PRINT | {"size": 7, "homeNotional": 0.5, "foreignNotional": 40000}
        ),
    )
    assert (record.quantity, record.notional_usd) == (0.5, 40000.0)


def test_a_trade_priced_in_coins_has_no_worth_in_dollars():
    metadata = {
        "ETHM19": {
            "underlying": "ETH",
            "quoteCurrency": "XBT",
            "isQuanto": False,
            "isInverse": False,
            "underlyingToPositionMultiplier": 1,
            "expiry": "2019-06-28T12:00:00.000Z",
        }
    }
    row = PRINT | {"symbol": "ETHM19", "price": 0.03, "homeNotional": 5, "foreignNotional": 0.15}
    (record,) = records("bitmex", None, table("trade", "insert", row), metadata)
    assert (record.instrument, record.quantity, record.notional_usd) == (
        "ETH-BTC-190628",
        5.0,
        None,
    )


def test_an_indexs_row_is_no_trade():
    row = PRINT | {"symbol": ".BXBT", "trdType": "Referential"}
    assert records("bitmex", None, table("trade", "insert", row)) == []


def test_trades_of_a_partial_are_history():
    assert parsed("bitmex", None, table("trade", "partial", PRINT)).history


def test_times_are_read_however_they_are_written():
    for text in ("2026-09-21T14:13:20.123Z", "2026-09-21T14:13:20.123000+00:00"):
        (record,) = records("bitmex", None, table("trade", "insert", PRINT | {"timestamp": text}))
        assert record.ts_event == 1_790_000_000_123_000
    assert refused(
        "bitmex", None, table("trade", "insert", PRINT | {"timestamp": "2026-99-21T14:13:20.123Z"})
    ) == ["data[0].timestamp"]


@pytest.mark.parametrize(
    ("frame", "reasons"),
    [
        (b"pong", 0),
        (
            b'{"info":"Welcome to the BitMEX Realtime API.","version":"2.0.0","limit":{"remaining":39}}',
            0,
        ),
        (b'{"success":true,"subscribe":"liquidation","request":{"op":"subscribe"}}', 0),
        (b'{"status":400,"error":"Unknown table: nope","meta":{},"request":{}}', 1),
        (
            b'{"status":429,"error":"Rate limit exceeded, retry in 1 seconds.","meta":{"retryAfter":1}}',
            1,
        ),
    ],
)
def test_replies_are_control(frame, reasons):
    for channel in (None, "liquidation", "trade", "instrument"):
        result = parsed("bitmex", channel, frame)
        assert (result.records, len(result.refusals), result.control) == ([], reasons, True)


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=NO_FIXTURES)
def test_recorded_trades_of_2021_are_all_read():
    text = (FIXTURES / "cryptofeed" / "BITMEX.ws.1.0.trades.txt").read_text()
    frames = [
        line.split(": ", 1)[1].encode() for line in text.splitlines() if '"table":"trade"' in line
    ]
    results = [parsed("bitmex", None, frame) for frame in frames]
    assert not any(result.refusals for result in results)
    parsed_records = [record for result in results for record in result.records]
    assert len(parsed_records) == sum(len(json.loads(frame)["data"]) for frame in frames) == 27
    in_dollars = [r for r in parsed_records if "-BTC-" not in r.instrument]
    assert all(r.notional_usd == pytest.approx(r.price * r.quantity, rel=1e-2) for r in in_dollars)
    assert {r.instrument for r in parsed_records} >= {
        "TRX-BTC-210924",
        "ADA-USDT-PERP",
        "BCH-USD-PERP",
    }


def test_a_partial_of_the_instrument_table_says_itself_what_its_contracts_are():
    row = {
        "symbol": "ETHM19",
        "underlying": "ETH",
        "quoteCurrency": "XBT",
        "isQuanto": False,
        "isInverse": False,
        "underlyingToPositionMultiplier": 1,
        "multiplier": 100000000,
        "expiry": "2019-06-28T12:00:00.000Z",
        "openInterest": 250,
        "markPrice": 0.03,
        "timestamp": "2026-09-21T14:13:20.123Z",
    }
    interest, mark = records("bitmex", None, table("instrument", "partial", row))
    assert (interest.quantity, interest.notional_usd, interest.instrument) == (
        250.0,
        None,
        "ETH-BTC-190628",
    )
    assert mark.price == 0.03


def test_a_quantos_open_interest_is_neither_coins_nor_dollars_but_its_mark_price_is_told():
    row = {"symbol": "ETHUSD", "openInterest": 58922153, "markPrice": 2500}
    assert [
        type(r).__name__ for r in records("bitmex", None, table("instrument", "update", row))
    ] == ["MarkPrice"]


def test_an_indexs_row_without_a_side_is_no_trade_and_no_complaint():
    index = PRINT | {"symbol": ".BXBT", "side": None, "trdMatchID": None, "size": None}
    assert len(records("bitmex", None, table("trade", "insert", index, PRINT))) == 1
    assert refused("bitmex", None, table("trade", "insert", PRINT | {"side": None}))


def test_a_multiplier_is_in_units_of_the_coin_that_settles():
    """1,000 million gwei of ether for a dollar at a price of one: a dollar a contract."""
    row = {"underlying": "ETH", "quoteCurrency": "USD", "isInverse": True, "isQuanto": False}
    row |= {"multiplier": -1_000_000_000, "settlCurrency": "Gwei", "expiry": None}
    order = ORDER | {"symbol": "ETHUSD_ETH", "price": 2500, "leavesQty": 1000}
    (record,) = records("bitmex", None, table("liquidation", "insert", order), {"ETHUSD_ETH": row})
    assert (record.instrument, record.quantity) == ("ETH-USD-PERP", 0.4)
    assert record.notional_usd == 1000.0
    frame = table("instrument", "partial", row | {"symbol": "ETHUSD_ETH", "openInterest": 5000})
    (reading,) = records("bitmex", "instrument", frame)
    assert reading.notional_usd == 5000.0
    with pytest.raises(ValueError, match="settlCurrency"):
        parsed("bitmex", None, {}, {"ETHUSD_ETH": row | {"settlCurrency": "Xxx"}})
