"""Records on their way to chDB: batched by table, written by a thread of their own."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from schemas import metrics
from schemas.scan.columns import Trades
from schemas.status import letter
from sinks.clickhouse import client as clickhouse
from sinks.clickhouse import constraints, poison
from sinks.clickhouse.rows import TABLES, Piece, packed, table_of
from streams.process import clock
from streams.run.checkpoint import Tally

log = logging.getLogger("undertow.run")
#: Batches waiting for chDB at most: what bounds memory when it is slower than the source.
QUEUE = 2


class LeftApart(Exception):
    """Told to stop while a batch was being taken apart: its rows are for the next start."""


class Rows:
    """Open batches, and a queue in which checkpoints stand behind the rows they count."""

    def __init__(
        self,
        writer: clickhouse.Writer,
        run: str,
        attempt: str,
        tally: Tally,
        keep: Callable[[bytes], None],
        batch_rows: int,
        flush_s: float,
        stopping: Callable[[], object] = lambda: False,
    ) -> None:
        """`attempt` differs at each start: rows deleted at a resume keep their tokens used.

        Taking a refused batch apart may last: what `stopping` asks for then comes first.
        """
        self._writer = writer
        self._run = run
        self._attempt = attempt
        self._tally = tally
        self._keep = keep
        self._size = batch_rows
        self._flush_s = flush_s
        self._stopping = stopping
        self._shown_at = time.monotonic()
        self._open: dict[str, list[msgspec.Struct]] = {}
        self._trades: list[Piece] = []
        self._queue: queue.Queue[clickhouse.Batch | bytes | Callable[[], object] | None] = (
            queue.Queue(QUEUE)
        )
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._write, name="rows", daemon=True)

    def __enter__(self) -> "Rows":
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if kind is None:
            self._check()

    def put(self, record: msgspec.Struct) -> None:
        """Add one record; raises what the writer thread failed with."""
        table = table_of(record)
        batch = self._open.setdefault(table, [])
        batch.append(record)
        if len(batch) >= self._size:
            self._hand_over(table)

    def put_trades(self, trades: Trades) -> None:
        """Add trades in columns; raises as `put` does."""
        waiting = len(self._open.setdefault("trades", []))
        waiting += sum(len(one.offsets) for one in self._trades)
        if waiting and waiting + len(trades) > self._size:
            self._hand_over("trades")
            self._open["trades"] = []
        self._trades.append(packed(trades.words.labels, trades.of, np.arange(len(trades))))

    def refuse(self, topic: str, record: msgspec.Struct, field: str, reason: str) -> None:
        """Add the dead letter of a record that was not taken in."""
        number = self._tally.refused[topic] = self._tally.refused.get(topic, 0) + 1
        self.put(
            letter(
                (topic, 0, number),
                field,
                reason,
                msgspec.json.encode(record),
                getattr(record, "ts_recv", clock.now_us()),
            )
        )

    def show(self) -> bool:
        """Say whether `flush_s` has passed; if so, hand over what waits, for queries to see."""
        if time.monotonic() - self._shown_at < self._flush_s:
            return False
        self._shown_at = time.monotonic()
        # A writer that is behind gets larger batches, not more of them.
        if self._queue.empty():
            self.flush()
        return True

    def flush(self) -> None:
        """Hand over every open batch."""
        for table in list(self._open):
            self._hand_over(table)

    def mark(self, content: bytes) -> None:
        """Have a checkpoint written once every row handed over so far is in; flush first."""
        self._check()
        self._queue.put(content)

    def also(self, write: Callable[[], object]) -> None:
        """Have something else written by the same thread, unless that is behind: then later."""
        self._check()
        if not self._queue.full():
            self._queue.put(write)

    def _hand_over(self, table: str) -> None:
        self._check()
        records = self._open.pop(table)
        lo = at = self._tally.written.get(table, 0)
        at += len(records)
        pieces = []
        for one in self._trades if table == "trades" else ():
            pieces.append(one._replace(offsets=one.offsets + at))
            at += len(one.offsets)
        if table == "trades":
            self._trades = []
        self._tally.written[table] = at
        if at > lo:
            offsets = range(lo, lo + len(records))
            self._queue.put(
                clickhouse.Batch(
                    table, self._run, 0, lo, at - 1, records, offsets, self._attempt, pieces
                )
            )

    def _check(self) -> None:
        if self._failed:
            raise self._failed[0]

    def _write(self) -> None:
        while (entry := self._queue.get()) is not None:
            # After a failure nothing more may land: a checkpoint would speak for lost rows.
            if self._failed:
                continue
            try:
                if isinstance(entry, bytes):
                    self._keep(entry)
                elif isinstance(entry, clickhouse.Batch):
                    self._insert(entry)
                else:
                    entry()
            except BaseException as problem:
                self._failed.append(problem)

    def _insert(self, batch: clickhouse.Batch) -> None:
        how = poison.Insertion(
            self._writer.insert,
            breach=lambda part, cause: constraints.breach(part, cause, self._writer),
            between=self._look_up,
        )
        count, refusals, _ = poison.insert(batch, how)
        if refusals:
            log.error("%d rows of %s refused: %s", len(refusals), batch.table, refusals[0].reason)
            self._writer.insert(_letters(batch, refusals))
        metrics.ROWS.labels(batch.table).inc(count)
        metrics.BATCHES.labels(batch.table).inc()

    def _look_up(self) -> None:
        if self._stopping():
            raise LeftApart


def _letters(batch: clickhouse.Batch, refusals: list[poison.Refusal]) -> clickhouse.Batch:
    """Return the dead letters of what chDB does not take; `cut_back` leaves them alone."""
    of = batch._replace(topic=f"{batch.topic}/{batch.table}")
    letters = poison.letters_of(of, refusals)
    return batch._replace(
        table="dead_letters", records=letters, offsets=[-1] * len(letters), pieces=(),
        part=f"of {batch.table}",
    )  # fmt: skip


def are_there(client: Any, run: str, tally: Tally) -> bool:
    """Say whether the rows that a checkpoint speaks for are in this database at all."""
    counted = [table for table, rows in tally.written.items() if rows]
    return not counted or any(_count(client, table, run, 0) for table in counted)


def cut_back(client: Any, run: str, tally: Tally) -> int:
    """Delete the run's rows past `tally`, of a batch torn by a kill too; return how many."""
    deleted = 0
    for table in TABLES.values():
        first = tally.written.get(table, 0)
        # A deletion looks through every part of the table, so not for nothing.
        if extra := _count(client, table, run, first):
            client.command(
                f"DELETE FROM {table} WHERE {_PAST}",
                parameters={"run": run, "first": first},
                settings={"lightweight_deletes_sync": 2},
            )
            deleted += extra
    return deleted


_PAST = "kafka_topic = {run:String} AND kafka_offset >= {first:Int64}"


def _count(client: Any, table: str, run: str, first: int) -> int:
    query = f"SELECT count() FROM {table} WHERE {_PAST}"
    return int(client.query(query, parameters={"run": run, "first": first}).result_rows[0][0])
