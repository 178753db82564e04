"""`undertow audit`: does ClickHouse hold exactly what Kafka holds, up to what was committed?

    Kafka  ──read again, chunk by chunk──> records that belong in a table ──┐
    tables ──rows of those offsets, FINAL──────────────────────────────────┴─> gaps, strangers

A record whose offset has no row was either told before or since under the same identity
(`repeated`: the engine keeps one of them), or ClickHouse refused it and a dead letter says so
(`refused`), or it is missing (a gap). Memory is bounded by
CHUNK records, whatever the topics hold.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.status import FeedStatus
from schemas.topics import TOPICS
from sinks.clickhouse.poison import NOT_STORED_IN
from sinks.clickhouse.rows import TABLES, table_of
from sinks.kafka.consumer import stored
from sinks.kafka.membership import SUNK, answered

#: The columns that tell two rows of a table apart: its sorting key (a test compares them).
KEYS: dict[str, tuple[str, ...]] = {
    "trades": ("asset", "venue", "instrument", "ts_event", "event_id"),
    "liquidations": ("asset", "venue", "ts_event", "event_id"),
    "open_interest": ("asset", "venue", "instrument", "ts_event", "event_id"),
    "whale_transfers": ("asset", "chain", "event_id"),
    "feed_status": ("producer", "ts_event", "state", "parts", "part"),
    "bars": ("asset", "venue", "instrument", "ts_open", "kafka_partition", "kafka_offset"),
    "cascades": ("asset", "position_side", "ts_event", "finding_id"),
    "market_cascades": ("ts_event", "finding_id"),
    "stress": ("asset", "ts_event", "finding_id"),
    "scores": ("asset", "position_side", "ts_event"),
    "thresholds": ("asset", "feed_class", "ts_event", "finding_id"),
    "whale_selling": ("asset", "venue", "ts_event", "finding_id"),
    "alerts": ("asset", "ts_event", "alert_id"),
    "dead_letters": ("topic", "partition", "offset"),
    "notifications": ("notification_id", "endpoint", "state", "ts_noted"),
}
CHUNK = 50_000
POLL = 5_000
TIMEOUT_S = 30.0
#: Identities in one look-up: their text stays below ClickHouse's max_query_size.
LOOKED_UP = 500
#: Groups of one count of doubles, which the engine holds in memory.
GROUPS = 1_000_000
EXAMPLES = 5

Ask = Callable[[str], str]
Identity = tuple[str, ...]


class CannotAudit(Exception):
    """Kafka or ClickHouse could not be asked; the message says which and why."""


class Line(msgspec.Struct, rename={"first": "from"}):
    """What was found for one partition; offsets from `first` up to and without `to`."""

    topic: str
    partition: int
    first: int
    to: int
    expected: int = 0
    rows: int = 0
    offsets: int = 0
    repeated: int = 0
    refused: int = 0
    gaps: int = 0
    doubled: int = 0
    strangers: int = 0
    older: int = 0
    unread: int = 0
    examples: list[str] = []

    @property
    def clean(self) -> bool:
        """Whether the tables hold each record once and nothing else."""
        return not (self.gaps or self.doubled or self.strangers)


class Check(msgspec.Struct):
    """Two ways to the same sum."""

    what: str
    view: str
    table: str

    @property
    def clean(self) -> bool:
        """Whether they agree."""
        return self.view == self.table


class Report(msgspec.Struct):
    """All partitions, and what the views say."""

    clean: bool
    partitions: list[Line]
    checks: list[Check]


class Expected(NamedTuple):
    """A record that belongs in a table: its table, offset and identity."""

    table: str
    offset: int
    identity: Identity


def audit(conf: Mapping[str, Any], ask: Ask, tell: Callable[[str], object]) -> Report:
    """Compare every topic with its tables; `tell` hears a line for each topic.

    `conf` is the sink's consumer settings; nothing is committed and its group not joined.
    `ask` answers a query in JSONCompactEachRow. Raises CannotAudit, and what `ask` raises.
    """
    extra = {"enable.partition.eof": True, "queued.max.messages.kbytes": 16_384}
    consumer = Consumer({**conf, **extra, "enable.auto.commit": False})
    try:
        lines = [line for topic in SUNK for line in _topic(consumer, ask, topic, tell)]
    except KafkaException as problem:
        raise CannotAudit(f"Kafka: {problem.args[0].str()}") from problem
    finally:
        consumer.close()
    tell("views")
    checks = [_check(ask, *views) for views in VIEWS]
    clean = all(line.clean for line in lines) and all(check.clean for check in checks)
    return Report(clean, lines, checks)


def _topic(
    consumer: Consumer, ask: Ask, topic: str, tell: Callable[[str], object]
) -> Iterator[Line]:
    described = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    if described.error is not None:
        raise CannotAudit(f"Kafka has no topic {topic}: {described.error.str()}")
    places = [TopicPartition(topic, partition) for partition in sorted(described.partitions)]
    # Before the ends of the log are read: what is in a table by now lies before them.
    extents = {table: _extents(ask, topic, table) for table in _tables_of(topic)}
    for tp in answered(lambda: consumer.committed(places, timeout=30)):
        low, high = consumer.get_watermark_offsets(tp, timeout=TIMEOUT_S)
        while True:
            to = min(max(tp.offset, low), high)
            line = Line(topic, tp.partition, low, to, unread=high - to)
            tell(f"{topic}[{tp.partition}] {low} to {to}")
            _compare(consumer, ask, line)
            for table, of in extents.items():
                if tp.partition in of:
                    _look_outside(ask, line, table, of[tp.partition], high)
            now, _ = consumer.get_watermark_offsets(tp, timeout=TIMEOUT_S)
            if now == low:
                break
            low = now  # the log was cut while we read: what it lost is no stranger
        yield line


def _extents(ask: Ask, topic: str, table: str) -> dict[int, tuple[int, int]]:
    """Return the first and last offset stored, by partition."""
    rows = _ask(
        ask,
        "SELECT kafka_partition, toString(min(kafka_offset)), toString(max(kafka_offset))"
        f" FROM {table} FINAL WHERE kafka_topic = '{topic}' GROUP BY kafka_partition",
    )
    return {partition: (int(first), int(last)) for partition, first, last in rows}


def _look_outside(ask: Ask, line: Line, table: str, extent: tuple[int, int], high: int) -> None:
    """Count the rows of offsets that Kafka holds no more, or never held."""
    first, last = extent
    if first < line.first or last >= high:
        [[older, beyond]] = _ask(
            ask,
            f"SELECT countIf(kafka_offset < {line.first}),"
            f" countIf(kafka_offset >= {high} AND kafka_offset <= {last})"
            f" FROM {table} FINAL WHERE {_where(line)}",
        )
        line.older += int(older)
        line.rows += int(beyond)
        line.strangers += int(beyond)
    line.doubled += _doubled(ask, line, table)


def _compare(consumer: Consumer, ask: Ask, line: Line) -> None:
    start = line.first
    for chunk, end in _chunks(consumer, line):
        for table in _tables_of(line.topic):
            mine = [record for record in chunk if record.table == table]
            _judge(ask, line, table, mine, _rows(ask, line, table, start, end))
        start = end


def _tables_of(topic: str) -> list[str]:
    kinds = TOPICS[topic].payload
    return [
        TABLES[kind]
        for kind in kinds
        if kind in TABLES and (kind is not FeedStatus or topic == "feed_status")
    ]


def _chunks(consumer: Consumer, line: Line) -> Iterator[tuple[list[Expected], int]]:
    """Yield the records from `first` to `to`, and where each chunk's offsets end."""
    if line.first >= line.to:
        yield [], line.to
        return
    consumer.assign([TopicPartition(line.topic, line.partition, line.first)])
    chunk: list[Expected] = []
    at = line.first
    while at < line.to:
        for message in _consume(consumer, line):
            offset = message.offset()
            at = max(at, offset if message.error() else offset + 1)
            if message.error() or offset >= line.to:
                continue
            for record in stored((line.topic, line.partition), offset, message):
                table = table_of(record)
                chunk.append(Expected(table, offset, _identity(table, record, line, offset)))
        if len(chunk) >= CHUNK and at < line.to:
            yield chunk, at
            chunk = []
    consumer.unassign()
    yield chunk, line.to


