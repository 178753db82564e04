"""Binance futures klines, one minute wide with the taker split, as ready bars.

    open_time,open,high,low,close,volume[,close_time],quote_volume,count,
    taker_buy_volume,taker_buy_quote_volume[,ignore]

Names like BTCUSDT-1m-2025-02.csv.gz or BTCUSDT-um-1m_2023-01-14T0000-0100Z.csv; times in
milliseconds. Spot files have the same names and columns, and since 2025-01-01 microseconds,
which futures files never have: by these they are told apart.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
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
from streams.sources.build import said_market
from streams.sources.lines import SourceError, head
from streams.sources.tables import Build, Table, cells_of, layout, stamp

_NAME = re.compile(r"([^\W_][^-._]*(?:_PERP|_[0-9]{6})?)(?=[-_.])")
_IN_MICROS = 100_000_000_000_000
#: Binance Vision's own column order; its older files have no header.
_WITHOUT_HEADER = (
    *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume"),
    *("count", "taker_buy_volume", "taker_buy_quote_volume", "ignore"),
)


class _Kline(msgspec.Struct, array_like=True, gc=False):
    open_time: str
    open: PriceIn
    high: PriceIn
    low: PriceIn
    close: PriceIn
    volume: SizeOrZero
    quote_volume: SizeOrZero
    count: Annotated[int, Meta(ge=0, le=10**12)]
    taker_buy_volume: SizeOrZero
    taker_buy_quote_volume: SizeOrZero


def _build(path: Path) -> Build:
    symbol = symbol_in(path)
    said = said_market(path)
    if (apart := _minutes_apart(path)) > 1:
        raise SourceError(f"{path.name}: its rows are {apart} min apart: wider than is used here")

    def build(kline: _Kline) -> Bar:
        opens = stamp(kline.open_time, "open_time")
        spot = said == "spot" or (not said and _in_micros(kline.open_time))
        return _bar(by_name(symbol, "SPOT" if spot else "PERP"), kline, opens)

    return build


def _minutes_apart(path: Path) -> int:
    """Return the least distance of two rows that follow each other, 0 for fewer than three."""
    lines = [line for line in head(path) if line.strip()]
    here = layout(KLINES, path, lines)
    if here is None:
        return 0
    opens = []
    for line in lines:
        try:
            opens.append(stamp(here.wanted([*cells_of(line, here.separator), ""])[0]))
        except (UnreadableFrame, IndexError):
            continue
    steps = [abs(b - a) for a, b in pairwise(opens) if a != b]
    return min(steps) // MINUTE if len(steps) > 1 else 0


def symbol_in(path: Path) -> str:
    """Return the symbol that a file's or its folder's name says; raises SourceError."""
    matched = _NAME.match(path.name)
    names = [matched[1].upper()] if matched else []
    names += [parent.name for parent in list(path.parents)[:3]]
    for name in names:
        if _is_symbol(name):
            return name
    if matched is None:
        raise SourceError(f"{path.name}: its name does not say the symbol, as BTCUSDT-1m-… does")
    return names[0]


def _is_symbol(name: str) -> bool:
    for kind in ("PERP", "SPOT"):
        try:
            by_name(name, kind)
        except UnreadableFrame:
            continue
        return True
    return False


def _series(path: Path) -> str:
    """Return which files follow each other: those of one symbol, spot and futures apart."""
    said = said_market(path)
    if not said and any(_in_micros(line.split(",", 1)[0]) for line in head(path, 2)):
        said = "spot"
    return f"{symbol_in(path)} {said if said == 'spot' else ''}"


def _in_micros(text: str) -> bool:
    return text.isdigit() and int(text) >= _IN_MICROS


def _is_row(cell: Mapping[str, str]) -> bool:
    opens = cell["open_time"]
    return opens.isdigit() and len(opens) >= 13 and cell["count"].isdigit()


def _bar(instrument: Instrument, x: _Kline, opens: int) -> Bar:
    multiplier = instrument.multiplier
    if x.low > x.high:
        raise UnreadableFrame("low", f"{x.low} is above the high {x.high}")
    if x.taker_buy_quote_volume > x.quote_volume or x.taker_buy_volume > x.volume:
        raise UnreadableFrame("taker_buy_quote_volume", "takers bought more than was traded")
    if not instrument.in_dollars:
        raise UnreadableFrame("symbol", f"{instrument.instrument} is not quoted in dollars")
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
            ts_open=opens,
            width=MINUTE,
            high=x.high / multiplier,
            low=x.low / multiplier,
            quantity=quantity,
            buy_usd=grid_usd(bought),
            sell_usd=grid_usd(worth - bought),
            trades=x.count,
            open=x.open / multiplier,
            close=x.close / multiplier,
            ts_first=opens,
            ts_last=opens + MINUTE - 1,
        )
    )


KLINES = Table(
    what="Binance klines with the taker split: SYMBOL-1m-DATE",
    columns=_Kline,
    build=_build,
    lacks="sums of a minute, no single prints; spot before 2025 looks like futures unless its path"
    " says spot",
    names={
        "open_time": ("timestamp", "open_timestamp", "opentime", "time", "date", "datetime"),
        "quote_volume": (
            *("quote_asset_volume", "quote_asset_vol", "quote_av", "qav", "quote_vol"),
            *("quotevolume", "quoteassetvolume"),
        ),
        "count": (
            *("number_of_trades", "trades", "num_trades", "no_trade", "trade_count", "n_trades"),
            "numberoftrades",
        ),
        "taker_buy_volume": (
            *("taker_buy_base_asset_volume", "taker_buy_base", "tb_base_av", "taker_base_vol"),
            *("taker_buy_base_volume", "takerbuybaseassetvolume", "buy_base"),
        ),
        "taker_buy_quote_volume": (
            *("taker_buy_quote_asset_volume", "taker_buy_quote", "tb_quote_av", "taker_quote_vol"),
            *("takerbuyquoteassetvolume", "buy_quote"),
        ),
    },
    bare=(_WITHOUT_HEADER,),
    looks=_is_row,
    named=re.compile(r"[-_.]1m(in)?[-_.][^/]*$|/1m/[^/]*$"),
    series=_series,
)
