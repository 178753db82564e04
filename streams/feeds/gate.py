"""Gate v4 futures: liquidations (WebSocket and REST), trades, open interest, mark price.

Formats: reference/wire-formats.md 3.8 and its corrections. Sizes are contracts of
`quanto_multiplier` coins each; the venue changes multipliers, so they are never guessed.
"""

import re
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from schemas.market import Liquidation, Trade
from schemas.words import (
    MAX_MICROS,
    MIN_MICROS,
    ROUNDING_USD,
    Coverage,
    OrderSide,
    PositionSide,
)
from streams.feeds import tape
from streams.feeds.checks import Millis, Number, PriceIn, Seconds, SignedSize, Word
from streams.feeds.frames import (
    NO_RECORD,
    NOT_A_FRAME,
    Kind,
    Parsed,
    UnreadableFrame,
    built,
    is_array,
    one_by_one,
    unreadable,
)
from streams.feeds.gate_frames import ROUTED, Message, read
from streams.feeds.gate_readings import parse_contract_stats, parse_tickers
from streams.feeds.identities import PAIR, TRIPLE, apart, told_apart
from streams.feeds.instruments import (
    Instrument,
    Instruments,
    Parser,
    described,
    snapshot,
    unknown,
)
from streams.feeds.tape import LEAST_PRICE, LEAST_USD, LONG, SHORT

#: From 2026-08-20 on the channel drops nothing; before, one a second and contract came through.
_FULL_SINCE_MS = 1_787_184_000_000
# BTC_USDT, BTC_USD; delivery contracts have a day: BTC_USDT_20261225
_NAME = re.compile(r"([^\W_]+)_([A-Z0-9]+)(?:_20([0-9]{6}))?")


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
    create_time: float | None = None
    create_time_ms: float | None = None
    is_internal: bool = False


#: Whose position and whose order, until the sign's meaning is learnt.
_UNKNOWN: tuple[PositionSide, OrderSide | None] = ("unknown", None)
_STREAM = "futures.public_liquidates"
_LIQUIDATED = msgspec.json.Decoder(_Liquidated, strict=False)
_FORCED = Kind(Message, _Forced, "result")
_STEPS_ALONE = msgspec.json.Decoder(list[_ForcedStep], strict=False)
_STEPS = Kind(Message, _ForcedStep, "result")
_PRINTS = Kind(Message, _Print, "result")


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
        message, refusals, reply = read(_FORCED, frame, "futures.public_liquidates")
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
        size, price, millis = item.size, item.price, item.time_ms
        if size == 0.0:
            continue
        if millis is None:
            millis = item.time or 0
            if 1_420_070_400 <= millis <= 4_102_444_800:  # seconds, as some of them were
                millis *= 1000
            if not 1_420_070_400_000 <= millis <= 4_102_444_800_000:
                raise UnreadableFrame("time", f"{millis} is not in milliseconds since 2015")
        contract, ts_event = item.contract, millis * 1000
        event_id = f"gate:{contract}:{millis}:{PAIR(size, price).hex()}"
        of, amount = instruments[contract], abs(size)
        position, order = _UNKNOWN
        if sign is not None:
            position, order = LONG if (size < 0.0) == (sign == "order") else SHORT
        coverage: Coverage = "full" if millis >= _FULL_SINCE_MS else "latest_per_second"
        # As `tape` does, without its call.
        quantity = amount * of.size
        product = quantity * price
        if of.unit != "base":
            product, quantity = quantity, quantity / price
        worth: float | None
        if (
            of.is_plain
            and price >= LEAST_PRICE
            and LEAST_USD < product <= 1e10
            and ts_event <= ts_recv
        ):
            worth = product + ROUNDING_USD - ROUNDING_USD
        else:
            price, quantity, worth = tape.exactly(of, amount, price, ts_event, ts_recv)
        records.append(
            Liquidation(
                event_id, "gate", of.instrument, of.venue_symbol, of.asset, position, order, price,
                "order_limit", quantity, worth, coverage, _STREAM, ts_event, ts_recv,
            )
        )  # fmt: skip
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
        return Parsed(records if len(records) == 1 else told_apart(records), [], False, True)
    except NO_RECORD:
        if is_array(frame):
            frame = b'{"channel":"liq_orders","event":"update","result":' + frame + b"}"
        message, refusals, reply = read(_STEPS, frame, "liq_orders")
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
        amount = abs(size) - abs(left)
        if amount <= 0.0:
            continue
        contract, time = item.contract, item.time
        event_id = f"gate:rest:{contract}:{time}:{TRIPLE(size, left, price).hex()}"
        position, order = LONG if size < 0.0 else SHORT
        of, ts_event = instruments[contract], time * 1_000_000
        # As `tape` does, without its call.
        quantity = amount * of.size
        product = quantity * price
        if of.unit != "base":
            product, quantity = quantity, quantity / price
        worth: float | None
        if (
            of.is_plain
            and price >= LEAST_PRICE
            and LEAST_USD < product <= 1e10
            and ts_event <= ts_recv
        ):
            worth = product + ROUNDING_USD - ROUNDING_USD
        else:
            price, quantity, worth = tape.exactly(of, amount, price, ts_event, ts_recv)
        records.append(
            Liquidation(
                event_id, "gate", of.instrument, of.venue_symbol, of.asset, position, order, price,
                "fill", quantity, worth, "full", "liq_orders", ts_event, ts_recv,
            )
        )  # fmt: skip
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
    message, refusals, reply = read(_PRINTS, frame, "futures.trades")
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
        routed = ROUTED.decode(frame)
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


def _printed_at(item: _Print) -> int:
    """Return a print's time in microseconds: milliseconds, or seconds where there are none."""
    # Both names have been seen with seconds, and the longer one with decimals of them.
    stamp = item.create_time_ms or item.create_time or 0
    time = round(stamp * (1000 if stamp > 1e11 else 1_000_000))
    if not MIN_MICROS <= time <= MAX_MICROS:
        raise UnreadableFrame("create_time_ms", f"{stamp} is not a time after 2015")
    return time
