"""Tardis.dev CSV downloads: `trades` and `liquidations` of Binance and Bybit futures.

    exchange,symbol,timestamp,local_timestamp,id,side,price,amount
    bybit,BTCUSDT,1740614400123000,1740614400131456,,sell,85000.5,0.012

Microseconds. `side` is the taker's, and in liquidations the ORDER's for both venues: Tardis
turns Bybit's position word round (its mapper: Buy -> sell), so sell closed a long. Binance
gives ap and z but FILLED orders only; Bybit's price is the bankruptcy price. Read from
tardis-node's mappers (src/mappers/binance.ts, bybit.ts), not run against their service.
"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal

import msgspec

from schemas.market import Liquidation, Trade
from schemas.words import Coverage, Micros
from streams.feeds import bybit
from streams.feeds.binance import agg_trade, by_name, forced_order
from streams.feeds.checks import PriceIn, SizeIn, Word
from streams.feeds.frames import UnreadableFrame
from streams.feeds.identities import occurring
from streams.sources import Source
from streams.sources.lines import (
    Reader,
    SourceError,
    data_files,
    head,
    identity_of,
    merged,
    row,
    streamed,
)

HEADER = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
EXCHANGES = ("binance-futures", "binance-delivery", "bybit")
GAP_AFTER_S = 600.0

#: Binance cut its liquidation stream to one a second and symbol on 2021-04-27.
_BINANCE_THROTTLED = 1_619_481_600_000_000
#: Tardis took up Bybit's complete feed on 2025-02-26; before it, one a second and symbol.
_BYBIT_FULL = 1_740_528_000_000_000
#: Bybit's earlier throttling is known to the month only (September 2021).
_BYBIT_THROTTLED = 1_633_046_400_000_000


class _Row(msgspec.Struct, array_like=True, gc=False):
    exchange: Word
    symbol: Word
    timestamp: Micros
    local_timestamp: Micros
    id: str
    side: Literal["buy", "sell"]
    price: PriceIn
    amount: SizeIn


def tardis_source(path: Path | Sequence[Path]) -> Source:
    """Stream a folder or file of Tardis downloads, ordered by local_timestamp.

    The kind is in the file's or folder's name (trades, liquidations), since the columns
    are equal. Raises SourceError when nothing is there, the kind is not said, or the
    exchange is not one of EXCHANGES (others count in contracts not described in the file).
    """
    files = data_files(path, recognises)
    groups = groupby(sorted(files, key=lambda x: (_series(x), x.name)), key=_series)
    series = [streamed(list(group), reader_of) for _, group in groups]
    return Source(
        name=f"Tardis, {len(files)} file{'s' * (len(files) > 1)}",
        identity=identity_of("tardis", files),
        items=merged(series),
        span=None,
        gap_after_s=GAP_AFTER_S,
    )


def recognises(path: Path, head: list[str]) -> bool:
    """Tell whether a file has the header that Tardis writes, and rows of an exchange we read."""
    if path.suffix not in (".csv", ".gz") or head[:1] != [HEADER]:
        return False
    return len(head) < 2 or head[1].split(",", 1)[0] in EXCHANGES


def unread(head: list[str]) -> str:
    """Say which exchange a Tardis file is of that we do not read; empty for any other file."""
    exchange = head[1].split(",", 1)[0] if head[:1] == [HEADER] and len(head) > 1 else ""
    return f"Tardis exchange {exchange!r}" if exchange and exchange not in EXCHANGES else ""


def reader_of(path: Path) -> Reader:
    """Return the reader of one file; raises SourceError when its kind is not said."""
    forced = _kind(path) == "liquidations"
    # Bybit liquidations have no id; equal ones of one message count up, as in the live feed.
    counts: dict[str, int] = {}
    message = 0

    def read(line: str) -> Trade | Liquidation | None:
        nonlocal message
        if line == HEADER:
            return None
        cells = line.split(",")
        if len(cells) != 8:
            raise UnreadableFrame("", f"{len(cells)} columns, not 8")
        x = row(cells, _Row)
        if x.exchange not in EXCHANGES:
            raise UnreadableFrame("exchange", f"{x.exchange!r} is not of {', '.join(EXCHANGES)}")
        if not forced:
            return _trade(x)
        if x.local_timestamp != message:
            message = x.local_timestamp
            counts.clear()
        return _liquidation(x, counts)

    return read


def _trade(x: _Row) -> Trade:
    if not x.id:
        raise UnreadableFrame("id", "missing")
    if x.exchange == "bybit":
        return bybit.public_trade(
            bybit.by_name(x.symbol),
            x.id,
            x.side,
            x.amount,
            x.price,
            x.timestamp,
            x.local_timestamp,
        )
    # Binance numbers raw and aggregate trades apart, and Tardis records the raw ones.
    return agg_trade(
        by_name(x.symbol),
        f"raw:{x.id}",
        x.price,
        x.amount,
        x.timestamp,
        x.side == "sell",
        x.local_timestamp,
    )


def _liquidation(x: _Row, counts: dict[str, int]) -> Liquidation | None:
    stream = f"tardis:{x.exchange}"
    if x.exchange == "bybit":
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
    instrument = by_name(x.symbol)
    contracts = instrument.unit == "quote"
    throttled: Coverage = "latest_per_second" if contracts else "largest_per_second"
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
        coverage=throttled if x.timestamp >= _BINANCE_THROTTLED else "full",
    )


def _kind(path: Path) -> str:
    for text in (path.name, *(parent.name for parent in path.parents)):
        said = [kind for kind in ("liquidations", "trades") if kind in text]
        if len(said) == 1:
            return said[0]
        if said:
            # Venues give trades ids, and liquidations none.
            first = [*head(path, 2), "", ""][1].split(",")
            return "trades" if len(first) == 8 and first[4] else "liquidations"
    raise SourceError(f"{path}: neither 'trades' nor 'liquidations' in its name or folder")


def _series(path: Path) -> tuple[str, str, str]:
    first = head(path, 2)
    exchange, symbol = [*first[1].split(","), ""][:2] if len(first) > 1 else ("", "")
    return exchange, _kind(path), symbol
