"""A venue's own metadata says what a contract is, in the shape in which the venue gives it."""

import pytest

from streams.feeds import instruments, registry
from streams.feeds.frames import UnreadableFrame

ANSWERS = {
    "binance": ({"timezone": "UTC", "symbols": [
        {"symbol": "BTCUSD_PERP", "pair": "BTCUSD", "contractType": "PERPETUAL", "contractSize": 100, "baseAsset": "BTC", "quoteAsset": "USD"},
        {"symbol": "1000PEPEUSDT", "contractType": "PERPETUAL", "baseAsset": "1000PEPE", "quoteAsset": "USDT"},
        {"symbol": "BTCUSDT_261225", "contractType": "CURRENT_QUARTER", "baseAsset": "BTC", "quoteAsset": "USDT"},
        {"symbol": "ETHBTC", "contractType": "PERPETUAL", "baseAsset": "ETH", "quoteAsset": "BTC"}]},
        {"BTCUSD_PERP": ("BTC-USD-PERP", "quote", 100.0, 1.0, True), "1000PEPEUSDT": ("PEPE-USDT-PERP", "base", 1.0, 1000.0, True),
         "BTCUSDT_261225": ("BTC-USDT-261225", "base", 1.0, 1.0, True), "ETHBTC": ("ETH-BTC-PERP", "base", 1.0, 1.0, False)}),
    "bybit": ({"retCode": 0, "result": {"category": "inverse", "list": [
        {"symbol": "BTCUSD", "contractType": "InversePerpetual", "baseCoin": "BTC", "quoteCoin": "USD", "deliveryTime": "0"},
        {"symbol": "BTCUSDZ26", "contractType": "InverseFutures", "baseCoin": "BTC", "quoteCoin": "USD", "deliveryTime": "1798185600000"}]}},
        {"BTCUSD": ("BTC-USD-PERP", "quote", 1.0, 1.0, True), "BTCUSDZ26": ("BTC-USD-261225", "quote", 1.0, 1.0, True)}),
    "okx": ({"code": "0", "data": [
        {"instId": "BTC-USDT-SWAP", "instType": "SWAP", "ctType": "linear", "ctVal": "0.01", "ctMult": "1", "ctValCcy": "BTC", "settleCcy": "USDT"},
        {"instId": "BTC-USD-SWAP", "instType": "SWAP", "ctType": "inverse", "ctVal": "100", "ctMult": "1", "ctValCcy": "USD", "settleCcy": "BTC"},
        {"instId": "BTC-USD-261225-90000-C", "instType": "OPTION", "ctVal": "0.01"}]},
        {"BTC-USDT-SWAP": ("BTC-USDT-PERP", "base", 0.01, 1.0, True), "BTC-USD-SWAP": ("BTC-USD-PERP", "quote", 100.0, 1.0, True)}),
    "hyperliquid": ({"universe": [{"name": "BTC", "szDecimals": 5}, {"name": "kPEPE", "szDecimals": 0}]},
        {"BTC": ("BTC-USD-PERP", "base", 1.0, 1.0, True), "kPEPE": ("PEPE-USD-PERP", "base", 1.0, 1000.0, True)}),
    "bitmex": ([
        {"symbol": "XBTUSD", "underlying": "XBT", "quoteCurrency": "USD", "isInverse": True, "isQuanto": False, "multiplier": -100000000, "expiry": None},
        {"symbol": "ETHUSD", "underlying": "ETH", "quoteCurrency": "USD", "isInverse": False, "isQuanto": True, "multiplier": 100},
        {"symbol": "SOLUSDT", "underlying": "SOL", "quoteCurrency": "USDT", "isInverse": False, "isQuanto": False, "underlyingToPositionMultiplier": 10000}],
        {"XBTUSD": ("BTC-USD-PERP", "quote", 1.0, 1.0, True), "ETHUSD": ("ETH-USD-PERP", "settle", 1.0, 1.0, True), "SOLUSDT": ("SOL-USDT-PERP", "base", 0.0001, 1.0, True)}),
    "deribit": ({"jsonrpc": "2.0", "result": [
        {"instrument_name": "BTC-PERPETUAL", "kind": "future", "base_currency": "BTC", "quote_currency": "USD", "instrument_type": "reversed", "settlement_period": "perpetual", "contract_size": 10},
        {"instrument_name": "SOL_USDC-PERPETUAL", "kind": "future", "base_currency": "SOL", "quote_currency": "USDC", "instrument_type": "linear", "settlement_period": "perpetual"},
        {"instrument_name": "BTC-25DEC26-90000-C", "kind": "option", "base_currency": "BTC", "quote_currency": "BTC", "instrument_type": "reversed", "expiration_timestamp": 1}]},
        {"BTC-PERPETUAL": ("BTC-USD-PERP", "quote", 1.0, 1.0, True), "SOL_USDC-PERPETUAL": ("SOL-USDC-PERP", "base", 1.0, 1.0, True)}),
    "gate": ([{"name": "BTC_USDT", "type": "direct", "quanto_multiplier": "0.0001"}, {"name": "BTC_USD", "type": "inverse", "quanto_multiplier": "0"}],
        {"BTC_USDT": ("BTC-USDT-PERP", "base", 0.0001, 1.0, True), "BTC_USD": ("BTC-USD-PERP", "quote", 1.0, 1.0, True)}),
    "bitget": ({"code": "00000", "data": [{"symbol": "BTCUSDT", "category": "USDT-FUTURES", "baseCoin": "BTC", "quoteCoin": "USDT", "deliveryTime": ""}]},
        {"BTCUSDT": ("BTC-USDT-PERP", "base", 1.0, 1.0, True)}),
    "dydx": ({"markets": {"BTC-USD": {"ticker": "BTC-USD", "atomicResolution": -10}}}, {"BTC-USD": ("BTC-USD-PERP", "base", 1.0, 1.0, True)}),
    "kraken": ({"result": "success", "instruments": [{"symbol": "PI_XBTUSD", "type": "futures_inverse", "contractSize": 1}, {"symbol": "PF_SOLUSD", "type": "flexible_futures", "contractSize": 1}, {"symbol": "in_xbtusd", "type": "spot index"}]},
        {"PI_XBTUSD": ("BTC-USD-PERP", "quote", 1.0, 1.0, True), "PF_SOLUSD": ("SOL-USD-PERP", "base", 1.0, 1.0, True)}),
    "htx": ({"status": "ok", "data": [{"symbol": "BTC", "contract_code": "BTC-USDT", "contract_size": 0.001}, {"symbol": "ETH", "contract_code": "ETH-USD", "contract_size": 10}]},
        {"BTC-USDT": ("BTC-USDT-PERP", "base", 0.001, 1.0, True), "ETH-USD": ("ETH-USD-PERP", "quote", 10.0, 1.0, True)}),
}  # fmt: skip


