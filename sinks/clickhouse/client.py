"""Batches into ClickHouse, embedded or a server: once, whole, with the same token on retry.

    SinkError            a batch is not in, see sinks.retry
    DataDirBusy          another process has the embedded database open

A batch is one insert of one block, so a retry is either dropped by its token or lands
whole. Two different batches must never share a token: the second would vanish.
"""

import fcntl
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import clickhouse_connect
import msgspec
from clickhouse_connect.driver import exceptions as driver

from sinks.clickhouse.retry import Retry, SinkError, is_full_disk
from sinks.clickhouse.rows import (
    COLUMNS,
    NAMED_BY,
    PARTITIONED_BY,
    Coords,
    Piece,
    columns,
    names_of,
    trade_table,
)

DATABASE = "undertow"

#: Parts that one insert may make, ClickHouse's own default: a batch over more of the table's
#: partitions is taken apart. A thousand took a busy server longer than we wait for an answer.
MAX_PARTITIONS = 100
_INSERT_SETTINGS = {
    "async_insert": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "max_partitions_per_insert_block": MAX_PARTITIONS,
    # One insert makes one block, whatever the server's profile says: the driver sends it in cuts
    # of some 2 MB. Blocks under one token differ by number alone, so a part of a batch that is
    # taken apart could be dropped as another block of the whole.
    "min_insert_block_size_rows": 1_000_000,
    "min_insert_block_size_bytes": 0,
    # On a cluster: an insert is done when every shard has its rows, under the same token.
    "distributed_foreground_insert": 1,
}
#: Replaced rows go when parts are merged: to look for them in each batch as well was an eighth
#: of what ClickHouse spent on a trade.
_TRADES_SETTINGS = _INSERT_SETTINGS | {"optimize_on_insert": 0}

#: The embedded engine shares its memory with us. What merges compile to compare keys is up to
#: 40 MB of code and its compiler; at most two merges at once, each of which takes some 20 MB.
_CHDB_OPTIONS = {
    "compile_sort_description": "0",
    "background_merges_mutations_concurrency_ratio": "1",
}

#: An insert is refused, and tried again, while the disk has less room than this: the engine
#: (26.9) acknowledges one whose last bytes found none, and loses it when it starts again.
ROOM = {"min_free_disk_bytes_to_perform_insert": 32 * 1024 * 1024}

#: How long a server may take over one insert before it is tried again, seconds.
SINK_TIMEOUT_S = 15.0


class DataDirBusy(Exception):
    """Another process owns the embedded database: `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is open in another process, and only one can own it;"
            " query that one over HTTP, or stop it first"
        )
        self.path = path


class Batch(NamedTuple):
    """Records of one table from offsets lo..hi (both included) of one topic partition.

    `offsets` has one for each record; trades may also come as columns, in `pieces`. `epoch`
    names the topic's incarnation where offsets can start over (a topic made anew, an
    embedded run): without it, new records at old offsets would carry an old token and be
    dropped. `part` names a part of a batch that was taken apart.
    """

    table: str
    topic: str
    partition: int
    lo: int
    hi: int
    records: Sequence[msgspec.Struct]
    offsets: Sequence[int]
    epoch: str = ""
    pieces: Sequence[Piece] = ()
    part: str = ""

    @property
    def rows(self) -> int:
        """Return how many rows it makes."""
        return len(self.records) + sum(len(piece.offsets) for piece in self.pieces)

    @property
    def token(self) -> str:
        """The insert's identity: the same range of the same topic, the same token."""
        whole = token_of(self.topic, self.partition, self.table, self.lo, self.hi, self.epoch)
        return f"{whole}#{self.part}" if self.part else whole


def token_of(topic: str, partition: int, table: str, lo: int, hi: int, epoch: str = "") -> str:
    """Return the identity of a range, whoever forms it."""
    where = f"{topic}@{epoch}" if epoch else topic
    return f"{where}:{partition}:{lo}-{hi}:{table}"


