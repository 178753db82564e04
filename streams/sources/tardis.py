"""Tardis.dev CSV downloads: `trades`, `liquidations` and `derivative_ticker` of every venue here.

    exchange,symbol,timestamp,local_timestamp,id,side,price,amount
    bybit,BTCUSDT,1740614400123000,1740614400131456,,sell,85000.5,0.012
    exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,
    predicted_funding_rate,open_interest,last_price,index_price,mark_price

Microseconds; amounts in the venue's own units. `side` is the taker's, and in liquidations the
ORDER's for every venue: Tardis turns position words round, so sell closed a long. Read from
tardis-node's mappers (src/mappers/*.ts), not run against their service.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from schemas.market import Liquidation, OpenInterest, Trade
from schemas.words import Coverage, Micros, OpenInterestSides, OrderSide, PriceKind
from streams.feeds import bybit, readings
from streams.feeds.binance import agg_trade, by_name, forced_order
from streams.feeds.checks import PriceIn, SizeIn, SizeOrZero, Word
from streams.feeds.frames import UnreadableFrame
from streams.feeds.identities import occurring
from streams.feeds.instruments import Instrument
from streams.sources.build import Terms, instrument_of, liquidation, taker, trade
from streams.sources.lines import SourceError, head, row
from streams.sources.tables import Build, Table, column_names, row_cells, stamp


class _Exchange(NamedTuple):
    """A venue as Tardis names it: ours, and what the price of its liquidations is."""

    venue: str
    price_kind: PriceKind | None = None
    coverage: Coverage = "unknown"


_EXCHANGES = {
    "binance-futures": _Exchange("binance", "average_fill", "largest_per_second"),
    "binance-delivery": _Exchange("binance", "average_fill", "latest_per_second"),
    "binance": _Exchange("binance"),
    "bybit": _Exchange("bybit", "bankruptcy", "full"),
    "okex-swap": _Exchange("okx", "bankruptcy", "latest_per_second"),
    "okex-futures": _Exchange("okx", "bankruptcy", "latest_per_second"),
    "okex": _Exchange("okx"),
    "bitmex": _Exchange("bitmex", "bankruptcy", "full"),
    "deribit": _Exchange("deribit", "fill", "full"),
    "gate-io-futures": _Exchange("gate", "order_limit"),
    "huobi-dm": _Exchange("htx"),
    "huobi-dm-swap": _Exchange("htx"),
    "huobi-dm-linear-swap": _Exchange("htx"),
    "cryptofacilities": _Exchange("kraken", "fill", "full"),
    "dydx-v4": _Exchange("dydx", "fill", "full"),
    "hyperliquid": _Exchange("hyperliquid"),
    "bitfinex-derivatives": _Exchange("bitfinex", None, "full"),
    "bitget-futures": _Exchange("bitget"),
}
EXCHANGES = tuple(_EXCHANGES)

#: Binance cut its liquidation stream to one a second and symbol on 2021-04-27.
_BINANCE_THROTTLED = 1_619_481_600_000_000
#: Tardis took up Bybit's complete feed on 2025-02-26; before it, one a second and symbol.
_BYBIT_FULL = 1_740_528_000_000_000
#: Bybit's earlier throttling is known to the month only (September 2021).
_BYBIT_THROTTLED = 1_633_046_400_000_000
_OPEN_INTEREST_SIDES: dict[str, OpenInterestSides] = {
    "binance": "one", "okx": "one", "bybit": "both", "htx": "both"
}  # fmt: skip


class _Row(msgspec.Struct, array_like=True, gc=False):
    exchange: Word
    symbol: Word
    timestamp: Micros | str
    local_timestamp: Micros | str
    id: str
    side: str
    price: PriceIn
    amount: SizeIn


class _Message(NamedTuple):
    exchange: str
    symbol: str
    timestamp: int
    local_timestamp: int
    id: str
    side: OrderSide
    price: float
    amount: float


class _Ticker(msgspec.Struct, array_like=True, gc=False):
    exchange: Word
    symbol: Word
    timestamp: Micros | str
    local_timestamp: Micros | str
    open_interest: SizeOrZero | Literal[""]
    mark_price: PriceIn | Literal[""]


def of_cells(kind: str, cells: Sequence[object]) -> Trade | Liquidation | OpenInterest | None:
    """Build the record of one message (`trade`, `liquidation`, `derivative_ticker`).

    `cells` stand as in the CSV; of tickers only the columns that are read. Raises UnreadableFrame.
    """
    if kind == "derivative_ticker":
        return _interest(row(cells, _Ticker))
    x = _message(row(cells, _Row))
    return _trade(x, _exchange(x.exchange)) if kind == "trade" else _forced_once(x)


def _forced_once(x: _Message) -> Liquidation | None:
    return _liquidation(x, _exchange(x.exchange), {})


def _rows(path: Path) -> Build:
    forced = _kind(path) == "liquidations"
    # Liquidations mostly have no id; equal ones of one message count up, as in the live feed.
    counts: dict[str, int] = {}
    message = 0

    def build(row: _Row) -> Trade | Liquidation | None:
        nonlocal message
        x = _message(row)
        exchange = _exchange(x.exchange)
        if not forced:
            return _trade(x, exchange)
        if x.local_timestamp != message:
            message = x.local_timestamp
            counts.clear()
        return _liquidation(x, exchange, counts)

    return build


def _tickers(path: Path) -> Build:
    latest: dict[str, float] = {}

    def build(x: _Ticker) -> OpenInterest | None:
        # A row repeats what did not change; it is told once.
        if not x.open_interest or latest.get(x.symbol) == x.open_interest:
            return None
        latest[x.symbol] = x.open_interest
        return _interest(x)

    return build


def _message(x: _Row) -> _Message:
    """Return a row with its times and side in the words of Tardis, also where a tool wrote others.

    Raises UnreadableFrame.
    """
    times = _micros(x.timestamp, "timestamp"), _micros(x.local_timestamp, "local_timestamp")
    return _Message(x.exchange, x.symbol, *times, x.id, taker(x.side), x.price, x.amount)


def _micros(text: int | str, field: str) -> int:
    return stamp(text, field) if isinstance(text, str) else text


def _interest(x: _Ticker) -> OpenInterest | None:
    venue = _exchange(x.exchange).venue
    if not x.open_interest:
        return None
    sides = _OPEN_INTEREST_SIDES.get(venue, "unknown")
    instrument = _instrument(x.exchange, x.symbol)
    times = (
        _micros(x.timestamp, "timestamp"),
        _micros(x.local_timestamp, "local_timestamp"),
    )
    if instrument.unit == "settle":
        raise UnreadableFrame("symbol", f"the contract size of {x.symbol} is not known")
    price = x.mark_price or None
    return readings.interest(venue, instrument, x.open_interest, price, sides, times)


def _exchange(name: str) -> _Exchange:
    if name not in _EXCHANGES:
        raise UnreadableFrame("exchange", f"{name!r} is not of {', '.join(EXCHANGES)}")
    return _EXCHANGES[name]


def _instrument(exchange: str, symbol: str) -> Instrument:
    venue = _EXCHANGES[exchange].venue
    if exchange == "binance":
        return by_name(symbol, "SPOT")
    if venue == "binance":
        return by_name(symbol)
    return instrument_of(venue, symbol)


def _trade(x: _Message, exchange: _Exchange) -> Trade:
    if not x.id:
        raise UnreadableFrame("id", "missing")
    instrument, bought = _instrument(x.exchange, x.symbol), x.side == "buy"
    at, received = x.timestamp, x.local_timestamp
    if exchange.venue == "binance":
        # Binance numbers raw and aggregate trades apart, and Tardis records the raw ones.
        raw_id = f"raw:{x.id}"
        return agg_trade(instrument, raw_id, x.price, x.amount, at, not bought, received)
    # HTX counts both sides of a print; its other feed here tells half of it too.
    amount = x.amount / 2 if exchange.venue == "htx" else x.amount
    trade_id = f"{at // 1000}:{x.id}" if exchange.venue == "hyperliquid" else x.id
    return trade(exchange.venue, instrument, trade_id, x.side, Terms(amount, x.price, at, received))


def _liquidation(x: _Message, exchange: _Exchange, counts: dict[str, int]) -> Liquidation | None:
    stream = f"tardis:{x.exchange}"
    if exchange.venue == "bybit":
        coverage: Coverage = "full"
        if x.timestamp < _BYBIT_FULL:
            coverage = "latest_per_second" if x.timestamp >= _BYBIT_THROTTLED else "unknown"
        record = bybit.liquidated(
            bybit.by_name(x.symbol),
            "long" if x.side == "sell" else "short",
            x.amount,
            x.price,
            (x.timestamp, x.local_timestamp),
            coverage,
            stream,
        )
        event_id = occurring(record.event_id, counts)
        return msgspec.structs.replace(record, event_id=event_id)
    instrument = _instrument(x.exchange, x.symbol)
    if exchange.venue == "binance":
        return forced_order(
            instrument=instrument,
            side="SELL" if x.side == "sell" else "BUY",
            orig_quantity=x.amount,
            order_price=x.price,
            average_price=x.price,
            filled=x.amount,
            ts_event=x.timestamp,
            ts_recv=x.local_timestamp,
            stream=stream,
            coverage=exchange.coverage if x.timestamp >= _BINANCE_THROTTLED else "full",
        )
    return _other(x, exchange, instrument, counts)


def _other(
    x: _Message, exchange: _Exchange, instrument: Instrument, counts: dict[str, int]
) -> Liquidation:
    terms = Terms(x.amount, x.price, x.timestamp, x.local_timestamp)
    record = liquidation(
        exchange.venue,
        instrument,
        "long" if x.side == "sell" else "short",
        terms,
        exchange.price_kind,
        exchange.coverage,
        f"tardis:{x.exchange}",
    )
    return msgspec.structs.replace(record, event_id=occurring(record.event_id, counts))


def kind_problem(path: Path) -> str:
    """Say why a file's kind cannot be told; empty where it can."""
    try:
        _kind(path)
    except SourceError as problem:
        return str(problem)
    return ""


