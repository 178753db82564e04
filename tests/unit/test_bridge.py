"""What cryptofeed and tardis-machine wrote, as our records: sides, contracts, kinds of price."""

import json

import pytest
from click.testing import CliRunner

from streams.bridge import cryptofeed, tardis_machine
from streams.cli import main
from streams.feeds.frames import UnreadableFrame

AT = 1_791_565_600.25


def printed(exchange="BINANCE_FUTURES", symbol="BTC-USDT-PERP", **changes):
    message = {
        "exchange": exchange, "symbol": symbol, "side": "sell", "amount": 0.5, "price": 90_000.0,
        "id": "2750088771", "type": None, "timestamp": AT, "receipt_timestamp": AT + 0.1,
    }  # fmt: skip
    return read(f"trades-{exchange}-{symbol}", message | changes)


def forced(exchange="BINANCE_FUTURES", symbol="BTC-USDT-PERP", **changes):
    message = {
        "exchange": exchange, "symbol": symbol, "side": "sell", "quantity": 0.5, "price": 90_000.0,
        "id": None, "status": "filled", "timestamp": AT, "receipt_timestamp": AT + 0.1,
    }  # fmt: skip
    return read(f"liquidations-{exchange}-{symbol}", message | changes)


def read(topic, message):
    records = cryptofeed.of_message(topic, json.dumps(message).encode())
    assert len(records) <= 1
    return records[0] if records else None


def test_a_trade_has_the_identity_and_times_that_the_live_feed_gives_it():
    trade = printed()
    assert (trade.event_id, trade.venue_symbol) == ("binance:BTCUSDT:2750088771", "BTCUSDT")
    assert (trade.aggressor_side, trade.quantity, trade.notional_usd) == ("sell", 0.5, 45_000.0)
    assert (trade.ts_event, trade.ts_recv) == (1_791_565_600_250_000, 1_791_565_600_350_000)
    assert printed("HYPERLIQUID", "BTC-USD-PERP").event_id.startswith(
        "hyperliquid:BTC:1791565600250:"
    )


@pytest.mark.parametrize(
    ("exchange", "symbol", "amount", "price", "venue_symbol", "quantity", "usd"),
    [
        ("BINANCE_DELIVERY", "BTC-USD-PERP", 5, 80_000.0, "BTCUSD_PERP", 0.00625, 500.0),
        ("BINANCE_DELIVERY", "ETH-USD-26H27", 5, 2_500.0, "ETHUSD_260327", 0.02, 50.0),
        ("BYBIT", "BTC-USD-PERP", 500, 80_000.0, "BTCUSD", 0.00625, 500.0),
        ("BYBIT", "BTC-USDC-PERP", 0.5, 80_000.0, "BTCPERP", 0.5, 40_000.0),
        ("OKX", "BTC-USDT-PERP", 13, 80_000.0, "BTC-USDT-SWAP", 0.13, 10_400.0),
        ("BITMEX", "BTC-USD-PERP", 4_000, 80_000.0, "XBTUSD", 0.05, 4_000.0),
        ("DERIBIT", "BTC-USD-PERP", 640, 80_000.0, "BTC-PERPETUAL", 0.008, 640.0),
        ("GATEIO_FUTURES", "BTC-USDT-PERP", 100, 80_000.0, "BTC_USDT", 0.01, 800.0),
        ("HTX_SWAP", "BTC-USD-PERP", 10, 80_000.0, "BTC-USD", 0.00625, 500.0),
        ("BINANCE_FUTURES", "1000PEPE-USDT-PERP", 8_000, 0.0125, "1000PEPEUSDT", 8e6, 100.0),
    ],
)
def test_contracts_become_coins_by_each_venues_own_size(
    exchange, symbol, amount, price, venue_symbol, quantity, usd
):
    trade = printed(exchange, symbol, amount=amount, price=price)
    assert trade.venue_symbol == venue_symbol
    assert trade.quantity == pytest.approx(quantity)
    assert trade.notional_usd == pytest.approx(usd)


@pytest.mark.parametrize(
    ("exchange", "symbol", "side", "position", "order", "kind"),
    [
        ("BINANCE_FUTURES", "BTC-USDT-PERP", "sell", "long", "sell", "order_limit"),
        ("BYBIT", "BTC-USDT-PERP", "buy", "long", "sell", "bankruptcy"),
        ("BYBIT", "BTC-USDT-PERP", "sell", "short", "buy", "bankruptcy"),
        ("OKX", "BTC-USDT-PERP", "buy", "short", "buy", "bankruptcy"),
        ("BITMEX", "BTC-USD-PERP", "sell", "long", "sell", "bankruptcy"),
        ("DERIBIT", "BTC-USD-PERP", "sell", "unknown", None, "fill"),
    ],
)
def test_whose_side_a_liquidations_side_is_differs_by_venue(
    exchange, symbol, side, position, order, kind
):
    record = forced(exchange, symbol, side=side, quantity=100)
    assert (record.position_side, record.order_side, record.price_kind) == (position, order, kind)


