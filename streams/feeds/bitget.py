"""Bitget v3 (unified account) futures: liquidations, trades, open interest and mark price.

Formats: reference/wire-formats.md 3.9. Symbols are spelt as Bybit's; trades count coins on
every product, liquidations the quote currency.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar

import msgspec

from schemas.market import Liquidation, MarkPrice, OpenInterest, Trade
from schemas.words import ROUNDING_USD, OrderSide
from streams.feeds import readings, tape
from streams.feeds.checks import Millis, PriceIn, SizeIn, SizeOrZero, Word, seen
from streams.feeds.frames import (
    NO_RECORD,
    NOT_A_FRAME,
    Kind,
    Parsed,
    Refusal,
    UnreadableFrame,
    built,
    control,
    one_by_one,
    unreadable,
)
from streams.feeds.identities import PAIR, apart, told_apart
from streams.feeds.instruments import Instrument, Instruments, Parser, described
from streams.feeds.symbols import day_of, split_symbol
from streams.feeds.tape import LEAST_PRICE, LEAST_USD, LONG, SHORT

Items = TypeVar("Items")


class _Arg(msgspec.Struct, gc=False):
    instType: str = ""
    topic: str = ""
    symbol: str = ""


class _Message(msgspec.Struct, Generic[Items], gc=False):
    arg: _Arg = msgspec.field(default_factory=_Arg)
    data: Items | None = None
    action: str = ""
    event: str = ""
    code: int | str = ""
    msg: str = ""
    ts: Millis | None = None


class _Forced(msgspec.Struct, gc=False):
    symbol: Word
    side: OrderSide
    price: PriceIn
    amount: SizeIn
    ts: Millis


class _Print(msgspec.Struct, gc=False):
    i: Word
    p: PriceIn
    v: SizeIn
    S: OrderSide
    T: Millis


class _Ticker(msgspec.Struct, gc=False):
    markPrice: PriceIn | Literal[""] | None = None
    openInterest: SizeOrZero | Literal[""] | None = None


class _Routed(msgspec.Struct, gc=False):
    arg: _Arg = msgspec.field(default_factory=_Arg)
    event: str = ""


_ROUTED = msgspec.json.Decoder(_Routed, strict=False)
_FORCED = Kind(_Message, _Forced)
_PRINTS = Kind(_Message, _Print)
_TICKERS = Kind(_Message, _Ticker)


# {"action":"update","arg":{"instType":"usdt-futures","topic":"liquidation"},"data":[
#  {"symbol":"ARBUSDT","side":"buy","price":"0.4021","amount":"88.462","ts":"1791400311549"}],
#  "ts":1791400322167}
def parse_liquidation(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read every item of one liquidation message.

    `side` is the POSITION's: buy is a long. `amount` is in the QUOTE currency, so coins are
    amount / price. What kind of price that is, is not documented: it is not handed on. Only
    the largest order a side, symbol and second is told. Raises UnreadableFrame. Microseconds.
    """
    try:
        message = _FORCED.decode(frame)
        if message.data and message.arg.topic == "liquidation" and not message.event:
            records = _liquidations(message.data, instruments, ts_recv)
            return Parsed(records if len(records) == 1 else told_apart(records), [])
    except NO_RECORD:
        pass  # below, each item in its place
    message, refusals = _FORCED.read(frame)
    if (reply := _reply(message, "liquidation")) is not None:
        return reply
    return apart(one_by_one(message.data, _liquidations, (instruments, ts_recv), refusals))


def _liquidations(
    items: Sequence[_Forced], instruments: Instruments, ts_recv: int
) -> list[Liquidation]:
    records = []
    for item in items:
        symbol, millis, side = item.symbol, item.ts, item.side
        amount, price = item.amount, item.price
        position, order = LONG if side == "buy" else SHORT
        event_id = f"bitget:{symbol}:{millis}:{side}:{PAIR(amount, price).hex()}"
        of, ts_event = instruments[symbol], millis * 1000
        # As `tape` does, without its call.
        worth: float | None
        if (
            of.is_plain
            and price >= LEAST_PRICE
            and LEAST_USD < amount <= 1e10
            and ts_event <= ts_recv
        ):
            quantity = amount / price
            worth = amount + ROUNDING_USD - ROUNDING_USD
        else:
            of = _of_quote(of)
            _, quantity, worth = tape.exactly(of, amount, price, ts_event, ts_recv)
        records.append(
            Liquidation(
                event_id, "bitget", of.instrument, of.venue_symbol, of.asset, position, order, None,
                None, quantity, worth, "largest_per_second", "liquidation", ts_event, ts_recv,
            )
        )  # fmt: skip
    return records


