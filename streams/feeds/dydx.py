"""dYdX v4 (indexer): trades, the liquidations among them, open interest and oracle price.

Formats: reference/wire-formats.md 3.10. Sizes are coins; every market is priced in dollars.
"""

import re
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar

import msgspec

from schemas.market import MarkPrice, OpenInterest, Trade
from streams.feeds import readings, tape
from streams.feeds.checks import Moment, PriceIn, SizeIn, SizeOrZero, Word, micros, seen
from streams.feeds.frames import (
    NOT_A_FRAME,
    Kind,
    Parsed,
    Refusal,
    UnreadableFrame,
    built,
    control,
    unreadable,
)
from streams.feeds.instruments import Instrument, Instruments, Parser, asked, described

# BTC-USD; markets that anyone may list have more in front: FARTCOIN,RAYDIUM,9BB6…-USD
_NAME = re.compile(r"([^\W_a-z]+)(?:,[^-]*)?-USD")
#: Messages without data of a channel.
_CONTROL = frozenset({"connected", "unsubscribed", "pong", "error"})

#: What a print is called that no taker's order made.
_NO_TAKER = frozenset({"DELEVERAGED", "OFFSETTING"})

Items = TypeVar("Items")


class _Print(msgspec.Struct, gc=False):
    id: Word
    size: SizeIn
    price: PriceIn
    side: Literal["BUY", "SELL"]
    createdAt: Moment
    type: str = "LIMIT"


class _Trades(msgspec.Struct, Generic[Items], gc=False):
    trades: Items


class _Told(msgspec.Struct, gc=False):
    type: Literal["channel_data"]
    channel: Literal["v4_trades"]
    id: Word
    contents: _Trades[list[_Print]]


class _Market(msgspec.Struct, gc=False):
    openInterest: SizeOrZero | None = None
    oraclePrice: PriceIn | None = None
    effectiveAt: Moment | None = None


class _Markets(msgspec.Struct, gc=False):
    markets: dict[str, msgspec.Raw] = {}
    trading: dict[str, msgspec.Raw] = {}
    oraclePrices: dict[str, msgspec.Raw] = {}


class _Routed(msgspec.Struct, gc=False):
    type: str = ""
    channel: str = ""
    message: str = ""
    id: str | int = ""
    contents: msgspec.Raw = msgspec.Raw(b"{}")
    trades: msgspec.Raw = msgspec.Raw()


_ROUTED = msgspec.json.Decoder(_Routed, strict=False)
_TOLD = msgspec.json.Decoder(_Told, strict=False)
_PRINTS = Kind(_Trades, _Print, "trades")
_MARKET = msgspec.json.Decoder(_Market, strict=False)
_MARKETS = msgspec.json.Decoder(_Markets)
_BATCH = msgspec.json.Decoder(list[msgspec.Raw])


