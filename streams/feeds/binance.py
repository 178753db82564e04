"""Binance futures, USD-M and COIN-M: forced orders, trades, mark prices, open interest.

Formats: reference/wire-formats.md 3.1 and 3.2 (Binance's futures websocket docs).
"""

from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar

import msgspec

from schemas.identity import natural_id
from schemas.market import Liquidation, MarkPrice, OpenInterest, Trade
from schemas.words import Coverage, PriceKind, grid_usd
from streams.feeds import readings
from streams.feeds.checks import Millis, PriceIn, PriceOrZero, SizeIn, SizeOrZero, Word
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
from streams.feeds.instruments import Instrument, Instruments, Parser, described, sized
from streams.feeds.symbols import is_inverse, split_symbol

ALL_MARKET = "!forceOrder@arr"
_COIN_M = 2

Items = TypeVar("Items")


class _Envelope(msgspec.Struct, gc=False):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
    id: int | str | None = None
    error: msgspec.Raw = msgspec.Raw()


class _Named(msgspec.Struct, gc=False):
    e: str = ""


class _Routed(msgspec.Struct, gc=False):
    data: _Named | None = None
    e: str = ""
    openInterest: str | float | None = None
    id: int | str | None = None
    error: msgspec.Raw = msgspec.Raw()


class _Order(msgspec.Struct, gc=False):
    s: Word
    S: Literal["BUY", "SELL"]
    q: SizeOrZero
    p: PriceOrZero
    ap: PriceOrZero
    z: SizeOrZero
    T: Millis
    st: int = 0


class _ForceOrder(msgspec.Struct, gc=False):
    e: Literal["forceOrder"]
    o: _Order
    st: int = 0


class _AggTrade(msgspec.Struct, gc=False):
    e: Literal["aggTrade"]
    s: Word
    a: int
    p: PriceIn
    q: SizeIn
    T: Millis
    m: bool
    st: int = 0


class _Print(msgspec.Struct, gc=False):
    e: Literal["trade"]
    s: Word
    t: int
    p: PriceOrZero
    q: SizeOrZero
    T: Millis
    m: bool
    X: str = "MARKET"


class _Mark(msgspec.Struct, gc=False):
    e: Literal["markPriceUpdate"]
    E: Millis
    s: Word
    p: PriceIn


class _Marks(msgspec.Struct, Generic[Items], gc=False):
    data: Items


class _Interest(msgspec.Struct, gc=False):
    symbol: Word
    openInterest: SizeOrZero
    time: Millis


class _Statistic(msgspec.Struct, gc=False):
    sumOpenInterest: SizeOrZero
    sumOpenInterestValue: SizeOrZero
    timestamp: Millis
    symbol: str = ""
    pair: str = ""
    contractType: str = ""


class _Statistics(msgspec.Struct, Generic[Items], gc=False):
    rows: Items


_ROUTED = msgspec.json.Decoder(_Routed, strict=False)
_ENVELOPE = msgspec.json.Decoder(_Envelope, strict=False)
_FORCE_ORDER = msgspec.json.Decoder(_ForceOrder, strict=False)
_AGG_TRADE = msgspec.json.Decoder(_AggTrade, strict=False)
_PRINT = msgspec.json.Decoder(_Print, strict=False)
_MARK = msgspec.json.Decoder(_Mark, strict=False)
_INTEREST = msgspec.json.Decoder(_Interest, strict=False)
_STATISTICS = Kind(_Statistics, _Statistic, "rows")
_MARKS = Kind(_Marks, _Mark)
_NOTHING = msgspec.Raw()


