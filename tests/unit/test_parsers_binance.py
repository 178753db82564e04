"""Binance's forced orders and aggregate trades mean what they say."""

import json

import pytest
from venues import FIXTURES, NO_FIXTURES, parsed, records, refused

from schemas.words import grid_usd

RECV = 1_791_565_603_100_000


def order(**changes):
    body = {
        "s": "BTCUSDT", "S": "SELL", "o": "LIMIT", "f": "IOC", "q": "0.200", "p": "82000.00",
        "ap": "82500.00", "X": "FILLED", "l": "0.050", "z": "0.100", "T": 1_791_565_602_120,
    }  # fmt: skip
    return {"e": "forceOrder", "E": 1_791_565_603_055, "o": body | changes}


def read(event, stream="!forceOrder@arr"):
    (record,) = records("binance", "forceOrder", wrapped(event, stream), ts_recv=RECV)
    return record


def wrapped(event, stream="!forceOrder@arr"):
    return event if stream is None else {"stream": stream, "data": event}


def complaints(event):
    return refused("binance", "forceOrder", wrapped(event), ts_recv=RECV)


def test_a_sell_order_closed_a_long_and_a_buy_order_a_short():
    sold, bought = read(order()), read(order(S="BUY"))
    assert (sold.position_side, sold.order_side) == ("long", "sell")
    assert (bought.position_side, bought.order_side) == ("short", "buy")


def test_what_traded_is_the_filled_quantity_at_the_average_price():
    record = read(order())
    assert record.quantity == 0.1
    assert (record.price, record.price_kind) == (82_500.0, "average_fill")
    assert record.notional_usd == grid_usd(0.1 * 82_500)


def test_the_event_time_is_the_orders_not_the_pushs():
    record = read(order())
    assert record.ts_event == 1_791_565_602_120_000
    assert record.ts_recv == RECV


def test_a_thousand_pepe_contract_is_a_thousand_pepe():
    record = read(order(s="1000PEPEUSDT", ap="0.0107", z="43942"))
    assert record.asset == "PEPE"
    assert record.quantity == 43_942_000
    assert record.price == pytest.approx(0.0000107)
    assert record.notional_usd == grid_usd(43_942 * 0.0107)


@pytest.mark.parametrize(("symbol", "usd"), [("BTCUSD_PERP", 500.0), ("ETHUSD_250926", 50.0)])
def test_coin_margined_orders_count_contracts_of_fixed_dollar_worth(symbol, usd):
    record = read(order(s=symbol, q="9", z="5", ap="80000", st=2))
    assert record.notional_usd == usd
    assert record.quantity == usd / 80_000


def test_a_margin_kind_that_contradicts_the_symbol_is_refused():
    assert complaints(order(st=2)) == ["st"]


def test_an_order_of_which_nothing_filled_is_neither_a_record_nor_a_refusal():
    result = parsed("binance", "forceOrder", wrapped(order(X="NEW", z="0", ap="0")))
    assert (result.records, result.refusals, result.control) == ([], [], False)


def test_without_an_average_price_the_limit_stands_in_and_is_labelled():
    record = read(order(ap="0"))
    assert (record.price, record.price_kind) == (82_000.0, "order_limit")


@pytest.mark.parametrize(
    ("stream", "symbol", "expected"),
    [
        ("!forceOrder@arr", "BTCUSDT", "latest_per_second"),
        (None, "BTCUSDT", "latest_per_second"),
        ("btcusdt@forceOrder", "BTCUSDT", "largest_per_second"),
        ("btcusd_perp@forceOrder", "BTCUSD_PERP", "latest_per_second"),
    ],
)
def test_each_stream_says_which_order_of_a_second_it_shows(stream, symbol, expected):
    record = read(order(s=symbol), stream)
    assert record.coverage == expected
    assert record.stream == (stream or "!forceOrder@arr")


def test_the_same_order_has_the_same_identity_on_both_streams():
    ids = {read(order(), s).event_id for s in ("!forceOrder@arr", "btcusdt@forceOrder", None)}
    assert len(ids) == 1
    assert read(order(z="0.101")).event_id not in ids


@pytest.mark.parametrize(
    ("field", "value"),
    [("ap", "NaN"), ("ap", "inf"), ("ap", "-1"), ("z", "-0.1"), ("z", "1e30"), ("z", "1_0"),
     ("p", "None"), ("q", None), ("T", 1), ("T", "soon"), ("S", "HOLD"), ("s", 7)],
)  # fmt: skip
def test_a_bad_value_is_unreadable_and_names_its_field(field, value):
    assert complaints(order(**{field: value})) == [f"o.{field}"]


