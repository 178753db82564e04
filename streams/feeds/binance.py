"""Binance futures, USD-M and COIN-M: forced orders and aggregate trades.

Formats: reference/wire-formats.md 3.1 and 3.2 (Binance's futures websocket docs).
"""

from typing import Literal

import msgspec

from schemas.identity import natural_id
from schemas.market import Liquidation, Trade
from schemas.words import Coverage, PriceKind, grid_usd
from streams.feeds.checks import (
    NOT_A_FRAME,
    Millis,
    PriceIn,
    PriceOrZero,
    SizeIn,
    SizeOrZero,
    Word,
    checked,
    trade,
    unreadable,
)
from streams.feeds.frames import UnreadableFrame
from streams.feeds.symbols import is_inverse, split_symbol

ALL_MARKET = "!forceOrder@arr"
_COIN_M = 2


class _Envelope(msgspec.Struct, gc=False):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
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


_ENVELOPE = msgspec.json.Decoder(_Envelope, strict=False)
_FORCE_ORDER = msgspec.json.Decoder(_ForceOrder, strict=False)
_AGG_TRADE = msgspec.json.Decoder(_AggTrade, strict=False)
_NOTHING = msgspec.Raw()


# {"stream":"!forceOrder@arr","data":{"e":"forceOrder","E":1791565603055,"o":{"s":"BTCUSDT",
#  "S":"SELL","o":"LIMIT","f":"IOC","q":"0.190","p":"82338.30","ap":"82651.90","X":"FILLED",
#  "l":"0.155","z":"0.190","T":1791565602120,"ps":"BTCUSDT","st":1}}}
def parse_force_order(frame: bytes, ts_recv: int) -> list[Liquidation]:
    """Read one forceOrder message (raw or stream-wrapped); an acknowledgement gives [].

    S is the ORDER's side: SELL closes a long. What traded is z at ap, not q, l or p.
    Raises UnreadableFrame. Source: wire-formats.md 3.1, 3.2; times in microseconds.
    """
    try:
        stream, body = _unwrap(frame)
        if body is None:
            return []
        event = _FORCE_ORDER.decode(body)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    order = event.o
    stream = stream or ALL_MARKET
    contracts = counts_contracts(order.s, order.st or event.st)
    return [
        forced_order(
            symbol=order.s,
            side=order.S,
            orig_quantity=order.q,
            order_price=order.p,
            average_price=order.ap,
            filled=order.z,
            ts_event=order.T * 1000,
            ts_recv=ts_recv,
            stream=stream,
            coverage=_coverage(stream, contracts),
            contracts=contracts,
        )
    ]


# {"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1626992741575,"a":16599292,
#  "s":"CTKUSDT","p":"1.01100","q":"10","f":23961322,"l":23961322,"T":1626992741421,"m":false}}
def parse_agg_trade(frame: bytes, ts_recv: int) -> list[Trade]:
    """Read one aggTrade message (raw or stream-wrapped); an acknowledgement gives [].

    m says the buyer was the maker: m=true means the taker SOLD. Raises UnreadableFrame.
    Source: wire-formats.md 3.1 (excludes insurance-fund and ADL prints); microseconds.
    """
    try:
        _, body = _unwrap(frame)
        if body is None:
            return []
        event = _AGG_TRADE.decode(body)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    contracts = counts_contracts(event.s, event.st)
    return [
        agg_trade(event.s, event.a, event.p, event.q, event.T * 1000, event.m, ts_recv, contracts)
    ]


