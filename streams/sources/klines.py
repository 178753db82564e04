"""Binance futures klines, one minute wide with the taker split, as ready bars.

    open_time,open,high,low,close,volume[,close_time],quote_volume,count,
    taker_buy_volume,taker_buy_quote_volume[,ignore]

Names like BTCUSDT-1m-2025-02.csv.gz or BTCUSDT-um-1m_2023-01-14T0000-0100Z.csv; times in
milliseconds. Spot files have the same names and columns, and since 2025-01-01 microseconds,
which futures files never have: by these they are told apart.
"""

import re
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.bars import Bar
from schemas.words import MINUTE, grid_usd
from streams.feeds.binance import by_name
from streams.feeds.checks import PriceIn, SizeOrZero, checked
from streams.feeds.frames import UnreadableFrame
from streams.feeds.instruments import Instrument
from streams.sources import Source
from streams.sources.lines import (
    BARS_CLOCKED,
    Reader,
    data_files,
    identity_of,
    merged,
    micros,
    row,
    streamed,
)

GAP_AFTER_S = 600.0

_NAME = re.compile(r"([^\W_][^-.]*)-(?:(?:um|cm|futures)-)?1m[-_.].*")
_FUTURES = re.compile(r"-(um|cm|futures)-")
_IN_MICROS = 100_000_000_000_000
_NEEDED = (
    "open_time",
    "high",
    "low",
    "volume",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
)
#: Binance Vision's own column order; its older files have no header.
_WITHOUT_HEADER = (
    *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume"),
    *("count", "taker_buy_volume", "taker_buy_quote_volume", "ignore"),
)


class _Kline(msgspec.Struct, array_like=True, gc=False):
    open_time: int
    high: PriceIn
    low: PriceIn
    volume: SizeOrZero
    quote_volume: SizeOrZero
    count: Annotated[int, Meta(ge=0, le=10**12)]
    taker_buy_volume: SizeOrZero
    taker_buy_quote_volume: SizeOrZero


def klines_source(path: Path | Sequence[Path]) -> Source:
    """Read one-minute klines (a folder or file) as Bars of 60 s, ordered by close.

    Dollar sums come straight from the taker split; a minute without trades is a bar of
    zeros, since that it was quiet is known. Raises SourceError when nothing is there.
    """
    files = data_files(path, recognises)
    by_symbol = groupby(sorted(files, key=lambda x: (_symbol(x), x.name)), key=_symbol)
    series = [streamed(list(group), reader_of) for _, group in by_symbol]
    return Source(
        name=f"Binance 1 m klines of {len(series)} symbol{'s' * (len(series) > 1)}",
        identity=identity_of("klines", files),
        items=merged(series),
        span=None,
        gap_after_s=GAP_AFTER_S,
        clocked=BARS_CLOCKED,
    )


def recognises(path: Path, head: list[str]) -> bool:
    """Tell whether a file is one-minute klines, by its name and its first line."""
    if not _NAME.fullmatch(path.name) or not head:
        return False
    columns = head[0].split(",")
    return set(_NEEDED) <= set(columns) or (
        len(columns) == len(_WITHOUT_HEADER) and columns[0].isdigit()
    )


def reader_of(path: Path) -> Reader:
    """Return the reader of one file, which knows its symbol and learns its columns."""
    symbol = _symbol(path)
    says_futures = _FUTURES.search(path.name) is not None
    columns = len(_WITHOUT_HEADER)
    wanted = itemgetter(*map(_WITHOUT_HEADER.index, _NEEDED))

    def read(line: str) -> Bar | None:
        nonlocal columns, wanted
        cells = line.split(",")
        if cells[0] == "open_time":
            missing = set(_NEEDED).difference(cells)
            if missing:
                raise UnreadableFrame(min(missing), "no such column in the header")
            columns = len(cells)
            wanted = itemgetter(*map(cells.index, _NEEDED))
            return None
        if len(cells) != columns:
            raise UnreadableFrame("", f"{len(cells)} columns, not {columns}")
        kline = row(wanted(cells), _Kline)
        spot = not says_futures and kline.open_time >= _IN_MICROS
        return _bar(by_name(symbol, "SPOT" if spot else "PERP"), kline)

    return read


def _bar(instrument: Instrument, x: _Kline) -> Bar:
    multiplier = instrument.multiplier
    if x.low > x.high:
        raise UnreadableFrame("low", f"{x.low} is above the high {x.high}")
    if x.taker_buy_quote_volume > x.quote_volume or x.taker_buy_volume > x.volume:
        raise UnreadableFrame("taker_buy_quote_volume", "takers bought more than was traded")
    if instrument.unit == "quote":
        # COIN-M counts volume in contracts and "quote" volume in coins.
        worth, bought = (v * instrument.size for v in (x.volume, x.taker_buy_volume))
        quantity = x.quote_volume
    else:
        worth, bought = x.quote_volume, x.taker_buy_quote_volume
        quantity = x.volume * multiplier
    return checked(
        lambda: Bar(
            venue="binance",
            instrument=instrument.instrument,
            asset=instrument.asset,
            ts_open=micros(x.open_time),
            width=MINUTE,
            high=x.high / multiplier,
            low=x.low / multiplier,
            quantity=quantity,
            buy_usd=grid_usd(bought),
            sell_usd=grid_usd(worth - bought),
            trades=x.count,
        )
    )


def _symbol(path: Path) -> str:
    return path.name.split("-", 1)[0].split(".", 1)[0]
