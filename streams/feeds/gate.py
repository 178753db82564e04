"""Gate v4 futures: liquidations (WebSocket and REST), trades, open interest, mark price.

Formats: reference/wire-formats.md 3.8 and its corrections. Sizes are contracts of
`quanto_multiplier` coins each; the venue changes multipliers, so they are never guessed.
"""

import re
from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec

from schemas.market import Liquidation, MarkPrice, OpenInterest, Trade
from schemas.words import MAX_MICROS, MIN_MICROS, OrderSide, PositionSide
from streams.feeds import readings, tape
from streams.feeds.checks import Millis, Number, PriceIn, Seconds, SignedSize, SizeOrZero, Word
from streams.feeds.frames import (
    NO_RECORD,
    NOT_A_FRAME,
    Kind,
    Parsed,
    Refusal,
    UnreadableFrame,
    built,
    control,
    is_array,
    one_by_one,
    unreadable,
)
from streams.feeds.identities import PAIR, TRIPLE, apart, told_apart
from streams.feeds.instruments import (
    Instrument,
    Instruments,
    Parser,
    described,
    snapshot,
    unknown,
)

#: From 2026-08-20 on the channel drops nothing; before, one a second and contract came through.
_FULL_SINCE_MS = 1_787_184_000_000
# BTC_USDT, BTC_USD; delivery contracts have a day: BTC_USDT_20261225
_NAME = re.compile(r"([^\W_]+)_([A-Z0-9]+)(?:_20([0-9]{6}))?")

Result = TypeVar("Result")


class _Message(msgspec.Struct, Generic[Result], gc=False):
    result: Result
    channel: str = ""
    event: str = ""
    time: Seconds | None = None
    time_ms: Millis | None = None


class _Liquidated(msgspec.Struct, gc=False):
    result: "list[_Forced] | _Forced"
    channel: Literal["futures.public_liquidates"]
    event: Literal["update"]


class _Forced(msgspec.Struct, gc=False):
    contract: Word
    price: PriceIn
    size: SignedSize
    time: int | None = None
    time_ms: Millis | None = None


class _ForcedStep(msgspec.Struct, gc=False):
    contract: Word
    time: Seconds
    fill_price: PriceIn
    order_size: SignedSize
    left: SignedSize


class _Print(msgspec.Struct, gc=False):
    contract: Word
    id: Number
    price: PriceIn
    size: SignedSize
    create_time: int | None = None
    create_time_ms: float | None = None
    is_internal: bool = False


class _Ticker(msgspec.Struct, gc=False):
    contract: Word
    total_size: SizeOrZero | None = None
    mark_price: PriceIn | None = None


class _Stats(msgspec.Struct, gc=False):
    contract: Word
    time: Seconds
    open_interest: SizeOrZero
    mark_price: PriceIn | None = None


class _Routed(msgspec.Struct, gc=False):
    channel: str = ""
    event: str = ""
    label: str = ""
    result: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_FEED = tape.Feed("gate", "futures.public_liquidates", "order_limit", "full")
_FEED_BEFORE = tape.Feed("gate", _FEED.stream, "order_limit", "latest_per_second")
_STEPS_FEED = tape.Feed("gate", "liq_orders", "fill", "full")
_LIQUIDATED = msgspec.json.Decoder(_Liquidated, strict=False)
_ROUTED = msgspec.json.Decoder(_Routed)
_NO_ERROR = (b"", b"null")
_FORCED = Kind(_Message, _Forced, "result")
_STEPS_ALONE = msgspec.json.Decoder(list[_ForcedStep], strict=False)
_STEPS = Kind(_Message, _ForcedStep, "result")
_PRINTS = Kind(_Message, _Print, "result")
_TICKERS = Kind(_Message, _Ticker, "result")
_STATS = Kind(_Message, _Stats, "result")


