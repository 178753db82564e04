"""Kraken Futures: trades, the liquidations among them, open interest and mark price.

Formats: reference/wire-formats.md 3.11. PI_ and FI_ contracts are inverse, counted in dollars;
PF_ and FF_ are linear, counted in coins. XBT is BTC.
"""

import re
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar

import msgspec

from schemas.market import Liquidation, MarkPrice, OpenInterest, Trade
from schemas.words import ROUNDING_USD, OrderSide
from streams.feeds import readings, tape
from streams.feeds.checks import (
    Millis,
    Moment,
    PriceIn,
    SizeIn,
    SizeOrZero,
    Stream,
    Word,
    micros,
    seen,
)
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
from streams.feeds.tape import LEAST_PRICE, LEAST_USD, LONG, SHORT

# PI_XBTUSD, PF_SOLUSD, FI_XBTUSD_260925; others (indices, RR_ and IN_) are no contracts
_NAME = re.compile(r"([PF])([IF])_([A-Z0-9]+?)(USDT|USDC|USD|EUR|GBP|XBT)(?:_([0-9]{6}))?")
#: What a print is called that no taker's order made.
_NO_PRINT = frozenset({"assignment", "termination"})

Items = TypeVar("Items")


class _Print(msgspec.Struct, gc=False):
    product_id: Word
    side: OrderSide
    type: Literal["fill", "liquidation", "assignment", "termination", "block"]
    time: Millis
    qty: SizeIn
    price: PriceIn
    uid: Stream = ""
    seq: int | None = None


class _Told(_Print, tag_field="feed", tag="trade", gc=False):
    """A print as a message of its own."""


class _Past(msgspec.Struct, gc=False):
    side: OrderSide
    type: Literal["fill", "liquidation", "assignment", "termination", "block"]
    time: Moment
    size: SizeIn
    price: PriceIn
    uid: Word


class _History(msgspec.Struct, Generic[Items], gc=False):
    history: Items
    result: Literal["success"]


class _Snapshot(msgspec.Struct, Generic[Items], tag_field="feed", tag="trade_snapshot", gc=False):
    trades: Items


class _Ticker(msgspec.Struct, gc=False):
    product_id: Word
    time: Millis
    openInterest: SizeOrZero | None = None
    markPrice: PriceIn | None = None


class _Routed(msgspec.Struct, gc=False):
    history: msgspec.Raw = msgspec.Raw()
    feed: str = ""
    event: str = ""
    message: str = ""


_ROUTED = msgspec.json.Decoder(_Routed, strict=False)
_PRINT = msgspec.json.Decoder(_Print, strict=False)
_TAPE = msgspec.json.Decoder(_Told | _Snapshot[list[_Print]], strict=False)
_SNAPSHOT = Kind(_Snapshot, _Print, "trades")
_HISTORY = Kind(_History, _Past, "history")
_TICKER = msgspec.json.Decoder(_Ticker, strict=False)


