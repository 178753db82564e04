"""The outbox's SQLite file: made, checked, brought up to date, rescued. Nothing is deleted here.

no file, or an empty one ──────────────────────────> made
ours, of this version or an older one ─────────────> opened
garbage, damaged, foreign, newer, not writable ────> OutboxUnusable: path, what, what to do
`undertow webhooks rescue` ── moved aside whole ───> what can be read, in a new file
"""

import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

#: How long a write waits for another process's.
BUSY_S = 30.0
#: Bytes on its disk with less than which it is said to be full.
ROOM = 1 << 20

_VERSION = 5
#: "UTOW": says that the file is ours, from version 2 on.
_APPLICATION_ID = 0x55544F57
_CLOCK = """
CREATE TABLE clock (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    outbox_us INTEGER NOT NULL,
    wall_us INTEGER NOT NULL
);
"""
#: What is copied for the next `notify` (`mirror`), by the columns that name a row.
MIRRORED = {
    "deliveries": ("webhook_id", "endpoint"),
    "endpoints": ("endpoint",),
    "routing": ("channel",),
    "routed": ("alert_id",),
    "taken": ("event",),
    "silences": ("silence",),
}


def _noting(table: str, what: str, row: str) -> str:
    """Return what notes a changed row under a new number, if this outbox is mirrored at all."""
    named = ", ".join(f"{row}.{column}" for column in MIRRORED[table])
    key = f"json_array('{table}', {named})"
    # Not INSERT OR REPLACE: the statement that fires a trigger brings its own conflict clause.
    return f"""
CREATE TRIGGER {table}_{what.lower()} AFTER {what} ON {table} WHEN EXISTS (SELECT 1 FROM mirror)
BEGIN
    DELETE FROM changes WHERE row_key = {key};
    INSERT INTO changes (row_key) VALUES ({key});
END;
"""


_MIRROR = """
CREATE TABLE mirror (one INTEGER PRIMARY KEY CHECK (one = 1), outbox TEXT NOT NULL);
CREATE TABLE changes (change INTEGER PRIMARY KEY AUTOINCREMENT, row_key TEXT NOT NULL UNIQUE);
""" + "".join(
    _noting(table, what, row)
    for table in MIRRORED
    for what, row in (("INSERT", "new"), ("UPDATE", "new"), ("DELETE", "old"))
)
# A delivery is an alert, or tells of several: `event` is the key of what it tells of.
_EVENTS = f"""
ALTER TABLE deliveries ADD COLUMN event TEXT NOT NULL DEFAULT '';
ALTER TABLE deliveries ADD COLUMN action TEXT NOT NULL DEFAULT '';
ALTER TABLE deliveries ADD COLUMN why TEXT NOT NULL DEFAULT '';
CREATE INDEX of_event ON deliveries (endpoint, event) WHERE event <> '' AND state = 'pending';
CREATE TABLE routing (channel TEXT PRIMARY KEY, state BLOB NOT NULL);
CREATE TABLE routed (alert_id TEXT PRIMARY KEY, outbox_us INTEGER NOT NULL);
CREATE TABLE taken (event TEXT PRIMARY KEY, outbox_us INTEGER NOT NULL);
CREATE TABLE steps (step INTEGER PRIMARY KEY AUTOINCREMENT, record BLOB NOT NULL);
CREATE TABLE silences (
    silence TEXT PRIMARY KEY,
    asset TEXT NOT NULL,
    kind TEXT NOT NULL,
    until_us INTEGER NOT NULL
);
{_MIRROR}
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_VERSION};
"""
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE deliveries (
    webhook_id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    body BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_us INTEGER NOT NULL,
    changed_us INTEGER NOT NULL,
    last_error TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (webhook_id, endpoint)
);
CREATE INDEX waiting ON deliveries (endpoint, attempts, next_attempt_us) WHERE state = 'pending';
CREATE INDEX settled ON deliveries (changed_us) WHERE state <> 'pending';
CREATE TABLE endpoints (
    endpoint TEXT PRIMARY KEY,
    hold_until_us INTEGER NOT NULL DEFAULT 0,
    disabled TEXT NOT NULL DEFAULT ''
);
{_CLOCK}
{_EVENTS}
COMMIT;
"""
_UPGRADES = {
    1: f"""
