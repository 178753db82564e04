"""Undertow in one process: a source, the pipeline, chDB, and an SQL endpoint on it.

source ──> pipeline.step ──> rows ──(writer thread)──> chDB <── SQL endpoint
                        └──> alerts ──(outbox)──> webhooks
"""

import asyncio
import contextlib
import fcntl
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import msgspec
import orjson

from schemas.findings import Alert
from schemas.status import DeadLetter, FeedStatus
from schemas.topics import RAW_TOPICS
from sinks import clickhouse, migrate, sql_endpoint
from sinks.report import report
from sinks.rows import table_of
from sinks.webhooks.delivery import Deliverer, clock_us
from sinks.webhooks.endpoints import parse_endpoints
from sinks.webhooks.outbox import Outbox
from streams import clock, kafka, pipeline, score
from streams.params import Params
from streams.settings import Settings
from streams.sources import Source
from streams.sources.pace import paced

#: Batches waiting for chDB at most: what bounds memory when it is slower than the source.
QUEUE = 8


class CannotRun(Exception):
    """The run cannot begin or go on; the message is one clear line."""


class Embedded:
    """The open parts of one run: data directory, database, endpoint, webhooks."""

    def __init__(self, settings: Settings, params: Params) -> None:
        self.settings = settings
        self.params = params
        self.data_dir = Path(settings.data_dir)
        self._stack = contextlib.ExitStack()
        self.client: Any = None
        self.url: str | None = None

    def __enter__(self) -> "Embedded":
        try:
            self._stack.enter_context(_owned(self.data_dir))
            url = self.settings.clickhouse_url
            self.client = clickhouse.open_client(url, self.data_dir)
            self._stack.callback(self.client.close)
            migrate.migrate(self.client, clickhouse.database_of(url))
            path = clickhouse.chdb_path(url, self.data_dir)
            if path is not None:
                self._serve(path)
        except (clickhouse.DataDirBusy, sql_endpoint.EndpointError) as problem:
            self._stack.close()
            raise CannotRun(str(problem)) from problem
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _serve(self, path: Path) -> None:
        handle = sql_endpoint.serve(path, self.settings.sql_host, self.settings.sql_port)
        self._stack.callback(handle.stop)
        self.url = handle.url
        told = self.data_dir / "endpoint.json"
        told.write_bytes(orjson.dumps({"url": handle.url, "pid": os.getpid()}))
        self._stack.callback(told.unlink, missing_ok=True)

    def play(
        self, source: Source, tell: Callable[[int, int], None], speed: float | None
    ) -> dict[str, Any]:
        """Run a whole source through and return its report, also written to run.json.

        `tell(event time, records)` hears progress; `speed` is event seconds a second of
        wall clock, None as fast as it goes. Raises sinks.clickhouse.SinkError when the
        database does not take a batch.
        """
        began = time.monotonic()
        epoch = f"run:{uuid4().hex[:12]}"
        rows = Rows(
            clickhouse.Writer(self.client), epoch, self.settings.batch_rows, self.settings.flush_s
        )
        with rows, self._webhooks() as notify:
            _drive(self.params, source, rows, notify, tell, speed)
        found = report(self.client, epoch)
        found["source"] = {"name": source.name, "identity": source.identity}
        found["params_version"] = self.params.version
        found["late"] = rows.late
        found["elapsed_s"] = round(time.monotonic() - began, 3)
        if source.planted:
            found |= score.against_planted(source.planted, found)
        target = self.data_dir / "run.json"
        target.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
        return found

    @contextlib.contextmanager
    def _webhooks(self) -> Iterator[Callable[[Alert], None]]:
        """Yield what takes an alert; deliveries go on in a thread until all are settled."""
        private = self.settings.webhook_allow_private
        allowed = [host for host in private.replace(",", " ").split() if host]
        endpoints = parse_endpoints(self.settings.webhook_urls, allowed)
        if not endpoints:
            yield lambda alert: None
            return
        stop = threading.Event()
        with Outbox(self.data_dir / "outbox.sqlite") as outbox:
            worker = threading.Thread(
                target=lambda: asyncio.run(_deliver(Deliverer(endpoints, outbox), stop))
            )
            worker.start()
            try:
                yield lambda alert: _ignore(outbox.put(alert, endpoints, clock_us()))
            finally:
                stop.set()
                worker.join()


def _ignore(_: object) -> None:
    """Drop a value where only the effect is wanted."""


async def _deliver(deliverer: Deliverer, stop: threading.Event) -> None:
    """Deliver until told to stop, then give what is due one more chance."""
    stopping = asyncio.Event()
    running = asyncio.create_task(deliverer.run(stopping))
    while not stop.is_set():
        await asyncio.sleep(0.05)
    stopping.set()
    await running
    await deliverer.drain()


