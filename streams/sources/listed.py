"""Tables of many venues: forced orders a row each, and open interest a row a venue and coin.

    exchange,symbol,side,quantity,price,timestamp[,raw_side,notional_usd,created_at,…]
    timestamp,venue,coin,oi_usd

`long` and `short` are positions. `buy` and `sell` are the order's, but for Bybit's and Bitget's raw
feeds, whose word is the position's: where only such a word stands there, the side is unknown.
What the price is, is not told, so none is kept; worth is price x quantity.
"""

from pathlib import Path

import msgspec

from schemas.market import Liquidation, OpenInterest
from schemas.words import MAX_AHEAD, MINUTE
from streams.feeds import readings
from streams.feeds.checks import PriceIn, SizeIn, Word
from streams.feeds.frames import UnreadableFrame
from streams.feeds.instruments import Instrument, described
from streams.sources.build import (
    Terms,
    instrument_of,
    liquidation,
    position_closed,
    venue_named,
)
from streams.sources.tables import Build, Table, has_zone, stamp

#: Zones are whole quarters of an hour.
_QUARTER = 15 * MINUTE
_POSITION_WORDS = ("bybit", "bitget", "bitfinex")


class _Forced(msgspec.Struct, array_like=True, gc=False):
    exchange: Word
    symbol: Word
    side: str
    quantity: SizeIn
    price: PriceIn
    timestamp: str
    created_at: str = ""


class _Interest(msgspec.Struct, array_like=True, gc=False):
    timestamp: str
    venue: Word
    coin: Word
    oi_usd: SizeIn


def _forced(path: Path) -> Build:
    def build(x: _Forced) -> Liquidation:
        venue = venue_named(x.exchange)
        ts = stamp(x.timestamp, "timestamp")
        if x.created_at and not has_zone(x.timestamp):
            # SQLite's created_at is UTC, and when the row was written, not when it was received.
            ahead = ts - stamp(x.created_at, "created_at")
            if abs(ahead) > MAX_AHEAD:
                ts -= round(ahead / _QUARTER) * _QUARTER
        instrument = instrument_of(venue, _symbol(venue, x.symbol))
        side = position_closed(x.side, None if venue in _POSITION_WORDS else True)
        terms = Terms(x.quantity, x.price, ts, ts)
        return liquidation(venue, instrument, side, terms, None, "unknown", "table")

    return build


def _interest(path: Path) -> Build:
    def build(x: _Interest) -> OpenInterest:
        venue, ts = venue_named(x.venue), stamp(x.timestamp, "timestamp")
        instrument = _of_coin(venue, x.coin.upper())
        return readings.open_interest(venue, instrument, None, x.oi_usd, "unknown", (ts, ts))

    return build


def _symbol(venue: str, symbol: str) -> str:
    """Return a symbol as the venue writes it, where a recorder wrote it as ccxt does."""
    if "/" in symbol and venue in ("binance", "bybit", "bitget"):
        return symbol.partition(":")[0].replace("/", "").upper()
    return symbol.upper() if venue in ("binance", "bybit", "bitget") else symbol


def _of_coin(venue: str, coin: str) -> Instrument:
    if not coin.isalnum():
        raise UnreadableFrame("coin", f"{coin[:40]!r} is no coin")
    return described(venue, coin, coin, "USD")


FORCED = Table(
    what="liquidations of venues: exchange, symbol, side, quantity, price, time",
    columns=_Forced,
    build=_forced,
    lacks="coverage unknown; what the price is is not told, so none is kept; sides by buy and sell"
    " are unknown for Bybit, Bitget and Bitfinex",
    names={
        "exchange": ("venue", "exch"),
        "symbol": ("instrument", "pair", "market"),
        "side": ("position_side", "direction"),
        "quantity": ("qty", "amount", "size", "vol"),
        "price": ("avg_price", "average_price", "bankruptcy_price", "px"),
        "timestamp": ("event_ts", "ts_event", "time", "ts", "datetime", "event_time", "date"),
        "created_at": ("inserted_at",),
    },
    gap_after_s=3600.0,
)
INTEREST = Table(
    what="open interest of venues: timestamp, venue, coin, oi_usd",
    columns=_Interest,
    build=_interest,
    lacks="dollars only; which sides are counted is not told",
    names={
        "timestamp": ("time", "ts", "datetime"),
        "venue": ("exchange",),
        "coin": ("asset", "base"),
        "oi_usd": ("open_interest_usd",),
    },
    gap_after_s=3 * 3600.0,
)
