"""Records to rows: one pure function per table, columns named as the record's fields.

Times stay int microseconds: clickhouse-connect takes them for DateTime64(6) as they
are, which is also its fastest way in.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from schemas.bars import Bar
from schemas.findings import Alert, AssetPulse, CascadeFinding, MarketFinding, WhaleFinding
from schemas.market import Liquidation, Trade, TradeRow
from schemas.onchain import WhaleTransfer
from schemas.status import DeadLetter, FeedStatus

#: Which record lands in which table.
TABLES: dict[type[msgspec.Struct], str] = {
    Trade: "trades",
    Liquidation: "liquidations",
    WhaleTransfer: "whale_transfers",
    FeedStatus: "feed_status",
    Bar: "bars",
    CascadeFinding: "cascades",
    MarketFinding: "market_cascades",
    WhaleFinding: "whale_selling",
    Alert: "alerts",
    DeadLetter: "dead_letters",
}
#: Also trades that were checked by the batch.
_TABLES = TABLES | {TradeRow: "trades"}
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
_GETTERS = {table: [attrgetter(name) for name in fields] for table, fields in _FIELDS.items()}


class Coords(NamedTuple):
    """Where a batch stood in Kafka: one topic and partition, an offset for each record."""

    topic: str
    partition: int
    offsets: Sequence[int]


def table_of(record: msgspec.Struct) -> str:
    """Return the table `record` belongs to; raises KeyError for one that is not stored."""
    return _TABLES[type(record)]


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
