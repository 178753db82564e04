"""Tables: rows of text under column names, in any order, of any separator, packed as you like.

A `Table` is one kind of row: a struct of the columns it needs, the names that people give them,
and what makes records of a row. Columns that nobody asked for cost nothing.
"""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from schemas.words import MAX_MICROS, MIN_MICROS
from streams.feeds.frames import UnreadableFrame
from streams.sources.lines import Reader, row

#: What makes records of one row.
Build = Callable[[Any], Any]
#: Lines among which a header is looked for: some files begin with a remark.
_HEADER_WITHIN = 5
_SEPARATORS = ",;\t|"
_INDEX = re.compile(r"|unnamed:_0|index")
_DIGITS = re.compile(r"[0-9]{9,20}")
_WHOLE = re.compile(r"([0-9]{12,20})\.0+")
_DECIMAL = re.compile(r"([0-9]{9,11})\.([0-9]{1,9})[0-9]*")
_COMMA = re.compile(r"(-?[0-9]+),([0-9]+)")
#: How a spreadsheet writes a number whose last digits it does not show; programs write more.
_SPREADSHEET = re.compile(r"-?[0-9](?:[.,][0-9]{1,5})?E[+-][0-9]{2}")
#: What pandas puts before the names of a message's inner fields.
_INNER = re.compile(r"(?:data\.)?(?:o\.)?(?=[A-Za-z])")
_ZONE = re.compile(r"\s*(?:UTC|GMT)$")


class Table(NamedTuple):
    """One kind of table.

    `columns`: the struct whose fields are the columns; those with a default may be missing.
    `build`: given a file, returns what makes records of its rows; raises SourceError where the
    file's name must say something and does not. `series`: which files follow each other.
    `names`: other names of a column. `bare`: the column orders that come without a header, each
    told by `looks` from a row's cells by name. `named`: what must stand in the file's path.
    `lacks`: what a row cannot tell. `time`: the column by which rows are put in order, where a
    quick look at it is all that it takes.
    """

    what: str
    columns: type[msgspec.Struct]
    build: Callable[[Path], Build]
    lacks: str
    names: Mapping[str, Sequence[str]] = {}
    bare: Sequence[Sequence[str]] = ()
    looks: Callable[[Mapping[str, str]], bool] = lambda _: False
    named: re.Pattern[str] | None = None
    gap_after_s: float = 600.0
    series: Callable[[Path], str] = lambda _: ""
    time: str = ""


class Layout(NamedTuple):
    """Where a table's columns stand in one file: its separator, and the header if it has one."""

    separator: str
    header: tuple[str, ...]
    width: int
    wanted: Callable[[Sequence[str]], Any]


def layout(table: Table, path: Path, head: Sequence[str]) -> Layout | None:
    """Return how a file holds `table`, None where it does not."""
    if table.named is not None and not table.named.search(path.as_posix()):
        return None
    lines = [line for line in head if line.strip()]
    for line in lines[:_HEADER_WITHIN]:
        separator = _separator(line)
        cells = cells_of(line, separator)
        names = [_plain(cell) for cell in cells]
        if (wanted := _wanted(table, names)) is not None:
            return Layout(separator, tuple(cells), len(cells), wanted)
    return _without_header(table, lines)


def _without_header(table: Table, lines: list[str]) -> Layout | None:
    for line in lines[: _HEADER_WITHIN if table.bare else 0]:
        separator = _separator(line)
        cells = cells_of(line, separator)
        if (wanted := _of_row(table, cells)) is not None:
            return Layout(separator, (), len(cells), wanted)
    return None


def _of_row(table: Table, cells: list[str]) -> Callable[[Sequence[str]], Any] | None:
    """Return what picks the struct's columns out of rows like this one; None for no such row."""
    # pandas puts the row's number first.
    for index in (False, True):
        here = cells[1:] if index else cells
        for names in table.bare:
            if len(names) == len(here) and table.looks(dict(zip(names, here, strict=True))):
                return _wanted(table, ["", *names] if index else list(names))
    return None


def reader(table: Table, path: Path, head: Sequence[str]) -> Reader:
    """Return the reader of one file of this kind.

    Rows of another width than the header's are read as far as they look like rows without one.
    """
    here = layout(table, path, head)
    if here is None:
        raise ValueError(f"{path} is no {table.what}")
    separator, header, width, usual = here
    shape, build = table.columns, table.build(path)
    of_width = {width: usual}
    remarks = _above_header(head, header, separator)
    plain = separator == ","
    # Where a comma stands before decimals, something else stands between columns.
    decimal_commas = not plain

    def read(line: str) -> Any:
        if plain and '"' not in line and ", " not in line:
            cells = line.split(",")
        else:
            cells = cells_of(line, separator)
        wanted = of_width.get(len(cells))
        if wanted is None:
            if line.startswith("#") or line in remarks or _is_header(table, cells):
                return None
            if (wanted := _of_row(table, cells)) is None:
                raise UnreadableFrame("", f"{len(cells)} columns, not {width}")
            of_width[len(cells)] = wanted
        elif header and cells[0] == header[0] and tuple(map(str.strip, cells)) == header:
            return None
        if "E+" in line or "E-" in line:
            _refuse_rounded(wanted([*cells, ""]), shape)
        if decimal_commas:
            cells = [_COMMA.sub(r"\1.\2", c) if _COMMA.fullmatch(c) else c for c in cells]
        cells.append("")
        try:
            return build(row(wanted(cells), shape))
        except UnreadableFrame:
            # Files that were put together may have their columns in another order.
            again = _wanted(table, [_plain(cell) for cell in cells[:-1]])
            if again is None:
                raise
            of_width[len(cells) - 1] = again
            return None

    def time_in(line: str) -> int | None:
        cells = line.split(",") if plain else cells_of(line, separator)
        if len(cells) != width:
            return None
        cells.append("")
        try:
            return stamp(usual(cells)[place].strip())
        except UnreadableFrame:
            return None

    if table.time:
        place = shape.__struct_fields__.index(table.time)
        read.time_in = time_in  # type: ignore[attr-defined]
    return read


