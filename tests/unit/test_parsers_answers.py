"""REST's answers fill gaps: the same rows and identities as the stream's, marked as history."""

import json

import pytest
from venue_table import TABLE
from venues import parsed, refused

ANSWERS = [
    pytest.param(row, id=f"{row.venue} {row.channel}")
    for row in TABLE
    if row.fills_gaps or row.channel == "liq_orders"
]


@pytest.mark.parametrize("row", ANSWERS)
def test_an_answer_is_history_so_that_nothing_old_alerts(row):
    result = parsed(row.venue, row.channel, row.frame.encode(), symbol=row.symbol)
    assert (result.history, result.control, result.refusals) == (True, False, [])


STREAMED = {
    "okx": (
        "liquidation-orders",
        {
            "arg": {"channel": "liquidation-orders", "instType": "SWAP"},
            "data": [
                {
                    "instId": "BTC-USDT-SWAP",
                    "details": [
                        {
                            "bkPx": "80000",
                            "posSide": "short",
                            "side": "buy",
                            "sz": "8.50",
                            "ts": "1790000000123",
                        }
                    ],
                }
            ],
        },
    ),
    "deribit": (
        "trades",
        {
            "method": "subscription",
            "params": {
                "channel": "trades.BTC-PERPETUAL.100ms",
                "data": [
                    {
                        "trade_id": "480",
                        "timestamp": 1_790_000_000_123,
                        "price": 80000.0,
                        "instrument_name": "BTC-PERPETUAL",
                        "direction": "sell",
                        "amount": 40000.0,
                        "liquidation": "T",
                    }
                ],
            },
        },
    ),
    "bitfinex": (
        "liq",
        [7, [["pos", 171, 1_790_000_000_123, None, "tSOLF0:USTF0", 0.5, 160, None, 0, 1, 0, 0]]],
    ),
    "htx": (
        "liquidation_orders",
        {
            "op": "notify",
            "topic": "public.BTC-USDT.liquidation_orders",
            "ts": 1_790_000_000_130,
            "data": [
                {
                    "contract_code": "BTC-USDT",
                    "direction": "sell",
                    "offset": "close",
                    "volume": 500,
                    "price": 80000,
                    "created_at": 1_790_000_000_123,
                    "amount": 0.5,
                    "trade_turnover": 40000,
                }
            ],
        },
    ),
    "kraken": (
        "trade",
        {
            "feed": "trade",
            "product_id": "PI_XBTUSD",
            "uid": "90aa",
            "side": "sell",
            "type": "liquidation",
            "seq": 1,
            "time": 1_790_000_000_123,
            "qty": 40000,
            "price": 80000,
        },
    ),
    "dydx": (
        "v4_trades",
        {
            "type": "channel_data",
            "channel": "v4_trades",
            "id": "SOL-USD",
            "contents": {
                "trades": [
                    {
                        "id": "0671",
                        "side": "BUY",
                        "size": "0.5",
                        "price": "160",
                        "type": "LIQUIDATED",
                        "createdAt": "2026-09-21T14:13:20.123Z",
                    }
                ]
            },
        },
    ),
}


@pytest.mark.parametrize("venue", STREAMED)
def test_a_liquidation_filled_in_by_rest_is_the_one_that_the_stream_told(venue):
    channel, frame = STREAMED[venue]
    row = next(one.values[0] for one in ANSWERS if one.values[0][:2] == (venue, channel))
    streamed = parsed(venue, channel, frame)
    answered = parsed(venue, channel, row.frame.encode(), symbol=row.symbol)
    assert not streamed.history

    def reasons(result):
        return [(r.event_id, r.ts_event, r.quantity, r.notional_usd) for r in result.records]

    assert reasons(answered) == reasons(streamed)
    assert len(reasons(streamed)) > 0


@pytest.mark.parametrize(
    ("venue", "channel"),
    [
        ("binance", "aggTrade"),
        ("hyperliquid", "userFills"),
        ("bitfinex", "trades"),
        ("kraken", "trade"),
        ("dydx", "v4_trades"),
    ],
)
def test_rows_that_name_no_symbol_are_refused_where_nothing_says_it(venue, channel):
    row = next(
        one for one in TABLE if one[:2] == (venue, channel) and one.symbol and one.fills_gaps
    )
    assert refused(venue, channel, row.frame.encode()) == ["symbol"]


@pytest.mark.parametrize(
    ("venue", "channel", "answer", "field"),
    [
        ("okx", "trades", {"code": "50011", "msg": "Too Many Requests", "data": []}, "code"),
        ("bybit", "publicTrade", {"retCode": 10006, "retMsg": "many", "result": {}}, "retCode"),
        ("gate", "liq_orders", {"label": "TOO_MANY_REQUESTS", "message": "m"}, "label"),
        ("gate", None, {"label": "TOO_MANY_REQUESTS", "message": "m"}, "label"),
        ("whale_alert", "transactions", {"result": "error", "message": "invalid key"}, "result"),
        ("htx", "liquidation_orders", {"code": 403, "msg": "offline", "ts": 1}, "code"),
        ("deribit", "trades", {"jsonrpc": "2.0", "id": 1, "error": {"code": 10028}}, "error"),
    ],
)
def test_a_request_refused_by_the_venue_is_control_and_says_why(venue, channel, answer, field):
    result = parsed(venue, channel, answer)
    assert result.control
    assert refused(venue, channel, answer) == [field]


def test_other_answers_of_deribit_are_control():
    for result in (["trades.BTC-PERPETUAL.100ms"], "ok", {"version": "1.2.26"}):
        assert parsed("deribit", "trades", {"jsonrpc": "2.0", "id": 1, "result": result}).control


@pytest.mark.parametrize("row", ANSWERS)
def test_one_bad_row_of_an_answer_costs_itself_only(row):
    answer = json.loads(row.frame)
    rows = answer if isinstance(answer, list) else _rows(answer)
    rows.append(rows[0][:1] if isinstance(rows[0], list) else {})
    result = parsed(row.venue, row.channel, answer, symbol=row.symbol)
    assert len(result.records) == len(row.records)
    assert len(result.refusals) == 1
    assert f"[{len(rows) - 1}]" in result.refusals[0].field


def _rows(answer):
    for name in ("data", "trades", "history", "transactions"):
        if name in answer:
            return answer[name]
    return answer["result"].get("trades") or answer["result"]["list"]


@pytest.mark.parametrize(
    "text", ["1999-10-07T19:12:01.310Z", "2101-01-01T00:00:00.000Z", "2026-13-01T00:00:00.000Z"]
)
def test_a_time_that_no_record_may_have_is_refused(text):
    trade = {"id": "1", "side": "BUY", "size": "1", "price": "1", "createdAt": text}
    frame = {"type": "channel_data", "channel": "v4_trades", "id": "SOL-USD"}
    frame["contents"] = {"trades": [trade]}
    assert refused("dydx", "v4_trades", frame) == ["trades[0].createdAt"]
    row = {"timestamp": text, "symbol": "XBTUSD", "side": "Sell", "size": 100, "price": 60000}
    frame = {"table": "trade", "action": "insert", "data": [row | {"trdMatchID": "a"}]}
    assert refused("bitmex", "trade", frame, ts_recv=4_102_444_800_000_000 - 1) == [
        "data[0].timestamp"
    ]
