"""How each venue is spoken to: one small description a venue, pure."""

from streams.feed.protocol import Protocol
from streams.feed.venues import (
    binance,
    bitfinex,
    bitget,
    bitmex,
    bybit,
    deribit,
    dydx,
    gate,
    htx,
    hyperliquid,
    kraken,
    okx,
)

_MODULES = (
    binance,
    bybit,
    okx,
    hyperliquid,
    bitmex,
    deribit,
    gate,
    bitget,
    dydx,
    bitfinex,
    htx,
    kraken,
)
PROTOCOLS: dict[str, Protocol] = {module.PROTOCOL.venue: module.PROTOCOL for module in _MODULES}
