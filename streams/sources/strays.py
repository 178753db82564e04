"""Rows that are not of their file: alone, and days off what stands around them.

10:00:01  10:00:02  │ four weeks later │  10:00:03        refused: off the rows on both sides
│ four weeks before │  10:00:01  10:00:02  …  in BTCUSDT-aggTrades-2023-11-14.csv
                                                          refused: its neighbour is of the named day
"""

import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from schemas.words import MINUTE, SECOND
from streams.feeds.frames import UnreadableFrame

#: A row that is off the rows on both of its sides by so much is not theirs.
DAY = 24 * 60 * MINUTE
_DATES = re.compile(r"(?<!\d)(20[1-3]\d)[-_]?([01]\d)(?:[-_]?([0-3]\d))?(?!\d)")
#: A row's time, line, file and text, and its record or the complaint.
Row = tuple[int, int, Path, str, Any]


def without_strays(rows: Iterator[Row], named: tuple[int, int] | None) -> Iterator[Row]:
    """Refuse a row that lies a day and more off the rows around it, or off the file's name."""
    before, here = 0, next(rows, None)
    while here is not None:
        following = next(rows, None)
        ts = here[0]
        if isinstance(here[-1], UnreadableFrame) or -DAY < ts - before < DAY:
            yield here
            before = ts
        elif why := _stray(before, ts, following[0] if following else 0, named):
            yield before or ts, *here[1:-1], UnreadableFrame("time", why)
        else:
            yield here
            before = ts
        here = following


def _stray(before: int, ts: int, after: int, named: tuple[int, int] | None) -> str:
    """Return why a row is out of its file's span, empty where it is within."""
    around = [other for other in (before, after) if other]
    if not around or any(abs(ts - other) < DAY for other in around):
        return ""
    off = min(abs(ts - other) for other in around)
    when = datetime.fromtimestamp(ts // SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if len(around) == 2 and abs(after - before) * 10 < off:
        return f"{when} is {off / DAY:.0f} days off the rows around it"
    if named is None or named[0] <= ts <= named[1]:
        return ""
    if not all(named[0] <= other <= named[1] for other in around):
        return ""  # the name does not say what the file holds
    return f"{when} is outside of what the file's name says"


def span_named(path: Path) -> tuple[int, int] | None:
    """Return the days that a file's name says, with one more on either side; microseconds.

    None where it says none. Days of archives are cut by their own zones.
    """
    days = [day for text in _DATES.findall(path.name) if (day := _day(text))]
    if not days:
        return None
    first, last = min(days)[0], max(days)[1]
    return first - DAY, last + DAY


def _day(text: tuple[str, str, str]) -> tuple[int, int] | None:
    year, month, day = int(text[0]), int(text[1]), int(text[2] or 0)
    try:
        begin = datetime(year, month, day or 1, tzinfo=UTC)
        end = begin + timedelta(days=1 if day else monthrange(year, month)[1])
    except ValueError:
        return None
    return int(begin.timestamp() * SECOND), int(end.timestamp() * SECOND)
