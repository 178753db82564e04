"""How each venue is spoken to: one small description a venue, pure."""

from streams.feed.protocol import Protocol
from streams.feed.venues import binance, bybit

PROTOCOLS: dict[str, Protocol] = {one.venue: one for one in (binance.PROTOCOL, bybit.PROTOCOL)}
