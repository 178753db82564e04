"""Which rows of a refused batch break a table's constraint, in ClickHouse's own judgement.

A refusal names the constraint's expression and the first row that breaks it. The expression is
then asked of all rows at once, in a query that writes nothing.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from clickhouse_connect.driver import exceptions as driver

from schemas.redact import redacted
from sinks.clickhouse.client import Batch, Writer
from sinks.clickhouse.rows import COLUMNS, Coords, columns, trade_table

log = logging.getLogger(__name__)
#: Rows of one query: about a megabyte of it.
ROWS = 4_000
_REFUSAL = re.compile(
    r"(?P<which>.*?) is violated at row (?P<row>\d+)\."
    r" Expression: \((?P<expression>.*?)\)\. Column values: ",
    re.DOTALL,
)
_SETTINGS = {
    "max_query_size": 1 << 26,
    "date_time_input_format": "best_effort",
    "precise_float_parsing": 1,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Breach(NamedTuple):
    """Places of rows in their batch that break one constraint, and what is told of them."""

    rows: Sequence[int]
    reason: str


def breach(batch: Batch, refusal: BaseException, writer: Writer) -> Breach | None:
    """Return what of `batch` breaks the constraint that a refusal names, None when none is named.

    None as well when ClickHouse does not answer, or not what it refused.
    """
    named = _REFUSAL.match(str(refusal))
    if named is None:
        return None
    try:
        rows = _breaking(batch, named["expression"], writer)
    except (driver.Error, OSError, ValueError) as problem:
        log.warning("%s: who breaks it is not told: %s", batch.table, redacted(str(problem))[:200])
        return None
    # Of a sharded table it is the row among those of its shard.
    if not rows or rows[-1] < int(named["row"]) - 1:
        return None
    return Breach(rows, f"{named['which']} is violated. Expression: ({named['expression']})")


def _breaking(batch: Batch, expression: str, writer: Writer) -> list[int]:
    types = writer.types_of(batch.table)
    columns_of = zip(COLUMNS[batch.table], types, strict=True)
    structure = [f"{name} {kind.name}" for name, kind in columns_of] + ["row_number UInt64"]
    breaking: list[int] = []
    for first, rows in _some(batch, types):
        numbered = (row | {"row_number": first + n} for n, row in enumerate(rows))
        lines = b"\n".join(map(msgspec.json.encode, numbered))
        query = (
            "SELECT row_number FROM"
            f" format(JSONEachRow, {_quoted(', '.join(structure))}, {_quoted(lines.decode())})"
            f" WHERE NOT ifNull(({expression}), 0) ORDER BY row_number"
        )
        breaking += [row for (row,) in writer.ask(query, _SETTINGS)]
    return breaking


def _some(batch: Batch, types: Sequence[Any]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Yield some rows at a time, and the place of their first, in the order of their insert."""
    coords = Coords(batch.topic, batch.partition, batch.offsets)
    if batch.table == "trades":
        whole = trade_table(batch.records, batch.pieces, coords)
        for first in range(0, batch.rows, ROWS):
            yield first, whole.slice(first, ROWS).to_pylist()
        return
    names, filled = COLUMNS[batch.table], columns(batch.table, batch.records, coords)
    for first in range(0, batch.rows, ROWS):
        few = [
            list(map(_moment, values[first : first + ROWS]))
            if "DateTime64" in kind.name
            else values[first : first + ROWS]
            for values, kind in zip(filled, types, strict=True)
        ]
        yield first, [dict(zip(names, row, strict=True)) for row in zip(*few, strict=True)]


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