BEGIN IMMEDIATE;
{_CLOCK}
UPDATE deliveries SET body = x'' WHERE state = 'delivered';
{_EVENTS}
COMMIT;
""",
    2: f"BEGIN IMMEDIATE; {_EVENTS} COMMIT;",
    3: f"""
BEGIN IMMEDIATE;
CREATE TABLE steps (step INTEGER PRIMARY KEY AUTOINCREMENT, record BLOB NOT NULL);
{_MIRROR}
PRAGMA user_version = {_VERSION};
COMMIT;
""",
    4: f"BEGIN IMMEDIATE; {_MIRROR} PRAGMA user_version = {_VERSION}; COMMIT;",
}
_OURS = {"deliveries", "endpoints"}
_STATES = ("pending", "delivered", "dead")
# What a rescue copies, and the types that its columns must have.
_DELIVERY: dict[str, type] = {
    "webhook_id": str,
    "endpoint": str,
    "body": bytes,
    "state": str,
    "attempts": int,
    "next_attempt_us": int,
    "changed_us": int,
    "last_error": str,
}
_OF_EVENT: dict[str, type] = {"event": str, "action": str, "why": str}
_BESIDE: dict[str, dict[str, type]] = {
    "endpoints": {"endpoint": str, "hold_until_us": int, "disabled": str},
    "routing": {"channel": str, "state": bytes},
    "routed": {"alert_id": str, "outbox_us": int},
    "taken": {"event": str, "outbox_us": int},
    "steps": {"step": int, "record": bytes},
    "silences": {"silence": str, "asset": str, "kind": str, "until_us": int},
}


class OutboxUnusable(ValueError):
    """The file cannot be the outbox; the message is one sentence with its path and a way out.

    `lacks_room` says that it can be once there is room on its disk.
    """

    def __init__(
        self, path: str | Path, what: str, remedy: str, *, lacks_room: bool = False
    ) -> None:
        super().__init__(f"{path} {what}; {remedy}")
        self.lacks_room = lacks_room


class OutboxFull(sqlite3.OperationalError):
    """The outbox's disk has no room for what was to be written: nothing of it is in."""


