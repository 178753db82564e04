"""Records to rows: one pure function per table, columns named as the record's fields.

Times stay int microseconds: clickhouse-connect takes them for DateTime64(6) as they
are, which is also its fastest way in.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.bars import Bar
from schemas.findings import (
    Alert,
    AssetPulse,
    CascadeFinding,
    MarketFinding,
    SideScore,
    StressFinding,
    ThresholdFinding,
    WhaleFinding,
)
from schemas.market import Liquidation, OpenInterest, Trade
from schemas.notifications import NotificationStep
from schemas.onchain import WhaleTransfer
from schemas.scan import event_ids
from schemas.scan.columns import Columns
from schemas.status import DeadLetter, FeedStatus

#: Which record lands in which table.
TABLES: dict[type[msgspec.Struct], str] = {
    Trade: "trades",
    Liquidation: "liquidations",
    OpenInterest: "open_interest",
    WhaleTransfer: "whale_transfers",
    FeedStatus: "feed_status",
    Bar: "bars",
    CascadeFinding: "cascades",
    MarketFinding: "market_cascades",
    StressFinding: "stress",
    SideScore: "scores",
    ThresholdFinding: "thresholds",
    WhaleFinding: "whale_selling",
    Alert: "alerts",
    DeadLetter: "dead_letters",
    NotificationStep: "notifications",
}
#: Records that only carry evidence from one detector to the next.
NOT_STORED: frozenset[type[msgspec.Struct]] = frozenset({AssetPulse})

KAFKA_COLUMNS = ("kafka_topic", "kafka_partition", "kafka_offset")

_FIELDS: dict[str, tuple[str, ...]] = {
    table: tuple(field.name for field in msgspec.structs.fields(kind))
    for kind, table in TABLES.items()
}
#: The columns of each table, in the order that `columns` fills them.
COLUMNS: dict[str, tuple[str, ...]] = {
    table: fields + KAFKA_COLUMNS for table, fields in _FIELDS.items()
}
#: The time by which a table is partitioned, and whether by day or month (a test compares them).
PARTITIONED_BY: dict[str, tuple[str, Literal["D", "M"]]] = (
    dict.fromkeys(TABLES.values(), ("ts_event", "M"))
    | {"trades": ("ts_event", "D"), "bars": ("ts_open", "M"), "dead_letters": ("ts_recv", "M")}
    | {"notifications": ("ts_noted", "M")}
)
_GETTERS = {table: [attrgetter(name) for name in fields] for table, fields in _FIELDS.items()}


class Coords(NamedTuple):
    """Where a batch stood in Kafka: one topic and partition, an offset for each record."""

    topic: str
    partition: int
    offsets: Sequence[int]


class Piece(NamedTuple):
    """Sound trades in columns, the names that their `label` numbers, and an offset for each.

    `ids` are Arrow's: the words that `of` had them in take six times the memory while they wait.
    """

    labels: Sequence[tuple[str, str, str, str]]
    of: Columns
    ids: Any
    offsets: NDArray[np.int64]


def packed(
    labels: Sequence[tuple[str, str, str, str]], of: Columns, offsets: NDArray[np.int64]
) -> Piece:
    """Return trades as they wait for their insert."""
    ids = pa.array(of.event_id.tolist(), pa.string())
    return Piece(labels, of._replace(event_id=event_ids.of(())), ids, offsets)


def table_of(record: msgspec.Struct) -> str:
    """Return the table `record` belongs to; raises KeyError for one that is not stored."""
    return TABLES[type(record)]


#: Beside its time, what tells a record from others of the same message.
NAMED_BY: dict[str, tuple[str, ...]] = dict.fromkeys(TABLES.values(), ("event_id",)) | {
    "trades": ("venue", "instrument", "event_id"),
    "feed_status": ("producer",),
    "bars": ("venue", "instrument"),
    "cascades": ("finding_id",),
    "market_cascades": ("finding_id",),
    "stress": ("finding_id",),
    "scores": ("asset", "position_side"),
    "thresholds": ("finding_id",),
    "whale_selling": ("finding_id",),
    "alerts": ("alert_id",),
    "dead_letters": ("topic",),
    "notifications": ("notification_id", "endpoint"),
}


def partitions_of(
    table: str, records: Sequence[msgspec.Struct], pieces: Sequence[Piece]
) -> NDArray[np.int64]:
    """Return a number for the table's partition of each row, those of `pieces` last."""
    column, unit = PARTITIONED_BY[table]
    alone = np.fromiter(map(attrgetter(column), records), np.int64, len(records))
    times = np.concatenate([alone, *(piece.of.ts_event for piece in pieces)])
    return times.astype("M8[us]").astype(f"M8[{unit}]").astype(np.int64)