def _drive(
    params: Params,
    source: Source,
    rows: "Rows",
    notify: Callable[[Alert], None],
    tell: Callable[[int, int], None],
    speed: float | None,
) -> None:
    state = pipeline.State()
    pace = _Pace(speed)
    records = 0
    for topic, record in paced(source, clock.not_after()):
        if isinstance(record, DeadLetter):
            rows.put(record)
            continue
        records += not isinstance(record, FeedStatus)
        told = pipeline.step(params, state, topic, record)
        if isinstance(record, FeedStatus):
            if record.state != "alive" and topic == source.clocked[0]:
                rows.put(record)
            if topic == source.clocked[0]:
                pace.wait(record.ts_event)
                rows.show()
                tell(record.ts_event, records)
        elif told.refused == "duplicate":
            rows.refuse(topic, record, "event_id", "duplicate event_id")
        elif topic in RAW_TOPICS:
            rows.put(record)
            rows.late += told.refused == "late"
        for _, output in told.outputs:
            rows.put(output)
            if isinstance(output, Alert):
                notify(output)


class _Pace:
    """Holds event time to `speed` seconds a second of wall clock."""

    def __init__(self, speed: float | None) -> None:
        self._speed = speed
        self._start: tuple[float, int] | None = None

    def wait(self, ts_event: int) -> None:
        if self._speed is None:
            return
        if self._start is None:
            self._start = (time.monotonic(), ts_event)
        due = self._start[0] + (ts_event - self._start[1]) / 1e6 / self._speed
        time.sleep(max(0.0, due - time.monotonic()))


class Rows:
    """Records on their way to chDB: batched by table, written by a thread of their own."""

    def __init__(
        self, writer: clickhouse.Writer, epoch: str, batch_rows: int, flush_s: float
    ) -> None:
        self._writer = writer
        self._flush_s = flush_s
        self._shown_at = time.monotonic()
        self._epoch = epoch
        self._size = batch_rows
        self._open: dict[str, list[msgspec.Struct]] = {}
        self._written: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._queue: queue.Queue[clickhouse.Batch | None] = queue.Queue(QUEUE)
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._write, name="rows", daemon=True)
        self.late = 0

    def __enter__(self) -> "Rows":
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            for table in list(self._open):
                self._hand_over(table)
        self._queue.put(None)
        self._thread.join()
        if kind is None and self._failed:
            raise self._failed[0]

    def put(self, record: msgspec.Struct) -> None:
        """Add one record; raises what the writer thread failed with."""
        table = table_of(record)
        batch = self._open.setdefault(table, [])
        batch.append(record)
        if len(batch) >= self._size:
            self._hand_over(table)

    def show(self) -> None:
        """Hand over what has waited for `flush_s`, so that queries see it."""
        if time.monotonic() - self._shown_at >= self._flush_s:
            self._shown_at = time.monotonic()
            for table in list(self._open):
                self._hand_over(table)

    def refuse(self, topic: str, record: msgspec.Struct, field: str, reason: str) -> None:
        """Add the dead letter of a record that was not taken in."""
        number = self._seen[topic] = self._seen.get(topic, 0) + 1
        self.put(
            DeadLetter(
                topic=topic,
                partition=0,
                offset=number,
                field=field,
                reason=reason,
                raw=msgspec.json.encode(record)[: kafka.RAW_KEPT].decode(),
                ts_recv=getattr(record, "ts_recv", clock.now_us()),
            )
        )

    def _hand_over(self, table: str) -> None:
        if self._failed:
            raise self._failed[0]
        records = self._open.pop(table)
        lo = self._written.get(table, 0)
        hi = lo + len(records) - 1
        self._written[table] = hi + 1
        offsets = range(lo, hi + 1)
        self._queue.put(clickhouse.Batch(table, self._epoch, 0, lo, hi, records, offsets))

    def _write(self) -> None:
        while (batch := self._queue.get()) is not None:
            if self._failed:
                continue
            try:
                self._writer.insert(batch)
            except BaseException as problem:
                self._failed.append(problem)


@contextlib.contextmanager
def _owned(data_dir: Path) -> Iterator[None]:
    """Hold the data directory for this process; raises CannotRun when that cannot be."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock: IO[str] = open(data_dir / "lock", "w")  # noqa: SIM115 - closed below
    except OSError as problem:
        raise CannotRun(f"cannot write to data directory {data_dir}: {problem}") from problem
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotRun(
                f"another process is using {data_dir}; stop it, or give --data-dir another place"
            ) from None
        yield