def lacks_room(path: Path, problem: Exception) -> bool:
    """Say whether `problem` of SQLite or the system is that the disk of `path` is full."""
    if not isinstance(problem, sqlite3.OperationalError | OSError):
        return False
    if getattr(problem, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return True
    # Its shared memory, and what it syncs, fail by other names.
    return not has_room(path)


def has_room(path: Path) -> bool:
    """Say whether the disk of `path` has some room."""
    place = next(folder for folder in path.absolute().parents if folder.exists())
    return shutil.disk_usage(place).free >= ROOM


def open_file(path: Path) -> sqlite3.Connection:
    """Return a connection to the outbox at `path`, made or brought up to date.

    Raises OutboxUnusable, and leaves the file as it is.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.stat().st_size and _size(_beside(path, "-wal")):
            raise sqlite3.DatabaseError("it is empty, but its write-ahead log is not")
        db = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False)
    except (OSError, sqlite3.Error) as problem:
        raise explained(path, problem) from problem
    try:
        _prepare(db, path)
    except BaseException as problem:
        db.close()
        if isinstance(problem, sqlite3.Error):
            raise explained(path, problem) from problem
        raise
    return db


def explained(path: str | Path, problem: Exception) -> OutboxUnusable:
    """Return what `problem` of SQLite or the system means to a person, and what to do."""
    if isinstance(problem, sqlite3.OperationalError | OSError):
        complaint = str(problem)
        if "locked" in complaint:
            return OutboxUnusable(path, "is held by another process", "stop that one first")
        if lacks_room(Path(path), problem):
            what = "cannot grow: the disk is full"
            return OutboxUnusable(path, what, "free some space", lacks_room=True)
        remedy = "let this user read and write it and its folder, or give --data-dir another place"
        return OutboxUnusable(path, f"cannot be opened and written ({complaint})", remedy)
    return OutboxUnusable(
        path,
        f"is not a whole outbox ({problem})",
        "`undertow webhooks rescue` moves it aside and keeps what can be read of it",
    )


def rescue(path: Path) -> tuple[Path, int]:
    """Move the file at `path` aside, make a new one of what can be read of it.

    Returns where the old one is and how many deliveries were kept. Raises OutboxUnusable when
    nothing can be moved or made.
    """
    aside = path.with_name(f"{path.name}.broken-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
    try:
        for suffix in ("-wal", "-shm", ""):
            if (part := _beside(path, suffix)).exists():
                part.rename(_beside(aside, suffix))
        with TemporaryDirectory(dir=path.parent) as folder:
            kept = _salvage(_copied(aside, Path(folder)), path)
    except OSError as problem:
        raise explained(path, problem) from problem
    return aside, kept


def _copied(aside: Path, folder: Path) -> Path:
    """Return a copy that SQLite opens: one that was cut off has its missing pages, empty."""
    copy = folder / "copy.sqlite"
    shutil.copyfile(aside, copy)
    if (log := _beside(aside, "-wal")).exists():
        shutil.copyfile(log, _beside(copy, "-wal"))
    with copy.open("r+b") as file:
        header = file.read(100)
        if header.startswith(b"SQLite format 3\0"):
            page = int.from_bytes(header[16:18], "big")
            file.truncate(max(_size(copy), page * int.from_bytes(header[28:32], "big")))
    return copy


def _salvage(copy: Path, path: Path) -> int:
    with closing(open_file(path)) as db, db:
        # A file of an older version lacks the later columns.
        wide = _copy_rows(db, copy, "deliveries", _DELIVERY | _OF_EVENT)
        kept = wide or _copy_rows(db, copy, "deliveries", _DELIVERY)
        for table, columns in _BESIDE.items():
            _copy_rows(db, copy, table, columns)
    return kept


def _copy_rows(db: sqlite3.Connection, copy: Path, table: str, columns: dict[str, type]) -> int:
    """Copy the rows that hold what they should: a damaged page may give back anything."""
    names, kinds = ", ".join(columns), list(columns.values())
    marks = ", ".join("?" * len(columns))
    kept = 0
    for row in _readable(copy, table, names):
        if [*map(type, row)] == kinds and (table != "deliveries" or row[3] in _STATES):
            kept += db.execute(
                f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", row
            ).rowcount
    return kept


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    is_new = not tables and not version and not application
    if not is_new and (application not in (0, _APPLICATION_ID) or not tables >= _OURS):
        named = ", ".join(sorted(tables)[:5]) or "no table"
        raise OutboxUnusable(
            path, f"is another program's SQLite file ({named})", "give --data-dir another place"
        )
    if version > _VERSION:
        raise OutboxUnusable(
            path,
            f"was written by a newer undertow (version {version}, this one reads {_VERSION})",
            "start that one, or give --data-dir another place",
        )
    # Before the first write: a damaged file is left as it is.
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(str(verdict).replace("\n", " "))
    if is_new:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    # NORMAL may lose the last commits with the power, and the Kafka offset behind them is
    # already committed.
    db.execute("PRAGMA synchronous = FULL")
    if version < _VERSION:
        _write_schema(db, _SCHEMA if is_new else _UPGRADES[version])
    # A file that cannot be written is found out here, not at the first alert.
    db.execute("BEGIN IMMEDIATE")
    db.execute("ROLLBACK")


def _write_schema(db: sqlite3.Connection, script: str) -> None:
    try:
        db.executescript(script)
    except sqlite3.OperationalError as problem:
        # Another process was first.
        if not re.search("already exists|duplicate column", str(problem)):
            raise
        db.rollback()


def _readable(path: Path, table: str, columns: str) -> Iterator[tuple[object, ...]]:
    """Yield the rows of `table` before a damaged page, then those behind it, from the end."""
    seen = set()
    for order in ("ASC", "DESC"):
        try:
            with closing(sqlite3.connect(path)) as db:
                db.text_factory = partial(str, encoding="utf-8", errors="replace")
                for rowid, *values in db.execute(
                    f"SELECT rowid, {columns} FROM {table} NOT INDEXED ORDER BY rowid {order}"
                ):
                    if rowid not in seen:
                        seen.add(rowid)
                        yield tuple(values)
        except sqlite3.Error:
            continue


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
