"""Bitfinex derivatives: liquidations, trades, open interest and mark price.

Formats: reference/wire-formats.md 3.11. Frames are arrays that name a channel's number only; what
it is of, the reply to the subscription said, and `instruments.channels` remembers. UST is USDT.
"""

import re
from functools import lru_cache, partial
from typing import Any

import msgspec

from schemas.market import Liquidation, MarkPrice, OpenInterest, Trade
from schemas.words import MAX_MICROS, MIN_MICROS
from streams.feeds import readings
from streams.feeds.frames import (
    NOT_A_FRAME,
    Parsed,
    Refusal,
    UnreadableFrame,
    built,
    control,
    unreadable,
)
from streams.feeds.instruments import Instrument, Instruments, Parser, asked, described, sized

# tBTCF0:USTF0; a spot pair (tBTCUSD) is none
_NAME = re.compile(r"t?([^\W_a-z]+?)F0:([A-Z0-9]+?)F0")
_COINS = {"UST": "USDT", "XBT": "BTC"}
#: Where a position, a print and a status keep what is read, by place.
_POSITION, _PRINT, _STATUS = 10, 4, 3


class _Event(msgspec.Struct, gc=False):
    event: str
    channel: str = ""
    chanId: int = -1
    key: str = ""
    symbol: str = ""
    code: int | str = ""
    msg: str = ""


_EVENT = msgspec.json.Decoder(_Event)
_ARRAY = msgspec.json.Decoder(list[Any])


