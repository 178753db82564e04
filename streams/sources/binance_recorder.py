"""The CSV recordings of Binance futures that many hobby recorders write, most without a header.

    symbol,side,order_type,tif,orig_qty,price,avg_price,status,last_fill,cum_fill,ms[,usd[,extra]]
    recv_ms, symbol, agg_id, price, qty, trade_ms, buyer_is_maker[, usd, extra]

Worth of a liquidation = cum_fill * avg_price, where avg_price is "None" cum_fill * price
(the order's limit, labelled so). The files' own `usd` column is not used: it is the
limit price times the quantity, and for some rows a thousandth or a millionth of it.
Trades hold only prints of about $15k and more, so their sums are not market totals.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from schemas.market import Liquidation, Trade
from streams.feeds.binance import agg_trade, by_name, forced_order
from streams.feeds.checks import Millis, PriceIn, PriceOrZero, SizeIn, SizeOrZero, Word
from streams.feeds.frames import UnreadableFrame
from streams.sources import Source
from streams.sources.lines import data_files, identity_of, loaded, row, span_of

#: These recorders ran for minutes at a time, days apart.
GAP_AFTER_S = 600.0

_PRESENT = ("USDT", "USDC", "FDUSD", "BUSD")


class _Forced(msgspec.Struct, array_like=True, gc=False):
    symbol: Word
    side: Literal["BUY", "SELL"]
    order_type: str
    tif: str
    orig_qty: SizeOrZero
    price: PriceOrZero
    avg_price: PriceOrZero | None
    status: str
    last_fill_qty: SizeOrZero
    cum_fill_qty: SizeOrZero
    order_trade_time_ms: Millis


class _Print(msgspec.Struct, array_like=True, gc=False):
    recv_ms: Millis
    symbol: Word
    agg_id: int
    price: PriceIn
    qty: SizeIn
    trade_ms: Millis
    buyer_is_maker: bool


def recorder_source(path: Path | Sequence[Path], keep_repeats: bool = False) -> Source:
    """Read a folder or file of the family: liquidations and trades, ordered by receipt.

    Rows seen in several files count once, and so do equal rows within one: Binance pushes at
    most one order a second and symbol, so two of one millisecond are one that the recorder
    wrote twice. Repeats become dead letters that name the first, unless `keep_repeats`.
    Times in microseconds. Raises SourceError when nothing is there.
    """
    files = data_files(path, recognises)
    items = loaded(files, lambda _: read_line, keep_repeats)
    return Source(
        name=f"Binance recorder, {len(files)} file{'s' * (len(files) > 1)}",
        identity=identity_of(f"recorder{keep_repeats}", files),
        items=iter(items),
        span=span_of(items),
        gap_after_s=GAP_AFTER_S,
    )


def recognises(path: Path, head: list[str]) -> bool:
    """Tell whether a file's first lines look like this family's."""
    if path.suffix not in (".csv", ".gz"):
        return False
    return any(_is_forced(x) or _is_print(x) for x in map(_cells, head))


def read_line(line: str) -> Liquidation | Trade | None:
    """Read one line of either kind, None for a header; raises UnreadableFrame with the column."""
    cells = _cells(line)
    if _is_header(cells):
        return None
    if len(cells) in (11, 12, 13):
        return _liquidation(cells)
    if 7 <= len(cells) <= 9 and cells[1] not in ("BUY", "SELL"):
        return _trade(cells)
    raise UnreadableFrame("", f"{len(cells)} columns; 11 make a liquidation, 7 a trade")


def _liquidation(cells: list[str]) -> Liquidation | None:
    values: list[object] = list(cells)
    if cells[6] == "None":  # the recorder found no average price in its message
        values[6] = None
    order = row(values, _Forced)
    symbol = _completed(order.symbol)
    ts_event = order.order_trade_time_ms * 1000
    return forced_order(
        instrument=by_name(symbol),
        side=order.side,
        orig_quantity=order.orig_qty,
        order_price=order.price,
        average_price=order.avg_price,
        filled=order.cum_fill_qty,
        ts_event=ts_event,
        ts_recv=ts_event,  # not recorded
        stream="recorder",
        coverage="latest_per_second",
    )


def _trade(cells: list[str]) -> Trade:
    x = row(cells, _Print)
    symbol = _completed(x.symbol)
    return agg_trade(
        by_name(symbol),
        x.agg_id,
        x.price,
        x.qty,
        x.trade_ms * 1000,
        x.buyer_is_maker,
        x.recv_ms * 1000,
    )


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


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split(",")]


def _is_header(cells: list[str]) -> bool:
    return "symbol" in (cells[0].lower(), cells[1].lower() if len(cells) > 1 else "")


def _is_forced(cells: list[str]) -> bool:
    return len(cells) in (11, 12, 13) and cells[1] in ("BUY", "SELL") and _is_millis(cells[10])


def _is_print(cells: list[str]) -> bool:
    return 7 <= len(cells) <= 9 and _is_millis(cells[0]) and cells[6] in ("True", "False")


def _is_millis(text: str) -> bool:
    return len(text) == 13 and text.isdigit()
