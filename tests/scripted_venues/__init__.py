"""Venues on loopback: each speaks its protocol by a description, and misbehaves on command."""

from collections.abc import Callable

from scripted_venues.binance import Binance
from scripted_venues.bitfinex import Bitfinex
from scripted_venues.bitget import Bitget
from scripted_venues.bitmex import Bitmex
from scripted_venues.bybit import Bybit
from scripted_venues.deribit import Deribit
from scripted_venues.dydx import Dydx
from scripted_venues.gate import Gate
from scripted_venues.htx import Htx
from scripted_venues.hyperliquid import Hyperliquid
from scripted_venues.kraken import Kraken
from scripted_venues.okx import Okx
from scripted_venues.server import Script

SCRIPTS: dict[str, Callable[[], Script]] = {
    "binance": Binance,
    "bybit": Bybit,
    "okx": Okx,
    "hyperliquid": Hyperliquid,
    "bitmex": Bitmex,
    "deribit": Deribit,
    "gate": Gate,
    "bitget": Bitget,
    "dydx": Dydx,
    "bitfinex": Bitfinex,
    "htx": Htx,
    "kraken": Kraken,
}