# {"type":"channel_data","connection_id":"004a1efa","message_id":7,"id":"SOL-USD","channel":
#  "v4_trades","version":"2.4.0","contents":{"trades":[{"id":"06712ab00000000200000004","side":
#  "BUY","size":"3.1","price":"151.2","type":"LIQUIDATED","createdAt":"2026-10-07T19:12:01.310Z"}]}}
def parse_trades(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read every print of one v4_trades message, or of a batch of them.

    `side` is the taker's, and the taker of a LIQUIDATED print IS the liquidation: a trade and
    a liquidation in one. DELEVERAGED ones are no taker's. The reply to a subscription is
    control, and holds days of old prints; so does an answer of REST, for which
    `instruments.channels[-1]` says the market. Raises UnreadableFrame. Microseconds.
    """
    try:
        message = _TOLD.decode(frame)
    except NOT_A_FRAME:
        pass  # another kind, or told below with the field that is wrong
    else:
        return _prints(message.contents.trades, None, instruments[message.id], ts_recv)
    routed = _route(frame)
    answered = not routed.type and not routed.channel and bool(routed.trades)
    if answered:
        routed.channel, routed.contents = "v4_trades", msgspec.Raw(frame)
        routed.id = asked(instruments, "dydx")
    if routed.type in _CONTROL:
        return _control(routed)
    if routed.channel != "v4_trades":
        raise UnreadableFrame("channel", f"{routed.channel[:60]!r} is not v4_trades")
    instrument = instruments[str(routed.id)]
    parsed = Parsed([], [])
    for contents in _parts(routed):
        trades, refusals = _PRINTS.read(contents)
        part = _prints(trades.trades, refusals, instrument, ts_recv)
        parsed.records += part.records
        parsed.refusals += part.refusals
    parsed.control = routed.type == "subscribed"
    parsed.history = parsed.control or answered
    return parsed


# {"type":"channel_data","channel":"v4_markets","contents":{"trading":{"BTC-USD":{"openInterest":
#  "648.2389"}}}}    {...,"contents":{"oraclePrices":{"BTC-USD":{"oraclePrice":"60387.5",
#  "effectiveAt":"2026-10-07T19:12:01.310Z"}}}}
def parse_markets(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read open interest (coins) and the oracle's price, at which positions are valued.

    Open interest has no time, so that of receipt is taken. Raises UnreadableFrame.
    Source: venue-protocols.md 9; microseconds.
    """
    routed = _route(frame)
    if routed.type in _CONTROL:
        return _control(routed)
    if routed.channel != "v4_markets":
        raise UnreadableFrame("channel", f"{routed.channel[:60]!r} is not v4_markets")
    try:
        parts = [_MARKETS.decode(part) for part in _parts(routed)]
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    rows = [
        row
        for part in parts
        for rows in (part.markets, part.trading, part.oraclePrices)
        for row in rows.items()
    ]

    def interest(row: tuple[str, msgspec.Raw]) -> OpenInterest | None:
        market = _MARKET.decode(row[1])
        if market.openInterest is None:
            return None
        instrument, price = instruments[row[0]], market.oraclePrice
        amount, times = market.openInterest, (ts_recv, ts_recv)
        return readings.interest("dydx", instrument, amount, price, "unknown", times)

    def mark(row: tuple[str, msgspec.Raw]) -> MarkPrice | None:
        market = _MARKET.decode(row[1])
        if market.oraclePrice is None:
            return None
        at = micros("effectiveAt", market.effectiveAt) if market.effectiveAt else ts_recv
        return readings.mark("dydx", instruments[row[0]], market.oraclePrice, (at, ts_recv))

    parsed = built(rows, interest, path="contents")
    marks = built([row for row in rows if b"oraclePrice" in bytes(row[1])], mark, path="contents")
    parsed.records += marks.records
    parsed.refusals += marks.refusals
    parsed.control = routed.type == "subscribed"
    return parsed


@lru_cache(maxsize=16_384)
def by_name(symbol: str) -> Instrument:
    """Return the market that a ticker names; sizes are coins. Raises UnreadableFrame("symbol")."""
    name = _NAME.fullmatch(symbol)
    if name is None:
        raise UnreadableFrame("symbol", f"{symbol[:60]!r} is not a market of dydx")
    return described("dydx", symbol, name[1], "USD")


# {"markets":{"BTC-USD":{"clobPairId":"0","ticker":"BTC-USD","atomicResolution":-10}}}
def of_metadata(symbol: str, row: dict[str, Any]) -> Instrument:
    """Return the instrument of a row of perpetualMarkets, whose sizes are coins too."""
    return by_name(symbol)


def route(frame: bytes) -> str:
    """Return the channel that a frame names, "" for control. Raises UnreadableFrame."""
    routed = _route(frame)
    if routed.type in _CONTROL:
        return ""
    if not routed.channel and routed.trades:
        return "v4_trades"
    if not routed.channel:
        raise UnreadableFrame("channel", "neither a channel nor a word of control")
    return routed.channel


CHANNELS: dict[str, Parser] = {"v4_trades": parse_trades, "v4_markets": parse_markets}


def _route(frame: bytes) -> _Routed:
    try:
        return _ROUTED.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None


def _control(routed: _Routed) -> Parsed:
    if routed.type != "error":
        return control()
    return control(Refusal("message", f"refused: {routed.message[:200]}"))


def _parts(routed: _Routed) -> list[msgspec.Raw]:
    """Return the contents of a message, or of each message of a batch."""
    if bytes(routed.contents)[:1] != b"[":
        return [routed.contents]
    try:
        return _BATCH.decode(routed.contents)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None


def _prints(
    items: list[_Print],
    refusals: dict[int, Refusal] | None,
    instrument: Instrument,
    ts_recv: int,
) -> Parsed:
    """Return the trade of each print, and beside a forced one its liquidation."""

    def build(item: _Print) -> list[Any] | None:
        if item.type in _NO_TAKER:
            return None
        trade = _trade(item, instrument, ts_recv)
        return (
            [trade]
            if item.type != "LIQUIDATED"
            else [
                trade,
                tape.forced(
                    trade, f"{trade.event_id}:liquidation", trade.aggressor_side, "v4_trades"
                ),
            ]
        )

    return built(items, build, refusals, "trades")


def _trade(item: _Print, instrument: Instrument, ts_recv: int) -> Trade:
    return tape.trade(
        "dydx",
        f"dydx:{instrument.venue_symbol}:{seen('id', item.id)}",
        instrument,
        "buy" if item.side == "BUY" else "sell",
        item.size,
        item.price,
        micros("createdAt", item.createdAt),
        ts_recv,
    )
