"""Bitfinex derivatives: liquidations, trades, open interest and mark price.

Formats: reference/wire-formats.md 3.11. Frames are arrays that name a channel's number only; what
it is of, the reply to the subscription said, and `instruments.channels` remembers. UST is USDT.
"""

import re
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar

import msgspec

from schemas.market import Liquidation, MarkPrice, OpenInterest, Trade
from schemas.words import ROUNDING_USD, OrderSide
from streams.feeds import readings, tape
from streams.feeds.checks import Millis, Number, PriceIn, SignedSize, SizeOrZero, Word, not_ahead
from streams.feeds.frames import (
    NO_RECORD,
    NOT_A_FRAME,
    Parsed,
    Refusal,
    UnreadableFrame,
    built,
    control,
    unreadable,
)
from streams.feeds.instruments import Instrument, Instruments, Parser, asked, described
from streams.feeds.tape import LONG, SHORT

# tBTCF0:USTF0; a spot pair (tBTCUSD) is none
_NAME = re.compile(r"t?([^\W_a-z]+?)F0:([A-Z0-9]+?)F0")
_COINS = {"UST": "USDT", "XBT": "BTC"}
Items = TypeVar("Items")


# Arrays grow at the end without notice, so what is beyond these fields is not looked at.
class _Position(msgspec.Struct, array_like=True, gc=False):
    kind: Literal["pos"]
    id: Number
    at: Millis
    at_3: Any
    symbol: Word
    amount: SignedSize
    entry_price: Any
    at_7: Any
    is_match: Literal[0, 1]
    is_sold: Any


class _Print(msgspec.Struct, array_like=True, gc=False):
    id: Number
    at: Millis
    amount: SignedSize
    price: PriceIn


class _Status(msgspec.Struct, array_like=True, gc=False):
    at: Millis
    at_1: Any
    last_price: Any
    at_3: Any = None
    at_4: Any = None
    at_5: Any = None
    at_6: Any = None
    at_7: Any = None
    at_8: Any = None
    at_9: Any = None
    at_10: Any = None
    at_11: Any = None
    at_12: Any = None
    at_13: Any = None
    mark_price: PriceIn | None = None
    at_15: Any = None
    at_16: Any = None
    open_interest: SizeOrZero | None = None


class _Told(msgspec.Struct, Generic[Items], array_like=True, gc=False):
    channel: int
    items: Items


class _Executed(msgspec.Struct, array_like=True, gc=False):
    channel: int
    kind: Literal["te", "tu"]
    print: _Print


class _Event(msgspec.Struct, gc=False):
    event: str
    channel: str = ""
    chanId: int = -1
    key: str = ""
    symbol: str = ""
    code: int | str = ""
    msg: str = ""


_FEED = tape.Feed("bitfinex", "liq:global", None, "full")
_EVENT = msgspec.json.Decoder(_Event)
_ARRAY = msgspec.json.Decoder(list[Any])
_POSITIONS = msgspec.json.Decoder(_Told[list[_Position]]).decode
_EXECUTED = msgspec.json.Decoder(_Executed).decode


