"""What a store exports as Parquet is read back as a source that gives the same findings."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from runs import run, write_recording

from sinks.sql.query import query

CONCLUDED = ("cascades", "market_cascades", "whale_selling", "alerts", "liquidations", "trades")


def stored(data_dir: Path, table: str) -> str:
    return query(
        f"SELECT * EXCEPT (kafka_topic, kafka_partition, kafka_offset) FROM {table} FINAL"
        " ORDER BY ALL",
        "JSONCompactEachRow",
        data_dir=data_dir,
    )


def exported(data_dir: Path, out: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streams.cli", "export", str(out), "--data-dir", str(data_dir)]
    return subprocess.run([*command, *args], capture_output=True, text=True, check=False)


def without_words(folder: Path) -> None:
    """Leave out the producers' words on time: an export has none."""
    for path in folder.iterdir():
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(line for line in lines if b'"feed_status"' not in line))


def test_an_export_read_back_gives_the_same_findings(tmp_path: Path) -> None:
    source = tmp_path / "source"
    environ = write_recording(source)
    without_words(source)
    first, again, out = tmp_path / "a", tmp_path / "b", tmp_path / "out"
    assert run(first, environ, "--source", str(source), "--no-serve")[0] == 0
    done = exported(first, out)
    assert done.returncode == 0, done.stderr
    printed = dict(line.split("\t") for line in done.stdout.splitlines())
    assert all(pq.read_metadata(path).num_rows == int(rows) for path, rows in printed.items())
    for path in out.glob("bars-*"):
        path.unlink()
    code, said = run(again, environ, "--source", str(out), "--no-serve")
    assert code == 0, said
    assert stored(first, "cascades").count("\n") > 3
    for table in CONCLUDED:
        assert stored(again, table) == stored(first, table), table


def test_a_table_and_a_span_of_time_are_exported_alone_and_nothing_is_overwritten(
    tmp_path: Path,
) -> None:
    source, data, out = tmp_path / "source", tmp_path / "a", tmp_path / "out"
    environ = write_recording(source)
    assert run(data, environ, "--source", str(source), "--no-serve")[0] == 0

    def ask(sql: str) -> Any:
        return query(sql, "TSV", data_dir=data).strip()

    middle = ask("SELECT toUnixTimestamp64Micro(quantileExact(ts_event)) FROM trades")
    args = ("--table", "trades", "--until", middle)
    assert exported(data, out, *args).returncode == 0
    [path] = out.iterdir()
    table = pq.read_table(path)
    assert table.num_rows == int(
        ask(f"SELECT count() FROM trades WHERE ts_event < fromUnixTimestamp64Micro({middle})")
    )
    assert max(table["ts_event"].to_pylist()) < int(middle)
    refused = exported(data, out, *args)
    assert refused.returncode == 2
    assert "File exists" in refused.stderr
    assert "'nothing' is no table" in exported(data, out, "--table", "nothing").stderr
