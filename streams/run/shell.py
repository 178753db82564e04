"""The open parts of a run: data directory, database, endpoint; and the run from end to end."""

import contextlib
import errno
import fcntl
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import msgspec
import orjson

from schemas.findings import Alert
from sinks.board.pages import PAGE
from sinks.board.serve import beside
from sinks.clickhouse.client import DataDirBusy, Writer, chdb_path
from sinks.clickhouse.retry import Retry
from sinks.sql.endpoint import EndpointError
from sinks.sql.report import report
from sinks.sql.store import Listen, opened_store
from streams.core import pipeline
from streams.core.params import Params
from streams.process import health
from streams.process.progress import moment
from streams.process.settings import Settings, clickhouse_tls
from streams.run import checkpoint, planted, stored_feeds, webhooks
from streams.run.checkpoint import Checkpoint
from streams.run.loop import Ears, Outlets, SourceChanged, drive
from streams.run.row_writer import LeftApart, Rows, are_there, cut_back
from streams.sources import Source

#: The embedded engine's faults are this machine's: space that somebody makes, or nothing.
GIVE_UP_S = 5.0
_FULL = ("NOT_ENOUGH_SPACE", "No space left on device", "disk is full")


class CannotRun(Exception):
    """The run cannot begin; the message is one clear line."""


class NoSpace(Exception):
    """The run cannot go on for want of disk space; the message is one clear line."""


class Stopped(Exception):
    """The run was told to stop; the message says where it goes on."""


class Embedded:
    """One data directory, open: `client` queries its database, `url` serves it to others.

    `board` is the address of the live board, None where the store is a server's.
    """

    def __init__(self, settings: Settings, params: Params) -> None:
        self.settings = settings
        self.params = params
        self.data_dir = Path(settings.data_dir)
        self._stack = contextlib.ExitStack()
        self.client: Any = None
        self.url: str | None = None
        self.board: str | None = None
        self._playing = ""

    def __enter__(self) -> "Embedded":
        try:
            with _space_needed(self.data_dir):
                self._open()
        except (DataDirBusy, EndpointError) as problem:
            self._stack.close()
            raise CannotRun(str(problem)) from problem
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _open(self) -> None:
        self._stack.enter_context(_owned(self.data_dir))
        given = self.settings
        listen = Listen(given.sql_host, given.sql_port, given.http_token)
        pages = beside(
            self.data_dir, given.http_token, bool(given.webhook_urls), lambda: self._playing
        )
        store = opened_store(
            given.clickhouse_url, self.data_dir, clickhouse_tls(given), listen, pages
        )
        self.client, _, self.url = self._stack.enter_context(store)
        self.board = f"{self.url}{PAGE}" if self.url else None

    def play(self, source: Source, speed: float | None, fresh: bool, ears: Ears) -> dict[str, Any]:
        """Run a source through, from where it was stopped unless `fresh`; return its report.

        The report is also run.json. `speed` is event seconds a second of wall clock, None as
        fast as it goes. Raises Stopped, NoSpace, CannotRun for a source that has changed
        since, and sinks.clickhouse.retry.SinkError when the database does not take a batch.
        """
        health.collect_less()
        with _space_needed(self.data_dir):
            kept = self.data_dir / checkpoint.NAME
            if fresh:
                kept.unlink(missing_ok=True)
            run = self._resumed(kept, source, ears.say)
            self._playing = run.run
            began = time.monotonic() - run.elapsed_s
            try:
                whole = self._drive(kept, run, source, ears, speed)
            except LeftApart:
                raise Stopped(
                    "stopped; the same command goes on from its last checkpoint"
                ) from None
            except SourceChanged:
                raise CannotRun(
                    f"{source.name} does not read as it did before the run was stopped;"
                    " --fresh starts anew"
                ) from None
            if not whole:
                at = f" at {moment(run.at)}" if run.at else ""
                raise Stopped(f"stopped{at}; the same command goes on from there")
            report = self._report(run, source, began)
            # Only now: until the report is written there is something to go on with.
            kept.unlink()
            return report

    def _resumed(self, kept: Path, source: Source, say: Callable[[str], None]) -> Checkpoint:
        """Return what the run goes on from, with the database as it was then."""
        try:
            run = checkpoint.load(kept, source, self.params.version)
            if run and not are_there(self.client, run.run, run.tally):
                raise checkpoint.Unusable("its rows are not in the database")
        except checkpoint.Unusable as problem:
            say(f"cannot go on from {kept}: {problem}; starting anew")
            run = None
        if run is None:
            run = checkpoint.begin(source, self.params.version)
            # At once, or rows of a run killed early would belong to nothing.
            checkpoint.write(kept, checkpoint.encode(run))
        elif run.items:
            say(f"resuming {run.run} at {moment(run.at)}, {run.records:,} records in")
        cut_back(self.client, run.run, run.tally)
        return run

    def _drive(
        self, kept: Path, run: Checkpoint, source: Source, ears: Ears, speed: float | None
    ) -> bool:
        writer = Writer(self.client, self._retry())
        rows = Rows(
            writer,
            run.run,
            # New at each start: tokens of the rows just deleted are still remembered.
            uuid4().hex[:8],
            run.tally,
            lambda content: checkpoint.write(kept, content),
            self.settings.batch_rows,
            self.settings.flush_s,
            ears.stop,
        )
        with rows, webhooks.outgoing(self.settings, self.data_dir, ears.stop) as (take, store):
            notify = _aloud(take, ears.say) if source.begin else take
            note = partial(rows.also, partial(store, writer))
            outlets = Outlets(rows, notify, note, self.settings.alert_max_age_s)
            every_s = self.settings.checkpoint_s
            whole = drive(self.params, source, run, outlets, ears, speed, every_s)
        webhooks.store_steps(self.settings, self.data_dir, writer)
        return whole

    def _retry(self) -> Retry:
        if chdb_path(self.settings.clickhouse_url, self.data_dir) is None:
            return Retry()
        return Retry(give_up_after_s=GIVE_UP_S)

    def _report(self, run: Checkpoint, source: Source, began: float) -> dict[str, Any]:
        result = report(self.client, run.run)
        result["source"] = {"name": source.name, "identity": source.identity}
        result["params_version"] = self.params.version
        result["late"] = run.tally.late
        result["warm_up"] = warm_up(run.state, self.params)
        result["not_read"] = list(source.unread)
        result["broken_off"] = run.tally.broken
        result["repeats"] = run.tally.repeats
        result["rows_not_read"] = 0 if source.begin else run.tally.unread
        result["feeds"] = msgspec.to_builtins(stored_feeds.feeds_of(run.state, self.params))
        result["elapsed_s"] = round(time.monotonic() - began, 3)
        if source.planted:
            result |= planted.against_planted(source.planted, result)
        content = orjson.dumps(result, option=orjson.OPT_INDENT_2) + b"\n"
        checkpoint.write(self.data_dir / "run.json", content)
        return result