# {"feed":"trade","product_id":"PF_SOLUSD","uid":"90aa","side":"buy","type":"liquidation",
#  "seq":88120,"time":1791400318283,"qty":14.2,"price":149.31}
# {"feed":"trade_snapshot","product_id":"PI_XBTUSD","trades":[{"feed":"trade",...},...]}
def parse_trade(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read one print, or the history that a subscription begins with, newest first.

    `side` is the taker's, and a forced print's taker IS the liquidation: a trade and a
    liquidation in one. Reads REST's history too, for which `instruments.channels[-1]` says
    the product. Raises UnreadableFrame. Source: wire-formats.md 3.11; microseconds.
    """
    try:
        message = _TAPE.decode(frame)
    except NOT_A_FRAME:
        return _exactly(frame, ts_recv, instruments)
    if type(message) is _Told:
        return Parsed(_records(message, instruments, ts_recv), [])
    parsed = built(message.trades, lambda row: _records(row, instruments, ts_recv), path="trades")
    parsed.history = True
    return parsed


def _exactly(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read what is none of the two alone, or of which something is wrong: told by its field."""
    feed = _feed(frame, ("trade", "trade_snapshot", "history"))
    if isinstance(feed, Parsed):
        return feed
    if feed == "trade":
        try:
            return Parsed(_records(_PRINT.decode(frame), instruments, ts_recv), [])
        except NOT_A_FRAME as problem:
            raise unreadable(problem) from None
    if feed == "history":
        product = asked(instruments, "kraken")
        answer, refusals = _HISTORY.read(frame)
        items, path = answer.history, "history"
    else:
        message, refusals = _SNAPSHOT.read(frame)
        items, path = message.trades, "trades"

    def build(row: _Print | _Past) -> list[Any]:
        item = _past(row, product) if isinstance(row, _Past) else row
        return _records(item, instruments, ts_recv)

    parsed = built(items, build, refusals, path)
    parsed.history = True
    return parsed


# {"time":1791400319406,"product_id":"PI_XBTUSD","feed":"ticker","openInterest":21455100.0,
#  "markPrice":84309.1,"index":84311.2}
def parse_ticker(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read open interest (in the unit of `qty`) and mark price of one product.

    Raises UnreadableFrame. Source: venue-protocols.md 12; microseconds.
    """
    feed = _feed(frame, ("ticker",))
    if isinstance(feed, Parsed):
        return feed
    try:
        ticker = _TICKER.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    instrument, times = instruments[ticker.product_id], (ticker.time * 1000, ts_recv)

    def build(reading: str) -> OpenInterest | MarkPrice | None:
        amount, price = ticker.openInterest, ticker.markPrice
        if reading == "markPrice":
            return None if price is None else readings.mark("kraken", instrument, price, times)
        if amount is None:
            return None
        return readings.interest("kraken", instrument, amount, price, "unknown", times)

    return built(("openInterest", "markPrice"), build, path="ticker")


@lru_cache(maxsize=16_384)
def by_name(symbol: str) -> Instrument:
    """Return what a product's name says: PI_ and FI_ inverse in dollars, PF_ and FF_ in coins.

    Raises UnreadableFrame("symbol").
    """
    name = _NAME.fullmatch(symbol.upper())
    if name is None:
        raise UnreadableFrame("symbol", f"{symbol[:60]!r} is no future of kraken")
    unit: Literal["base", "quote"] = "quote" if name[2] == "I" else "base"
    return described("kraken", symbol, _coin(name[3]), _coin(name[4]), name[5] or "PERP", unit)


# {"symbol":"PI_XBTUSD","type":"futures_inverse","contractSize":1}          (REST instruments)
def of_metadata(symbol: str, row: dict[str, Any]) -> Instrument:
    """Return what a row of instruments says of `symbol`: its type, and the size of a contract.

    Raises UnreadableFrame.
    """
    named = by_name(symbol)
    kind = str(row.get("type", ""))
    unit = named.unit
    if kind in ("futures_inverse", "flexible_futures"):
        unit = "quote" if kind == "futures_inverse" else "base"
    size = float(row.get("contractSize") or 1.0)
    return msgspec.structs.replace(named, unit=unit, size=size)


def route(frame: bytes) -> str:
    """Return the channel that a frame names, "" for control. Raises UnreadableFrame."""
    try:
        routed = _ROUTED.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    if routed.event or routed.feed == "heartbeat":
        return ""
    if not routed.feed and routed.history:
        return "trade"
    if not routed.feed:
        raise UnreadableFrame("feed", "neither a feed nor an event")
    return routed.feed.removesuffix("_snapshot")


CHANNELS: dict[str, Parser] = {"trade": parse_trade, "ticker": parse_ticker}


def _records(item: _Print, instruments: Instruments, ts_recv: int) -> list[Any]:
    """Return the trade of a print, and the liquidation that it may be; nothing for no print."""
    kind, symbol, side = item.type, item.product_id, item.side
    if kind in _NO_PRINT:
        return []
    amount, price, uid = item.qty, item.price, item.uid
    event_id = f"kraken:{symbol}:{seen('uid', uid) if uid else f'seq:{item.seq}'}"
    of, ts_event = instruments[symbol], item.time * 1000
    # As `tape` does, without its call.
    quantity = amount * of.size
    product = quantity * price
    if of.unit != "base":
        product, quantity = quantity, quantity / price
    worth: float | None
    if of.is_plain and price >= LEAST_PRICE and LEAST_USD < product <= 1e10 and ts_event <= ts_recv:
        worth = product + ROUNDING_USD - ROUNDING_USD
    else:
        price, quantity, worth = tape.exactly(of, amount, price, ts_event, ts_recv)
    trade = Trade(
        event_id, "kraken", of.instrument, of.venue_symbol, of.asset, side, price, quantity, worth,
        ts_event, ts_recv,
    )  # fmt: skip
    if kind != "liquidation":
        return [trade]
    position, order = LONG if side == "sell" else SHORT
    forced = Liquidation(
        f"{event_id}:liquidation", "kraken", of.instrument, of.venue_symbol, of.asset, position,
        order, price, "fill", quantity, worth, "full", "trade", ts_event, ts_recv,
    )  # fmt: skip
    return [trade, forced]


def _past(row: _Past, product: str) -> _Print:
    time = micros("time", row.time) // 1000
    return _Print(product, row.side, row.type, time, row.size, row.price, row.uid)


def _coin(name: str) -> str:
    return "BTC" if name == "XBT" else name


def _feed(frame: bytes, wanted: tuple[str, ...]) -> str | Parsed:
    """Return the feed that a frame belongs to, or what it means where it is control."""
    try:
        routed = _ROUTED.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    if routed.event in ("alert", "error"):
        return control(Refusal("message", f"refused: {routed.message[:200]}"))
    if routed.event or routed.feed == "heartbeat":
        return control()
    if not routed.feed and routed.history and "history" in wanted:
        return "history"
    if routed.feed not in wanted:
        raise UnreadableFrame("feed", f"{routed.feed[:60]!r} is not {wanted[0]}")
    return routed.feed