def chdb_path(url: str, data_dir: str | Path) -> Path | None:
    """Return where the embedded database of `url` lives, None when `url` is a server's."""
    if url == "chdb":
        return Path(data_dir).resolve() / "clickhouse"
    if url.startswith("chdb://"):
        return Path(unquote(url.removeprefix("chdb://"))).resolve()
    return None


def database_of(url: str) -> str:
    """Return the database that `url` names, `undertow` where it names none."""
    named = unquote(urlsplit(url).path.strip("/")) if url.startswith("http") else ""
    return named or DATABASE


def open_client(
    url: str,
    data_dir: str | Path = "data",
    tls: Mapping[str, str] | None = None,
    timeout_s: float = 60,
) -> Any:
    """Open `chdb`, `chdb:///path` or `http(s)://user:password@host:port/database`.

    The database need not exist yet (`migrate` makes it); `tls` names the files for an
    https server as clickhouse-connect does; a server answers within `timeout_s`, or what
    `?timeout=` in the url says. Raises DataDirBusy, ValueError
    for another kind of url, and clickhouse_connect's OperationalError or DatabaseError
    when a server is not there or refuses.
    """
    path = chdb_path(url, data_dir)
    if path is not None:
        client = _open_chdb(path)
    elif urlsplit(url).scheme in ("http", "https"):
        client = _open_server(url, tls or {}, timeout_s)
    else:
        raise ValueError("CLICKHOUSE_URL is chdb, chdb:///path or http(s)://host:port/database")
    client.database, client.embedded = database_of(url), path is not None
    for name, value in ROOM.items():
        # Servers older than 24.10 do not know it; an account that only reads may not set it.
        known = client.server_settings.get(name)
        if known is not None and not known.readonly:
            client.set_client_setting(name, value)
    return client


def open_when_there(
    url: str, data_dir: str | Path, tls: Mapping[str, str], wait: Callable[[float], object]
) -> Any:
    """Open a client for a sink, trying again without end while the server is not there.

    `wait` sleeps, and may raise to give up. Raises as `open_client` does, but for that.
    """
    # An insert of one batch takes milliseconds; one that hangs is tried again under its
    # token, and a stop waits for it.
    retry = Retry(give_up_after_s=math.inf, sleep=wait)
    try:
        return retry.run(lambda: open_client(url, data_dir, tls, SINK_TIMEOUT_S), "clickhouse", "")
    except SinkError as problem:
        raise problem.cause from None


def _open_server(url: str, tls: Mapping[str, Any], timeout_s: float) -> Any:
    parts = urlsplit(url)
    return clickhouse_connect.get_client(
        host=parts.hostname,
        port=parts.port or 0,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password or ""),
        interface=parts.scheme,
        # One session for all threads would refuse their concurrent queries.
        autogenerate_session_id=False,
        send_receive_timeout=float(parse_qs(parts.query).get("timeout", [timeout_s])[0]),
        # Beside a certificate a password still goes out, if the url has one.
        tls_mode="strict" if "client_cert" in tls and parts.password else None,
        **tls,
    )


def _open_chdb(path: Path) -> Any:
    path.mkdir(parents=True, exist_ok=True)
    # Heard only while chDB is being loaded: what a merge leaves free goes back to the system
    # within a tenth of a second instead of five, some 50 MB of a long run's 750; and two arenas,
    # not four a core, have fewer holes.
    os.environ.setdefault("JE_MALLOC_CONF", "dirty_decay_ms:100,muzzy_decay_ms:0,narenas:2")
    try:
        return clickhouse_connect.get_client(
            interface="chdb", path=str(path), chdb_options=_CHDB_OPTIONS
        )
    except driver.ProgrammingError as problem:
        if is_locked(path):
            raise DataDirBusy(path) from problem
        raise


