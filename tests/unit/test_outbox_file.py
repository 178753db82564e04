"""The outbox's file: whatever lies in its place is left as it is, and one sentence says what to do."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from nights import an_alert

from schemas.findings import Alert
from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.outbox import Outbox
from sinks.webhooks.outbox_file import OutboxUnusable, rescue
from sinks.webhooks.signing import new_secret
from streams.cli import main

T = 1_763_683_200_000_000
A = Endpoint("https://a.example/x", new_secret())


def alert(number: int) -> Alert:
    return an_alert(
        alert_id=f"a{number}",
        dedup_key="d",
        kind="Cascade: onset",
        severity="warning",
        text="t" * 1500,
        ts_event=T,
        ts_detect=T,
    )


def filled(path: Path, count: int = 200) -> bytes:
    """Make an outbox of `count` waiting deliveries and return its whole content."""
    with Outbox(path) as outbox:
        outbox.put_many([alert(number) for number in range(count)], [A])
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE cookies (name TEXT)")


def named_alike(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE deliveries (name TEXT)")
        db.execute("PRAGMA user_version = 1")


def newer(path: Path) -> None:
    filled(path, 1)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 9")


def torn_page(path: Path) -> None:
    content = bytearray(filled(path))
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(content)


UNUSABLE = {
    "garbage": (lambda path: path.write_bytes(os.urandom(9000)), "not a whole outbox .* rescue"),
    "text": (lambda path: path.write_text("webhooks"), "not a whole outbox .* rescue"),
    "half": (lambda path: path.write_bytes(filled(path)[:200_000]), "not a whole outbox .* rescue"),
    "one page": (lambda path: path.write_bytes(filled(path)[:4096]), "not a whole outbox .* rescue"),
    "half a page": (lambda path: path.write_bytes(filled(path)[:2000]), "not a whole outbox .* rescue"),
    "torn page": (torn_page, "not a whole outbox .* rescue"),
    "foreign": (foreign, r"another program's SQLite file \(cookies\); give --data-dir"),
    "named alike": (named_alike, "another program's SQLite file"),
    "newer": (newer, r"newer undertow \(version 9, this one reads 5\); start that one"),
    "folder": (lambda path: path.mkdir(), "cannot be opened .* --data-dir another place"),
}  # fmt: skip


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_cannot_be_the_outbox_is_named_in_one_sentence_and_left_as_it_is(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "outbox.sqlite"
    make, sentence = UNUSABLE[kind]
    make(path)
    before = content(path)
    with pytest.raises(OutboxUnusable, match=f"^{path} .*{sentence}") as refusal:
        Outbox(path)
    assert "\n" not in str(refusal.value)
    assert content(path) == before
    listed = CliRunner().invoke(main, ["webhooks", "list", "--data-dir", str(tmp_path)])
    assert listed.exit_code == 2
    assert listed.stderr.startswith(f"undertow: {path} ")


def test_an_emptied_file_beside_a_log_that_is_not_empty_is_no_new_outbox(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    path.touch()
    (tmp_path / "outbox.sqlite-wal").write_bytes(b"x" * 9000)
    with pytest.raises(OutboxUnusable, match="its write-ahead log is not"):
        Outbox(path)
    assert (tmp_path / "outbox.sqlite-wal").stat().st_size == 9000


def test_an_empty_file_is_a_new_outbox(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite").touch()
    with Outbox(tmp_path / "outbox.sqlite") as outbox:
        assert outbox.put(alert(1), [A]) == 1


def test_a_file_that_cannot_be_written_is_refused_at_start() -> None:
    # Root may write everything: ask as nobody.
    program = (
        "import os, sys; from sinks.webhooks.outbox import Outbox;"
        " os.geteuid() or os.setuid(65534); Outbox(sys.argv[1])"
    )
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        filled(folder / "outbox.sqlite", 1)
        (folder / "outbox.sqlite").chmod(0o444)
        folder.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", program, folder / "outbox.sqlite"],
            cwd=Path(__file__).resolve().parents[2],
            capture_output=True,
            text=True,
        )
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
    assert "OutboxUnusable" in done.stderr
    assert "let this user read and write it" in done.stderr


OLD = """
CREATE TABLE deliveries (
    webhook_id TEXT NOT NULL, endpoint TEXT NOT NULL, body BLOB NOT NULL, state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, next_attempt_us INTEGER NOT NULL, changed_us INTEGER NOT NULL,
    last_error TEXT NOT NULL DEFAULT '', PRIMARY KEY (webhook_id, endpoint)
);
CREATE TABLE endpoints (
    endpoint TEXT PRIMARY KEY, hold_until_us INTEGER NOT NULL DEFAULT 0, disabled TEXT NOT NULL DEFAULT ''
);
PRAGMA user_version = 1;
"""
CLOCK = """
CREATE TABLE clock (one INTEGER PRIMARY KEY, outbox_us INTEGER NOT NULL, wall_us INTEGER NOT NULL);
PRAGMA user_version = 2;
"""
EVENTS = """
ALTER TABLE deliveries ADD COLUMN event TEXT NOT NULL DEFAULT '';
ALTER TABLE deliveries ADD COLUMN action TEXT NOT NULL DEFAULT '';
ALTER TABLE deliveries ADD COLUMN why TEXT NOT NULL DEFAULT '';
CREATE TABLE routing (channel TEXT PRIMARY KEY, state BLOB NOT NULL);
CREATE TABLE routed (alert_id TEXT PRIMARY KEY, outbox_us INTEGER NOT NULL);
CREATE TABLE taken (event TEXT PRIMARY KEY, outbox_us INTEGER NOT NULL);
CREATE TABLE silences (silence TEXT PRIMARY KEY, asset TEXT, kind TEXT, until_us INTEGER);
PRAGMA application_id = 0x55544F57;
PRAGMA user_version = 3;
"""
YEAR_US = 365 * 86_400 * 1_000_000


@pytest.mark.parametrize("schema", [OLD, OLD + CLOCK, OLD + CLOCK + EVENTS])
def test_a_file_of_an_older_version_is_brought_up_to_date_and_its_far_times_do_not_silence(
    tmp_path: Path, schema: str
) -> None:
    path = tmp_path / "outbox.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(schema)
        db.execute(
            "INSERT INTO deliveries (webhook_id, endpoint, body, state, attempts, next_attempt_us,"
            " changed_us) VALUES ('a', ?, x'7b7d', 'pending', 1, ?, ?)",
            (A.name, T + YEAR_US, T),
        )
        db.execute("INSERT INTO endpoints VALUES (?, ?, '')", (A.name, T + YEAR_US))
    wall = [T + 60_000_000]
    with Outbox(path, wall=lambda: wall[0], steady=lambda: wall[0]) as outbox:
        assert outbox.forget({A.name}) == {}
        wait_us = outbox.wait_us(A.name)
        assert wait_us is not None
        assert wait_us <= 2 * 86_400 * 1_000_000
        wall[0] += wait_us
        assert outbox.due(A.name) is not None
        assert outbox.put(alert(2), [A]) == 1


def held_by_run(folder: Path) -> str:
    return f"import fcntl; lock = open({str(folder / 'lock')!r}, 'w'); fcntl.flock(lock, 2)"


def held_by_notify(folder: Path) -> str:
    return f"from streams.kafka import worker_names; worker_names.claim({str(folder)!r}, 'notify')"


@pytest.mark.parametrize("kind", ["half", "torn page"])
def test_a_rescue_keeps_what_can_be_read_and_the_whole_old_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "outbox.sqlite"
    UNUSABLE[kind][0](path)
    before = path.read_bytes()
    done = CliRunner().invoke(main, ["webhooks", "rescue", "--data-dir", str(tmp_path)])
    assert done.exit_code == 0, done.output
    [aside] = tmp_path.glob("outbox.sqlite.broken-*")
    assert aside.read_bytes() == before
    with Outbox(path) as outbox:
        kept = {delivery.webhook_id: delivery for delivery in outbox.listed("pending")}
    assert 20 <= len(kept) < 200
    assert done.stdout.startswith(f"{len(kept)} deliveries kept in {path}")
    assert all(b'"text":"ttt' in delivery.body for delivery in kept.values())


def test_a_rescue_of_garbage_keeps_the_garbage_and_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(b"\x00webhooks" * 999)
    aside, kept = rescue(path)
    assert (aside.read_bytes(), kept) == (b"\x00webhooks" * 999, 0)
    with Outbox(path) as outbox:
        assert outbox.counts() == {}


@pytest.mark.parametrize("holding_program", [held_by_notify, held_by_run])
def test_nothing_is_rescued_from_under_a_process_that_works_with_it(
    tmp_path: Path, holding_program: Any
) -> None:
    filled(tmp_path / "outbox.sqlite", 1)
    program = (
        f"{holding_program(tmp_path)}; import sys; print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        done = CliRunner().invoke(main, ["webhooks", "rescue", "--data-dir", str(tmp_path)])
        holder.communicate()
    assert done.exit_code == 2
    assert "stop it first" in done.stderr
    assert not list(tmp_path.glob("*.broken*"))
