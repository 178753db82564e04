"""Tables of many venues: forced orders or trades a row each; open interest a row a venue and coin.

    exchange,symbol,side,quantity,price,timestamp[,raw_side,notional_usd,created_at,id,…]
    timestamp,venue,coin,oi_usd

Whether rows are forced orders or trades is told by the name or a folder, or by columns that only
one of them has; a table that says neither is refused. Without a column for it, the venue is the one
that the path names.

`long` and `short` are positions. `buy` and `sell` are the order's, but for Bybit's and Bitget's raw
feeds, whose word is the position's: where only such a word stands there, the side is unknown.
What the price is, is not told, so none is kept; worth is price x quantity.
"""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from schemas.market import Liquidation, OpenInterest, Trade
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
    taker,
    trade,
    venue_named,
    venue_symbol,
    venues_in,
)
from streams.sources.lines import SourceError, head
from streams.sources.tables import Build, Table, column_names, has_zone, stamp

#: Zones are whole quarters of an hour.
_QUARTER = 15 * MINUTE
_POSITION_WORDS = ("bybit", "bitget", "bitfinex")
_EXCHANGES = ("venue", "exch")


_FORCED_NAMES = re.compile(r"liq|force", re.IGNORECASE)
_TRADES_NAMES = re.compile(r"trade|fills|prints|tape|tick", re.IGNORECASE)
_FORCED_COLUMNS = {"raw_side", "position_side", "bankruptcy_price", "liquidation_price"}
_TRADES_COLUMNS = {"trade_id", "tradeid", "takerormaker", "aggressor_side", "is_buyer_maker"}


class _Row(msgspec.Struct, array_like=True, gc=False):
    symbol: Word
    side: str
    quantity: SizeIn
    price: PriceIn
    timestamp: str
    exchange: str = ""
    created_at: str = ""
    id: str = ""
    received: str = ""


class _Interest(msgspec.Struct, array_like=True, gc=False):
    timestamp: str
    venue: Word
    coin: Word
    oi_usd: SizeIn


def _rows(path: Path) -> Build:
    trades, venue_of = _are_trades(path), _venue_of(path)

    def build(x: _Row) -> Liquidation | Trade:
        venue = venue_of(x.exchange)
        ts = stamp(x.timestamp, "timestamp")
        if x.created_at and not has_zone(x.timestamp):
            # SQLite's created_at is UTC, and when the row was written, not when it was received.
            ahead = ts - stamp(x.created_at, "created_at")
            if abs(ahead) > MAX_AHEAD:
                ts -= round(ahead / _QUARTER) * _QUARTER
        received = max(ts, stamp(x.received, "received")) if x.received else ts
        if "/" in x.symbol and ":" not in x.symbol and trades:
            raise UnreadableFrame("symbol", f"{x.symbol[:40]!r} is spot, as ccxt writes it")
        instrument = instrument_of(venue, venue_symbol(venue, _joined(x.symbol)))
        terms = Terms(x.quantity, x.price, ts, received)
        if trades:
            return trade(venue, instrument, x.id, taker(x.side), terms)
        side = position_closed(x.side, None if venue in _POSITION_WORDS else True)
        return liquidation(venue, instrument, side, terms, None, "unknown", "table")

    return build


def _are_trades(path: Path) -> bool:
    """Return whether a table's rows are trades; raises SourceError where nothing tells it."""
    first = next((line for line in head(path) if line.strip()), "")
    columns = set(column_names(first))
    if columns & _FORCED_COLUMNS:
        return False
    for text in (path.name, *(parent.name for parent in list(path.parents)[:3])):
        forced, trades = _FORCED_NAMES.search(text), _TRADES_NAMES.search(text)
        if bool(forced) != bool(trades):
            return trades is not None
    if columns & _TRADES_COLUMNS:
        return True
    raise SourceError(f"{path.name}: neither 'liquidations' nor 'trades' in its name or folder")


def _venue_of(path: Path) -> Callable[[str], str]:
    """Return what tells a row's venue; raises SourceError where neither rows nor path do."""
    named = venues_in(path)
    columns = column_names(next((line for line in head(path) if line.strip()), ""))
    if len(named) != 1 and not {"exchange", *_EXCHANGES} & set(columns):
        raise SourceError(f"{path.name}: neither its rows nor its path name one venue")
    return lambda exchange: venue_named(exchange) if exchange else named[0]


def _joined(symbol: str) -> str:
    """Return ccxt's BTC/USDT, which is a perpetual's in forced orders, as its perpetual."""
    if "/" in symbol and ":" not in symbol:
        return f"{symbol}:{symbol.partition('/')[2]}"
    return symbol


def _interest(path: Path) -> Build:
    def build(x: _Interest) -> OpenInterest:
        venue, ts = venue_named(x.venue), stamp(x.timestamp, "timestamp")
        instrument = _of_coin(venue, x.coin.upper())
        return readings.open_interest(venue, instrument, None, x.oi_usd, "unknown", (ts, ts))

    return build


def _of_coin(venue: str, coin: str) -> Instrument:
    if not coin.isalnum():
        raise UnreadableFrame("coin", f"{coin[:40]!r} is no coin")
    return described(venue, coin, coin, "USD")


ROWS = Table(
    what="forced orders or trades of venues: exchange, symbol, side, quantity, price, time",
    columns=_Row,
    build=_rows,
    lacks="forced orders: coverage unknown; what the price is is not told, so none is kept; sides"
    " by buy and sell are unknown for Bybit, Bitget and Bitfinex",
    names={
        "exchange": _EXCHANGES,
        "symbol": ("instrument", "pair", "market"),
        "side": ("position_side", "direction"),
        "quantity": ("qty", "amount", "size", "vol"),
        "price": ("avg_price", "average_price", "bankruptcy_price", "px"),
        "timestamp": ("event_ts", "ts_event", "time", "ts", "datetime", "event_time", "date"),
        "created_at": ("inserted_at",),
        "id": ("trade_id", "tradeid"),
        "received": ("receipt_timestamp", "local_timestamp", "received_at", "ts_recv"),
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
