"""`undertow run` as real processes: started, killed at a checkpoint, and what they leave."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from nights import PARAMS, SECOND, START, night, write_ndjson

from sinks.clickhouse.rows import TABLES
from streams.run import checkpoint

WAIT_S = 300
#: Checkpoints and batches so small that a short night has many.
OFTEN = {
    "UNDERTOW_SQL_PORT": "0",
    "UNDERTOW_CHECKPOINT_S": "0.1",
    "UNDERTOW_FLUSH_S": "0.2",
    "UNDERTOW_BATCH_ROWS": "1000",
}
#: Every row of every table as stored, but for the run's own name.
_DUMP = """
import json, sys
from sinks.clickhouse import client as clickhouse
client = clickhouse.open_client("chdb", sys.argv[1])
for table in sys.argv[2].split():
    rows = client.query(f"SELECT * EXCEPT kafka_topic FROM {table} ORDER BY ALL").result_rows
    print(json.dumps([table, sorted(map(str, rows))]))
"""


def write_recording(folder: Path) -> dict[str, str]:
    """Write a short night; return the environment in which it has findings."""
    write_ndjson(night(), folder)
    params = folder.parent / "params.json"
    params.write_bytes(msgspec.json.encode(PARAMS))
    return OFTEN | {"UNDERTOW_PARAMS": str(params)}


def start(data_dir: Path, environ: dict[str, str], *args: str) -> subprocess.Popen[str]:
    """Start a run and return at once."""
    return subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "run", "--data-dir", str(data_dir), *args],
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(data_dir: Path, environ: dict[str, str], *args: str) -> tuple[int, str]:
    """Run to the end; return the exit code and what was said on stderr."""
    return _ended(start(data_dir, environ, *args))


def signalled(
    data_dir: Path, environ: dict[str, str], args: tuple[str, ...], at: int, what: signal.Signals
) -> tuple[int, str]:
    """Run, and send a signal at the first checkpoint `at` seconds into the night or later.

    At a set speed: as fast as it goes, a quick machine would be done before the signal.
    Returns as `run` does.
    """
    kept, until = data_dir / checkpoint.NAME, (START + at) * SECOND
    old = kept.read_bytes() if kept.exists() else b""
    process = start(data_dir, environ, *args, "--speed", "120")
    deadline = time.monotonic() + WAIT_S
    while process.poll() is None:
        assert time.monotonic() < deadline
        content = kept.read_bytes() if kept.exists() else old
        if content != old and checkpoint.decode(content).at >= until:
            break
        time.sleep(0.005)
    process.send_signal(what)
    ended = _ended(process)
    assert kept.exists(), f"was done before the signal: {ended[1]}"
    return ended


def _ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        _, output = process.communicate(timeout=WAIT_S)
    finally:
        process.kill()
    return process.returncode, output


def report_of(data_dir: Path) -> dict[str, Any]:
    """Return run.json but for how long the run took."""
    report: dict[str, Any] = json.loads((data_dir / "run.json").read_bytes())
    assert report.pop("elapsed_s") > 0
    return report


def stored(data_dir: Path) -> dict[str, list[str]]:
    """Return all rows of every table as they lie there: no FINAL, no view."""
    command = [sys.executable, "-c", _DUMP, str(data_dir), " ".join(TABLES.values())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=True)
    return dict(json.loads(line) for line in done.stdout.splitlines())
