"""Deribit futures: trades, the liquidations among them, open interest and mark price.

Formats: reference/wire-formats.md 3.7. `amount` is dollars on inverse futures and coins on
linear ones; `contracts` (10 dollars each) is not read. Options are not followed.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar

import msgspec

from schemas.market import Liquidation, MarkPrice, OpenInterest, Trade
from schemas.words import ROUNDING_USD, OrderSide, PositionSide
from streams.feeds import readings, tape
from streams.feeds.checks import (
    Millis,
    PriceIn,
    SizeIn,
    SizeOrZero,
    Stream,
    Word,
    seen,
    seen_stream,
)
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
from streams.feeds.instruments import Instrument, Instruments, Parser, described
from streams.feeds.symbols import day_of, expiry
from streams.feeds.tape import LEAST_PRICE, LEAST_USD, LONG, SHORT

# BTC-PERPETUAL, BTC_USDC-PERPETUAL, BTC-27DEC24; options and combos have more parts
_NAME = re.compile(r"([A-Z0-9]+)(?:_([A-Z0-9]+))?-(PERPETUAL|[0-9]{1,2}[A-Z]{3}[0-9]{2})")
#: The positions closed and the orders that did, by whose they were and by the taker's side.
_CLOSED: dict[tuple[str, str], tuple[tuple[PositionSide, OrderSide], ...]] = {
    ("T", "buy"): (SHORT,),
    ("T", "sell"): (LONG,),
    ("M", "buy"): (LONG,),
    ("M", "sell"): (SHORT,),
    ("MT", "buy"): (SHORT, LONG),
    ("MT", "sell"): (LONG, SHORT),
}

Data = TypeVar("Data")


class _Params(msgspec.Struct, Generic[Data], gc=False):
    channel: Stream
    data: Data


class _Message(msgspec.Struct, Generic[Data], gc=False):
    params: _Params[Data]
    method: Literal["subscription"]


class _Tape(msgspec.Struct, Generic[Data], gc=False):
    trades: Data


class _Answer(msgspec.Struct, Generic[Data], gc=False):
    result: _Tape[Data]


class _Print(msgspec.Struct, gc=False):
    timestamp: Millis
    instrument_name: Word
    trade_id: Word
    price: PriceIn
    amount: SizeIn
    direction: OrderSide
    liquidation: Literal["M", "T", "MT", "none"] | None = None


class _Ticker(msgspec.Struct, gc=False):
    timestamp: Millis
    instrument_name: Word
    open_interest: SizeOrZero
    mark_price: PriceIn


class _RoutedParams(msgspec.Struct, gc=False):
    channel: str = ""


class _Routed(msgspec.Struct, gc=False):
    id: int | str | None = None
    method: str = ""
    params: _RoutedParams = msgspec.field(default_factory=_RoutedParams)
    error: msgspec.Raw = msgspec.Raw()
    result: msgspec.Raw = msgspec.Raw()


_ROUTED = msgspec.json.Decoder(_Routed)
_PRINTS = Kind(_Message, _Print, "params.data")
_ANSWERED = Kind(_Answer, _Print, "result.trades")
_TICKER = msgspec.json.Decoder(_Message[_Ticker], strict=False)
_NOTHING = msgspec.Raw()


# {"jsonrpc":"2.0","method":"subscription","params":{"channel":"trades.BTC-PERPETUAL.100ms",
#  "data":[{"timestamp":1791400306210,"price":84290.0,"amount":640.0,"direction":"buy",
#  "index_price":84288.1,"instrument_name":"BTC-PERPETUAL","trade_seq":301118820,
#  "mark_price":84289.4,"tick_direction":0,"contracts":64.0,"trade_id":"441200915",
#  "liquidation":"T"}]}}
def parse_trades(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read every print, and beside each forced one its liquidations.

    `direction` is the taker's. `liquidation` says whose position was closed: T the taker's,
    M the maker's, so the order's side is the OPPOSITE, MT both: two liquidations, one of
    each side. The print itself is on the tape once. Answers of get_last_trades_by_instrument
    are read too, as history. Raises UnreadableFrame. Microseconds.
    """
    try:
        params = _PRINTS.decode(frame).params
        if params.channel.startswith("trades."):
            stream = seen_stream("channel", params.channel)
            return Parsed(_records(params.data, stream, instruments, ts_recv), [])
    except NO_RECORD:
        pass  # below, each item in its place
    channel = route(frame)
    if not channel:
        return _reply(frame)
    if channel != "trades":
        raise UnreadableFrame("params.channel", f"{channel[:60]!r} is not trades")
    if is_pushed := bool(_ROUTED.decode(frame).method):
        message, refusals = _PRINTS.read(frame)
        stream, items, path = message.params.channel, message.params.data, "params.data"
        stream = seen_stream("channel", stream)
    else:
        answer, refusals = _ANSWERED.read(frame)
        stream, items, path = "trades", answer.result.trades, "result.trades"
    parsed = one_by_one(items, _records, (stream, instruments, ts_recv), refusals, path)
    parsed.history = not is_pushed
    return parsed


