"""Finished minutes of one asset as one run of bytes: an hour of them, later a day.

    header  venues by name
    body    buy and sell USD of each venue, high, low: a float64 a minute, NaN where there
            was none; first bytes of all, then second bytes, …; zstd

Nothing is rounded. In this order the bytes that hardly differ (sign, exponent, the zeros
below 1/65536 dollar) lie together: 26 bytes a minute on two venues instead of 48.
"""

from typing import NamedTuple

import cramjam
import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_LEVEL = 1


class MinuteFlow(msgspec.Struct):
    """One minute of one asset: venue -> [buy USD, sell USD], and the fill range.

    `upto` is the last second folded in: a minute may be stored before the rest of its
    asset's state, and a restart must not add the same second again.
    """

    venues: dict[str, list[float]] = {}
    upto: int = 0
    high: float | None = None
    low: float | None = None


class Columns(NamedTuple):
    """Consecutive minutes, one element each: venue -> (buy USD, sell USD), and the range."""

    venues: dict[str, tuple[Floats, Floats]]
    high: Floats
    low: Floats

    def known(self) -> NDArray[np.bool_]:
        """Return which minutes have anything."""
        is_known = ~np.isnan(self.high)
        for buy, _ in self.venues.values():
            is_known |= ~np.isnan(buy)
        return is_known


class _Block(msgspec.Struct, array_like=True):
    venues: list[str]
    body: bytes


def of_minutes(cells: dict[int, MinuteFlow], start: int, width: int) -> Columns:
    """Lay out the minutes [start, start + width); those not in `cells` have nothing."""
    names = sorted({name for cell in cells.values() for name in cell.venues})
    rows = np.full((2 * len(names) + 2, width), np.nan)
    place = {name: 2 * i for i, name in enumerate(names)}
    for minute, cell in cells.items():
        at = minute - start
        for name, sums in cell.venues.items():
            rows[place[name] : place[name] + 2, at] = sums
        if cell.high is not None and cell.low is not None:
            rows[-2:, at] = cell.high, cell.low
    return _columns(names, rows)


def joined(parts: dict[int, Columns], start: int, width: int) -> Columns:
    """Lay out several runs of minutes, by their first minute, as one."""
    names = sorted({name for part in parts.values() for name in part.venues})
    whole = _columns(names, np.full((2 * len(names) + 2, width), np.nan))
    for first, part in parts.items():
        at = slice(first - start, first - start + part.high.size)
        for name, sums in part.venues.items():
            for into, taken in zip(whole.venues[name], sums, strict=True):
                into[at] = taken
        whole.high[at], whole.low[at] = part.high, part.low
    return whole


def pack(columns: Columns) -> bytes:
    """Return columns as bytes; `unpack` gives back the same bits."""
    rows = [row for sums in columns.venues.values() for row in sums]
    bits = np.concatenate([*rows, columns.high, columns.low]).view(np.uint8)
    body = cramjam.zstd.compress(bits.reshape(-1, 8).T.tobytes(), _LEVEL)
    return msgspec.msgpack.encode(_Block(list(columns.venues), bytes(body)))


def unpack(packed: bytes) -> Columns:
    """Return what was packed. Raises on bytes that `pack` has not made."""
    block = _decode(packed)
    planes = np.frombuffer(bytes(cramjam.zstd.decompress(block.body)), np.uint8).reshape(8, -1)
    rows = np.ascontiguousarray(planes.T).view(np.float64).reshape(2 * len(block.venues) + 2, -1)
    return _columns(block.venues, rows)


def minutes(columns: Columns, start: int) -> dict[int, MinuteFlow]:
    """Return the minutes that have anything one by one, the first being `start`."""
    cells = {}
    for at in np.flatnonzero(columns.known()).tolist():
        cell = cells[start + at] = MinuteFlow()
        for name, (buy, sell) in columns.venues.items():
            if not np.isnan(buy[at]):
                cell.venues[name] = [float(buy[at]), float(sell[at])]
        if not np.isnan(columns.high[at]):
            cell.high, cell.low = float(columns.high[at]), float(columns.low[at])
    return cells


def _columns(names: list[str], rows: Floats) -> Columns:
    sums = {name: (rows[2 * i], rows[2 * i + 1]) for i, name in enumerate(names)}
    return Columns(sums, rows[-2], rows[-1])


_decode = msgspec.msgpack.Decoder(_Block).decode
