"""`undertow stack` and `replay`, as the README says, on a machine with four busy processes beside.

undertow run --hours 8 ──> findings ──────────────────────── the same ids?
stack, replay --hours 8, four loops that never rest ──> findings ──┘
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from say import say

from bench import rig
from streams.stack import local_kafka

BUSY = 4
#: The first cascade is called after seven and a half.
HOURS = "8"
PATIENCE_S = 900.0
#: Tables of conclusions, and what a row is known by.
IDS = {
    "cascades": "finding_id",
    "market_cascades": "finding_id",
    "whale_selling": "finding_id",
    "alerts": "alert_id",
}
Ids = dict[str, set[str]]


def measure(folder: Path) -> dict[str, Any]:
    """Return which findings of the one process the stack misses or has beside, and restarts."""
    wanted = _of_one_process(folder / "run")
    if not all(wanted[table] for table in ("cascades", "alerts")):
        raise rig.Failed(f"{HOURS} h of the night have no findings to compare")
    with _busy(), _stack(folder / "stack") as log:
        address = _when_up(log)
        began = time.monotonic()
        rig.undertow("replay", "--hours", HOURS, "--kafka-url", address)
        replayed = time.monotonic()
        ids_of = _settled(folder / "stack", wanted)
        ended = time.monotonic()
        restarts = log.read_text().count("started again")
    differ = {table: len(ids ^ ids_of[table]) for table, ids in wanted.items()}
    figures = {
        "findings": {table: len(ids) for table, ids in wanted.items()},
        "missing": {table: sorted(ids - ids_of[table])[:5] for table, ids in wanted.items()},
        "more": {table: sorted(ids_of[table] - ids)[:5] for table, ids in wanted.items()},
        "restarts": restarts,
        "replay_s": replayed - began,
        "after_the_replay_s": ended - replayed,
    }
    say(f"busy: {json.dumps(figures)}")
    return {
        "busy_differ": {"median": float(sum(differ.values()))},
        "busy_restarts": {"median": float(restarts)},
        "busy": figures,
    }


def _of_one_process(folder: Path) -> Ids:
    rig.undertow("run", "--hours", HOURS, "--no-serve", "--data-dir", str(folder))
    environ = os.environ | {"PYTHONPATH": str(rig.ROOT)}
    ids_of = {}
    for table, name in IDS.items():
        words = ["sql", _query(table, name), "--data-dir", str(folder), "--format", "TSV"]
        done = subprocess.run(
            [sys.executable, "-m", "streams.cli", *words],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise rig.Failed(f"undertow sql: {done.stderr[-600:]}")
        ids_of[table] = set(done.stdout.split())
    return ids_of


def _query(table: str, name: str) -> str:
    return f"SELECT DISTINCT {name} FROM {table} ORDER BY {name}"


@contextlib.contextmanager
def _busy() -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@contextlib.contextmanager
def _stack(folder: Path) -> Iterator[Path]:
    """Run `undertow stack` with a Kafka of its own; yield its log."""
    folder.mkdir(parents=True)
    environ = {k: v for k, v in os.environ.items() if k != "KAFKA_URL"} | {
        "PYTHONPATH": str(rig.ROOT),
        "UNDERTOW_DATA_DIR": str(folder),
        "UNDERTOW_KAFKA_PORT": "0",
        "UNDERTOW_KAFKA_JARS": str(local_kafka.fetch_jars()),
        "UNDERTOW_SQL_PORT": "0",
    }
    log = folder / "stack.log"
    with log.open("wb") as into:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "stack"], env=environ, stdout=into, stderr=into
        )
    try:
        yield log
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _when_up(log: Path) -> str:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if named := re.search(r"feed it .*--kafka-url (\S+)", log.read_text()):
            return named[1]
        time.sleep(0.5)
    raise rig.Failed(f"the stack is not up: {log.read_text()[-600:]}")


def _settled(folder: Path, wanted: Ids) -> Ids:
    """Wait until the stack has what is wanted, then a little for what else; return what it has."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        ids_of = _stored(folder)
        if all(ids <= ids_of.get(table, set()) for table, ids in wanted.items()):
            time.sleep(10)
            break
        time.sleep(1)
    return {table: set() for table in wanted} | _stored(folder)


def _stored(folder: Path) -> Ids:
    ids_of = {}
    with contextlib.suppress(OSError, FileNotFoundError):
        url = json.loads((folder / "endpoint.json").read_bytes())["url"]
        for table, name in IDS.items():
            asked = _query(table, name).encode() + b" FORMAT TSV"
            with urllib.request.urlopen(url, data=asked, timeout=30) as answer:
                ids_of[table] = set(answer.read().decode().split())
    return ids_of
