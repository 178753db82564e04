"""OKX v5 swaps, futures and margin: forced orders, trades, open interest, mark prices.

Formats: reference/wire-formats.md 3.4 (OKX's v5 docs). Sizes are contracts, also fractions of
one; what a contract is stands in the metadata, never in the name: BTC-USD_UM_XPERP-310404 is
linear.
"""

import re
from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec

from schemas.market import Liquidation, MarkPrice, OpenInterest, Trade
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
from streams.feeds.instruments import (
    Instrument,
    Instruments,
    Parser,
    described,
    snapshot,
    unknown,
)

OrderSide = Literal["buy", "sell"]
_TRADES = frozenset({"trades", "trades-all"})
#: What only the rows of one channel have: REST's answers do not name it.
_ROWS = {
    b'"details"': "liquidation-orders",
    b'"tradeId"': "trades",
    b'"oi"': "open-interest",
    b'"markPx"': "mark-price",
}

Items = TypeVar("Items")
Details = TypeVar("Details")

# BTC-USDT-SWAP, BTC-USD-250328, BTC-USD_UM_XPERP-310404; two parts are a margined spot pair
_NAME = re.compile(r"([^-]+)-([^-_]+)([^-]*)(?:-(SWAP|[0-9]{6}))?")


class _Arg(msgspec.Struct, gc=False):
    channel: str = ""
    instId: str = ""


class _Message(msgspec.Struct, Generic[Items], gc=False):
    arg: _Arg = msgspec.field(default_factory=_Arg)
    data: Items | None = None
    event: str = ""
    code: str = ""
    msg: str = ""


class _Routed(msgspec.Struct, gc=False):
    arg: _Arg = msgspec.field(default_factory=_Arg)
    event: str = ""
    code: str = ""
    data: msgspec.Raw = msgspec.Raw()


class _Forced(msgspec.Struct, gc=False):
    side: OrderSide
    bkPx: PriceIn
    sz: SizeIn
    ts: Millis
    posSide: Literal["long", "short", "net", ""] = ""


class _Orders(msgspec.Struct, Generic[Details], gc=False):
    instId: Word
    details: Details


class _Print(msgspec.Struct, gc=False):
    instId: Word
    tradeId: Word
    px: PriceIn
    sz: SizeIn
    side: OrderSide
    ts: Millis


class _Interest(msgspec.Struct, gc=False):
    instId: Word
    oi: SizeOrZero
    ts: Millis
    oiCcy: SizeOrZero | Literal[""] = ""
    oiUsd: SizeOrZero | Literal[""] = ""


class _Mark(msgspec.Struct, gc=False):
    instId: Word
    markPx: PriceIn
    ts: Millis


# One order a second and contract; which of them, OKX does not say.
_FEED = tape.Feed("okx", "liquidation-orders", "bankruptcy", "latest_per_second")
_ROUTED = msgspec.json.Decoder(_Routed, strict=False)
_FORCED = Kind(_Message, _Orders[list[_Forced]])
_FORCED_LOOSE = Kind(_Message, _Orders[list[msgspec.Raw]])
_DETAIL = msgspec.json.Decoder(_Forced, strict=False)
_PRINTS = Kind(_Message, _Print)
_INTERESTS = Kind(_Message, _Interest)
_MARKS = Kind(_Message, _Mark)