def test_a_worth_beyond_ten_billion_is_a_mistake_not_an_event():
    assert complaints(order(z="1000000000", ap="82000")) == ["notional_usd"]


def test_an_order_stamped_long_after_its_receipt_is_unreadable():
    assert complaints(order(T=1_791_565_602_120 + 3_600_000)) == ["ts_event"]


def test_acknowledgements_are_empty_and_refusals_are_not():
    for channel in ("forceOrder", "aggTrade", None):
        ack = parsed("binance", channel, {"result": None, "id": 1})
        assert (ack.records, ack.refusals, ack.control) == ([], [], True)
        error = {"error": {"code": 2, "msg": "Invalid request"}, "id": 1}
        refusal = parsed("binance", channel, error)
        assert refusal.control
        assert "Invalid request" in refusal.refusals[0].reason


@pytest.mark.parametrize("frame", [b"", b"null", b"[]", b"{", b'{"e":"kline"}', b"\xff\xfe", b"{}"])
def test_what_is_no_such_frame_is_unreadable(frame):
    for channel in ("forceOrder", "aggTrade", None):
        assert len(refused("binance", channel, frame)) == 1


def agg(**changes):
    body = {"e": "aggTrade", "E": 1_791_565_603_000, "s": "BTCUSDT", "a": 59_012, "p": "80000.5",
            "q": "0.25", "f": 1, "l": 3, "T": 1_791_565_602_900, "m": True}  # fmt: skip
    return json.dumps({"stream": "btcusdt@aggTrade", "data": body | changes}).encode()


def trade(frame):
    (record,) = records("binance", "aggTrade", frame)
    return record


def test_a_trade_whose_buyer_was_the_maker_was_sold_into():
    assert trade(agg(m=True)).aggressor_side == "sell"
    assert trade(agg(m=False)).aggressor_side == "buy"


def test_a_trade_is_worth_quantity_times_price_and_keeps_the_venues_id():
    record = trade(agg())
    assert record.notional_usd == grid_usd(0.25 * 80_000.5)
    assert record.event_id == "binance:BTCUSDT:59012"
    assert record.ts_event == 1_791_565_602_900_000


def test_coin_margined_trades_count_contracts_too():
    record = trade(agg(s="BCHUSD_PERP", p="427.91", q="3"))
    assert record.notional_usd == 30.0
    assert record.quantity == 30 / 427.91


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"p": "NaN"}, "p"), ({"p": "0"}, "p"), ({"q": "inf"}, "q"), ({"q": "-1"}, "q"),
     ({"q": "1e14"}, "notional_usd"), ({"a": None}, "a"), ({"m": "maybe"}, "m"),
     ({"T": 1_791_569_602_900}, "ts_event"), ({"s": "btc"}, "symbol")],
)  # fmt: skip
def test_a_bad_trade_names_its_field(changes, field):
    assert refused("binance", "aggTrade", agg(**changes), ts_recv=RECV) == [field]


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=NO_FIXTURES)
def test_recorded_frames_of_2026_read_as_they_were_captured():
    frames = [
        json.loads(line)["frame"]
        for line in (FIXTURES / "live_2026-10_liquidation_frames.jsonl").read_text().splitlines()
        if line and json.loads(line)["venue"] == "binance"
    ]
    orders = [records("binance", "forceOrder", f)[0] for f in frames]
    assert [(r.asset, r.position_side, r.coverage) for r in orders] == [
        ("BTC", "long", "latest_per_second"),
        ("XRP", "short", "largest_per_second"),
        ("MANTA", "long", "latest_per_second"),
    ]
    assert orders[0].notional_usd == grid_usd(0.190 * 82_651.90)


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=NO_FIXTURES)
@pytest.mark.parametrize("name", ["BINANCE_FUTURES", "BINANCE_DELIVERY"])
def test_recorded_trades_of_2021_are_all_read(name):
    text = (FIXTURES / "cryptofeed" / f"{name}.ws.1.0.trades.txt").read_text()
    lines = [line.split(": ", 1)[1] for line in text.splitlines() if '@aggTrade","data' in line]
    trades = [trade(line.encode()) for line in lines]
    assert len(trades) == len(lines) > 30
    assert all(r.notional_usd > 0 for r in trades)


@pytest.mark.parametrize("state", ["NEW", "PARTIALLY_FILLED", "CANCELED", "EXPIRED"])
def test_whatever_became_of_the_order_what_filled_was_sold(state):
    assert read(order(X=state, z="0.05")).quantity == 0.05