def _aloud(keep: Callable[[Alert], None], say: Callable[[str], None]) -> Callable[[Alert], None]:
    """Return what takes an alert and tells it at once: a live run has no end to tell it at."""

    def notify(alert: Alert) -> None:
        keep(alert)
        say(f"{moment(alert.ts_detect)}  {alert.severity}  {alert.title}")

    return notify


def warm_up(state: pipeline.State, params: Params) -> dict[str, int] | None:
    """Return the longest history of any asset's side, and what it takes; None once it is over."""
    sides = (side for asset in state.shard.assets.values() for side in asset.sides.values())
    longest = max((side.rate.age for side in sides), default=0)
    needed = params.onset.min_history_s
    return None if longest >= needed else {"longest_s": longest, "needed_s": needed}


@contextlib.contextmanager
def _space_needed(data_dir: Path) -> Iterator[None]:
    """Turn whatever a full disk makes others raise into NoSpace."""
    try:
        yield
    except Exception as problem:
        if not _is_full(problem):
            raise
        # Inserts also go through a temporary file.
        where = min(
            (data_dir, Path(tempfile.gettempdir())), key=lambda p: shutil.disk_usage(p).free
        )
        raise NoSpace(
            f"no space left in {where}: free some, then the same command goes on from its last"
            " checkpoint"
        ) from problem


def _is_full(problem: BaseException) -> bool:
    if isinstance(problem, BaseExceptionGroup):
        return any(map(_is_full, problem.exceptions))
    if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(sign in str(problem) for sign in _FULL)


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