# {"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":[{"bkLoss":"0",
#  "bkPx":"82655.7","ccy":"","posSide":"long","side":"sell","sz":"8.55","ts":"1791565600771"}],
#  "instFamily":"BTC-USDT","instId":"BTC-USDT-SWAP","instType":"SWAP","uly":"BTC-USDT"}]}
def parse_liquidation_orders(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read every order of one liquidation-orders message.

    `side` is the ORDER's; `posSide` is `net` in one-way mode, then the order's side tells.
    bkPx is the bankruptcy price. At most one order a contract and second is told.
    Reads REST's answers too, which are history, and name no channel.
    Raises UnreadableFrame. Source: wire-formats.md 3.4; microseconds.
    """
    try:
        message = _FORCED.decode(frame)
        if message.data and message.arg.channel == "liquidation-orders" and not message.event:
            records = []
            for orders in message.data:
                instrument = instruments[orders.instId]
                records += _liquidations(orders.details, instrument, ts_recv)
            return Parsed(records if len(records) == 1 else told_apart(records), [])
    except NO_RECORD:
        pass  # below, each item in its place
    # One bad detail costs its instrument: read again, each on its own.
    message, refusals = _FORCED_LOOSE.read(frame)
    if (reply := _reply(message, "liquidation-orders")) is not None:
        return reply
    result = Parsed([], list(refusals.values()) if refusals else [])
    result.history = not message.arg.channel
    for place, orders in enumerate(message.data):
        if orders is None:
            continue

        def build(detail: msgspec.Raw, symbol: str = orders.instId) -> list[Liquidation]:
            return _liquidations((_DETAIL.decode(detail),), instruments[symbol], ts_recv)

        part = built(orders.details, build, path=f"data[{place}].details")
        result.records += part.records
        result.refusals += part.refusals
    return apart(result)


# {"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP",
#  "tradeId":"1771203390","px":"84311.4","sz":"2.61","side":"buy","ts":"1791400302077",
#  "count":"2","source":"0","seqId":93411}]}
def parse_trades(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read every print of one trades or trades-all message, or answer of REST (history).

    `side` is the taker's. Raises UnreadableFrame. Source: wire-formats.md 3.4; microseconds.
    """
    try:
        message = _PRINTS.decode(frame)
        if message.data and message.arg.channel in _TRADES and not message.event:
            return Parsed(_trades(message.data, instruments, ts_recv), [])
    except NO_RECORD:
        pass  # below, each item in its place
    message, refusals = _PRINTS.read(frame)
    if (reply := _reply(message, "trades")) is not None:
        return reply
    parsed = one_by_one(message.data, _trades, (instruments, ts_recv), refusals)
    parsed.history = not message.arg.channel
    return parsed


def _trades(items: Sequence[_Print], instruments: Instruments, ts_recv: int) -> list[Trade]:
    records = []
    for item in items:
        symbol = item.instId
        event_id = f"okx:{symbol}:{seen('tradeId', item.tradeId)}"
        instrument, ts_event = instruments[symbol], item.ts * 1000
        records.append(
            tape.trade("okx", event_id, instrument, item.side, item.sz, item.px, ts_event, ts_recv)
        )
    return records


# {"arg":{"channel":"open-interest","instId":"BTC-USDT-SWAP"},"data":[{"instType":"SWAP",
#  "instId":"BTC-USDT-SWAP","oi":"2510442.7","oiCcy":"25104.427","oiUsd":"2116580241.1",
#  "ts":"1791400303000"}]}
def parse_open_interest(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read one open-interest message: one side, in contracts, coins and dollars.

    Coins and dollars are taken as the venue tells them. Raises UnreadableFrame.
    Source: wire-formats.md 3.4; microseconds.
    """
    message, refusals = _INTERESTS.read(frame)
    if (reply := _reply(message, "open-interest")) is not None:
        return reply

    def build(item: _Interest) -> OpenInterest | None:
        instrument, times = instruments[item.instId], (item.ts * 1000, ts_recv)
        if not item.oi or not item.oiCcy:
            return readings.interest("okx", instrument, item.oi, None, "one", times)
        coins = item.oiCcy * instrument.multiplier
        worth = item.oiUsd if item.oiUsd and instrument.in_dollars else None
        if worth is None and instrument.unit == "quote" and instrument.in_dollars:
            worth = item.oi * instrument.size
        return readings.open_interest("okx", instrument, coins, worth, "one", times)

    return built(message.data, build, refusals)


# {"arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},"data":[{"instType":"SWAP",
#  "instId":"BTC-USDT-SWAP","markPx":"84660.1","ts":"1744590349506"}]}
def parse_mark_price(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read one mark-price message. Raises UnreadableFrame. Source: venue-protocols.md 3."""
    message, refusals = _MARKS.read(frame)
    if (reply := _reply(message, "mark-price")) is not None:
        return reply

    def build(item: _Mark) -> MarkPrice:
        times = item.ts * 1000, ts_recv
        return readings.mark("okx", instruments[item.instId], item.markPx, times)

    return built(message.data, build, refusals)


def by_name(symbol: str) -> Instrument:
    """Return a spot pair (its margin is counted in coins), or a future as large as its swap.

    No other contract's size stands in a name: raises UnreadableFrame("symbol").
    """
    name = _NAME.fullmatch(symbol)
    if name and name[4] is None and not name[3]:
        return described("okx", symbol, name[1], name[2], "SPOT")
    family = snapshot("okx")[0].get(f"{symbol[:-7]}-SWAP") if name else None
    if family is None:
        raise unknown("okx", symbol)
    return of_metadata(symbol, family)


# {"instType":"SWAP","instId":"BTC-USDT-SWAP","instFamily":"BTC-USDT","ctType":"linear",
#  "ctVal":"0.01","ctMult":"1","ctValCcy":"BTC","settleCcy":"USDT"}  (/api/v5/public/instruments)
def of_metadata(symbol: str, row: dict[str, Any]) -> Instrument:
    """Return what a row of public/instruments says of `symbol`: ctVal * ctMult of ctValCcy.

    Raises UnreadableFrame.
    """
    name = _NAME.fullmatch(symbol)
    if name is None:
        raise unknown("okx", symbol)
    base, quote, end = name[1], name[2], name[4]
    if end is None:
        return described("okx", symbol, base, quote, "SPOT")
    if not row.get("ctVal"):
        raise UnreadableFrame("ctVal", f"{symbol[:60]} has none")
    size = float(row["ctVal"]) * float(row.get("ctMult") or 1)
    kind, currency = row.get("ctType"), row.get("ctValCcy")
    if kind not in ("linear", "inverse"):
        kind = "linear" if currency == base or (not currency and quote != "USD") else "inverse"
    unit: Literal["base", "quote"] = "quote" if kind == "inverse" or currency == quote else "base"
    return described("okx", symbol, base, quote, "PERP" if end == "SWAP" else end, unit, size)


def route(frame: bytes) -> str:
    """Return the channel that a frame names, "" for control. Raises UnreadableFrame."""
    try:
        routed = _ROUTED.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    if routed.event:
        return ""
    if routed.arg.channel:
        return routed.arg.channel
    for field, channel in _ROWS.items():
        if routed.code and field in bytes(routed.data):
            return channel
    if routed.code not in ("", "0"):
        return ""
    raise UnreadableFrame("arg.channel", "neither a channel nor an event")


CHANNELS: dict[str, Parser] = {
    "liquidation-orders": parse_liquidation_orders,
    "trades": parse_trades,
    "trades-all": parse_trades,
    "open-interest": parse_open_interest,
    "mark-price": parse_mark_price,
}


def _liquidations(
    orders: Sequence[_Forced], instrument: Instrument, ts_recv: int
) -> list[Liquidation]:
    records, symbol = [], instrument.venue_symbol
    for order in orders:
        position: Literal["long", "short"] = "long" if order.side == "sell" else "short"
        if order.posSide != position and order.posSide in ("long", "short"):
            usual = "buy" if order.side == "sell" else "sell"
            reason = f"closing a {order.posSide} is a {usual}, not a {order.side}"
            raise UnreadableFrame("order_side", reason)
        size, price = order.sz, order.bkPx
        event_id = f"okx:{symbol}:{order.ts}:{order.side}:{PAIR(size, price).hex()}"
        ts_event = order.ts * 1000
        records.append(
            tape.liquidation(_FEED, event_id, instrument, position, size, price, ts_event, ts_recv)
        )
    return records


def _reply(message: _Message[object], channel: str) -> Parsed | None:
    """Return what a reply or a notice means, None for data of `channel`."""
    if message.event:
        if message.event != "error":
            return control()
        return control(Refusal("event", f"refused: {message.code} {message.msg[:200]}"))
    answered = not message.arg.channel and message.code  # REST's own form
    if answered and message.code != "0":
        return control(Refusal("code", f"refused: {message.code} {message.msg[:200]}"))
    if not answered and not message.arg.channel.startswith(channel):
        raise UnreadableFrame("arg.channel", f"{message.arg.channel[:60]!r} is not {channel}")
    if message.data is None:
        raise UnreadableFrame("data", "missing")
    return None