def is_locked(path: Path) -> bool:
    """Say whether a process has the embedded database at `path` open.

    chDB tells a locked database from a broken one on stderr only, so look at its lock.
    """
    try:
        with (path / "status").open("rb") as status:
            fcntl.flock(status, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


class Writer:
    """Inserts batches through one client; one writer per topic partition at a time."""

    def __init__(self, client: Any, retry: Retry | None = None) -> None:
        self._client = client
        self._retry = retry or Retry()
        self._types: dict[str, list[Any]] = {}
        self._no_room = False

    def insert(self, batch: Batch, retry: Retry | None = None) -> int:
        """Insert `batch` and return its rows; a batch that is already in changes nothing.

        Returns only when ClickHouse has it. Keep batches at 100,000 records or fewer:
        beyond a block the token no longer covers the whole. Raises SinkError.
        """
        if batch.rows:
            (retry or self._retry).run(
                lambda: self._insert_once(batch), batch.table, batch.token, splits=batch.rows > 1
            )
        return batch.rows

    def stored(self, batch: Batch, retry: Retry | None = None) -> set[tuple[int, int, str]]:
        """Return offset, time and name of the rows of a batch's range that are in; for one that
        was taken apart, as it looks through the days of the batch. Raises SinkError.
        """
        (column, _), names = PARTITIONED_BY[batch.table], NAMED_BY[batch.table]
        name = f"concatWithSeparator(' ', {', '.join(names)})"
        times = [time for time, _ in names_of(batch.table, batch.records, batch.pieces)]
        query = (
            f"SELECT kafka_offset, toUnixTimestamp64Micro({column}), {name}"
            f" FROM {batch.table} WHERE kafka_topic = {{topic:String}}"
            " AND kafka_partition = {partition:UInt32}"
            " AND kafka_offset BETWEEN {lo:Int64} AND {hi:Int64}"
            f" AND {column} BETWEEN fromUnixTimestamp64Micro({min(times)}, 'UTC')"
            f" AND fromUnixTimestamp64Micro({max(times)}, 'UTC')"
        )
        where = {"topic": batch.topic, "partition": batch.partition, "lo": batch.lo, "hi": batch.hi}
        rows = (retry or self._retry).run(
            lambda: self._client.query(query, parameters=where).result_rows,
            batch.table,
            batch.token,
        )
        return {tuple(row) for row in rows}

    def types_of(self, table: str) -> list[Any]:
        """Return the types of COLUMNS, asked once; raises what the driver does."""
        # Else the driver would describe the table at every insert.
        if table not in self._types:
            context = self._client.create_insert_context(table, column_names=COLUMNS[table])
            self._types[table] = list(context.column_types)
        return self._types[table]

    def ask(self, query: str, settings: dict[str, Any]) -> Any:
        """Return the rows of a query, tried once; raises what the driver does."""
        return self._client.query(query, settings=settings).result_rows

    def _insert_once(self, batch: Batch) -> None:
        try:
            self._put(batch)
        except driver.DatabaseError as problem:
            self._mind_merges(no_room=is_full_disk(problem))
            raise
        self._mind_merges(no_room=False)

    def _mind_merges(self, no_room: bool) -> None:
        """Hold the embedded engine's merges while there is no room: it trusts what it could not
        write of them, as it does of inserts.
        """
        if no_room != self._no_room and getattr(self._client, "embedded", False):
            self._client.command(f"SYSTEM {'STOP' if no_room else 'START'} MERGES")
            self._no_room = no_room

    def _put(self, batch: Batch) -> None:
        coords = Coords(batch.topic, batch.partition, batch.offsets)
        of_table = _TRADES_SETTINGS if batch.table == "trades" else _INSERT_SETTINGS
        settings = {**of_table, "insert_deduplication_token": batch.token}
        if batch.pieces:
            whole = trade_table(batch.records, batch.pieces, coords)
            self._client.insert_arrow(batch.table, whole, settings=settings)
            return
        filled = columns(batch.table, batch.records, coords)
        self._client.insert(
            batch.table,
            filled,
            column_names=COLUMNS[batch.table],
            column_types=self.types_of(batch.table),
            column_oriented=True,
            settings=settings,
        )
        # The driver leaves them in a cycle, where they would lie until the collector comes round.
        filled.clear()