# {"stream":"!forceOrder@arr","data":{"e":"forceOrder","E":1791565603055,"o":{"s":"BTCUSDT",
#  "S":"SELL","o":"LIMIT","f":"IOC","q":"0.190","p":"82338.30","ap":"82651.90","X":"FILLED",
#  "l":"0.155","z":"0.190","T":1791565602120,"ps":"BTCUSDT","st":1}}}
def parse_force_order(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read one forceOrder message (raw or stream-wrapped); an order without a fill is nothing.

    S is the ORDER's side: SELL closes a long. What traded is z at ap, not q, l or p.
    Raises UnreadableFrame. Source: wire-formats.md 3.1, 3.2; times in microseconds.
    """
    stream, event = _event(frame, _FORCE_ORDER)
    if isinstance(event, Parsed):
        return event
    order = event.o
    if order.z == 0:
        return Parsed([], [])
    instrument = instruments[order.s]
    _check_product(instrument, order.st or event.st)
    stream = stream or ALL_MARKET
    record = forced_order(
        instrument=instrument,
        side=order.S,
        orig_quantity=order.q,
        order_price=order.p,
        average_price=order.ap,
        filled=order.z,
        ts_event=order.T * 1000,
        ts_recv=ts_recv,
        stream=stream,
        coverage=_coverage(stream, instrument.unit != "base"),
    )
    return Parsed([record], [])


# {"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1626992741575,"a":16599292,
#  "s":"CTKUSDT","p":"1.01100","q":"10","f":23961322,"l":23961322,"T":1626992741421,"m":false}}
def parse_agg_trade(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read one aggTrade message (raw or stream-wrapped).

    m says the buyer was the maker: m=true means the taker SOLD. Raises UnreadableFrame.
    Source: wire-formats.md 3.1 (excludes insurance-fund and ADL prints); microseconds.
    """
    _, event = _event(frame, _AGG_TRADE)
    if isinstance(event, Parsed):
        return event
    instrument = instruments[event.s]
    _check_product(instrument, event.st)
    ts_event = event.T * 1000
    record = agg_trade(instrument, event.a, event.p, event.q, ts_event, event.m, ts_recv)
    return Parsed([record], [])


# {"e":"trade","E":1791400300112,"T":1791400300060,"s":"BTCUSDT","t":6000310001,"p":"84310.20",
#  "q":"0.120","X":"MARKET","m":false}
def parse_trade(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read one raw print. Prints of the insurance fund and of auto-deleveraging are no taker's.

    Its ids are not those of aggTrade: follow the one or the other. Undocumented for futures.
    Raises UnreadableFrame. Source: wire-formats.md 3.1; microseconds.
    """
    _, event = _event(frame, _PRINT)
    if isinstance(event, Parsed):
        return event
    if event.X in ("INSURANCE_FUND", "ADL", "NA") or not event.q or not event.p:
        return Parsed([], [])
    trade_id, ts_event = f"raw:{event.t}", event.T * 1000
    instrument = instruments[event.s]
    record = agg_trade(instrument, trade_id, event.p, event.q, ts_event, event.m, ts_recv)
    return Parsed([record], [])


# {"e":"markPriceUpdate","E":1790000010000,"s":"BTCUSDT","p":"86101.33","i":"86110.02",
#  "P":"86090.11","r":"0.00003","T":1790006400000}            (of !markPrice@arr an array of these)
def parse_mark_price(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read the mark price of one symbol, or of each in an array, at the event's time.

    Raises UnreadableFrame. Source: venue-protocols.md 1; microseconds.
    """

    def build(event: _Mark) -> MarkPrice:
        return readings.mark("binance", instruments[event.s], event.p, (event.E * 1000, ts_recv))

    if (body := _array(frame)) is not None:
        message, refusals = _MARKS.read(b'{"data":' + body + b"}")
        return built(message.data, build, refusals)
    _, event = _event(frame, _MARK)
    return event if isinstance(event, Parsed) else Parsed([build(event)], [])


# {"symbol":"BTCUSD_PERP","pair":"BTCUSD","openInterest":"12100455","contractType":"PERPETUAL",
#  "time":1791400692001}                       (REST /fapi/v1 and /dapi/v1 openInterest; no stream)
def parse_open_interest(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read one answer of REST openInterest: one side, coins on USD-M, contracts on COIN-M.

    Raises UnreadableFrame. Source: wire-formats-corrections.md 3.2; microseconds.
    """
    try:
        answer = _INTEREST.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    instrument, times = instruments[answer.symbol], (answer.time * 1000, ts_recv)
    record = readings.interest("binance", instrument, answer.openInterest, None, "one", times)
    return Parsed([] if record is None else [record], [])


# [{"symbol":"BTCUSDT","sumOpenInterest":"94791.893","sumOpenInterestValue":"7990000000.1",
#   "timestamp":1791284697161}]   COIN-M: [{"pair":"BTCUSD","contractType":"PERPETUAL",...}]
def parse_open_interest_hist(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read an answer of REST openInterestHist, in which the value on COIN-M is in the COIN.

    Raises UnreadableFrame. Source: wire-formats-corrections.md 3.2; microseconds.
    """
    message, refusals = _STATISTICS.read(b'{"rows":' + frame + b"}")

    def build(row: _Statistic) -> OpenInterest | None:
        instrument = instruments[row.symbol or _coin_m(row.pair, row.contractType)]
        times = row.timestamp * 1000, ts_recv
        amount, value = row.sumOpenInterest, row.sumOpenInterestValue
        record = readings.interest("binance", instrument, amount, None, "one", times)
        if record is None or not value:
            return record
        if instrument.unit == "quote":
            return msgspec.structs.replace(record, quantity=value)
        worth = grid_usd(value) if instrument.in_dollars else None
        return msgspec.structs.replace(record, notional_usd=worth)

    return built(message.rows, build, refusals, "rows")


def forced_order(
    *,
    instrument: Instrument,
    side: Literal["BUY", "SELL"],
    orig_quantity: float,
    order_price: float,
    average_price: float | None,
    filled: float,
    ts_event: int,
    ts_recv: int,
    stream: str,
    coverage: Coverage,
) -> Liquidation:
    """Build the Liquidation of one forced order as Binance tells it (venue units).

    notional = filled * average price; in COIN-M contracts * contract size, and base =
    that / price. Without an average price the order's limit stands in, labelled so.
    Raises UnreadableFrame, also when nothing was filled, since then nothing was sold.
    """
    if filled == 0:
        raise UnreadableFrame("z", "nothing was filled, so nothing was sold")
    symbol = instrument.venue_symbol
    kind: PriceKind = "average_fill" if average_price else "order_limit"
    price = average_price or order_price
    if not price:
        raise UnreadableFrame("ap", "neither an average nor an order price")
    facts = (symbol, side, ts_event // 1000, orig_quantity, order_price, average_price, filled)
    price, quantity, worth = sized(instrument, filled, price)
    try:
        return Liquidation(
            event_id=natural_id("binance", "um" if instrument.unit == "base" else "cm", *facts),
            venue="binance",
            instrument=instrument.instrument,
            venue_symbol=symbol,
            asset=instrument.asset,
            position_side="long" if side == "SELL" else "short",
            order_side="sell" if side == "SELL" else "buy",
            price=price,
            price_kind=kind,
            quantity=quantity,
            notional_usd=worth,
            coverage=coverage,
            stream=stream,
            ts_event=ts_event,
            ts_recv=ts_recv,
        )
    except ValueError as problem:
        raise unreadable(problem) from None


def agg_trade(
    instrument: Instrument,
    agg_id: int | str,
    price: float,
    quantity: float,
    ts_event: int,
    buyer_is_maker: bool,
    ts_recv: int,
) -> Trade:
    """Build the Trade of one aggregate trade (venue units; times in microseconds).

    The id is the venue's own, so the same print from any source is the same event (the
    raw prints that some vendors record have ids of their own: pass "raw:<id>").
    Raises UnreadableFrame.
    """
    symbol = instrument.venue_symbol
    spot = "spot:" if instrument.instrument.endswith("-SPOT") else ""
    price, quantity, worth = sized(instrument, quantity, price)
    try:
        return Trade(
            event_id=f"binance:{spot}{symbol}:{agg_id}",
            venue="binance",
            instrument=instrument.instrument,
            venue_symbol=symbol,
            asset=instrument.asset,
            aggressor_side="sell" if buyer_is_maker else "buy",
            price=price,
            quantity=quantity,
            notional_usd=worth,
            ts_event=ts_event,
            ts_recv=ts_recv,
        )
    except ValueError as problem:
        raise unreadable(problem) from None


@lru_cache(maxsize=16_384)
def by_name(symbol: str, kind: str = "PERP") -> Instrument:
    """Return what the name says: COIN-M (plain USD) counts contracts, all others coins.

    `kind` is PERP or SPOT for a name without a date. Raises UnreadableFrame("symbol").
    """
    asset, instrument, multiplier = split_symbol(symbol, kind)
    contracts = is_inverse(instrument)
    return Instrument(
        venue_symbol=symbol,
        asset=asset,
        instrument=instrument,
        unit="quote" if contracts else "base",
        size=contract_usd(asset) if contracts else 1.0,
        multiplier=multiplier,
    )


# {"symbol":"BTCUSD_PERP","pair":"BTCUSD","contractType":"PERPETUAL","contractSize":100,
#  "baseAsset":"BTC","quoteAsset":"USD","marginAsset":"BTC"}  (/dapi/v1/exchangeInfo; /fapi has no
#  contractSize: its quantities are coins)
def of_metadata(symbol: str, row: dict[str, Any]) -> Instrument:
    """Return what a row of exchangeInfo says of `symbol`. Raises UnreadableFrame."""
    if "baseAsset" not in row or "quoteAsset" not in row:
        named = by_name(symbol)
        size = float(row.get("contractSize", named.size))
        return msgspec.structs.replace(named, size=size)
    end = symbol.partition("_")[2]
    kind = end if end.isdigit() else "PERP"
    contracts = "contractSize" in row
    return described(
        "binance",
        symbol,
        str(row["baseAsset"]),
        str(row["quoteAsset"]),
        kind,
        "quote" if contracts else "base",
        float(row.get("contractSize", 1.0)),
    )


def contract_usd(asset: str) -> float:
    """Return the worth of one COIN-M contract of `asset` in dollars."""
    return 100.0 if asset == "BTC" else 10.0


def _check_product(instrument: Instrument, st: int) -> None:
    # st is the message's own word (1 USD-M, 2 COIN-M): a wrong guess is wrong 100-fold.
    if st and (instrument.unit == "quote") != (st == _COIN_M):
        raise UnreadableFrame("st", f"{st} does not fit the symbol {instrument.venue_symbol}")


def _event(frame: bytes, decoder: msgspec.json.Decoder[Any]) -> tuple[str, Any]:
    """Return the stream's name and the event; Parsed in its place for a reply to a request."""
    try:
        envelope = _ENVELOPE.decode(frame)
        if envelope.data != _NOTHING:
            return envelope.stream, decoder.decode(envelope.data)
        if envelope.error != _NOTHING:
            error = bytes(envelope.error).decode(errors="replace")
            return "", control(Refusal("error", error[:200]))
        if envelope.id is not None:
            return "", control()
        return "", decoder.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None


def _array(frame: bytes) -> bytes | None:
    """Return the array that a frame is, or that its `data` is; None for any other."""
    if frame.lstrip()[:1] == b"[":
        return frame
    if b'"data":[' not in frame:
        return None
    try:
        return bytes(_ENVELOPE.decode(frame).data)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None


def _coin_m(pair: str, contract: str) -> str:
    """Return the symbol of a COIN-M statistic, which names pair and kind of contract."""
    if contract != "PERPETUAL":
        raise UnreadableFrame("contractType", f"{contract[:40]!r} of {pair[:40]!r} has no symbol")
    return f"{pair}_PERP"


def _coverage(stream: str, contracts: bool) -> Coverage:
    # USD-M's per-symbol page says "largest"; the all-market and every COIN-M page "latest".
    if stream.startswith("!forceOrder") or (contracts and stream.endswith("@forceOrder")):
        return "latest_per_second"
    return "largest_per_second" if stream.endswith("@forceOrder") else "unknown"


CHANNELS: dict[str, Parser] = {
    "forceOrder": parse_force_order,
    "aggTrade": parse_agg_trade,
    "trade": parse_trade,
    "markPrice": parse_mark_price,
    "openInterest": parse_open_interest,
    "openInterestHist": parse_open_interest_hist,
}


def route(frame: bytes) -> str:
    """Return the event that a frame names, "" for a reply. Raises UnreadableFrame."""
    if (body := _array(frame)) is not None:
        return "openInterestHist" if b'"sumOpenInterest"' in body else "markPrice"
    try:
        routed = _ROUTED.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    event = routed.data.e if routed.data else routed.e
    if routed.openInterest:
        return "openInterest"
    if not event and routed.id is None and routed.error == _NOTHING:
        raise UnreadableFrame("e", "no event is named")
    return "markPrice" if event == "markPriceUpdate" else event
