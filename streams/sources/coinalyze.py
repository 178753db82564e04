"""Coinalyze's history: liquidations and open interest a minute to a day wide, in base units.

    2024-06-20 03:00:00,0.013,0.974       (BTCUSDT_PERP.A_liquidation-history.csv: long, short)
    2024-06-20 03:00:00,75707.5,75760.7,75280.7,75286.9   (…_open-interest-history.csv: o,h,l,c)
    [{"symbol":"BTCUSDT_PERP.A","history":[{"t":1761213600,"l":0.068,"s":0.088}]}]     (the API)
    t,BTCUSDT_PERP.A_longliq,BTCUSDT_PERP.A_shortliq,…    or    t,BTCUSDT_PERP.A_oi,…     (wide)
    time_utc,symbol,long_liq_base,short_liq_base,…,oi_close,long_liq_usd,short_liq_usd

Sums of an interval, not orders: totals are right, onsets of them mean nothing. They are stamped at
the last microsecond of their interval. The venue stands behind the dot.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import msgspec

from schemas.market import Liquidation, OpenInterest
from schemas.words import MINUTE, PositionSide, grid_usd
from streams.feeds import readings
from streams.feeds.checks import SizeOrZero, Word, checked
from streams.feeds.frames import UnreadableFrame
from streams.feeds.instruments import Instrument, described
from streams.feeds.symbols import split_symbol
from streams.sources.lines import Reader, SourceError, head, numbered, row
from streams.sources.tables import Build, Table, cells_of, column_names, stamp

_VENUES = {
    "A": "binance", "6": "bybit", "3": "okx", "0": "bitmex", "2": "deribit", "4": "htx",
    "K": "kraken", "F": "bitfinex", "Y": "gate", "H": "hyperliquid", "8": "dydx",
}  # fmt: skip
_SYMBOL = re.compile(r"([A-Z0-9]+?)(_PERP)?\.([A-Z0-9])(?![A-Za-z0-9])")
_WIDE = re.compile(r"([A-Z0-9]+(?:_PERP)?\.[A-Z0-9])_(longliq|shortliq|oi)")
_DAY = 86_400_000_000
_HOUR = 3_600_000_000
_GAP_AFTER_S = 3 * 86_400.0


class _Liquidations(msgspec.Struct, array_like=True, gc=False):
    t: str
    l: SizeOrZero  # noqa: E741 - Coinalyze's own word
    s: SizeOrZero


class _OpenInterest(msgspec.Struct, array_like=True, gc=False):
    t: str
    c: SizeOrZero


class _Merged(msgspec.Struct, array_like=True, gc=False):
    time_utc: str
    symbol: Word
    long_liq_base: SizeOrZero | Literal[""]
    short_liq_base: SizeOrZero | Literal[""]
    oi_close: str = ""
    long_liq_usd: str = ""
    short_liq_usd: str = ""


class _Of(msgspec.Struct, frozen=True):
    """A market of Coinalyze's: the venue and instrument behind its symbol."""

    venue: str
    instrument: Instrument


def market(symbol: str) -> _Of:
    """Return what a symbol like BTCUSDT_PERP.A names; raises UnreadableFrame."""
    matched = _SYMBOL.fullmatch(symbol)
    if matched is None or matched[3] not in _VENUES:
        raise UnreadableFrame("symbol", f"{symbol[:60]!r} is no market of a venue known here")
    venue = _VENUES[matched[3]]
    _, name, multiplier = split_symbol(matched[1])
    base, quote, kind = name.split("-", 2)
    instrument = described(venue, symbol, base, quote, kind)
    return _Of(venue, msgspec.structs.replace(instrument, multiplier=multiplier))


def _market_in(path: Path) -> _Of:
    matched = _SYMBOL.search(path.name)
    if matched is None:
        raise SourceError(f"{path.name}: its name does not say the market, as BTCUSDT_PERP.A does")
    try:
        return market(matched[0])
    except UnreadableFrame as problem:
        raise SourceError(f"{path.name}: {problem.reason}") from None