def names_of(
    table: str, records: Sequence[msgspec.Struct], pieces: Sequence[Piece]
) -> list[tuple[int, str]]:
    """Return time and name of each row, those of `pieces` last."""
    column, names = PARTITIONED_BY[table][0], NAMED_BY[table]
    named = [
        (getattr(one, column), " ".join(getattr(one, name) for name in names)) for one in records
    ]
    for piece in pieces:
        labels = [f"{venue} {instrument}" for venue, _, instrument, _ in piece.labels]
        rows = zip(piece.of.ts_event.tolist(), piece.of.label.tolist(), piece.ids, strict=True)
        named += [(time, f"{labels[label]} {event_id}") for time, label, event_id in rows]
    return named


def columns(table: str, records: Sequence[msgspec.Struct], coords: Coords) -> list[list[Any]]:
    """Turn records of one table into lists, one for each of `COLUMNS[table]`.

    Raises ValueError when there is not exactly one offset a record, AttributeError
    for a record of another table.
    """
    if len(records) != len(coords.offsets):
        raise ValueError(f"{len(records)} records but {len(coords.offsets)} offsets")
    # Field by field: a tuple for each record costs nine times as much.
    filled: list[list[Any]] = [list(map(get, records)) for get in _GETTERS[table]]
    count = len(records)
    filled.append([coords.topic] * count)
    filled.append([coords.partition] * count)
    filled.append(list(coords.offsets))
    return filled


def trade_table(records: Sequence[msgspec.Struct], pieces: Sequence[Piece], coords: Coords) -> Any:
    """Return trades as one Arrow table, in COLUMNS, those of `pieces` last; `coords` has the
    offsets of `records`.

    A quarter of what lists cost, and ClickHouse reads it without holding the interpreter.
    Raises as `columns` does.
    """
    tables = []
    if records:
        by_name = dict(zip(COLUMNS["trades"], columns("trades", records, coords), strict=True))
        tables.append(pa.table([pa.array(by_name[f.name], f.type) for f in _ARROW], _ARROW))
    tables += [_of_piece(piece, coords) for piece in pieces]
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


_WORD = pa.dictionary(pa.int32(), pa.string())
_KINDS = {
    "event_id": pa.string(),
    "ts_event": pa.timestamp("us", "UTC"),
    "ts_recv": pa.timestamp("us", "UTC"),
    "kafka_partition": pa.uint32(),
    "kafka_offset": pa.int64(),
} | dict.fromkeys(("price", "quantity", "notional_usd"), pa.float64())
_ARROW = pa.schema([(name, _KINDS.get(name, _WORD)) for name in COLUMNS["trades"]])


def _of_piece(piece: Piece, coords: Coords) -> Any:
    of, count = piece.of, len(piece.offsets)
    used, row = np.unique(of.label, return_inverse=True)
    names = [piece.labels[label] for label in used.tolist()]
    by_name = {
        "event_id": piece.ids,
        "aggressor_side": _words(["sell", "buy"], of.buys.astype(np.int32)),
        "price": of.price,
        "quantity": of.quantity,
        "notional_usd": pa.array(of.usd, mask=np.isnan(of.usd)),
        "ts_event": of.ts_event,
        "ts_recv": of.ts_recv,
        "kafka_topic": _words([coords.topic], np.zeros(count, np.int32)),
        "kafka_partition": np.full(count, coords.partition, np.uint32),
        "kafka_offset": piece.offsets,
    }
    for place, name in enumerate(("venue", "asset", "instrument", "venue_symbol")):
        by_name[name] = _words([label[place] for label in names], row)
    arrays = [by_name[f.name] for f in _ARROW]
    return pa.table([x if isinstance(x, pa.Array) else pa.array(x).cast(f.type)
                     for x, f in zip(arrays, _ARROW, strict=True)], _ARROW)  # fmt: skip


def _words(names: list[str], row: NDArray[Any]) -> Any:
    """Return a column of words: a dictionary may hold none twice."""
    once = {name: number for number, name in enumerate(dict.fromkeys(names))}
    numbers = np.array([once[name] for name in names], np.int32)
    return pa.DictionaryArray.from_arrays(numbers[row], pa.array(list(once), pa.string()))