# [91684,[["pos",171200455,1791400313534,null,"tSOLF0:USTF0",31.5,160.02,null,0,1,null,null]]]
# [91684,[["pos",171200455,1791400313543,null,"tSOLF0:USTF0",31.5,160.02,null,1,1,null,148.77]]]
def parse_liquidations(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read the positions that were triggered: of trigger and matches one is counted, the former.

    The amount's sign is the POSITION's, whole coins or less. Element 6 is the entry price, no
    fill, so neither price nor worth is told; 9 is 0 where the system took the position and
    nothing was sold. Rows without a channel's number are REST's answer: history.
    Raises UnreadableFrame. Source: wire-formats.md 3.11; microseconds.
    """
    records = []
    try:
        for row in _POSITIONS(frame).items:
            if row.is_match:
                continue
            of, coins, ts_event = instruments[row.symbol], row.amount, row.at * 1000
            position, order = LONG
            if coins < 0.0:
                position, order = SHORT
                coins = -coins
            coins *= of.multiplier
            if coins <= 0.0 or coins > 1e15:
                return _exactly(frame, ts_recv, instruments)
            if ts_event > ts_recv:
                not_ahead(ts_event, ts_recv)
            records.append(
                Liquidation(
                    f"bitfinex:liquidation:{row.id}", "bitfinex", of.instrument, of.venue_symbol,
                    of.asset, position, order if row.is_sold else None, None, None, coins, None,
                    "full", "liq:global", ts_event, ts_recv,
                )
            )  # fmt: skip
        return Parsed(records, [])
    except NO_RECORD:
        return _exactly(frame, ts_recv, instruments)


def _exactly(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read an answer of REST, a reply, or rows of which one is wrong."""
    opened = _opened(frame, instruments, "liq")
    if isinstance(opened, Parsed):
        return opened
    parsed = built(
        opened.rows,
        lambda row: _triggered(_typed(row, _Position), instruments, ts_recv),
        path=opened.path,
    )
    parsed.history = opened.path == ""
    return parsed


def _triggered(row: _Position, instruments: Instruments, ts_recv: int) -> Liquidation | None:
    """Return what the loop above makes of a row. Raises UnreadableFrame."""
    if row.is_match:
        return None
    of, coins = instruments[row.symbol], abs(row.amount)
    coins *= of.multiplier
    if not 0.0 < coins <= 1e15:
        raise UnreadableFrame("5", f"{row.amount!r} is no amount of coins")
    event_id, ts_event = f"bitfinex:liquidation:{row.id}", row.at * 1000
    position, _ = LONG if row.amount > 0.0 else SHORT
    record = tape.stated(_FEED, event_id, of, position, None, coins, None, ts_event, ts_recv)
    return record if row.is_sold else msgspec.structs.replace(record, order_side=None)


# [23916,"te",[1720045100,1791400314934,0.02,84305]]    then the same again as "tu"
# [23916,[[1720045099,1791400310000,0.1,84300],...]]    what was before the subscription
def parse_trades(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read a print when it is executed ("te"), or those of a snapshot; the sign is the taker's.

    Raises UnreadableFrame, also where the channel's symbol is not known. Microseconds.
    """
    try:
        executed = _EXECUTED(frame)
        named = instruments.named[executed.channel]
        if executed.kind == "tu":  # told already
            return Parsed([], [])
        row = executed.print
        amount, price, ts_event = row.amount, row.price, row.at * 1000
        side: OrderSide = "buy"
        if amount < 0.0:
            side, amount = "sell", -amount
        # As `tape.trade` does, without its call: a frame has one print and little else.
        product = amount * price
        if 0.0 < product <= 1e10 and ts_event <= ts_recv:
            before, instrument, symbol, asset = named
            made = Trade(
                f"{before}{row.id}", "bitfinex", instrument, symbol, asset, side, price, amount,
                product + ROUNDING_USD - ROUNDING_USD, ts_event, ts_recv,
            )  # fmt: skip
            return Parsed([made], [])
    except (KeyError, *NO_RECORD):
        pass  # below, with what is wrong
    return _prints(frame, ts_recv, instruments)


def _prints(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read a snapshot, a reply, an answer of REST, or a print that is none."""
    opened = _opened(frame, instruments, "trades")
    if isinstance(opened, Parsed):
        return opened
    if opened.kind == "tu":  # told already
        return Parsed([], [])
    instrument = instruments[opened.symbol]
    _remember(opened.channel, instrument, instruments)

    def build(row: Any) -> Trade:
        return _trade(_typed(row, _Print), instrument, ts_recv)

    parsed = built(opened.rows, build, path=opened.path)
    parsed.history = opened.kind == ""
    return parsed


def _remember(channel: int, of: Instrument, instruments: Instruments) -> None:
    """Keep what a channel's prints have in common, where they are of one coin each."""
    if channel in instruments.channels and of.is_plain and of.unit == "base" and of.size == 1.0:
        before = f"bitfinex:{of.venue_symbol}:"
        instruments.named[channel] = before, of.instrument, of.venue_symbol, of.asset


# [127758,[1590596819000,null,9166.3,9169.35,null,1372762.95,null,1590624000000,-0.00001415,533,
#  null,0,null,null,9170.35,null,null,3005.25851857]]
def parse_status(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read mark price (element 14) and open interest (17, coins) of one derivative.

    Raises UnreadableFrame. Source: venue-protocols.md 10; microseconds.
    """
    opened = _opened(frame, instruments, "deriv")
    if isinstance(opened, Parsed):
        return opened
    instrument = instruments[opened.symbol]

    def interest(row: Any) -> OpenInterest | None:
        status = _typed(row, _Status)
        amount, price, times = status.open_interest, status.mark_price, (status.at * 1000, ts_recv)
        if amount is None:
            return None
        return readings.interest("bitfinex", instrument, amount, price, "unknown", times)

    def mark(row: Any) -> MarkPrice | None:
        status = _typed(row, _Status)
        price, times = status.mark_price, (status.at * 1000, ts_recv)
        return None if price is None else readings.mark("bitfinex", instrument, price, times)

    parsed = built(opened.rows, interest, path="1")
    parsed.records += built(opened.rows, mark, path="1").records
    return parsed


@lru_cache(maxsize=16_384)
def by_name(symbol: str) -> Instrument:
    """Return the derivative that a symbol names; sizes are coins. Raises UnreadableFrame."""
    name = _NAME.fullmatch(symbol)
    if name is None:
        raise UnreadableFrame("symbol", f"{symbol[:60]!r} is no derivative of bitfinex")
    if name[1].startswith("TEST"):
        raise UnreadableFrame("symbol", f"{symbol[:60]!r} is of bitfinex's paper trading")
    base, quote = (_COINS.get(coin, coin) for coin in name.groups())
    return described("bitfinex", symbol, base, quote)


def of_metadata(symbol: str, row: dict[str, Any]) -> Instrument:
    """Return the instrument of a row, which says no more than the symbol does."""
    return by_name(symbol)


def route(frame: bytes) -> str:
    """Return the channel that a frame's own shape names, "" for control. Raises UnreadableFrame."""
    if frame.lstrip()[:1] != b"[":
        _event(frame)
        return ""
    array = _array(frame)
    if array and isinstance(array[0], list):
        return "liq" if _answer(array)[0][:1] == ["pos"] else "trades"
    if array[1:2] == ["hb"]:
        return ""
    if array[1:2] in (["te"], ["tu"]):
        return "trades"
    rows = array[1] if len(array) > 1 and isinstance(array[1], list) else []
    if rows and isinstance(rows[0], list):
        return "liq" if rows[0][:1] == ["pos"] else "trades"
    return "deriv"


CHANNELS: dict[str, Parser] = {
    "liq": parse_liquidations,
    "trades": parse_trades,
    "deriv": parse_status,
}


class _Opened(msgspec.Struct):
    """An array's rows, what it says they are (te, tu, nothing), their symbol and channel."""

    rows: list[Any]
    kind: str
    symbol: str
    path: str = "1"
    channel: int = -1


def _opened(frame: bytes, instruments: Instruments, channel: str) -> _Opened | Parsed:
    """Return an array opened, or what a reply or a heartbeat means. Raises UnreadableFrame."""
    if frame.lstrip()[:1] != b"[":
        return _replied(_event(frame), instruments)
    array = _array(frame)
    if array and isinstance(array[0], list):
        symbol = "" if channel == "liq" else asked(instruments, "bitfinex")
        return _Opened(_answer(array), "", symbol, "")
    if len(array) < 2 or type(array[0]) is not int:
        raise UnreadableFrame("0", "no channel's number")
    if array[1] == "hb":
        return control()
    kind = array[1] if array[1] in ("te", "tu") else ""
    rows = array[2:3] if kind else array[1]
    if not isinstance(rows, list):
        raise UnreadableFrame("1", f"{str(rows)[:60]!r} is neither a row nor rows")
    if not kind and not (rows and isinstance(rows[0], list)):
        rows = [rows] if rows else []
    symbol = _symbol(array, instruments)
    if channel != "liq" and not symbol:
        raise UnreadableFrame("0", f"nothing has said what channel {array[0]} is of")
    return _Opened(rows, kind, symbol, channel=array[0])


def _answer(array: list[Any]) -> list[Any]:
    """Return the rows of REST's answer, which some of its documents put in one more list."""
    first = array[0]
    return first if first and isinstance(first[0], list) else array


def _symbol(array: list[Any], instruments: Instruments) -> str:
    """Return the symbol of an array's channel: as subscribed, as its end says, or as was asked."""
    key = instruments.channels.get(array[0])
    if key is None and len(array) > 4 and isinstance(array[-1], str):
        return f"t{array[-1]}"  # recorders add the channel and its symbol
    return _of_key(instruments.channels.get(-1, "") if key is None else key)


@lru_cache(maxsize=4_096)
def _of_key(key: str) -> str:
    return key.removeprefix("status:").partition(":")[2]


def _event(frame: bytes) -> _Event:
    try:
        return _EVENT.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None


def _replied(event: _Event, instruments: Instruments) -> Parsed:
    if event.event == "error":
        return control(Refusal("msg", f"refused: {event.code} {event.msg[:200]}"))
    if event.event == "subscribed" and len(instruments.channels) < 1_000:
        instruments.named.pop(event.chanId, None)
        instruments.channels[event.chanId] = event.key or f"{event.channel}:{event.symbol}"
    return control()


def _array(frame: bytes) -> list[Any]:
    try:
        return _ARRAY.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None


def _typed(row: Any, kind: type[Items]) -> Items:
    """Return a row as what it is. Raises UnreadableFrame with the element's place."""
    try:
        return msgspec.convert(row, kind)
    except NOT_A_FRAME as problem:
        why = unreadable(problem)
        raise UnreadableFrame(why.field.strip("[]"), why.reason) from None


def _trade(row: _Print, of: Instrument, ts_recv: int) -> Trade:
    event_id = f"bitfinex:{of.venue_symbol}:{row.id}"
    side: OrderSide = "buy" if row.amount > 0 else "sell"
    amount, ts_event = abs(row.amount), row.at * 1000
    return tape.trade("bitfinex", event_id, of, side, amount, row.price, ts_event, ts_recv)
