"""The process that answers one question at a time, over links to another's database.

    python -m sinks.sql.engine DATABASE_PATH SOCKET_FD LIMITS_AS_JSON

A query that looks at no clock cannot be stopped in a process, so it has one to itself:
whoever asked ends it, and asks a new one. It ends by itself when nobody has asked for a
while, or when its asker is gone.
"""

import json
import os
import re
import shutil
import socket
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from sinks.sql import compression, native
from sinks.sql.protocol import (
    UNKNOWN,
    Head,
    Limits,
    QueryError,
    Question,
    failure,
    packed,
    unpacked,
)
from sinks.sql.settings import changeable, granted
from sinks.sql.snapshot import Snapshot, SnapshotError, own_folder
from sinks.sql.statement import (
    HARMLESS,
    TABLE_FUNCTIONS,
    check,
    quoted,
    with_names,
    without_settings,
)

#: After so long without a question the process is not worth its memory, seconds.
IDLE_S = 60.0
#: A larger answer goes into a file.
INLINE_BYTES = 1 << 16
#: No file takes more than this part of what is free.
_SHARE_OF_DISK = 10
#: Readers give way to whoever writes.
_NICE = 10
_CODE = re.compile(r"\bCode: (\d+)\.")
_NAME = re.compile(r" \([A-Z_]+\)\s*$")
_AGAIN = re.compile(r"( \([A-Z_]+\))(?:\.?\1)+")
_VERSION = re.compile(r" \(version [\d.]+\)")
#: Links to another's files: nothing may be merged, moved or removed here.
_CONFIG = "<clickhouse><merge_tree><table_readonly>1</table_readonly></merge_tree></clickhouse>"


class Engine:
    """chDB on links in `folder` to the database at `source`."""

    def __init__(self, source: Path, folder: Path, limits: Limits) -> None:
        self._source = source
        self._folder = folder
        self._limits = limits
        self._opened = 0
        self._open()

    def _open(self) -> None:
        self._opened += 1
        self._path = self._folder / f"clickhouse-{self._opened}"
        self._snapshot = Snapshot(self._source, self._path)
        self._snapshot.begin()
        config = self._folder / "config.xml"
        config.write_text(_CONFIG)
        self._keeper = connect(f"{self._path}?config-file={config}")
        # chDB's own `default` database shows the file system as tables.
        _query(self._keeper, "DROP DATABASE default")
        _query(self._keeper, "CREATE DATABASE default ENGINE = Memory")
        self._show_settings()
        self._banned = self._banned_functions()

    def close(self) -> None:
        """Let go of the links."""
        self._keeper.close()

    def answer(self, question: Question) -> tuple[Head, bytes]:
        """Run one reading statement on what is stored now; raises QueryError."""
        self._refresh()
        settings = granted(question.settings, self._limits)
        ignored = sorted(question.settings.keys() - settings.keys())
        with _connected(self._options({})) as connection:
            canonical = self._canonical(connection, question.sql)
            if (named := with_names(canonical, question.params)) != canonical:
                canonical = self._canonical(connection, named)
        text, wanted = without_settings(canonical)
        fmt = check(text, self._banned) or question.fmt
        settings |= self._all_granted(wanted)
        with _connected(self._options(settings)) as connection:
            _query(connection, f"USE {quoted(question.database)}")
            result = _query(connection, text, fmt, question.params)
            # A copy: chDB's view of it does not keep it alive.
            body: bytes = result.bytes() or b""
        if fmt == "Native" and question.protocol >= native.VERSION:
            body = native.for_version(body)
        worth = len(body) >= compression.WORTH_BYTES or question.encoding == compression.FRAMES
        encoding = question.encoding if worth else ""
        if encoding:
            body = compression.compressed(body, encoding)
        head = Head(
            fmt=fmt,
            rows=result.rows_read(),
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            elapsed_ns=int(result.elapsed() * 1e9),
            size=len(body),
            encoding=encoding,
            in_file=len(body) > INLINE_BYTES,
            ignored=ignored,
        )
        return head, body

    def _options(self, settings: dict[str, str]) -> str:
        # A fresh connection each: after a failed query chDB hands its rows to the next one.
        options = {"readonly": 1, "final": 1} | self._limits.settings() | settings
        return f"{self._path}?" + "&".join(f"{name}={value}" for name, value in options.items())

    def _all_granted(self, wanted: dict[str, str]) -> dict[str, str]:
        """Return what a statement's SETTINGS clause wants, or refuse it by name."""
        settings = granted(wanted, self._limits)
        for name in wanted.keys() - settings.keys():
            if name in self._limits.settings():
                bound = self._limits.settings()[name]
                why = f"Setting {name} shouldn't be greater than {bound}, or 0."
                raise failure(452, "SETTING_CONSTRAINT_VIOLATION", why)
            raise failure(164, "READONLY", f"Cannot modify '{name}' setting: not the caller's.")
        return settings

    def _refresh(self) -> None:
        """Bring the tables up to what is stored now."""
        if self._snapshot.has_other_tables():
            self._keeper.close()
            shutil.rmtree(self._path, ignore_errors=True)
            self._open()
            return
        for table, parts in self._snapshot.changed().items():
            name = f"{quoted(table.database)}.{quoted(table.name)}"
            _query(self._keeper, f"DETACH TABLE {name}")
            self._snapshot.forget(table, parts)
            _query(self._keeper, f"ATTACH TABLE {name}")

    def _canonical(self, connection: Any, sql: str) -> str:
        """Have the engine parse `sql` and write it out again, without comments."""
        escaped = sql.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
        ask = "SELECT formatQuerySingleLine({sql:String}) FORMAT RawBLOB"
        try:
            result = _query(connection, ask, "RawBLOB", {"sql": escaped})
        except QueryError as problem:
            # The engine's complaint ends by quoting our wrapper around the query.
            text, wrapped, rest = problem.text.partition(": In scope SELECT formatQuery")
            name = _NAME.search(rest) if wrapped else None
            raise QueryError(problem.code, text + (name.group() if name else "")) from None
        try:
            return str((result.bytes() or b"").decode())
        except UnicodeDecodeError:
            raise failure(62, "SYNTAX_ERROR", "The query is not UTF-8 text.") from None

    def _show_settings(self) -> None:
        """Have system.settings say what a caller may change here, and limits as they are."""
        with _connected(self._options({}).replace("readonly=1&", "")) as connection:
            here = "system.settings_here"
            readonly = f"toUInt8(NOT {changeable(self._limits)}) AS readonly"
            for sql in (
                f"CREATE TABLE {here} AS system.settings ENGINE = Memory",
                f"INSERT INTO {here} SELECT * REPLACE ({readonly}) FROM system.settings",
                "DROP TABLE system.settings",
                f"CREATE VIEW system.settings AS SELECT * FROM {here}",
            ):
                _query(connection, sql)

    def _banned_functions(self) -> frozenset[str]:
        ask = "SELECT lower(name) FROM system.table_functions"
        names = set(_query(self._keeper, ask).bytes().decode().split())
        ask = "SELECT lower(name) FROM system.functions WHERE name ILIKE 'ai%'"
        names |= set(_query(self._keeper, ask).bytes().decode().split())
        return frozenset(names - TABLE_FUNCTIONS - HARMLESS)


