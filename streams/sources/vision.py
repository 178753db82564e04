"""Binance Vision (data.binance.vision): aggregate and raw trades, open interest, forced orders.

    agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker
    id,price,qty,quote_qty,time,is_buyer_maker
    create_time,symbol,sum_open_interest,sum_open_interest_value,...
    time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,
    last_fill_quantity,accumulated_fill_quantity

With or without the header; times in milliseconds or microseconds. Spot files have a column more
(is_best_match). Names like BTCUSDT-aggTrades-2025-01-27.zip say the symbol. `fundingRate` holds no
record that is used here.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.market import Liquidation, OpenInterest, Trade
from streams.feeds import readings
from streams.feeds.binance import agg_trade, by_name, forced_order
from streams.feeds.checks import PriceIn, PriceOrZero, SizeIn, SizeOrZero
from streams.feeds.frames import UnreadableFrame
from streams.sources.build import said_market, yes
from streams.sources.lines import SourceError, head
from streams.sources.tables import Build, Table, column_names, stamp

#: Copies are called "Copy of …", and some tools write all in small letters with underscores.
_SYMBOL = re.compile(
    r"(?:^|[\s(_])([^\W_][^-_.\s]*(?:_PERP|_\d{6})?)[-_]"
    r"(?:aggTrades|trades|metrics|liquidationSnapshot)(?![a-z])",
    re.IGNORECASE,
)
_AGG = ("agg_trade_id", "price", "quantity", "first_id", "last_id", "transact_time")
_RAW = ("id", "price", "qty", "quote_qty", "time")
#: Forced orders were archived until Binance cut their stream to one a second, 2021-04-27.
_THROTTLED = 1_619_481_600_000_000
_Id = Annotated[int, Meta(ge=0)]


class _AggTrade(msgspec.Struct, array_like=True, gc=False):
    agg_trade_id: _Id
    price: PriceIn
    quantity: SizeIn
    transact_time: str
    is_buyer_maker: str
    is_best_match: str = ""
    symbol: str = ""


class _RawTrade(msgspec.Struct, array_like=True, gc=False):
    id: _Id
    price: PriceIn
    qty: SizeIn
    time: str
    is_buyer_maker: str
    is_best_match: str = ""
    symbol: str = ""


class _Metrics(msgspec.Struct, array_like=True, gc=False):
    create_time: str
    symbol: str
    sum_open_interest: SizeIn
    sum_open_interest_value: SizeOrZero


class _Snapshot(msgspec.Struct, array_like=True, gc=False):
    time: str
    side: str
    original_quantity: SizeOrZero
    price: PriceOrZero
    average_price: PriceOrZero
    accumulated_fill_quantity: SizeOrZero
    symbol: str = ""


def symbol_in(path: Path) -> str:
    """Return the symbol that a file's or its folder's name says; raises SourceError."""
    for text in (path.name, *(parent.name for parent in list(path.parents)[:3])):
        if matched := _SYMBOL.search(text):
            return matched[1].upper()
        if re.fullmatch(r"[A-Z0-9]{2,20}(USDT|USDC|FDUSD|BUSD|USD)(_PERP|_\d{6})?", text):
            return text
    raise SourceError(f"{path.name}: neither its name nor its folder's says the symbol")


def _symbol_of(path: Path) -> Callable[[str], str]:
    """Return what tells a row's symbol: its own column where it has one, else the file's name."""
    try:
        of_file = symbol_in(path)
    except SourceError:
        if not any("symbol" in column_names(line) for line in head(path)[:5]):
            raise
        of_file = ""

    def of_row(symbol: str) -> str:
        if not (symbol or of_file):
            raise UnreadableFrame("symbol", "neither the row nor the file's name says it")
        return symbol.upper() or of_file

    return of_row


def _series(path: Path) -> str:
    try:
        return symbol_in(path)
    except SourceError:
        return ""


def _is_spot(path: Path) -> bool:
    """Return whether a path says spot: its rows do so too, unless that column was cut off."""
    return said_market(path) == "spot"


def _raw_trades(path: Path) -> Build:
    symbol_of, is_spot = _symbol_of(path), _is_spot(path)

    def build(x: _RawTrade) -> Trade:
        ts = stamp(x.time)
        kind = "SPOT" if is_spot or x.is_best_match else "PERP"
        instrument = by_name(symbol_of(x.symbol), kind)
        sold = yes(x.is_buyer_maker, "is_buyer_maker")
        return agg_trade(instrument, f"raw:{x.id}", x.price, x.qty, ts, sold, ts)

    return build


def _agg_trades(path: Path) -> Build:
    symbol_of, is_spot = _symbol_of(path), _is_spot(path)

    def build(x: _AggTrade) -> Trade:
        ts = stamp(x.transact_time, "transact_time")
        kind = "SPOT" if is_spot or x.is_best_match else "PERP"
        instrument = by_name(symbol_of(x.symbol), kind)
        sold = yes(x.is_buyer_maker, "is_buyer_maker")
        return agg_trade(instrument, x.agg_trade_id, x.price, x.quantity, ts, sold, ts)

    return build


def _metrics(path: Path) -> Build:
    def build(x: _Metrics) -> OpenInterest:
        ts = stamp(x.create_time, "create_time")
        worth, quantity = x.sum_open_interest_value or None, x.sum_open_interest
        instrument = by_name(x.symbol.upper())
        if instrument.unit == "quote":  # COIN-M: contracts, and coins for their worth
            worth, quantity = quantity * instrument.size, worth or 0.0
        quantity *= instrument.multiplier
        return readings.open_interest("binance", instrument, quantity, worth, "one", (ts, ts))

    return build


def _snapshots(path: Path) -> Build:
    symbol_of = _symbol_of(path)

    def build(x: _Snapshot) -> Liquidation | None:
        ts = stamp(x.time)
        side = x.side.strip().upper()
        instrument = by_name(symbol_of(x.symbol))
        return forced_order(
            instrument=instrument,
            side="SELL" if side == "SELL" else "BUY",
            orig_quantity=x.original_quantity,
            order_price=x.price,
            average_price=x.average_price,
            filled=x.accumulated_fill_quantity,
            ts_event=ts,
            ts_recv=ts,
            stream="liquidationSnapshot",
            coverage="full" if ts < _THROTTLED else "latest_per_second",
        )

    return build


def _is_trade(cell: Mapping[str, str]) -> bool:
    number = cell.get("id") or cell.get("agg_trade_id", "")
    time = cell.get("time") or cell.get("transact_time", "")
    said = cell["is_buyer_maker"].lower() in ("true", "false", "0", "1")
    return number.isdigit() and time.isdigit() and said


AGG_TRADES = Table(
    what="Binance Vision aggTrades: SYMBOL-aggTrades-DATE",
    columns=_AggTrade,
    build=_agg_trades,
    lacks="no receipt; insurance fund and auto-deleveraging left out by Binance",
    names={
        "agg_trade_id": ("a", "aggtradeid", "agg_id", "aggregate_trade_id"),
        "price": ("p",),
        "quantity": ("q", "qty"),
        "transact_time": ("t", "time", "timestamp"),
        "is_buyer_maker": ("m", "maker_bought", "buyer_maker", "isbuyermaker"),
        "is_best_match": ("isbestmatch", "was_the_trade_the_best_price_match"),
    },
    bare=((*_AGG, "is_buyer_maker"), (*_AGG, "is_buyer_maker", "is_best_match")),
    looks=_is_trade,
    named=re.compile(r"aggTrades", re.IGNORECASE),
    series=_series,
    time="transact_time",
)
TRADES = Table(
    what="Binance Vision trades: SYMBOL-trades-DATE",
    columns=_RawTrade,
    build=_raw_trades,
    lacks="no receipt; ids are of single prints, so beside aggTrades each is counted twice",
    names={
        "qty": ("quantity",),
        "id": ("trade_id", "tradeid"),
        "is_buyer_maker": ("isbuyermaker", "maker_bought"),
        "is_best_match": ("isbestmatch",),
    },
    bare=((*_RAW, "is_buyer_maker"), (*_RAW, "is_buyer_maker", "is_best_match")),
    looks=_is_trade,
    named=re.compile(r"[-_/]trades[-_/]", re.IGNORECASE),
    series=_series,
    time="time",
)
METRICS = Table(
    what="Binance Vision metrics: open interest each 5 min",
    columns=_Metrics,
    build=_metrics,
    lacks="open interest only; the ratios beside it are not used",
    bare=(
        (
            *("create_time", "symbol", "sum_open_interest", "sum_open_interest_value"),
            *("a", "b", "c", "d"),
        ),
    ),
    looks=lambda cell: cell["create_time"][:2] == "20" and not cell["symbol"].isdigit(),
    named=re.compile(r"metrics", re.IGNORECASE),
)
SNAPSHOT = Table(
    what="Binance Vision liquidationSnapshot: forced orders",
    columns=_Snapshot,
    build=_snapshots,
    lacks="no receipt; full until 2021-04-27, then the latest order a second",
    bare=(
        (
            *("time", "side", "order_type", "time_in_force", "original_quantity", "price"),
            *("average_price", "order_status", "last_fill_quantity", "accumulated_fill_quantity"),
        ),
    ),
    looks=lambda cell: cell["time"].isdigit() and cell["side"] in ("BUY", "SELL"),
    named=re.compile(r"liquidationSnapshot", re.IGNORECASE),
    series=_series,
)