@pytest.mark.parametrize("venue", ANSWERS)
def test_an_endpoints_answer_says_what_each_contract_is(venue):
    answer, expected = ANSWERS[venue]
    known = registry.instruments_of(venue, answer, "test", "2026-11-27")
    assert {
        symbol: (i.instrument, i.unit, i.size, i.multiplier, i.in_dollars)
        for symbol, i in known.items()
    } == expected
    assert (known.source, known.date) == ("test", "2026-11-27")


@pytest.mark.parametrize("venue", registry.VENUES)
def test_the_snapshot_in_the_package_is_read_whole_and_dated(venue):
    known = registry.bundled(venue)
    described = registry.snapshot(venue)[0]
    assert len(known) >= len(described)
    assert bool(known.date) == bool(described)


@pytest.mark.parametrize("venue", ["okx", "gate", "bitmex", "ethereum"])
def test_a_contract_whose_size_stands_nowhere_is_never_guessed(venue):
    with pytest.raises(UnreadableFrame) as caught:
        registry.bundled(venue).of_connection()["NOPE"]
    assert "--instruments" in caught.value.reason


def test_a_connection_has_channel_numbers_of_its_own():
    first, second = (registry.bundled("bitfinex").of_connection() for _ in range(2))
    first.channels[1] = "trades:tBTCF0:USTF0"
    assert second.channels == registry.bundled("bitfinex").channels == {}


def test_symbols_made_up_by_a_sender_cannot_fill_the_memory():
    known = registry.bundled("binance").of_connection()
    for number in range(25_000):
        known[f"X{number}XUSDT"]
    assert len(known) <= 20_001


def test_metadata_of_which_no_row_is_understood_is_refused():
    for document in ([], [{"name": "BTC_USDT"}], {"BTC_USDT": {"type": "direct"}}):
        if document:
            with pytest.raises(ValueError, match="quanto_multiplier"):
                registry.instruments_of("gate", document, "test")
        else:
            assert registry.instruments_of("gate", document, "test") == {}


def test_hyperliquids_meta_and_contexts_list_its_perpetuals():
    answer = [{"universe": [{"name": "kBONK", "szDecimals": 0}]}, [{"markPx": "0.02"}]]
    known = registry.instruments_of("hyperliquid", answer, "test")
    assert [one.asset for one in known.values()] == ["BONK"]


def test_answers_put_into_one_list_are_all_read():
    pages = [{"result": {"list": [{"symbol": name}]}} for name in ("BTCUSDT", "ETHUSDT")]
    assert [symbol for symbol, _ in instruments.rows(pages)] == ["BTCUSDT", "ETHUSDT"]
    with pytest.raises(ValueError, match="neither"):
        list(instruments.rows([*pages, 5]))
