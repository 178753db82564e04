"""A reader beside the process that writes: always what is stored, never a hand on it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sinks.clickhouse.client import open_client
from sinks.clickhouse.migrate import migrate
from sinks.sql.reader import Reader
from sinks.sql.snapshot import SnapshotError, folder_of_readers


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    client = open_client("chdb", tmp_path_factory.mktemp("run"))
    migrate(client, "undertow")
    yield client
    client.close()


@pytest.fixture(scope="module")
def reader(owner: Any) -> Iterator[Reader]:
    with contextlib.closing(Reader(owner.path)) as reader:
        yield reader


@pytest.fixture
def table(owner: Any) -> Iterator[str]:
    name = "undertow.t"
    owner.command(
        f"CREATE TABLE {name} (day Date, a Int64, text String, PROJECTION p (SELECT sum(a)))"
        " ENGINE = MergeTree PARTITION BY day ORDER BY a"
        " SETTINGS lightweight_mutation_projection_mode = 'rebuild'"
    )
    yield name
    owner.command(f"DROP TABLE {name} SYNC")


def insert(owner: Any, table: str, first: int, count: int = 10) -> None:
    owner.command(
        f"INSERT INTO {table} SELECT toDate('2025-01-01') + number % 3, number, toString(number)"
        f" FROM numbers({first}, {count}) SETTINGS async_insert = 0"
    )


def both(owner: Any, reader: Reader, sql: str) -> str:
    """Ask both, and return what both answered."""
    theirs = reader.run(sql, "TSV").body.decode()
    assert theirs == owner.raw_query(sql, fmt="TSV").decode()
    return theirs


ALL = "SELECT count(), sum(a), sum(cityHash64(text)), uniqExact(day) FROM undertow.t"


def test_inserts_merges_mutations_and_drops_are_seen_at_once(
    owner: Any, reader: Reader, table: str
) -> None:
    for first in range(0, 50, 10):
        insert(owner, table, first)
        assert both(owner, reader, ALL).startswith(f"{first + 10}\t")
    owner.command(f"OPTIMIZE TABLE {table} FINAL")
    assert both(owner, reader, ALL).startswith("50\t")
    owner.command(f"ALTER TABLE {table} DELETE WHERE a < 10 SETTINGS mutations_sync = 2")
    assert both(owner, reader, ALL).startswith("40\t")
    owner.command(f"DELETE FROM {table} WHERE a < 20")
    assert both(owner, reader, ALL).startswith("30\t")
    owner.command(f"ALTER TABLE {table} UPDATE text = 'x' WHERE 1 SETTINGS mutations_sync = 2")
    assert both(owner, reader, ALL).startswith("30\t")
    owner.command(f"ALTER TABLE {table} DROP PARTITION '2025-01-01'")
    assert both(owner, reader, ALL).startswith("20\t")
    owner.command(f"TRUNCATE TABLE {table}")
    assert both(owner, reader, ALL).startswith("0\t")
    insert(owner, table, 100)
    assert both(owner, reader, ALL).startswith("10\t")
    assert (
        both(
            owner,
            reader,
            "SELECT sum(a) FROM undertow.t",
        )
        == "1045\n"
    )


def test_tables_and_views_come_change_and_go(owner: Any, reader: Reader, table: str) -> None:
    insert(owner, table, 0)
    assert both(owner, reader, ALL).startswith("10\t")
    owner.command(f"ALTER TABLE {table} ADD COLUMN more Int32 DEFAULT 7")
    owner.command(
        "CREATE VIEW undertow.v (m Int32 COMMENT 'more') AS SELECT more AS m FROM undertow.t"
    )
    assert both(owner, reader, "SELECT DISTINCT m FROM undertow.v") == "7\n"
    owner.command("DROP VIEW undertow.v SYNC")
    assert "v" not in both(owner, reader, "SHOW TABLES FROM undertow").split()
    owner.command(f"RENAME TABLE {table} TO undertow.u")
    owner.command(f"RENAME TABLE undertow.u TO {table}")
    assert both(owner, reader, ALL).startswith("10\t")


def test_reading_writes_nothing_where_the_owner_writes(
    owner: Any, reader: Reader, table: str
) -> None:
    for first in range(0, 100, 10):
        insert(owner, table, first)
    owner.command(f"SYSTEM STOP MERGES {table}")
    reader.run(ALL)
    time.sleep(0.1)

    def files() -> dict[str, tuple[int, int]]:
        path = Path(owner.path)
        stats = {str(f): f.lstat() for f in (path / "store").rglob("*")}
        return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}

    before = files()
    for _ in range(3):
        reader.run(ALL)
        reader.run("SELECT * FROM undertow.t ORDER BY a")
    assert files() == before
    owner.command(f"SYSTEM START MERGES {table}")


def test_links_that_are_no_longer_needed_go(owner: Any, reader: Reader, table: str) -> None:
    def linked() -> int:
        return sum(1 for _ in folder_of_readers(Path(owner.path)).rglob("20250101_*"))

    owner.command(f"SYSTEM STOP MERGES {table}")
    for first in range(0, 60, 10):
        insert(owner, table, first)
    reader.run(ALL)
    many = linked()
    owner.command(f"SYSTEM START MERGES {table}")
    owner.command(f"OPTIMIZE TABLE {table} FINAL")
    reader.run(ALL)
    assert (many, linked()) == (6, 1)


def test_what_a_killed_process_left_goes_with_the_next_reader(owner: Any) -> None:
    folders = folder_of_readers(Path(owner.path))
    others = set(os.listdir(folders))
    code = (
        "import time; from sinks.sql.reader import Reader;"
        f"Reader({str(owner.path)!r}).run('SELECT 1'); print('read', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"read\n"
    left = set(os.listdir(folders)) - others
    assert left
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 20
    while True:  # its reading process notices within a second
        with contextlib.closing(Reader(owner.path)) as reader:
            reader.run("SELECT 1")
        if not set(os.listdir(folders)) & left:
            break
        assert time.monotonic() < deadline


def test_a_place_that_takes_no_links_is_a_clear_error(
    owner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sinks.sql import snapshot

    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(snapshot.os, "link", refuse)
    with pytest.raises(SnapshotError, match=r"cannot link .* Operation not permitted"):
        snapshot.Snapshot(Path(owner.path).resolve(), tmp_path / "x").begin()
