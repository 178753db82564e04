"""Binance futures, USD-M and COIN-M: forced orders and trades.

Formats: reference/wire-formats.md 3.1 and 3.2 (Binance's futures websocket docs).
"""

from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar

import msgspec

from schemas.market import Liquidation, Trade
from schemas.words import Coverage, OrderSide, PriceKind, check_words
from streams.feeds import tape
from streams.feeds.binance_frames import EVENT, Framed, array_in, each_in
from streams.feeds.binance_readings import (
    parse_mark_price,
    parse_open_interest,
    parse_open_interest_hist,
)
from streams.feeds.checks import (
    Millis,
    Number,
    PriceIn,
    PriceOrZero,
    SizeIn,
    SizeOrZero,
    Word,
    seen,
)
from streams.feeds.frames import (
    NOT_A_FRAME,
    Kind,
    Parsed,
    UnreadableFrame,
    built,
    is_array,
    unreadable,
)
from streams.feeds.identities import exact
from streams.feeds.instruments import Instrument, Instruments, Parser, asked, described
from streams.feeds.symbols import is_inverse, split_symbol

ALL_MARKET = "!forceOrder@arr"
_COIN_M = 2
#: The taker's side, by whether the buyer was the maker.
_SIDES: dict[bool, OrderSide] = {True: "sell", False: "buy"}
#: What a print is called that no taker's order made.
_NO_TAKER = frozenset({"INSURANCE_FUND", "ADL", "NA"})

Items = TypeVar("Items")


class _Named(msgspec.Struct, gc=False):
    e: str = ""


class _Routed(msgspec.Struct, gc=False):
    data: _Named | None = None
    e: str = ""
    openInterest: str | float | None = None
    id: int | str | None = None
    error: msgspec.Raw = msgspec.Raw()
    code: msgspec.Raw = msgspec.Raw()


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
    a: Number
    p: PriceIn
    q: SizeIn
    T: Millis
    m: bool
    st: int = 0


class _PastTrade(msgspec.Struct, gc=False):
    a: Number
    p: PriceIn
    q: SizeIn
    T: Millis
    m: bool


class _Answer(msgspec.Struct, Generic[Items], gc=False):
    data: Items


class _Print(msgspec.Struct, gc=False):
    e: Literal["trade"]
    s: Word
    t: Number
    p: PriceOrZero
    q: SizeOrZero
    T: Millis
    m: bool
    X: str = "MARKET"


_ROUTED = msgspec.json.Decoder(_Routed, strict=False)
_FORCE_ORDER = Framed(_ForceOrder)
_AGG_TRADE = Framed(_AggTrade)
_PAST_TRADES = Kind(_Answer, _PastTrade)
_PRINT = Framed(_Print)
_NOTHING = msgspec.Raw()