def _records(
    items: Sequence[_Print], stream: str, instruments: Instruments, ts_recv: int
) -> list[Trade | Liquidation]:
    """Return the trade of each print, and beside a forced one its liquidations."""
    records: list[Trade | Liquidation] = []
    for item in items:
        symbol, trade_id, side = item.instrument_name, item.trade_id, item.direction
        amount, price = item.amount, item.price
        of, ts_event = instruments[symbol], item.timestamp * 1000
        if not (trade_id.isalnum() and trade_id.isascii()):
            seen("trade_id", trade_id)
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
            Trade(
                f"deribit:{symbol}:{trade_id}", "deribit", of.instrument, of.venue_symbol, of.asset,
                side, price, quantity, worth, ts_event, ts_recv,
            )
        )  # fmt: skip
        if not item.liquidation or item.liquidation == "none":
            continue
        for position, order in _CLOSED[item.liquidation, side]:
            records.append(
                Liquidation(
                    f"deribit:liquidation:{symbol}:{trade_id}:{order}", "deribit", of.instrument,
                    of.venue_symbol, of.asset, position, order, price, "fill", quantity, worth,
                    "full", stream, ts_event, ts_recv,
                )
            )  # fmt: skip
    return records


# {"jsonrpc":"2.0","method":"subscription","params":{"channel":"ticker.BTC-PERPETUAL.100ms",
#  "data":{"timestamp":1765541474086,"instrument_name":"BTC-PERPETUAL",
#  "open_interest":1132329370.0,"mark_price":92281.78,"index_price":92263.55}}}
def parse_ticker(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read open interest (in the unit of `amount`) and mark price of one future.

    Raises UnreadableFrame. Source: venue-protocols.md 6; microseconds.
    """
    channel = route(frame)
    if not channel:
        return _reply(frame)
    if channel != "ticker":
        raise UnreadableFrame("params.channel", f"{channel[:60]!r} is not ticker")
    try:
        ticker = _TICKER.decode(frame).params.data
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    instrument, times = instruments[ticker.instrument_name], (ticker.timestamp * 1000, ts_recv)

    def build(reading: str) -> OpenInterest | MarkPrice | None:
        if reading == "mark_price":
            return readings.mark("deribit", instrument, ticker.mark_price, times)
        amount, price = ticker.open_interest, ticker.mark_price
        return readings.interest("deribit", instrument, amount, price, "unknown", times)

    return built(("open_interest", "mark_price"), build, path="params.data")


@lru_cache(maxsize=16_384)
def by_name(symbol: str) -> Instrument:
    """Return what a future's name says: BTC-… is inverse, in dollars; BTC_USDC-… is in coins.

    Raises UnreadableFrame("symbol") for options and combos.
    """
    name = _NAME.fullmatch(symbol)
    if name is None:
        reason = f"{symbol[:60]!r} is no future of deribit; options are not followed"
        raise UnreadableFrame("symbol", reason)
    kind = "PERP" if name[3] == "PERPETUAL" else expiry(symbol, name[3])
    unit: Literal["base", "quote"] = "base" if name[2] else "quote"
    return described("deribit", symbol, name[1], name[2] or "USD", kind, unit)


# {"instrument_name":"BTC-PERPETUAL","kind":"future","base_currency":"BTC","quote_currency":"USD",
#  "instrument_type":"reversed","settlement_period":"perpetual","contract_size":10,
#  "expiration_timestamp":32503708800000}                            (public/get_instruments)
def of_metadata(symbol: str, row: dict[str, Any]) -> Instrument:
    """Return what a row of get_instruments says of `symbol`. Raises UnreadableFrame."""
    if row.get("kind") not in (None, "future"):
        raise UnreadableFrame("kind", f"{symbol[:60]} is no future")
    if not row.get("base_currency") or not row.get("quote_currency"):
        return by_name(symbol)
    perpetual = row.get("settlement_period") == "perpetual"
    day = "PERP" if perpetual else day_of(int(row["expiration_timestamp"]) * 1000)
    unit: Literal["base", "quote"] = "base" if row.get("instrument_type") == "linear" else "quote"
    base, quote = str(row["base_currency"]), str(row["quote_currency"])
    return described("deribit", symbol, base, quote, day, unit)


def route(frame: bytes) -> str:
    """Return the channel that a frame names, "" for control. Raises UnreadableFrame."""
    try:
        routed = _ROUTED.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    result = bytes(routed.result)
    if not routed.method and result[:1] == b"{" and b'"trades"' in result:
        return "trades"
    if routed.method == "heartbeat" or (not routed.method and routed.id is not None):
        return ""
    if not routed.params.channel:
        raise UnreadableFrame("params.channel", "neither a channel nor a reply")
    return routed.params.channel.partition(".")[0]


CHANNELS: dict[str, Parser] = {"trades": parse_trades, "ticker": parse_ticker}


def _reply(frame: bytes) -> Parsed:
    error = bytes(_ROUTED.decode(frame).error).decode(errors="replace")
    return control(Refusal("error", f"refused: {error[:200]}")) if error else control()