# {"time":1790000001,"time_ms":1790000001001,"channel":"futures.public_liquidates","event":"update",
#  "result":[{"price":"84120.5","size":"-310.0","time_ms":1791400308123,"contract":"BTC_USDT"}]}
# {...,"result":{"contract":"SUI_USDT","price":"2.9112","time":1791400307418,"size":-41}}
def parse_public_liquidates(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read the orders of one message, an array or a bare object.

    What the sign of `size` means is not documented on the WebSocket (the REST answer has
    order_size): the side is unknown until `instruments.liquidation_sign` says what was
    learnt. `price` is the order's. Raises UnreadableFrame. Microseconds.
    """
    items: Sequence[_Forced]
    try:
        result, refusals = _LIQUIDATED.decode(frame).result, None
        items = result if isinstance(result, list) else (result,)
        records = _liquidations(items, instruments, ts_recv)
        return Parsed(records if len(records) == 1 else told_apart(records), [])
    except NOT_A_FRAME:
        message, refusals, reply = _read(_FORCED, frame, "futures.public_liquidates")
        if reply is not None:
            return reply
        items = message.result
    except (ValueError, OverflowError):
        pass  # below, each item in its place
    return apart(one_by_one(items, _liquidations, (instruments, ts_recv), refusals, "result"))


def _liquidations(
    items: Sequence[_Forced], instruments: Instruments, ts_recv: int
) -> list[Liquidation]:
    records = []
    sign = instruments.liquidation_sign
    for item in items:
        size, price = item.size, item.price
        if size == 0:
            continue
        millis = item.time_ms or _millis(item.time or 0)
        event_id = f"gate:{item.contract}:{millis}:{PAIR(size, price).hex()}"
        feed = _FEED if millis >= _FULL_SINCE_MS else _FEED_BEFORE
        side = _position_side(size, sign) if sign else "unknown"
        instrument, ts_event = instruments[item.contract], millis * 1000
        records.append(
            tape.liquidation(feed, event_id, instrument, side, abs(size), price, ts_event, ts_recv)
        )
    return records


# [{"time":1791400310,"contract":"ETH_USDT","size":-420,"order_size":420,"order_price":"2989",
#   "fill_price":"2971.3","left":0}]                          (REST /futures/usdt/liq_orders)
def parse_liq_orders(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read the answer of REST liq_orders: what filled is |order_size| - left, at fill_price.

    `size` is the POSITION's at that step, the whole of it at each step: never summed.
    `order_size` has the ORDER's sign: below zero it sold, so a long was closed. Times are
    whole seconds. Raises UnreadableFrame. Source: wire-formats-corrections.md 3.8.
    """
    try:
        records = _steps(_STEPS_ALONE.decode(frame), instruments, ts_recv)
        parsed = Parsed(records if len(records) == 1 else told_apart(records), [])
    except NO_RECORD:
        if is_array(frame):
            frame = b'{"channel":"liq_orders","event":"update","result":' + frame + b"}"
        message, refusals, reply = _read(_STEPS, frame, "liq_orders")
        if reply is not None:
            return reply
        parsed = apart(
            one_by_one(message.result, _steps, (instruments, ts_recv), refusals, "result")
        )
    parsed.history = True
    return parsed


def _steps(
    items: Sequence[_ForcedStep], instruments: Instruments, ts_recv: int
) -> list[Liquidation]:
    records = []
    for item in items:
        size, left, price = item.order_size, item.left, item.fill_price
        filled = abs(size) - abs(left)
        if filled <= 0:
            continue
        event_id = f"gate:rest:{item.contract}:{item.time}:{TRIPLE(size, left, price).hex()}"
        side: PositionSide = "long" if size < 0 else "short"
        instrument, ts_event = instruments[item.contract], item.time * 1_000_000
        records.append(
            tape.liquidation(
                _STEPS_FEED, event_id, instrument, side, filled, price, ts_event, ts_recv
            )
        )
    return records


# {"time":1790000001,"channel":"futures.trades","event":"update","error":null,"result":[
#  {"contract":"BTC_USDT","create_time":1791400309,"create_time_ms":1791400309011,"id":61120044,
#  "price":"84311.0","size":75,"is_internal":true}]}
def parse_trades(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read every print of one message; the sign of `size` is the TAKER's.

    Internal matches (insurance fund, auto-deleveraging) are no prints of the tape. REST's
    answer, a bare array, is history. Raises UnreadableFrame. Source: wire-formats.md 3.8.
    """
    if answered := is_array(frame):
        frame = b'{"channel":"futures.trades","event":"update","result":' + frame + b"}"
    message, refusals, reply = _read(_PRINTS, frame, "futures.trades")
    if reply is not None:
        return reply

    def build(item: _Print) -> Trade | None:
        if item.is_internal or item.size == 0:
            return None
        event_id, instrument = f"gate:{item.contract}:{item.id}", instruments[item.contract]
        side: OrderSide = "buy" if item.size > 0 else "sell"
        amount, price, ts_event = abs(item.size), item.price, _printed_at(item)
        return tape.trade("gate", event_id, instrument, side, amount, price, ts_event, ts_recv)

    parsed = built(message.result, build, refusals, "result")
    parsed.history = answered
    return parsed


# {"time":1790000001,"channel":"futures.tickers","event":"update","result":[{"contract":"BTC_USDT",
#  "last":"86400","mark_price":"86401.1","index_price":"86410","total_size":"335169045"}]}
def parse_tickers(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read open interest (total_size: contracts, one side) and mark price of each contract.

    Rows have no time of their own: the message's is taken. Raises UnreadableFrame.
    Source: venue-protocols.md 7; microseconds.
    """
    message, refusals, reply = _read(_TICKERS, frame, "futures.tickers")
    if reply is not None:
        return reply
    stamp = message.time_ms * 1000 if message.time_ms else (message.time or 0) * 1_000_000
    times = stamp or ts_recv, ts_recv

    def interest(row: _Ticker) -> OpenInterest | None:
        if row.total_size is None:
            return None
        instrument, price = instruments[row.contract], row.mark_price
        return readings.interest("gate", instrument, row.total_size, price, "one", times)

    def mark(row: _Ticker) -> MarkPrice | None:
        if row.mark_price is None:
            return None
        return readings.mark("gate", instruments[row.contract], row.mark_price, times)

    parsed = built(message.result, interest, refusals, "result")
    parsed.records += built(message.result, mark, {}, "result").records
    return parsed


# {"channel":"futures.contract_stats","event":"update","result":[{"time":1790000000,
#  "contract":"BTC_USDT","open_interest":670338090,"open_interest_usd":5080000000}]}
def parse_contract_stats(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read open interest as contract_stats counts it: both sides, twice that of the tickers.

    Raises UnreadableFrame. Source: wire-formats-corrections.md 3.8; microseconds.
    """
    message, refusals, reply = _read(_STATS, frame, "futures.contract_stats")
    if reply is not None:
        return reply

    def build(row: _Stats) -> OpenInterest | None:
        instrument, times = instruments[row.contract], (row.time * 1_000_000, ts_recv)
        amount, price = row.open_interest, row.mark_price
        return readings.interest("gate", instrument, amount, price, "both", times)

    return built(message.result, build, refusals, "result")


def by_name(symbol: str) -> Instrument:
    """Return a delivery contract as large as its perpetual in the snapshot.

    No other contract's size stands in a name: raises UnreadableFrame("symbol").
    """
    name = _NAME.fullmatch(symbol)
    perpetual = snapshot("gate")[0].get(f"{name[1]}_{name[2]}") if name and name[3] else None
    if perpetual is None:
        raise unknown("gate", symbol)
    return of_metadata(symbol, perpetual)


# {"name":"BTC_USDT","type":"direct","quanto_multiplier":"0.0001",...}    (/futures/usdt/contracts)
def of_metadata(symbol: str, row: dict[str, Any]) -> Instrument:
    """Return what a row of contracts says of `symbol`; inverse contracts are a dollar each.

    Raises UnreadableFrame.
    """
    name = _NAME.fullmatch(symbol)
    if name is None:
        raise unknown("gate", symbol)
    if "quanto_multiplier" not in row:
        raise UnreadableFrame("quanto_multiplier", f"{symbol[:60]} has none")
    base, quote, kind = name[1], name[2], name[3] or "PERP"
    size = float(row["quanto_multiplier"])
    if row.get("type") == "inverse" or size == 0:
        return described("gate", symbol, base, quote, kind, "quote")
    # ETH_USD of the BTC-settled endpoint: size BTC a dollar of price.
    unit: Literal["base", "settle"] = "settle" if quote == "USD" else "base"
    return described("gate", symbol, base, quote, kind, unit, size)


def route(frame: bytes) -> str:
    """Return the channel that a frame names, "" for control. Raises UnreadableFrame."""
    if is_array(frame):
        return "futures.trades" if b'"create_time"' in frame else "liq_orders"
    try:
        routed = _ROUTED.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    if routed.event in ("subscribe", "unsubscribe") or routed.channel == "futures.pong":
        return ""
    if not routed.channel and routed.label:
        return ""
    if not routed.channel:
        raise UnreadableFrame("channel", "no channel is named")
    return routed.channel


CHANNELS: dict[str, Parser] = {
    "futures.public_liquidates": parse_public_liquidates,
    "futures.trades": parse_trades,
    "futures.tickers": parse_tickers,
    "futures.contract_stats": parse_contract_stats,
    "liq_orders": parse_liq_orders,
}


def _millis(time: int) -> int:
    """Return a time that stands where milliseconds should. Raises UnreadableFrame."""
    if not 1_420_070_400_000 <= time <= 4_102_444_800_000:
        raise UnreadableFrame("time", f"{time} is not in milliseconds since 2015")
    return time


def _position_side(size: float, sign: Literal["order", "position"]) -> PositionSide:
    """Return whose position an order of a signed size closed."""
    return "long" if (size < 0) == (sign == "order") else "short"


def _printed_at(item: _Print) -> int:
    """Return a print's time in microseconds: milliseconds, or seconds where there are none."""
    # Both names have been seen with seconds, and the longer one with decimals of them.
    stamp = item.create_time_ms or item.create_time or 0
    time = round(stamp * (1000 if stamp > 1e11 else 1_000_000))
    if not MIN_MICROS <= time <= MAX_MICROS:
        raise UnreadableFrame("create_time_ms", f"{stamp} is not a time after 2015")
    return time


def _read(
    kind: Kind, frame: bytes, channel: str
) -> tuple[Any, dict[int, Refusal] | None, Parsed | None]:
    """Return (message, refusals, None), or in the last place what a reply means.

    A bare object stands for an array of one; an array within an array is opened.
    """
    message = kind.whole(frame)
    if message is not None and message.channel == channel and message.event == "update":
        return message, None, None
    try:
        routed = _ROUTED.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    if routed.label and not routed.channel:
        return None, None, control(Refusal("label", f"refused: {routed.label[:200]}"))
    if bytes(routed.error) not in _NO_ERROR:
        text = bytes(routed.error).decode(errors="replace")
        return None, None, control(Refusal("error", f"refused: {text[:200]}"))
    if routed.event in ("subscribe", "unsubscribe") or routed.channel == "futures.pong":
        return None, None, control()
    if routed.channel != channel:
        raise UnreadableFrame("channel", f"{routed.channel[:60]!r} is not {channel}")
    result = bytes(routed.result)
    if result[:1] == b"{" or result[:2] == b"[[":
        at = frame.rindex(result)
        opened = b"[" + result + b"]" if result[:1] == b"{" else result[1:-1]
        frame = frame[:at] + opened + frame[at + len(result) :]
    return *kind.read(frame), None