def _consume(consumer: Consumer, line: Line) -> list[Any]:
    deadline = time.monotonic() + TIMEOUT_S
    # A longer wait would be waited out at each partition's end, where fewer come.
    while not (messages := consumer.consume(POLL, timeout=0.1)):
        if time.monotonic() > deadline:
            raise CannotAudit(f"Kafka: nothing came of {line.topic}[{line.partition}] for 30 s")
    for message in messages:
        error = message.error()
        if error and error.code() != KafkaError._PARTITION_EOF and not error.retriable():
            raise KafkaException(error)
    return messages


def _identity(table: str, record: msgspec.Struct, line: Line, offset: int) -> Identity:
    place = {"kafka_partition": line.partition, "kafka_offset": offset}
    return tuple(
        str(place[name] if name in place else getattr(record, name)) for name in KEYS[table]
    )


def _rows(ask: Ask, line: Line, table: str, start: int, end: int) -> list[tuple[int, Identity]]:
    """Return the offset and identity of each row of `table` from offsets [start, end)."""
    if start >= end:
        return []
    rows = _ask(
        ask,
        f"SELECT kafka_offset, {', '.join(map(_shown, KEYS[table]))} FROM {table} FINAL"
        f" WHERE {_where(line)} AND kafka_offset >= {start} AND kafka_offset < {end}",
    )
    return [(int(offset), tuple(map(str, identity))) for offset, *identity in rows]


