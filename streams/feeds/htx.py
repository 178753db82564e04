"""HTX swaps and futures: liquidations, trades, open interest.

Formats: reference/wire-formats.md 3.11 and its corrections. Frames come as gzip members; a trade's
amount and the open interest count BOTH sides, a liquidation's volume one.
"""

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar

import msgspec

from schemas.market import Liquidation, OpenInterest, Trade
from schemas.words import ROUNDING_USD, OrderSide, PositionSide
from streams.feeds import readings, tape
from streams.feeds.checks import Millis, Number, PriceIn, SizeIn, SizeOrZero, Word
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
    dollars,
    in_coins,
    sized,
    unknown,
)
from streams.feeds.tape import LEAST_PRICE, LEAST_USD

# BTC-USDT, BTC-USDT-261225 (linear), ETH-USD (inverse), BTC261225 (inverse, dated)
_NAME = re.compile(r"([^\W_a-z]+?)(?:-(USDT|HUSD|USD)(?:-([0-9]{6}))?|([0-9]{6}))")
#: No frame is larger when unpacked; a gzip member of a few bytes could be.
_MOST_BYTES = 8 << 20
_LIQUIDATIONS, _TRADES = ".liquidation_orders", ".trade.detail"
#: "Repeated subscription": a wider one exists already.
_NO_FAULT = frozenset({0, 2014})
#: What REST's v3 calls success.
_DONE = frozenset({200, "200"})

Items = TypeVar("Items")


class _Forced(msgspec.Struct, gc=False):
    contract_code: Word
    direction: OrderSide
    volume: SizeIn
    price: PriceIn
    created_at: Millis
    amount: SizeIn | None = None
    trade_turnover: SizeOrZero | None = None


class _Print(msgspec.Struct, gc=False):
    id: Number
    ts: Millis
    price: PriceIn
    amount: SizeIn
    direction: Literal["buy", "sell", ""]
    quantity: SizeIn | None = None


class _Open(msgspec.Struct, gc=False):
    contract_code: Word
    volume: SizeOrZero
    amount: SizeOrZero | None = None
    value: SizeOrZero | None = None


class _Listed(msgspec.Struct, Generic[Items], gc=False):
    data: Items
    ts: Millis | None = None
    topic: str = ""
    op: str = ""


class _Tick(msgspec.Struct, Generic[Items], gc=False):
    data: Items


class _Tape(msgspec.Struct, Generic[Items], gc=False):
    tick: _Tick[Items]
    ch: str = ""


class _Routed(msgspec.Struct, rename={"err_code": "err-code", "err_msg": "err-msg"}, gc=False):
    op: str = ""
    topic: str = ""
    ch: str = ""
    subbed: str = ""
    status: str = ""
    ping: int | str | None = None
    err_code: int | str = 0
    err_msg: str = ""
    data: msgspec.Raw = msgspec.Raw()
    code: int | str = 0
    msg: str = ""


_FEED = tape.Feed("htx", "liquidation_orders", None, "unknown")
_ROUTED = msgspec.json.Decoder(_Routed, strict=False)
_FORCED = Kind(_Listed, _Forced)
_PRINTS = Kind(_Tape, _Print, "tick.data")
_OPEN = Kind(_Listed, _Open)


