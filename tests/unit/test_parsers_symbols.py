"""Venue symbols become assets, instruments and multipliers."""

import pytest

from streams.feeds.binance import by_name
from streams.feeds.frames import UnreadableFrame
from streams.feeds.symbols import is_inverse, split_symbol


@pytest.mark.parametrize(
    ("venue_symbol", "expected"),
    [
        ("BTCUSDT", ("BTC", "BTC-USDT-PERP", 1.0)),
        ("ETHUSDC", ("ETH", "ETH-USDC-PERP", 1.0)),
        ("BTCFDUSD", ("BTC", "BTC-FDUSD-PERP", 1.0)),
        ("DOGEBUSD", ("DOGE", "DOGE-BUSD-PERP", 1.0)),
        ("1000PEPEUSDT", ("PEPE", "PEPE-USDT-PERP", 1e3)),
        ("10000LADYSUSDT", ("LADYS", "LADYS-USDT-PERP", 1e4)),
        ("1000000MOGUSDT", ("MOG", "MOG-USDT-PERP", 1e6)),
        ("10000000AIDOGEUSDT", ("AIDOGE", "AIDOGE-USDT-PERP", 1e7)),
        ("1MBABYDOGEUSDT", ("BABYDOGE", "BABYDOGE-USDT-PERP", 1e6)),
        ("SHIB1000USDT", ("SHIB", "SHIB-USDT-PERP", 1e3)),
        ("1INCHUSDT", ("1INCH", "1INCH-USDT-PERP", 1.0)),
        ("BTCPERP", ("BTC", "BTC-USDC-PERP", 1.0)),
        ("PERPUSDT", ("PERP", "PERP-USDT-PERP", 1.0)),
        ("BTCUSD", ("BTC", "BTC-USD-PERP", 1.0)),
        ("BTCUSD_PERP", ("BTC", "BTC-USD-PERP", 1.0)),
        ("BTCUSD_200925", ("BTC", "BTC-USD-200925", 1.0)),
        ("BTCUSDT_230331", ("BTC", "BTC-USDT-230331", 1.0)),
        ("BTC-27DEC24", ("BTC", "BTC-USDC-241227", 1.0)),
        ("BTCUSDT-27DEC24", ("BTC", "BTC-USDT-241227", 1.0)),
        ("BTCUSDZ24", ("BTC", "BTC-USD-241227", 1.0)),
        ("币安人生USDT", ("币安人生", "币安人生-USDT-PERP", 1.0)),
        ("1000币安USDT", ("币安", "币安-USDT-PERP", 1e3)),
        ("币安人生USDT_260327", ("币安人生", "币安人生-USDT-260327", 1.0)),
        ("ETHUSDH25", ("ETH", "ETH-USD-250328", 1.0)),
    ],
)
def test_a_symbol_is_split_as_its_venue_means_it(venue_symbol, expected):
    assert split_symbol(venue_symbol) == expected


def test_a_coin_that_ends_in_b_is_not_read_as_busd_quoted():
    assert split_symbol("BNBUSD_PERP")[:2] == ("BNB", "BNB-USD-PERP")
    assert split_symbol("BNBBUSD")[:2] == ("BNB", "BNB-BUSD-PERP")


def test_only_plain_usd_quotes_are_inverse():
    assert is_inverse("BTC-USD-PERP")
    assert not is_inverse("BTC-USDT-PERP")


def test_spot_keeps_its_kind_and_has_no_bare_usd_quote():
    assert split_symbol("BTCUSDT", "SPOT")[1] == "BTC-USDT-SPOT"
    assert split_symbol("BTCTUSD", "SPOT")[1] == "BTC-TUSD-SPOT"
    assert split_symbol("ETHBTC", "SPOT")[1] == "ETH-BTC-SPOT"
    with pytest.raises(UnreadableFrame):
        split_symbol("BTCUSD", "SPOT")


def test_a_bare_usd_ending_of_binance_is_no_future():
    instrument = by_name("BTCTUSD")
    assert (instrument.instrument, instrument.unit) == ("BTC-TUSD-SPOT", "base")
    assert not by_name("ETHBTC", "SPOT").in_dollars


@pytest.mark.parametrize(
    "bad",
    ["", "USDT", "BTC", "ETHBTC", "btcusdt", "BTC USDT", "BTC/USDT", "币安 人生USDT", "é USDT", "BTC\u200bUSDT", "PERP",
     "BTC-99XYZ24", "BTC-28APR23-29500-C", "A" * 30 + "USDT", "BTCUSDT\n"],
)  # fmt: skip
def test_an_unknown_symbol_is_unreadable_and_says_so(bad):
    with pytest.raises(UnreadableFrame) as caught:
        split_symbol(bad)
    assert caught.value.field == "symbol"
