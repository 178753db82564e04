"""The CSV recordings of Binance futures that many hobby recorders write, most without a header.

    symbol,side,order_type,tif,orig_qty,price,avg_price,status,last_fill,cum_fill,ms[,usd[,extra]]
    symbol,side,order_type,orig_qty,price,avg_price,status,ms
    recv_ms, symbol, agg_id, price, qty[, first_id], trade_ms, buyer_is_maker[, usd, extra]

Worth of a liquidation = cum_fill * avg_price, where avg_price is "None" cum_fill * price
(the order's limit, labelled so). The files' own `usd` column is not used: it is the
limit price times the quantity, and for some rows a thousandth or a millionth of it.
Trades hold only prints of about $15k and more, so their sums are not market totals. Binance
pushes at most one order a second and symbol, so two equal rows are one that was written twice.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from schemas.market import Liquidation, Trade
from streams.feeds.binance import agg_trade, by_name, forced_order
from streams.feeds.checks import PriceIn, PriceOrZero, SizeIn, SizeOrZero, Word
from streams.feeds.frames import UnreadableFrame
from streams.sources.build import yes
from streams.sources.tables import Build, Table, stamp

_PRESENT = ("USDT", "USDC", "FDUSD", "BUSD")


class _Forced(msgspec.Struct, array_like=True, gc=False):
    symbol: Word
    side: str
    order_type: str
    orig_qty: SizeOrZero
    price: PriceOrZero
    avg_price: PriceOrZero | Literal["None", ""]
    order_trade_time_ms: str
    cum_fill_qty: SizeOrZero | Literal[""] = ""


class _Print(msgspec.Struct, array_like=True, gc=False):
    recv_ms: str
    symbol: Word
    agg_id: int
    price: PriceIn
    qty: SizeIn
    trade_ms: str
    buyer_is_maker: str


def _orders(path: Path) -> Build:
    def build(x: _Forced) -> Liquidation | None:
        ts_event = stamp(x.order_trade_time_ms, "order_trade_time_ms")
        filled = x.orig_qty if x.cum_fill_qty == "" else x.cum_fill_qty
        side = x.side.upper()
        if side not in ("BUY", "SELL"):
            raise UnreadableFrame("side", f"{x.side[:40]!r} is neither BUY nor SELL")
        return forced_order(
            instrument=by_name(_completed(x.symbol)),
            side="SELL" if side == "SELL" else "BUY",
            orig_quantity=x.orig_qty,
            order_price=x.price,
            average_price=None if isinstance(x.avg_price, str) else x.avg_price,
            filled=filled,
            ts_event=ts_event,
            ts_recv=ts_event,  # not recorded
            stream="recorder",
            coverage="latest_per_second",
        )

    return build


def _prints(path: Path) -> Build:
    def build(x: _Print) -> Trade:
        return agg_trade(
            by_name(_completed(x.symbol)),
            x.agg_id,
            x.price,
            x.qty,
            stamp(x.trade_ms, "trade_ms"),
            yes(x.buyer_is_maker, "buyer_is_maker"),
            stamp(x.recv_ms, "recv_ms"),
        )

    return build


def _completed(symbol: str) -> str:
    """Put back the USDT that the recorders cut out of the symbol (also before a date).

    Some write the stream's name, which is in lower case.
    """
    symbol = symbol.upper()
    pair, underscore, end = symbol.partition("_")
    if end == "PERP" or (end and pair.endswith("USD")) or pair in _PRESENT:
        complete = end != ""
    else:
        complete = pair.endswith(_PRESENT)
    return symbol if complete else f"{pair}USDT{underscore}{end}"


def _is_order(cell: Mapping[str, str]) -> bool:
    return cell["side"].upper() in ("BUY", "SELL") and _is_millis(cell["order_trade_time_ms"])


def _is_print(cell: Mapping[str, str]) -> bool:
    return _is_millis(cell["recv_ms"]) and cell["buyer_is_maker"].lower() in ("true", "false")


def _is_millis(text: str) -> bool:
    return len(text) == 13 and text.isdigit()


_ORDER = (
    *("symbol", "side", "order_type", "tif", "orig_qty", "price", "avg_price", "status"),
    *("last_fill_qty", "cum_fill_qty", "order_trade_time_ms"),
)
_SHORT = ("symbol", "side", "order_type", "orig_qty", "price", "avg_price", "status")
_PRINT = ("recv_ms", "symbol", "agg_id", "price", "qty")
_END = ("trade_ms", "buyer_is_maker")
ORDERS = Table(
    what="Binance recorders: forced orders, with a header or not",
    columns=_Forced,
    build=_orders,
    lacks="the latest order a second and symbol; no receipt",
    names={
        "symbol": ("s", "pair"),
        "order_type": ("type", "o"),
        "price": ("p",),
        "orig_qty": ("original_quantity", "quantity", "qty", "origqty", "q", "amount"),
        "avg_price": ("average_price", "ap", "avgprice"),
        "order_trade_time_ms": (
            *("order_trade_time", "trade_time", "time", "timestamp", "ts", "t", "event_time"),
        ),
        "cum_fill_qty": (
            *("order_filled_accumulated_quantity", "order_filled_accumalated_quantity"),
            *("accumulated_fill_quantity", "cum_filled_qty", "filled_quantity", "executedqty", "z"),
        ),
    },
    bare=(
        _ORDER,
        (*_ORDER, "usd"),
        (*_ORDER, "usd", "extra"),
        (*_SHORT, "order_trade_time_ms"),
    ),
    looks=_is_order,
)
PRINTS = Table(
    what="Binance recorders: aggTrades, with a header or not",
    columns=_Print,
    build=_prints,
    lacks="the recorder's choice of prints, not all",
    names={
        "recv_ms": ("event_time", "recv_time", "local_time", "e"),
        "agg_id": ("aggregate_trade_id", "agg_trade_id", "trade_id"),
        "qty": ("quantity", "amount"),
        "trade_ms": ("trade_time", "transact_time"),
        "buyer_is_maker": ("is_buyer_maker", "buyer_maker"),
    },
    bare=(
        (*_PRINT, *_END),
        (*_PRINT, *_END, "usd"),
        (*_PRINT, *_END, "usd", "extra"),
        (*_PRINT, "first_id", *_END),
        (*_PRINT, "first_id", *_END, "usd"),
    ),
    looks=_is_print,
    time="recv_ms",
)