def forced_order(
    *,
    symbol: str,
    side: Literal["BUY", "SELL"],
    orig_quantity: float,
    order_price: float,
    average_price: float | None,
    filled: float,
    ts_event: int,
    ts_recv: int,
    stream: str,
    coverage: Coverage,
    contracts: bool,
) -> Liquidation:
    """Build the Liquidation of one forced order as Binance tells it (venue units).

    notional = filled * average price; in COIN-M contracts * contract size, and base =
    that / price. Without an average price the order's limit stands in, labelled so.
    Raises UnreadableFrame when nothing was filled, since then nothing was sold.
    """
    asset, instrument, multiplier = split_symbol(symbol)
    if filled == 0:
        raise UnreadableFrame("z", "nothing was filled, so nothing was sold")
    kind: PriceKind = "average_fill" if average_price else "order_limit"
    price = average_price or order_price
    if not price:
        raise UnreadableFrame("ap", "neither an average nor an order price")
    if contracts:
        worth = filled * contract_usd(asset)
        quantity = worth / price
    else:
        worth = filled * price
        quantity = filled
    facts = (symbol, side, ts_event // 1000, orig_quantity, order_price, average_price, filled)
    return checked(
        lambda: Liquidation(
            event_id=natural_id("binance", "cm" if contracts else "um", *facts),
            venue="binance",
            instrument=instrument,
            venue_symbol=symbol,
            asset=asset,
            position_side="long" if side == "SELL" else "short",
            order_side="sell" if side == "SELL" else "buy",
            price=price / multiplier,
            price_kind=kind,
            quantity=quantity * multiplier,
            notional_usd=grid_usd(worth),
            coverage=coverage,
            stream=stream,
            ts_event=ts_event,
            ts_recv=ts_recv,
        )
    )


def agg_trade(
    symbol: str,
    agg_id: int | str,
    price: float,
    quantity: float,
    ts_event: int,
    buyer_is_maker: bool,
    ts_recv: int,
    contracts: bool,
    kind: str = "PERP",
) -> Trade:
    """Build the Trade of one aggregate trade (venue units; times in microseconds).

    The id is the venue's own, so the same print from any source is the same event (the
    raw prints that some vendors record have ids of their own: pass "raw:<id>").
    Raises UnreadableFrame.
    """
    asset, instrument, multiplier = split_symbol(symbol, kind)
    if contracts:
        worth = quantity * contract_usd(asset)
        quantity = worth / price
    else:
        worth = quantity * price
        quantity *= multiplier
        price /= multiplier
    return trade(
        f"binance:{'spot:' if kind == 'SPOT' else ''}{symbol}:{agg_id}",
        "binance",
        instrument,
        symbol,
        asset,
        "sell" if buyer_is_maker else "buy",
        price,
        quantity,
        worth,
        ts_event,
        ts_recv,
    )


def contract_usd(asset: str) -> float:
    """Return the worth of one COIN-M contract of `asset` in dollars."""
    return 100.0 if asset == "BTC" else 10.0


def counts_contracts(symbol: str, st: int = 0) -> bool:
    """Tell whether `symbol` trades in COIN-M contracts rather than base units.

    `st` is the message's own word (1 USD-M, 2 COIN-M, 0 not said). Raises
    UnreadableFrame when it contradicts the symbol: a wrong guess is wrong 100-fold.
    """
    inverse = is_inverse(split_symbol(symbol)[1])
    if st and inverse != (st == _COIN_M):
        raise UnreadableFrame("st", f"{st} does not fit the symbol {symbol}")
    return inverse


def _unwrap(frame: bytes) -> tuple[str, bytes | msgspec.Raw | None]:
    envelope = _ENVELOPE.decode(frame)
    if envelope.data != _NOTHING:
        return envelope.stream, envelope.data
    if envelope.error != _NOTHING:
        raise UnreadableFrame("error", bytes(envelope.error)[:200].decode(errors="replace"))
    if envelope.id is not None:
        return "", None
    return "", frame


def _coverage(stream: str, contracts: bool) -> Coverage:
    # USD-M's per-symbol page says "largest"; the all-market and every COIN-M page "latest".
    if stream.startswith("!forceOrder") or (contracts and stream.endswith("@forceOrder")):
        return "latest_per_second"
    return "largest_per_second" if stream.endswith("@forceOrder") else "unknown"