def _liquidations(path: Path) -> Build:
    of, width = _market_in(path), _width(head(path))

    def build(x: _Liquidations) -> list[Liquidation]:
        end = stamp(x.t) + width - 1
        return _sums(of, end, (x.l, None), (x.s, None))

    return build


def _interest(path: Path) -> Build:
    of, width = _market_in(path), _width(head(path))

    def build(x: _OpenInterest) -> OpenInterest | None:
        return _open(of, x.c, stamp(x.t) + width - 1)

    return build


def _merged(path: Path) -> Build:
    width = _HOUR

    def build(x: _Merged) -> list[Any]:
        of, end = market(x.symbol), stamp(x.time_utc) + width - 1
        longs, shorts = (
            (amount or 0.0, float(worth) if worth else None)
            for amount, worth in (
                (x.long_liq_base, x.long_liq_usd),
                (x.short_liq_base, x.short_liq_usd),
            )
        )
        sums: list[Any] = [*_sums(of, end, longs, shorts)]
        if x.oi_close and (reading := _open(of, float(x.oi_close), end)) is not None:
            sums.append(reading)
        return sums

    return build


def recognises_wide(path: Path, first: list[str]) -> bool:
    """Tell whether a file is a wide table: a column a market and side."""
    return bool(first) and any(map(_WIDE.fullmatch, cells_of(first[0])))


def wide_reader(path: Path) -> Reader:
    """Return the reader of a wide table, a row of which is a record a column."""
    first = head(path)
    header = cells_of(first[0])
    width = _width(first[1:])
    columns = [
        (place, m[1], m[2]) for place, name in enumerate(header) if (m := _WIDE.fullmatch(name))
    ]

    def read(line: str) -> list[Any] | None:
        cells = cells_of(line)
        if cells == header:
            return None
        if len(cells) != len(header):
            raise UnreadableFrame("", f"{len(cells)} columns, not {len(header)}")
        end = stamp(cells[0]) + width - 1
        got: list[Any] = []
        for place, symbol, kind in columns:
            if not cells[place]:
                continue
            amount = row([cells[0], cells[place]], _OpenInterest).c
            of = market(symbol)
            if kind == "oi":
                reading = _open(of, amount, end)
                got += [] if reading is None else [reading]
            else:
                side: PositionSide = "long" if kind == "longliq" else "short"
                got += _sum(of, end, side, amount, None)
        return got

    return read


class _Point(msgspec.Struct):
    t: int
    l: float | None = None  # noqa: E741
    s: float | None = None
    c: float | None = None


class _History(msgspec.Struct):
    symbol: str
    history: list[_Point]


_ANSWER = msgspec.json.Decoder(list[_History])


def recognises_answer(path: Path, first: list[str]) -> bool:
    """Tell whether a file is an answer of the API."""
    start = "".join(first)[:400].replace(" ", "")
    return start.startswith('[{"symbol":"') and '"history":[' in start


def answer_reader(path: Path) -> Reader:
    """Return the reader of answers, each a whole document or a line."""

    def read(text: str) -> list[Any]:
        try:
            histories = _ANSWER.decode(text)
        except msgspec.DecodeError as problem:
            raise UnreadableFrame("", str(problem)) from None
        got: list[Any] = []
        for one in histories:
            of, points = market(one.symbol), one.history
            step = points[1].t - points[0].t if len(points) > 1 else 3600
            for point in points:
                end = stamp(str(point.t)) + step * 1_000_000 - 1
                if point.l is not None or point.s is not None:
                    got += _sums(of, end, (point.l or 0.0, None), (point.s or 0.0, None))
                elif point.c is not None and (reading := _open(of, point.c, end)) is not None:
                    got.append(reading)
        return got

    return read