def _judge(
    ask: Ask, line: Line, table: str, records: list[Expected], rows: list[tuple[int, Identity]]
) -> None:
    """Add to `line` what one chunk of records and the rows of its offsets say."""
    # A message of many trades gives several records at one offset.
    meant = {(record.offset, record.identity) for record in records}
    right = meant.intersection(rows)
    absent = {r.identity: r.offset for r in records if (r.offset, r.identity) not in right}
    kept = _elsewhere(ask, table, list(absent)) if table != "bars" else set()
    letters = _letters(ask, line, [*absent.values()]) if absent.keys() - kept else set()
    line.expected += len(records)
    line.rows += len(rows)
    line.offsets += len({offset for offset, _ in rows})
    line.strangers += sum(row not in meant for row in rows)
    for record in records:
        if (record.offset, record.identity) in right:
            continue
        if record.identity in kept:
            line.repeated += 1
            continue
        if record.offset in letters:
            line.refused += 1
            continue
        line.gaps += 1
        if len(line.examples) < EXAMPLES:
            line.examples.append(f"{table} {record.offset} {' '.join(record.identity)}")


def _letters(ask: Ask, line: Line, offsets: list[int]) -> set[int]:
    """Return those of `offsets` of which a dead letter says that ClickHouse refused them."""
    rows = _ask(
        ask,
        "SELECT DISTINCT toString(offset) FROM dead_letters FINAL"
        f" WHERE topic = '{line.topic}' AND partition = {line.partition}"
        f" AND offset BETWEEN {min(offsets)} AND {max(offsets)}"
        f" AND startsWith(reason, '{NOT_STORED_IN}')",
    )
    return {int(offset) for [offset] in rows}


def _elsewhere(ask: Ask, table: str, identities: list[Identity]) -> set[Identity]:
    """Return those of `identities` that have a row, wherever it came from."""
    elsewhere: set[Identity] = set()
    shown = ", ".join(map(_shown, KEYS[table]))
    for at in range(0, len(identities), LOOKED_UP):
        wanted = ", ".join(_literal(table, one) for one in identities[at : at + LOOKED_UP])
        key = ", ".join(KEYS[table])
        sql = f"SELECT DISTINCT {shown} FROM {table} FINAL WHERE ({key}) IN ({wanted})"
        elsewhere.update(tuple(map(str, row)) for row in _ask(ask, sql))
    return elsewhere


def _doubled(ask: Ask, line: Line, table: str) -> int:
    """Return how many rows stand beside another of the same identity."""
    if not line.rows:
        return 0
    identity = f"sipHash64({', '.join(KEYS[table])})"
    slices = 1 + line.rows // GROUPS
    total = 0
    for number in range(slices):
        [[more]] = _ask(
            ask,
            f"SELECT sum(n - 1) FROM (SELECT count() AS n FROM {table} FINAL"
            f" WHERE {_where(line)} AND {identity} % {slices} = {number}"
            f" GROUP BY {identity} HAVING n > 1)",
        )
        total += int(more or 0)
    return total


def _where(line: Line) -> str:
    return f"kafka_topic = '{line.topic}' AND kafka_partition = {line.partition}"


def _shown(column: str) -> str:
    # As text: 64-bit numbers are quoted in JSON by some versions and not by others.
    if column.startswith("ts_"):
        return f"toString(toUnixTimestamp64Micro({column}))"
    return f"toString({column})"


def _literal(table: str, identity: Identity) -> str:
    return f"({', '.join(map(_value, KEYS[table], identity))})"


def _value(column: str, text: str) -> str:
    if column.startswith("ts_"):
        return f"fromUnixTimestamp64Micro({text}, 'UTC')"
    if column in ("leg", "part", "parts", "partition", "offset"):
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _ask(ask: Ask, sql: str) -> list[list[Any]]:
    return [msgspec.json.decode(line) for line in ask(sql).splitlines() if line]


_WHOLE = "toString(tuple(sum(trades), sum(buy_usd), sum(sell_usd)))"
#: What, and the same sum through a view and from its table.
VIEWS = (
    (
        "bars_1s: trades, bought and sold USD",
        f"SELECT {_WHOLE} FROM bars_1s",
        f"SELECT {_WHOLE} FROM bars FINAL WHERE width = 1000000",
    ),
    (
        "bars_1m: trades, bought and sold USD",
        f"SELECT {_WHOLE} FROM bars_1m",
        f"SELECT {_WHOLE} FROM bars FINAL WHERE width <= 60000000",
    ),
    (
        "board_24h: orders",
        "SELECT toString(sum(orders)) FROM board_24h",
        "SELECT toString(sum(orders)) FROM liquidations FINAL WHERE ts_event >"
        " (SELECT max(ts_event) FROM liquidations FINAL) - toIntervalHour(24)",
    ),
)


def _check(ask: Ask, what: str, view: str, table: str) -> Check:
    # A sink that writes between the two queries makes them differ; not every time.
    for _ in range(5):
        [[seen]], [[stored_]] = _ask(ask, view), _ask(ask, table)
        check = Check(what, str(seen), str(stored_))
        if check.clean:
            break
    return check


def totals(lines: Iterable[Line]) -> dict[str, int]:
    """Return the sums of the counting columns."""
    accounted = ("expected", "rows", "repeated", "refused", "gaps", "doubled")
    counted = (*accounted, "strangers", "older", "unread")
    kept = list(lines)
    return {name: sum(getattr(line, name) for line in kept) for name in counted}