def _above_header(head: Sequence[str], header: tuple[str, ...], separator: str) -> set[str]:
    """Return the remarks that stand above a file's header."""
    above: set[str] = set()
    for line in head[:_HEADER_WITHIN] if header else ():
        if tuple(cells_of(line, separator)) == header:
            return above
        above.add(line)
    return set()


def _refuse_rounded(cells: Sequence[str], shape: type[msgspec.Struct]) -> None:
    for field, cell in zip(shape.__struct_fields__, cells, strict=True):
        if _SPREADSHEET.fullmatch(cell.strip()):
            raise UnreadableFrame(field, f"{cell!r}: in exponent form its last digits are gone")


def _is_header(table: Table, cells: list[str]) -> bool:
    return _wanted(table, [_plain(cell) for cell in cells]) is not None


def evidence(table: Table, path: Path, head: Sequence[str]) -> str:
    """Say by what a file was known for this table."""
    here = layout(table, path, head)
    if here is None:
        return ""
    header = here.separator.join(here.header)
    said = f"its header {header[:80]}{'…' * (len(header) > 80)}"
    if not here.header:
        said = f"{here.width} columns of its kind, without a header"
    if table.named is not None and (matched := table.named.search(path.as_posix())):
        said += f"; its path says {matched[0].strip('/')!r}"
    return said if here.separator == "," else f"{said}; separated by {here.separator!r}"


def cells_of(line: str, separator: str = ",") -> list[str]:
    """Split a line into cells, quoted ones too."""
    if '"' in line:
        try:
            return next(csv.reader([line], delimiter=separator), [])
        except csv.Error:  # a carriage return in the midst: no text, or a damaged line
            pass
    return [cell.strip() for cell in line.split(separator)]


def column_names(line: str) -> list[str]:
    """Return a header's names as tables compare them: small letters, _ between words."""
    return [_plain(cell) for cell in cells_of(line, _separator(line))]


def row_cells(line: str, header: str) -> list[str]:
    """Split a row as its header is separated."""
    return cells_of(line, _separator(header))


def stamp(text: str, field: str = "time") -> int:
    """Return microseconds of a time: seconds (with a fraction), ms, us or ns, or ISO 8601.

    A text without a zone is UTC. Raises UnreadableFrame, also for exponents, whose last digits are
    gone, and for a time before 2015 or after 2100.
    """
    if len(text) == 13 and text.isdigit() and text[0] in "123":
        return _bounded(int(text) * 1000, text, field)
    if len(text) == 16 and text.isdigit():
        return _bounded(int(text), text, field)
    if whole := _WHOLE.fullmatch(text):
        text = whole[1]
    if _DIGITS.fullmatch(text):
        number = int(text)
        # 2015 to 2100 is 1.4e9 to 4.1e9 seconds, and so on by thousands.
        for below, up, down in (
            (10**11, 10**6, 1), (10**14, 1000, 1), (10**17, 1, 1), (10**20, 1, 1000)
        ):  # fmt: skip
            if number < below:
                return _bounded(number * up // down, text, field)
    if decimal := _DECIMAL.fullmatch(text):
        return _bounded(int(decimal[1]) * 10**6 + int(decimal[2][:6].ljust(6, "0")), text, field)
    try:
        moment = datetime.fromisoformat(_ZONE.sub("+00:00", text))
    except ValueError:
        lost = ": in exponent form its last digits are gone" if "e" in text.lower() else ""
        raise UnreadableFrame(field, f"{text[:60]!r} is no time{lost}") from None
    return _bounded(
        round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1e6), text, field
    )


def has_zone(text: str) -> bool:
    """Return whether a time names its zone, or is a number, which needs none."""
    return bool(re.search(r"(?:Z|UTC|GMT|[+-]\d\d:?\d\d)$", text)) or not re.search(r"[-:]", text)


def _bounded(ts: int, text: str, field: str) -> int:
    if not MIN_MICROS <= ts <= MAX_MICROS:
        raise UnreadableFrame(field, f"{text[:60]!r} is not from 2015 to 2099")
    return ts


@lru_cache(maxsize=4096)
def _plain(cell: str) -> str:
    # OKX wrote "trade_id/撮合id".
    name = _INNER.sub("", cell.strip().strip("'\"").split("/", 1)[0].strip(), count=1)
    # Binance tells symbol and side by one letter.
    name = "side" if name == "S" else name.lower()
    return re.sub(r"[\s.-]+", "_", name)


def _wanted(table: Table, names: list[str]) -> Callable[[Sequence[str]], Any] | None:
    """Return what picks the struct's columns out of a row; the last cell stands for a missing."""
    places = []
    required = len(table.columns.__struct_fields__) - len(table.columns.__struct_defaults__)
    for number, field in enumerate(table.columns.__struct_fields__):
        known = (field, *table.names.get(field, ()))
        place = next((names.index(name) for name in known if name in names), None)
        if place is None:
            if number < required:
                return None
            place = len(names)
        places.append(place)
    return itemgetter(*places)


def _separator(line: str) -> str:
    return max(_SEPARATORS, key=lambda mark: (line.count(mark), -_SEPARATORS.index(mark)))
