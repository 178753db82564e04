"""Binance Vision aggregate trades (data.binance.vision), streamed: the files are large.

    agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker
    2541757614,104943.5,0.15,5901,5903,1737897219873,false

With or without the header; .csv, .csv.gz or .zip; milliseconds or microseconds. Spot files
have an eighth column (is_best_match). Names like BTCUSDT-aggTrades-2025-01-27.zip.
"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from schemas.market import Trade
from streams.feeds.binance import agg_trade, by_name
from streams.feeds.checks import PriceIn, SizeIn
from streams.feeds.frames import UnreadableFrame
from streams.sources import Source
from streams.sources.lines import (
    Reader,
    data_files,
    identity_of,
    merged,
    micros,
    row,
    streamed,
)

GAP_AFTER_S = 600.0


class _AggTrade(msgspec.Struct, array_like=True, gc=False):
    agg_trade_id: int
    price: PriceIn
    quantity: SizeIn
    first_trade_id: int
    last_trade_id: int
    transact_time: int
    is_buyer_maker: bool


def vision_source(path: Path | Sequence[Path]) -> Source:
    """Stream aggregate trades of a folder or file, merged over symbols by time.

    Receipt was not recorded, so it is the trade's own time in the file's order. Times in
    microseconds. Raises SourceError when nothing is there.
    """
    files = data_files(path, recognises)
    by_symbol = groupby(sorted(files, key=lambda x: (_symbol(x), x.name)), key=_symbol)
    series = [streamed(list(group), reader_of) for _, group in by_symbol]
    return Source(
        name=f"Binance Vision trades of {len(series)} symbol{'s' * (len(series) > 1)}",
        identity=identity_of("vision", files),
        items=merged(series),
        span=None,
        gap_after_s=GAP_AFTER_S,
    )


def recognises(path: Path, head: list[str]) -> bool:
    """Tell whether a file is aggregate trades, by its name and its first line."""
    if not head or "-aggTrades-" not in path.name:
        return False
    columns = head[0].split(",")
    return len(columns) in (7, 8) and (columns[0] == "agg_trade_id" or columns[0].isdigit())


def reader_of(path: Path) -> Reader:
    """Return the reader of one file, which knows its symbol."""
    symbol = _symbol(path)

    def read(line: str) -> Trade | None:
        cells = line.split(",")
        if cells[0] == "agg_trade_id":
            return None
        if len(cells) not in (7, 8):
            raise UnreadableFrame("", f"{len(cells)} columns; 7 make a future's trade, 8 a spot's")
        kind = "PERP" if len(cells) == 7 else "SPOT"
        x = row(cells, _AggTrade)
        ts = micros(x.transact_time)
        instrument = by_name(symbol, kind)
        return agg_trade(instrument, x.agg_trade_id, x.price, x.quantity, ts, x.is_buyer_maker, ts)

    return read


def _symbol(path: Path) -> str:
    return path.name.split("-", 1)[0]