def _kind(path: Path) -> str:
    for text in (path.name, *(parent.name for parent in path.parents)):
        said = [kind for kind in ("liquidations", "trades") if kind in text]
        if len(said) == 1:
            return said[0]
        if said:
            # Venues give trades ids, and liquidations none.
            return "trades" if _first_row(head(path)).get("id") else "liquidations"
    raise SourceError(f"{path.name}: neither 'trades' nor 'liquidations' in its name or folder")


def series(path: Path) -> str:
    """Return which files follow each other: those of one exchange, symbol and kind."""
    cell = _first_row(head(path))
    kind = "ticker" if "open_interest" in cell else _kind(path)
    return f"{cell.get('exchange', '')} {kind} {cell.get('symbol', '')}"


def unread(first: list[str]) -> str:
    """Say which exchange a Tardis file is of that is not read; empty for any other file."""
    cell = _first_row(first)
    if not {"exchange", "symbol", "timestamp", "local_timestamp"} <= set(cell):
        return ""
    exchange = cell["exchange"]
    return f"Tardis exchange {exchange!r}" if exchange not in EXCHANGES else ""


def _first_row(first: list[str]) -> dict[str, str]:
    """Return a file's first row by its columns' names, empty where there is none."""
    lines = [line for line in first if line.strip()]
    if len(lines) < 2:
        return {}
    return dict(zip(column_names(lines[0]), row_cells(lines[1], lines[0]), strict=False))


#: Tardis writes one file a day and symbol, or a grouped one of many symbols.
ROWS = Table(
    what="Tardis CSV: trades and liquidations",
    columns=_Row,
    build=_rows,
    lacks="liquidations: prices of OKX, Bybit and BitMEX are bankruptcy prices; of HTX and"
    " Bitfinex none is known; sides are the order's",
    series=series,
    time="local_timestamp",
)
TICKERS = Table(
    what="Tardis CSV: derivative_ticker, its open interest",
    columns=_Ticker,
    build=_tickers,
    lacks="funding and index prices are not used; which sides are counted is told of four venues",
    series=series,
)