def test_an_order_of_binance_that_was_not_filled_whole_is_no_record_and_no_complaint():
    assert forced(status="unfilled") is None


def test_an_order_of_bitmex_that_changes_is_the_live_feeds_one_order():
    first = forced("BITMEX", "BTC-USD-PERP", id="7b1c", quantity=400)
    second = forced("BITMEX", "BTC-USD-PERP", id="7b1c", quantity=100)
    assert first.event_id == second.event_id == "bitmex:liquidation:7b1c"


def test_open_interest_says_which_sides_are_counted():
    message = {
        "exchange": "BYBIT",
        "symbol": "BTC-USDT-PERP",
        "open_interest": 100.5,
        "timestamp": AT,
        "receipt_timestamp": AT,
    }
    record = read("open_interest-BYBIT-BTC-USDT-PERP", message)
    assert (record.quantity, record.sides) == (100.5, "both")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"exchange": "KRAKEN_FUTURES"}, "exchange"),
        ({"exchange": "COINBASE"}, "exchange"),
        ({"symbol": "BTC-USDT"}, "symbol"),
        ({"symbol": "BTC-USD-70000-26H27-call"}, "symbol"),
        ({"side": "up"}, "side"),
        ({"amount": "NaN"}, "amount"),
        ({"price": 0}, "price"),
        ({"timestamp": 1e20}, "timestamp"),
        ({"timestamp": None}, "timestamp"),
    ],
)
def test_what_cannot_be_bridged_is_refused_with_its_field(changes, field):
    with pytest.raises(UnreadableFrame) as refused:
        printed(**changes)
    assert refused.value.field == field
    assert refused.value.reason


def test_liquidations_of_a_venue_that_has_none_there_are_refused():
    with pytest.raises(UnreadableFrame, match="no liquidations"):
        forced("GATEIO_FUTURES")


@pytest.mark.parametrize("reader", [cryptofeed.of_message, tardis_machine.of_message])
@pytest.mark.parametrize("message", [b"", b"{", b"[]", b"null", b"\xff", b'{"type":1}', b"{}"])
def test_garbage_is_refused_and_nothing_else_is_raised(reader, message):
    with pytest.raises(UnreadableFrame):
        reader("trades-X-Y", message)


def normalised(**changes):
    message = {
        "type": "trade", "symbol": "BTCUSDT", "exchange": "binance-futures", "id": "3445",
        "price": 61_130.5, "amount": 0.5, "side": "sell", "timestamp": "2026-02-28T23:59:59.998Z",
        "localTimestamp": "2026-03-01T00:00:00.001Z",
    }  # fmt: skip
    records = tardis_machine.of_message("tardis", json.dumps(message | changes).encode())
    return records[0] if records else None


def test_a_normalised_trade_of_tardis_machine_is_the_raw_print():
    trade = normalised()
    assert (trade.event_id, trade.aggressor_side) == ("binance:BTCUSDT:raw:3445", "sell")
    assert (trade.ts_event, trade.ts_recv) == (1_772_323_199_998_000, 1_772_323_200_001_000)


def test_a_normalised_liquidation_has_the_orders_side_and_its_kind_of_price():
    record = normalised(type="liquidation", exchange="bybit", id=None, side="buy")
    assert (record.position_side, record.order_side, record.price_kind) == (
        "short",
        "buy",
        "bankruptcy",
    )
    okx = normalised(
        type="liquidation", exchange="okex-swap", symbol="BTC-USDT-SWAP", id=None, amount=13
    )
    assert (okx.position_side, okx.quantity) == ("long", pytest.approx(0.13))


def test_tickers_give_open_interest_and_other_messages_nothing():
    record = normalised(type="derivative_ticker", openInterest=5_000.5, markPrice=60_000.0)
    assert (record.quantity, record.sides) == (5_000.5, "one")
    for kind in ("book_change", "disconnect", "book_snapshot_2_1s"):
        assert normalised(type=kind) is None


def test_what_was_lost_is_told_at_the_command_line():
    said = CliRunner().invoke(main, ["bridge", "cryptofeed", "--lost"]).stdout
    assert "BYBIT: liquidations: the side is the position's" in said
    assert "KRAKEN_FUTURES is refused" in said
    assert len(said.splitlines()) == len(cryptofeed.EXCHANGES) + len(cryptofeed.ALWAYS)