# [91684,[["pos",171200455,1791400313534,null,"tSOLF0:USTF0",31.5,160.02,null,0,1,null,null]]]
# [91684,[["pos",171200455,1791400313543,null,"tSOLF0:USTF0",31.5,160.02,null,1,1,null,148.77]]]
def parse_liquidations(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read the positions that were triggered: of trigger and matches one is counted, the former.

    The amount's sign is the POSITION's, whole coins or less. Element 6 is the entry price, no
    fill, so neither price nor worth is told; 9 is 0 where the system took the position and
    nothing was sold. Rows without a channel's number are REST's answer: history.
    Raises UnreadableFrame. Source: wire-formats.md 3.11; microseconds.
    """
    opened = _opened(frame, instruments, "liq")
    if isinstance(opened, Parsed):
        return opened
    position = partial(_position, ts_recv=ts_recv, known=instruments)
    parsed = built(opened.rows, position, path=opened.path)
    parsed.history = opened.path == ""
    return parsed


# [23916,"te",[1720045100,1791400314934,0.02,84305]]    then the same again as "tu"
# [23916,[[1720045099,1791400310000,0.1,84300],...]]    what was before the subscription
def parse_trades(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read a print when it is executed ("te"), or those of a snapshot; the sign is the taker's.

    Raises UnreadableFrame, also where the channel's symbol is not known. Microseconds.
    """
    opened = _opened(frame, instruments, "trades")
    if isinstance(opened, Parsed):
        return opened
    if opened.kind == "tu":  # told already
        return Parsed([], [])
    instrument = instruments[opened.symbol]
    trade = partial(_trade, ts_recv=ts_recv, of=instrument)
    parsed = built(opened.rows, trade, path=opened.path)
    parsed.history = opened.kind == ""
    return parsed


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

    def build(reading: tuple[int, list[Any]]) -> OpenInterest | MarkPrice | None:
        place, row = reading
        _check(row, _STATUS)
        value = row[place] if len(row) > place else None
        if value is None:
            return None
        times = _micros(row, 0), ts_recv
        if place == 14:
            return readings.mark("bitfinex", instrument, _number(row, 14), times)
        mark = _number(row, 14) if len(row) > 14 and row[14] is not None else None
        amount = _number(row, 17)
        return readings.interest("bitfinex", instrument, amount, mark, "unknown", times)

    return built([(place, row) for row in opened.rows for place in (17, 14)], build, path="1")


@lru_cache(maxsize=16_384)
def by_name(symbol: str) -> Instrument:
    """Return the derivative that a symbol names; sizes are coins. Raises UnreadableFrame."""
    name = _NAME.fullmatch(symbol)
    if name is None:
        raise UnreadableFrame("symbol", f"{symbol[:60]!r} is no derivative of bitfinex")
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
    """An array's rows, what it says they are (te, tu, nothing), and the symbol they are of."""

    rows: list[Any]
    kind: str
    symbol: str
    path: str = "1"


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
    return _Opened(rows, kind, symbol)


def _answer(array: list[Any]) -> list[Any]:
    """Return the rows of REST's answer, which some of its documents put in one more list."""
    first = array[0]
    return first if first and isinstance(first[0], list) else array


def _symbol(array: list[Any], instruments: Instruments) -> str:
    """Return the symbol of an array's channel: as subscribed, as its end says, or as was asked."""
    key = instruments.channels.get(array[0])
    if key is None and len(array) > 4 and isinstance(array[-1], str):
        return f"t{array[-1]}"  # recorders add the channel and its symbol
    key = instruments.channels.get(-1, "") if key is None else key
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
        instruments.channels[event.chanId] = event.key or f"{event.channel}:{event.symbol}"
    return control()


def _array(frame: bytes) -> list[Any]:
    try:
        return _ARRAY.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None


def _position(row: Any, ts_recv: int, known: Instruments) -> Liquidation | None:
    _check(row, _POSITION)
    if row[0] != "pos" or not isinstance(row[4], str):
        raise UnreadableFrame("0", "not a position with a symbol")
    if row[8] not in (0, 1):
        raise UnreadableFrame("8", f"{str(row[8])[:20]!r} is neither a trigger nor a match")
    if row[8]:
        return None
    instrument, amount = known[row[4]], _number(row, 5)
    coins = abs(amount) * instrument.multiplier
    if not 0.0 < coins <= 1e15:
        raise UnreadableFrame("5", f"{amount!r} is no amount of coins")
    sold = bool(row[9])
    return Liquidation(
        event_id=f"bitfinex:liquidation:{_identity(row, 1)}",
        venue="bitfinex",
        instrument=instrument.instrument,
        venue_symbol=row[4],
        asset=instrument.asset,
        position_side="long" if amount > 0 else "short",
        order_side=None if not sold else "sell" if amount > 0 else "buy",
        price=None,
        price_kind=None,
        quantity=coins,
        notional_usd=None,
        coverage="full",
        stream="liq:global",
        ts_event=_micros(row, 2),
        ts_recv=ts_recv,
    )


def _trade(row: Any, ts_recv: int, of: Instrument) -> Trade:
    _check(row, _PRINT)
    amount = _number(row, 2)
    price, quantity, worth = sized(of, abs(amount), _number(row, 3))
    return Trade(
        event_id=f"bitfinex:{of.venue_symbol}:{_identity(row, 0)}",
        venue="bitfinex",
        instrument=of.instrument,
        venue_symbol=of.venue_symbol,
        asset=of.asset,
        aggressor_side="buy" if amount > 0 else "sell",
        price=price,
        quantity=quantity,
        notional_usd=worth,
        ts_event=_micros(row, 1),
        ts_recv=ts_recv,
    )


def _check(row: Any, least: int) -> None:
    # Arrays grow at the end without notice.
    if not isinstance(row, list) or len(row) < least:
        raise UnreadableFrame("", f"not a row of {least} elements or more")


def _identity(row: list[Any], place: int) -> int:
    value = row[place]
    if type(value) is not int or not 0 <= value < 2**63:
        raise UnreadableFrame(str(place), f"{str(value)[:60]!r} is no position's or print's number")
    return value


def _number(row: list[Any], place: int) -> float:
    value = row[place] if len(row) > place else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise UnreadableFrame(str(place), f"{str(value)[:60]!r} is no number")
    return float(value)


def _micros(row: list[Any], place: int) -> int:
    value = row[place]
    if type(value) is not int or not MIN_MICROS <= value * 1000 <= MAX_MICROS:
        raise UnreadableFrame(str(place), f"{str(value)[:60]!r} is not in milliseconds since 2015")
    return value * 1000