# {"op":"notify","topic":"public.DOGE-USDT.liquidation_orders","ts":1791400315217,"data":[
#  {"symbol":"DOGE","contract_code":"DOGE-USDT","direction":"sell","offset":"close","volume":31,
#  "price":0.2011,"created_at":1791400315212,"amount":3100,"trade_turnover":623.41}]}
def parse_liquidation_orders(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read every order of one liquidation_orders message.

    `direction` is the ORDER's. volume is contracts, amount coins, trade_turnover dollars;
    whether the price is the order's or the bankruptcy's is not documented: it is not handed
    on. Answers of REST's v3 are read too, as history. Raises UnreadableFrame.
    Source: wire-formats-corrections.md 3.11; microseconds.
    """
    frame = plain(frame)
    try:
        message = _FORCED.decode(frame)
        if message.op == "notify" and message.topic.endswith(_LIQUIDATIONS):
            records = _liquidations(message.data, instruments, ts_recv)
            return Parsed(records if len(records) == 1 else told_apart(records), [])
    except NO_RECORD:
        pass  # below, each item in its place
    if (reply := _answered(frame, "liquidation_orders")) is not None:
        return reply
    message, refusals = _FORCED.read(frame)
    parsed = apart(one_by_one(message.data, _liquidations, (instruments, ts_recv), refusals))
    parsed.history = not message.topic
    return parsed


def _liquidations(
    orders: Sequence[_Forced], instruments: Instruments, ts_recv: int
) -> list[Liquidation]:
    records = []
    for order in orders:
        symbol, millis, direction = order.contract_code, order.created_at, order.direction
        volume, price, coins = order.volume, order.price, order.amount
        event_id = f"htx:{symbol}:{millis}:{direction}:{PAIR(volume, price).hex()}"
        instrument, ts_event = instruments[symbol], millis * 1000
        if instrument.unit == "quote":
            worth = product = volume * instrument.size
            coins = product / price
        elif coins is not None:
            product = coins * price
            worth = order.trade_turnover or product
        else:
            worth = product = 0.0  # below, with what is wrong or rare
        # As `tape` does, without its calls.
        if (
            price >= LEAST_PRICE and LEAST_USD < product <= 1e10 and worth <= 1e10
            and instrument.multiplier == 1.0 and instrument.in_dollars and ts_event <= ts_recv
        ):  # fmt: skip
            record = Liquidation(
                event_id, "htx", instrument.instrument, instrument.venue_symbol, instrument.asset,
                "long" if direction == "sell" else "short", direction, None, None, coins,
                worth + ROUNDING_USD - ROUNDING_USD, "unknown", "liquidation_orders",
                ts_event, ts_recv,
            )  # fmt: skip
        else:
            record = _liquidation(order, event_id, instrument, ts_recv)
        records.append(record)
    return records


def _liquidation(
    order: _Forced, event_id: str, instrument: Instrument, ts_recv: int
) -> Liquidation:
    side: PositionSide = "long" if order.direction == "sell" else "short"
    amount, price, ts_event = order.amount, order.price, order.created_at * 1000
    if amount is None or instrument.unit == "quote":
        _known_size(instrument)
        amount = order.volume
    else:
        instrument = in_coins(instrument)
        if order.trade_turnover:
            _, quantity, _ = sized(instrument, amount, price)
            worth = dollars(instrument, order.trade_turnover)
            return tape.stated(
                _FEED, event_id, instrument, side, None, quantity, worth, ts_event, ts_recv
            )
    return tape.liquidation(_FEED, event_id, instrument, side, amount, price, ts_event, ts_recv)


# {"ch":"market.BTC-USDT.trade.detail","ts":1791400316008,"tick":{"id":171602265,"ts":1791400316000,
#  "data":[{"amount":6,"ts":1791400316000,"id":1716022650000,"price":84300,"direction":"sell",
#  "quantity":0.006,"trade_turnover":505.8}]}}
def parse_trade_detail(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read every print of one trade.detail message.

    amount, quantity and turnover are the SUM OF BOTH SIDES, so what changed hands is half.
    `direction` is the taker's; a print without one cannot be told. Raises UnreadableFrame.
    Source: wire-formats-corrections.md 3.11; microseconds.
    """
    frame = plain(frame)
    try:
        message = _PRINTS.decode(frame)
        if message.ch.endswith(_TRADES):
            symbol = message.ch.removeprefix("market.").removesuffix(_TRADES)
            return Parsed(_trades(message.tick.data, symbol, instruments[symbol], ts_recv), [])
    except NO_RECORD:
        pass  # below, each item in its place
    if (reply := _answered(frame, "trade.detail")) is not None:
        return reply
    message, refusals = _PRINTS.read(frame)
    symbol = message.ch.removeprefix("market.").removesuffix(_TRADES)
    context = (symbol, instruments[symbol], ts_recv)
    return one_by_one(message.tick.data, _trades, context, refusals, "tick.data")


def _trades(items: Sequence[_Print], symbol: str, named: Instrument, ts_recv: int) -> list[Trade]:
    records = []
    for item in items:
        side, coins, instrument = item.direction, item.quantity, named
        if not side:
            raise UnreadableFrame("direction", "none is told: whose order it was is not known")
        if coins is None:
            _known_size(instrument)
            coins = item.amount
        else:
            instrument = in_coins(instrument)
        event_id, ts_event = f"htx:{symbol}:{item.id}", item.ts * 1000
        records.append(
            tape.trade(
                "htx", event_id, instrument, side, coins / 2.0, item.price, ts_event, ts_recv
            )
        )
    return records


# {"status":"ok","data":[{"volume":3063121,"amount":3063.121,"symbol":"BTC","value":60398313.5,
#  "contract_code":"BTC-USDT"}],"ts":1606780807036}              (REST swap_open_interest)
def parse_open_interest(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read an answer of REST swap_open_interest, which counts BOTH sides.

    Raises UnreadableFrame. Source: wire-formats-corrections.md 3.11; microseconds.
    """
    frame = plain(frame)
    if (reply := _answered(frame, "swap_open_interest")) is not None:
        return reply
    message, refusals = _OPEN.read(frame)
    times = message.ts * 1000 if message.ts else ts_recv, ts_recv

    def build(row: _Open) -> OpenInterest | None:
        instrument = instruments[row.contract_code]
        if not row.volume:
            return None
        if row.amount is None:
            _known_size(instrument)
            return readings.interest("htx", instrument, row.volume, None, "both", times)
        worth = row.volume * instrument.size if instrument.unit == "quote" else row.value
        return readings.open_interest("htx", instrument, row.amount, worth, "both", times)

    return built(message.data, build, refusals)


@lru_cache(maxsize=16_384)
def by_name(symbol: str) -> Instrument:
    """Return what a contract's name says: -USD and dated coins are inverse, of 100 or 10 dollars.

    The size of a linear contract stands in no name, and messages mostly tell coins beside it.
    Raises UnreadableFrame("symbol").
    """
    base, quote, kind = _parts(symbol)
    if quote != "USD":
        return described("htx", symbol, base, quote, kind, "settle")
    return described("htx", symbol, base, quote, kind, "quote", 100.0 if base == "BTC" else 10.0)


# {"status":"ok","data":[{"symbol":"BTC","contract_code":"BTC-USDT","contract_size":0.001}]}
def of_metadata(symbol: str, row: dict[str, Any]) -> Instrument:
    """Return what a row of swap_contract_info says of `symbol`. Raises UnreadableFrame."""
    if not row.get("contract_size"):
        raise UnreadableFrame("contract_size", f"{symbol[:60]} has none")
    base, quote, kind = _parts(symbol)
    unit: Literal["base", "quote"] = "quote" if quote == "USD" else "base"
    return described("htx", symbol, base, quote, kind, unit, float(row["contract_size"]))


def route(frame: bytes) -> str:
    """Return the channel that a frame names, "" for control. Raises UnreadableFrame."""
    routed = _routed(plain(frame))
    if _control(routed) is not None:
        return ""
    return _channel(routed)


CHANNELS: dict[str, Parser] = {
    "liquidation_orders": parse_liquidation_orders,
    "trade.detail": parse_trade_detail,
    "swap_open_interest": parse_open_interest,
}


def plain(frame: bytes) -> bytes:
    """Return a frame as text, out of its gzip member where it is one. Raises UnreadableFrame."""
    if frame[:2] != b"\x1f\x8b":
        return frame
    try:
        unpacker = zlib.decompressobj(wbits=31)
        text = unpacker.decompress(frame, _MOST_BYTES)
    except zlib.error as problem:
        raise UnreadableFrame("", f"gzip: {problem}") from None
    if not unpacker.eof:
        raise UnreadableFrame("", "gzip: broken off, or larger than any frame")
    return text


def _routed(text: bytes) -> _Routed:
    try:
        return _ROUTED.decode(text)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None


def _channel(routed: _Routed) -> str:
    name = routed.topic or routed.ch
    if name.endswith(_LIQUIDATIONS):
        return "liquidation_orders"
    if name.endswith(_TRADES):
        return "trade.detail"
    if not name and routed.code in _DONE and bytes(routed.data)[:1] == b"[":
        return "liquidation_orders"
    if not name and routed.status == "ok" and bytes(routed.data)[:1] == b"[":
        return "swap_open_interest"
    if not name:
        raise UnreadableFrame("topic", "neither a topic nor a channel")
    return name


def _control(routed: _Routed) -> Parsed | None:
    """Return what a reply, a ping or a farewell means, None for data."""
    if routed.status == "error" or routed.err_code not in _NO_FAULT:
        return control(Refusal("err-code", f"refused: {routed.err_code} {routed.err_msg[:200]}"))
    if routed.code not in (0, *_DONE):
        return control(Refusal("code", f"refused: {routed.code} {routed.msg[:200]}"))
    if routed.ping is not None or routed.subbed or routed.op not in ("", "notify"):
        return control()
    return None


def _answered(text: bytes, channel: str) -> Parsed | None:
    """Return what a frame means that is control, None for `channel`. Raises UnreadableFrame."""
    routed = _routed(text)
    reply = _control(routed)
    if reply is None and _channel(routed) != channel:
        raise UnreadableFrame("topic", f"{_channel(routed)[:60]!r} is not {channel}")
    return reply


def _parts(symbol: str) -> tuple[str, str, str]:
    """Return base, quote and kind of a contract's code."""
    name = _NAME.fullmatch(symbol)
    if name is None:
        raise unknown("htx", symbol)
    return name[1], name[2] or "USD", name[3] or name[4] or "PERP"


def _known_size(instrument: Instrument) -> None:
    if instrument.unit == "settle":
        raise unknown("htx", instrument.venue_symbol)