def _width(lines: Sequence[str]) -> int:
    """Return how wide the intervals are, microseconds: by the first of them; a date is a day."""
    times = []
    for line in lines:
        text = cells_of(line)[0]
        try:
            times.append(stamp(text))
        except UnreadableFrame:
            continue
        if len(text) == len("2022-01-02"):
            return _DAY
    steps = [b - a for a, b in pairwise(sorted(times)) if b > a]
    return max(MINUTE, min(steps, default=_HOUR))


def _sums(
    of: _Of, end: int, long: tuple[float, float | None], short: tuple[float, float | None]
) -> list[Liquidation]:
    return _sum(of, end, "long", *long) + _sum(of, end, "short", *short)


def _sum(
    of: _Of, end: int, side: PositionSide, amount: float, worth: float | None
) -> list[Liquidation]:
    if amount == 0:
        return []
    instrument = of.instrument
    return [
        checked(
            lambda: Liquidation(
                event_id=f"coinalyze:{instrument.venue_symbol}:{side}:{end}",
                venue=of.venue,
                instrument=instrument.instrument,
                venue_symbol=instrument.venue_symbol,
                asset=instrument.asset,
                position_side=side,
                order_side="sell" if side == "long" else "buy",
                price=None,
                price_kind=None,
                quantity=amount * instrument.multiplier,
                notional_usd=None if worth is None else grid_usd(worth),
                coverage="unknown",
                stream="coinalyze",
                ts_event=end,
                ts_recv=end,
            )
        )
    ]


def _open(of: _Of, amount: float, end: int) -> OpenInterest | None:
    if not amount:
        return None
    quantity = amount * of.instrument.multiplier
    return readings.open_interest(of.venue, of.instrument, quantity, None, "unknown", (end, end))


def merged_columns(first: list[str]) -> bool:
    """Tell whether a file is the merged table, which repeats what other files tell."""
    return bool(first) and {"time_utc", "long_liq_base"} <= set(column_names(first[0]))


def symbols_of(path: Path) -> set[str]:
    """Return the markets of a merged table."""
    place = column_names(head(path, 1)[0]).index("symbol")
    symbols = set()
    for _, line in numbered(path):
        cells = cells_of(line)
        if len(cells) > place:
            symbols.add(cells[place])
    return symbols


def symbol_in(path: Path) -> str:
    """Return the market that a file's name says, empty where it says none."""
    matched = _SYMBOL.search(path.name)
    return matched[0] if matched else ""


_LACKS = "sums of an interval in base units, worth and orders not told; coverage unknown;"
LIQUIDATIONS = Table(
    what="Coinalyze liquidation history: MARKET_liquidation-history",
    columns=_Liquidations,
    build=_liquidations,
    lacks=f"{_LACKS} a time without a zone is read as UTC",
    names={"t": ("time", "timestamp", "date"), "l": ("long", "longs"), "s": ("short", "shorts")},
    bare=(("t", "l", "s"),),
    looks=lambda cell: cell["t"][:2] in ("20", "16", "17", "18"),
    named=re.compile(r"_PERP\.[A-Z0-9].*liq[^/]*$|\.[A-Z0-9]_liquidation[^/]*$"),
    gap_after_s=_GAP_AFTER_S,
)
OPEN_INTEREST = Table(
    what="Coinalyze open-interest history: MARKET_open-interest-history",
    columns=_OpenInterest,
    build=_interest,
    lacks="base units; which sides are counted is not told; a time without a zone is UTC",
    names={"t": ("time", "timestamp", "date"), "c": ("close",)},
    bare=(("t", "o", "h", "l", "c"),),
    looks=lambda cell: cell["t"][:2] in ("20", "16", "17", "18"),
    named=re.compile(r"\.[A-Z0-9]_open-interest[^/]*$"),
    gap_after_s=_GAP_AFTER_S,
)
MERGED = Table(
    what="Coinalyze hours merged: time_utc, symbol, long_liq_base, short_liq_base",
    columns=_Merged,
    build=_merged,
    lacks=f"{_LACKS} where the file brings dollars, they are taken",
    gap_after_s=_GAP_AFTER_S,
)
LACKS_WIDE = f"{_LACKS} times are UTC"