# {"action":"update","arg":{"instType":"usdt-futures","topic":"publicTrade","symbol":"BTCUSDT"},
#  "data":[{"i":"1432912492051054592","p":"76631.3","v":"0.01","S":"buy","T":"1777358881008",
#  "L":"1432912492051054593","isRPI":"no"}],"ts":1777358881009}
def parse_public_trade(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read every print of one publicTrade message; S is the taker's side, v coins.

    The symbol stands in `arg`; a spot product's is a pair of its own. A snapshot holds prints
    from before the subscription. Raises UnreadableFrame. Microseconds.
    """
    try:
        message, refusals = _PRINTS.decode(frame), None
    except NOT_A_FRAME:
        message, refusals = _PRINTS.read(frame)
    if (reply := _reply(message, "publicTrade")) is not None:
        return reply
    symbol = message.arg.symbol
    spot = message.arg.instType in ("spot", "margin")
    instrument = by_name(symbol, "SPOT") if spot else instruments[symbol]
    prefix = f"bitget:spot:{symbol}" if spot else f"bitget:{symbol}"
    parsed = one_by_one(message.data, _trades, (prefix, instrument, ts_recv), refusals)
    parsed.history = message.action == "snapshot"
    return parsed


def _trades(
    items: Sequence[_Print], prefix: str, instrument: Instrument, ts_recv: int
) -> list[Trade]:
    records = []
    for item in items:
        event_id, ts_event = f"{prefix}:{seen('i', item.i)}", item.T * 1000
        records.append(
            tape.trade("bitget", event_id, instrument, item.S, item.v, item.p, ts_event, ts_recv)
        )
    return records


# {"action":"snapshot","arg":{"instType":"usdt-futures","topic":"ticker","symbol":"BTCUSDT"},
#  "data":[{"lastPrice":"76631.3","markPrice":"76630.1","indexPrice":"76640",
#  "openInterest":"33564.1","fundingRate":"0.0001"}],"ts":1777358881009}
def parse_ticker(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read open interest (coins) and mark price of one symbol, at the message's time.

    Raises UnreadableFrame. Source: venue-protocols.md 8; microseconds.
    """
    message, refusals = _TICKERS.read(frame)
    if (reply := _reply(message, "ticker")) is not None:
        return reply
    instrument = instruments[message.arg.symbol]
    times = message.ts * 1000 if message.ts else ts_recv, ts_recv

    def interest(row: _Ticker) -> OpenInterest | None:
        if not row.openInterest:
            return None
        amount, price = row.openInterest, row.markPrice or None
        return readings.interest("bitget", instrument, amount, price, "unknown", times)

    def mark(row: _Ticker) -> MarkPrice | None:
        if not row.markPrice:
            return None
        return readings.mark("bitget", instrument, row.markPrice, times)

    parsed = built(message.data, interest, refusals)
    parsed.records += built(message.data, mark, {}).records
    return parsed


@lru_cache(maxsize=4_096)
def _of_quote(instrument: Instrument) -> Instrument:
    """Return the instrument as liquidations count it: money of the quote currency."""
    return msgspec.structs.replace(instrument, unit="quote", size=1.0)


@lru_cache(maxsize=16_384)
def by_name(symbol: str, kind: str = "PERP") -> Instrument:
    """Return what a symbol's name says; quantities are coins on every product.

    Raises UnreadableFrame("symbol").
    """
    asset, instrument, multiplier = split_symbol(symbol, kind)
    return Instrument(
        venue_symbol=symbol, asset=asset, instrument=instrument, multiplier=multiplier
    )


# {"symbol":"BTCUSDT","category":"USDT-FUTURES","baseCoin":"BTC","quoteCoin":"USDT",
#  "type":"perpetual","deliveryTime":""}                       (/api/v3/market/instruments)
def of_metadata(symbol: str, row: dict[str, Any]) -> Instrument:
    """Return what a row of market/instruments says of `symbol`. Raises UnreadableFrame."""
    if not row.get("baseCoin") or not row.get("quoteCoin"):
        return by_name(symbol)
    delivery = int(row.get("deliveryTime") or 0)
    day = day_of(delivery * 1000) if delivery > 0 else "PERP"
    return described("bitget", symbol, str(row["baseCoin"]), str(row["quoteCoin"]), day)


def route(frame: bytes) -> str:
    """Return the topic that a frame names, "" for control. Raises UnreadableFrame."""
    try:
        routed = _ROUTED.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    if routed.event:
        return ""
    if not routed.arg.topic:
        raise UnreadableFrame("arg.topic", "neither a topic nor an event")
    return routed.arg.topic


CHANNELS: dict[str, Parser] = {
    "liquidation": parse_liquidation,
    "publicTrade": parse_public_trade,
    "ticker": parse_ticker,
}


def _reply(message: _Message[object], topic: str) -> Parsed | None:
    """Return what a reply means, None for data of `topic`."""
    if message.event:
        if message.event != "error":
            return control()
        return control(Refusal("event", f"refused: {message.code} {message.msg[:200]}"))
    if message.arg.topic != topic:
        raise UnreadableFrame("arg.topic", f"{message.arg.topic[:60]!r} is not {topic}")
    if message.data is None:
        raise UnreadableFrame("data", "missing")
    return None
