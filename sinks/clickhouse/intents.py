"""What is about to be written, told before it is: where a sink that was killed goes on."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any, NamedTuple

from sinks.clickhouse.client import Batch, token_of
from sinks.clickhouse.migrate import migrations
from sinks.clickhouse.retry import Retry

log = logging.getLogger("undertow.sink")
#: How often a database that is being migrated is looked at, seconds.
MIGRATED_S = 0.5


class Intent(NamedTuple):
    """The last range that was about to be written to a table from a topic partition."""

    topic: str
    partition: int
    table: str
    lo: int
    hi: int
    epoch: str = ""


class StoreChanged(Exception):
    """The database is another one than a moment ago, and lacks what that one was given."""


class Intents:
    """What was about to be written, told before it is, so that a restart can repeat it.

    Of a range that was taken apart also which parts, so that a restart takes the same ones.
    """

    _COLUMNS = ("kafka_topic", "kafka_partition", "table", "epoch", "lo", "hi", "ts_written")

    def __init__(
        self,
        client: Any,
        retry: Retry | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._client = client
        self._retry = retry or Retry()
        self._clock_ns = clock_ns
        self._parts: dict[str, set[str]] = {}

    def write(self, batches: Iterable[Batch], retry: Retry | None = None) -> None:
        """Record, in one insert, that `batches` come next; raises SinkError."""
        # The time makes every block new to deduplication, which looks at content.
        now = self._clock_ns() // 1000
        rows = [[b.topic, b.partition, b.table, b.epoch, b.lo, b.hi, now] for b in batches]
        if rows:
            token = f"intent:{rows[0][0]}:{rows[0][1]}:{rows[0][4]}"
            (retry or self._retry).run(lambda: self._write_once(rows), "sink_intent", token)

    def _write_once(self, rows: list[list[Any]]) -> None:
        settings = {"async_insert": 0}
        self._client.insert("sink_intent", rows, column_names=self._COLUMNS, settings=settings)

    def last(self, retry: Retry | None = None) -> list[Intent]:
        """Return the last intent for every (topic, partition, table), sorted; raises SinkError."""
        rows = (retry or self._retry).run(self._last_once, "sink_intent", "read")
        last = [Intent(*row) for row in rows]
        tokens = [token_of(*intent) for intent in last]
        self._parts.clear()
        for token, part in (retry or self._retry).run(
            lambda: self._parts_once(tokens), "sink_splits", "read"
        ):
            self._parts.setdefault(token, set()).add(part)
        return last

    def store_id(self, retry: Retry | None = None) -> str:
        """Return what tells this database from others: when it was made; raises SinkError.

        Waits while migrations are under way: some copy a table, and what is written meanwhile
        goes with the one that was copied.
        """
        retry = retry or self._retry
        wanted, is_waiting = {migration.name for migration in migrations()}, False
        while True:
            made_at, applied = retry.run(self._store_id_once, "schema_migrations", "read")
            if not (missing := wanted.difference(applied)):
                return str(made_at)
            if not is_waiting:
                log.warning("waiting for `undertow migrate`: %d migrations to come", len(missing))
            is_waiting = True
            retry.sleep(MIGRATED_S)

    def expect(self, store_id: str, retry: Retry | None = None) -> None:
        """Raise StoreChanged when the database is not the one of that id, SinkError likewise."""
        if (now := self.store_id(retry)) != store_id:
            raise StoreChanged(
                f"the database of {store_id} was replaced by one of {now}, which may lack what"
                " was written to the first"
            )

    def _store_id_once(self) -> Any:
        query = "SELECT toString(min(applied_at)), groupArray(name) FROM schema_migrations"
        return self._client.query(query).result_rows[0]

    def parts(self, token: str) -> Set[str]:
        """Return the parts into which a range had been taken apart when `last` was read."""
        return self._parts.get(token, frozenset())

    def note_parts(self, token: str, parts: Sequence[str], retry: Retry | None = None) -> None:
        """Record that parts of a range are not to be tried whole again; raises SinkError."""
        now = self._clock_ns() // 1000
        rows = [[token, part, now] for part in parts]
        (retry or self._retry).run(lambda: self._note_once(rows), "sink_splits", token)

    def _note_once(self, rows: list[list[Any]]) -> None:
        names, settings = ("token", "part", "ts_written"), {"async_insert": 0}
        self._client.insert("sink_splits", rows, column_names=names, settings=settings)

    def _parts_once(self, tokens: list[str]) -> Any:
        query = "SELECT DISTINCT token, part FROM sink_splits WHERE token IN {tokens:Array(String)}"
        return self._client.query(query, parameters={"tokens": tokens}).result_rows

    def _last_once(self) -> Any:
        query = (
            "SELECT kafka_topic, kafka_partition, table, lo, hi, epoch FROM sink_intent FINAL"
            " ORDER BY kafka_topic, kafka_partition, table"
        )
        return self._client.query(query).result_rows