def test_the_same_order_from_either_host_and_stream_is_one():
    merged = read(order(s="BTCUSD_PERP", z="5", st=2, ps="BTCUSD"))
    coin_margined = read(order(s="BTCUSD_PERP", z="5"), "btcusd_perp@forceOrder")
    assert merged.event_id == coin_margined.event_id


def test_the_margin_kind_is_read_inside_the_order_and_beside_it():
    event = order(s="BTCUSD_PERP", z="5") | {"st": 2}
    assert read(event).notional_usd == 500.0
    assert refused("binance", None, wrapped(order(s="BTCUSDT") | {"st": 2})) == ["st"]


def test_quantities_that_exclude_retail_orders_are_not_read():
    assert trade(agg(nq="0.1")).quantity == 0.25


@pytest.mark.parametrize("kind", ["INSURANCE_FUND", "ADL", "NA"])
def test_prints_of_the_fund_and_of_deleveraging_are_no_takers(kind):
    event = {
        "e": "trade",
        "E": 1,
        "T": 1_791_565_602_900,
        "s": "BTCUSDT",
        "t": 7,
        "p": "80000",
        "q": "1",
        "X": kind,
        "m": True,
    }
    assert records("binance", None, event) == []
    assert len(records("binance", None, event | {"X": "RPI"})) == 1


def test_a_list_of_subscriptions_is_control_and_no_proof_of_life():
    result = parsed("binance", None, {"result": ["!forceOrder@arr"], "id": 2})
    assert (result.records, result.refusals, result.control) == ([], [], True)


def test_metadata_says_what_a_contract_is():
    row = {"symbol": "BTCUSD_PERP", "contractSize": 50, "baseAsset": "BTC", "quoteAsset": "USD"}
    (record,) = records("binance", None, order(s="BTCUSD_PERP", z="2"), {"symbols": [row]})
    assert record.notional_usd == 100.0


def test_every_mark_price_of_an_array_is_read_and_a_bad_one_costs_itself():
    event = {"e": "markPriceUpdate", "E": 1_791_565_602_900, "s": "BTCUSDT", "p": "80000"}
    result = parsed(
        "binance", None, {"stream": "!markPrice@arr", "data": [event, event | {"p": "x"}]}
    )
    assert [r.price for r in result.records] == [80000.0]
    assert [r.field for r in result.refusals] == ["data[1].p"]


def test_a_perpetual_quoted_in_a_coin_has_no_worth_in_dollars():
    record = read(order(s="ETHBTC", ap="0.03", p="0.03", z="2"))
    assert (record.instrument, record.quantity, record.notional_usd) == ("ETH-BTC-PERP", 2.0, None)
    assert trade(agg(s="ETHBTC", p="0.03")).notional_usd is None


def test_names_beyond_ascii_pass():
    record = read(order(s="币安人生USDT"), "币安人生usdt@forceOrder")
    assert (record.asset, record.instrument) == ("币安人生", "币安人生-USDT-PERP")
    assert record.venue_symbol == "币安人生USDT"
    assert trade(agg(s="币安人生USDT")).event_id == "binance:币安人生USDT:59012"
    assert read(order(s="币安人生USDT", st=1)).coverage == "latest_per_second"


def test_a_name_that_hides_something_does_not():
    assert complaints(order(s="BTC\u200bUSDT")) == ["symbol"]


@pytest.mark.parametrize("stream", ["", "!forceOrder@arr"])
def test_orders_put_into_one_array_are_read_each_and_a_bad_one_costs_itself(stream):
    good, bad = order(), order(S="sideways")
    array = [good, bad, [good], order(T=1_790_000_000_999)]
    frame = {"stream": stream, "data": array} if stream else array
    for channel in (None, "forceOrder"):
        result = parsed("binance", channel, frame)
        assert result.records[:1] == records("binance", None, wrapped(good) if stream else good)
        assert [one.ts_event % 1_000_000 for one in result.records[1:]] == [999_000]
        assert len(result.refusals) == 2


@pytest.mark.parametrize(
    "item", [{"code": -1, "msg": "no"}, {"data": [order(S="sideways")]}, {"error": {"code": 2}}]
)
def test_what_is_wrong_within_an_item_of_an_array_is_said(item):
    for channel in (None, "forceOrder"):
        result = parsed("binance", channel, [order(), item])
        assert (len(result.records), len(result.refusals)) == (1, 1)
        assert result.refusals[0].field.startswith("data[1].")


def test_an_error_without_an_id_of_ours_is_control():
    for channel in (None, "forceOrder", "aggTrade", "trade"):
        result = parsed("binance", channel, {"code": 2, "msg": "Invalid request: unknown"})
        assert (result.control, [r.field for r in result.refusals]) == (True, ["code"])