def connect(options: str) -> Any:
    """Open a chDB connection; raises QueryError."""
    import chdb

    try:
        return chdb.connect(options)  # type: ignore[no-untyped-call]
    except RuntimeError as problem:
        raise _as_query_error(problem) from problem


class _connected:
    """A chDB connection for the length of a block."""

    def __init__(self, options: str) -> None:
        self._connection = connect(options)

    def __enter__(self) -> Any:
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def _query(
    connection: Any, sql: str, fmt: str = "TabSeparated", params: dict[str, str] | None = None
) -> Any:
    """Run `sql` as it is; raises QueryError."""
    try:
        return connection.query(sql, fmt, params=dict(params or {}))
    except Exception as problem:
        raise _as_query_error(problem) from problem


def _as_query_error(problem: Exception) -> QueryError:
    """Read ClickHouse's code and words out of chDB's; it nests them, and each has its Code."""
    text = str(problem)
    codes = list(_CODE.finditer(text))
    if not codes:
        return QueryError(UNKNOWN, f"Code: {UNKNOWN}. DB::Exception: {text}")
    last = codes[-1]
    text = _AGAIN.sub(r"\1", _VERSION.sub("", text[last.start() :]))
    return QueryError(int(last.group(1)), text)


def serve(engine: Engine, asker: socket.socket) -> None:
    """Answer until the asker is gone, or has not asked for a while."""
    while True:
        asker.settimeout(IDLE_S)
        try:
            question = unpacked(Question, lambda count: _exactly(asker, count))
        except (TimeoutError, EOFError):
            return
        asker.settimeout(None)
        try:
            head, body = engine.answer(question)
            if head.in_file:
                _send_file(asker, head, body)
                continue
        except QueryError as problem:
            head, body = Head(code=problem.code, text=problem.text), b""
        except SnapshotError as problem:
            text = f"Code: {UNKNOWN}. DB::Exception: {problem}"
            head, body = Head(code=UNKNOWN, text=text), b""
        asker.sendall(packed(head))
        asker.sendall(body)


def _send_file(asker: socket.socket, head: Head, body: bytes) -> None:
    """Hand a large answer over as a file, so that a slow client keeps no process waiting.

    Raises QueryError where that would fill the disk of whoever writes.
    """
    if head.size > shutil.disk_usage(".").free // _SHARE_OF_DISK:
        raise failure(243, "NOT_ENOUGH_SPACE", f"No space for an answer of {head.size} bytes.")
    with tempfile.TemporaryFile(dir=".") as file:
        file.write(body)
        file.flush()
        asker.sendall(packed(head))
        socket.send_fds(asker, [b"f"], [file.fileno()])


def _exactly(asker: socket.socket, count: int) -> bytes:
    content = bytearray()
    while len(content) < count:
        piece = asker.recv(count - len(content))
        if not piece:
            raise EOFError
        content += piece
    return bytes(content)


def _end_with(asker: int) -> None:
    """End this process soon after its asker's."""

    def watch() -> None:
        while os.getppid() == asker:
            time.sleep(0.5)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Open the database, say so, and serve; a failure to open is said in the same way."""
    source, descriptor, limits = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    _end_with(os.getppid())
    with suppress(OSError):
        os.nice(_NICE)
    asker = socket.socket(fileno=descriptor)
    with suppress(BrokenPipeError):
        try:
            with own_folder(source) as folder:
                os.chdir(folder)
                os.environ["TMPDIR"] = str(folder)
                engine = Engine(source, folder, Limits(*limits))
                asker.sendall(packed(Head()))
                try:
                    serve(engine, asker)
                finally:
                    engine.close()
        except (QueryError, SnapshotError) as problem:
            code, text = getattr(problem, "code", UNKNOWN), str(problem)
            asker.sendall(packed(Head(code=code, text=text)))


if __name__ == "__main__":
    main()
