"""Tables of the store as Parquet files, which `undertow run --source` reads back.

    hours that hold rows ──> pieces of a million rows at most ──> one query, one file each

Columns are a record's fields, with `type` in front; times are microseconds, as in every record.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from sinks.clickhouse.rows import COLUMNS, KAFKA_COLUMNS, PARTITIONED_BY, TABLES

#: Rows of a file; an hour that holds more is one file all the same.
MOST = 1_000_000
#: Tables that a run takes in; the others are what it concluded.
INPUT = ("trades", "liquidations", "open_interest", "whale_transfers")
_TAGS = {table: kind.__struct_config__.tag for kind, table in TABLES.items()}
#: The order in which records were received, and one for those received at once.
_BY_RECEIPT = dict.fromkeys(INPUT, "ts_recv, ts_event, event_id")

Ask = Callable[[str, str], bytes]


class Span(NamedTuple):
    """Event times in microseconds, from `since` to before `until`; None for no bound.

    `run` is a run's name in kafka_topic, empty for all.
    """

    since: int | None
    until: int | None
    run: str = ""


class Piece(NamedTuple):
    """One file: its name, its rows, and its content."""

    name: str
    rows: int
    content: bytes


def pieces(ask: Ask, table: str, span: Span) -> Iterator[Piece]:
    """Yield a table's rows of a span as Parquet files, in the order of time.

    `ask` takes a query and a format. Raises QueryError.
    """
    at = PARTITIONED_BY[table][0]
    hours = msgspec.json.decode(
        ask(
            f"SELECT toUnixTimestamp(toStartOfHour({at})), count() FROM {table}"
            f" WHERE {_where(at, span)} GROUP BY 1 ORDER BY 1",
            "JSONCompact",
        )
    )["data"]
    group: list[int] = []
    rows = 0
    for hour, count in ((int(h), int(n)) for h, n in hours):
        if group and rows + count > MOST:
            yield _piece(ask, table, span, group, rows)
            group, rows = [], 0
        group.append(hour)
        rows += count
    if group:
        yield _piece(ask, table, span, group, rows)


def _piece(ask: Ask, table: str, span: Span, hours: list[int], rows: int) -> Piece:
    at = PARTITIONED_BY[table][0]
    since, until = hours[0] * 1_000_000, (hours[-1] + 3600) * 1_000_000
    within = Span(max(since, span.since or 0), min(until, span.until or until), span.run)
    order = _BY_RECEIPT.get(table, at)
    final = "" if table == "bars" else " FINAL"
    content = ask(
        f"SELECT {_columns(table)} FROM {table} AS t{final} WHERE {_where(f't.{at}', within)}"
        f" ORDER BY {order} SETTINGS output_format_parquet_string_as_string = 1,"
        " output_format_parquet_compression_method = 'zstd'",
        "Parquet",
    )
    return Piece(f"{table}-{_named(hours[0])}.parquet", rows, content)


def _columns(table: str) -> str:
    names = [name for name in COLUMNS[table] if name not in KAFKA_COLUMNS]
    shown = [
        f"toUnixTimestamp64Micro(t.{name}) AS {name}"
        if name.startswith("ts_")
        else f"CAST(t.{name}, 'Bool') AS {name}"
        if name == "removed"
        else f"t.{name} AS {name}"
        for name in names
    ]
    return ", ".join([f"'{_TAGS[table]}' AS type", *shown])


def _where(at: str, span: Span) -> str:
    terms = ["1"]
    if span.since is not None:
        terms.append(f"{at} >= fromUnixTimestamp64Micro({span.since})")
    if span.until is not None:
        terms.append(f"{at} < fromUnixTimestamp64Micro({span.until})")
    if span.run:
        terms.append(f"kafka_topic = {_quoted(span.run)}")
    return " AND ".join(terms)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _named(hour: int) -> str:
    return datetime.fromtimestamp(hour, UTC).strftime("%Y%m%dT%H")


def tables() -> tuple[str, ...]:
    """Return every table that can be exported."""
    return tuple(TABLES.values())