# {"stream":"!forceOrder@arr","data":{"e":"forceOrder","E":1791565603055,"o":{"s":"BTCUSDT",
#  "S":"SELL","o":"LIMIT","f":"IOC","q":"0.190","p":"82338.30","ap":"82651.90","X":"FILLED",
#  "l":"0.155","z":"0.190","T":1791565602120,"ps":"BTCUSDT","st":1}}}
def parse_force_order(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read one forceOrder message (raw or stream-wrapped); an order without a fill is nothing.

    S is the ORDER's side: SELL closes a long. What traded is z at ap, not q, l or p.
    Raises UnreadableFrame. Source: wire-formats.md 3.1, 3.2; times in microseconds.
    """
    try:
        if frame.startswith(EVENT):
            stream, event = "", _FORCE_ORDER.bare(frame)
        else:
            message = _FORCE_ORDER.wrapped(frame)
            stream, event = message.stream, message.data
    except NOT_A_FRAME:
        if (array := array_in(frame)) is not None:
            each = each_in(array, frame)
            return built(each, lambda one: _of_array(one, ts_recv, instruments))
        stream, event = _FORCE_ORDER.read(frame)
        if isinstance(event, Parsed):
            return event
    order = event.o
    instrument = instruments[order.s]
    if st := order.st or event.st:
        _check_product(instrument, st)
    stream = stream or ALL_MARKET
    coverage = _coverage(stream, instrument.unit != "base")
    if coverage == "largest_per_second" and instruments.symbol_stream is not None:
        coverage = instruments.symbol_stream
    record = forced_order(
        instrument, order.S, order.q, order.p, order.ap, order.z,
        order.T * 1000, ts_recv, stream, coverage,
    )  # fmt: skip
    return Parsed([] if record is None else [record], [])


def _of_array(item: bytes, ts_recv: int, instruments: Instruments) -> list[Liquidation]:
    parsed = parse_force_order(item, ts_recv, instruments)
    for refusal in parsed.refusals:
        raise UnreadableFrame(refusal.field, refusal.reason)
    return parsed.records


# {"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1626992741575,"a":16599292,
#  "s":"CTKUSDT","p":"1.01100","q":"10","f":23961322,"l":23961322,"T":1626992741421,"m":false}}
def parse_agg_trade(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read one aggTrade message (raw or stream-wrapped).

    m says the buyer was the maker: m=true means the taker SOLD. Raises UnreadableFrame.
    Source: wire-formats.md 3.1 (excludes insurance-fund and ADL prints); microseconds.
    """
    try:
        event = (
            _AGG_TRADE.bare(frame) if frame.startswith(EVENT) else _AGG_TRADE.wrapped(frame).data
        )
    except NOT_A_FRAME:
        if is_array(frame):
            return _past_trades(frame, ts_recv, instruments)
        _, event = _AGG_TRADE.read(frame)
        if isinstance(event, Parsed):
            return event
    instrument = instruments[event.s]
    if event.st:
        _check_product(instrument, event.st)
    ts_event = event.T * 1000
    record = agg_trade(instrument, event.a, event.p, event.q, ts_event, event.m, ts_recv)
    return Parsed([record], [])


# [{"a":26129,"p":"80000.1","q":"0.5","f":27781,"l":27781,"T":1790000000123,"m":true}]
def _past_trades(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read an answer of REST aggTrades; `instruments.channels[-1]` says which symbol's."""
    answer, refusals = _PAST_TRADES.read(b'{"data":' + frame + b"}")
    instrument = instruments[asked(instruments, "binance")]

    def build(row: _PastTrade) -> Trade:
        return agg_trade(instrument, row.a, row.p, row.q, row.T * 1000, row.m, ts_recv)

    parsed = built(answer.data, build, refusals)
    parsed.history = True
    return parsed


# {"e":"trade","E":1791400300112,"T":1791400300060,"s":"BTCUSDT","t":6000310001,"p":"84310.20",
#  "q":"0.120","X":"MARKET","m":false}
def parse_trade(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read one raw print. Prints of the insurance fund and of auto-deleveraging are no taker's.

    Its ids are not those of aggTrade: follow the one or the other. Undocumented for futures.
    Raises UnreadableFrame. Source: wire-formats.md 3.1; microseconds.
    """
    try:
        event = _PRINT.bare(frame) if frame.startswith(EVENT) else _PRINT.wrapped(frame).data
    except NOT_A_FRAME:
        _, event = _PRINT.read(frame)
        if isinstance(event, Parsed):
            return event
    if event.X in _NO_TAKER or not event.q or not event.p:
        return Parsed([], [])
    instrument, side, ts_event = instruments[event.s], _SIDES[event.m], event.T * 1000
    market = "spot:" if instrument.instrument[-1] == "T" else ""
    event_id = f"binance:{market}{event.s}:raw:{event.t}"
    price, quantity = event.p, event.q
    return Parsed(
        [tape.trade("binance", event_id, instrument, side, quantity, price, ts_event, ts_recv)], []
    )


def forced_order(
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
) -> Liquidation | None:
    """Build the Liquidation of one forced order as Binance tells it (venue units).

    notional = filled * average price; in COIN-M contracts * contract size, and base =
    that / price. Without an average price the order's limit stands in, labelled so.
    None when nothing was filled, since then nothing was sold. Raises UnreadableFrame.
    """
    if filled == 0:
        return None
    symbol = instrument.venue_symbol
    kind: PriceKind = "average_fill" if average_price else "order_limit"
    price = average_price or order_price
    if not price:
        raise UnreadableFrame("ap", "neither an average nor an order price")
    product = "um" if instrument.unit == "base" else "cm"
    facts = exact(orig_quantity, order_price, average_price or 0.0, filled)
    return tape.liquidation(
        tape.Feed("binance", stream, kind, coverage),
        f"binance:{product}:{symbol}:{ts_event // 1000}:{side}:{facts}",
        instrument,
        "long" if side == "SELL" else "short",
        filled,
        price,
        ts_event,
        ts_recv,
    )


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
    market = "spot:" if instrument.instrument[-1] == "T" else ""
    event_id = f"binance:{market}{instrument.venue_symbol}:{agg_id}"
    side = _SIDES[buyer_is_maker]
    return tape.trade("binance", event_id, instrument, side, quantity, price, ts_event, ts_recv)


@lru_cache(maxsize=16_384)
def by_name(symbol: str, kind: str = "PERP") -> Instrument:
    """Return what the name says: COIN-M (plain USD) counts contracts, all others coins.

    `kind` is PERP or SPOT for a name without a date. A future in plain USD has an underscore, so
    BTCTUSD is spot in TUSD whatever is said. Raises UnreadableFrame("symbol").
    """
    asset, instrument, multiplier = split_symbol(symbol, kind)
    if kind == "PERP" and is_inverse(instrument) and "_" not in symbol:
        asset, instrument, multiplier = split_symbol(symbol, "SPOT")
    contracts = is_inverse(instrument)
    return Instrument(
        venue_symbol=symbol,
        asset=asset,
        instrument=instrument,
        unit="quote" if contracts else "base",
        size=contract_usd(asset) if contracts else 1.0,
        multiplier=multiplier,
        in_dollars=check_words("binance", asset, instrument),
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
    if (instrument.unit == "quote") != (st == _COIN_M):
        raise UnreadableFrame("st", f"{st} does not fit the symbol {instrument.venue_symbol}")


@lru_cache(maxsize=4_096)
def _coverage(stream: str, contracts: bool) -> Coverage:
    seen("stream", stream)
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
    if (body := array_in(frame)) is not None:
        if b'"sumOpenInterest"' in body:
            return "openInterestHist"
        if b'"a":' in body and b'"m":' in body and b'"e"' not in body:
            return "aggTrade"
        if b'"forceOrder"' in body:
            return "forceOrder"
        if b'"markPriceUpdate"' not in body:
            raise UnreadableFrame("e", "an array in which no event is named")
        return "markPrice"
    try:
        routed = _ROUTED.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    event = routed.data.e if routed.data else routed.e
    if routed.openInterest:
        return "openInterest"
    if not event and routed.id is None and routed.error == routed.code == _NOTHING:
        raise UnreadableFrame("e", "no event is named")
    return "markPrice" if event == "markPriceUpdate" else event
