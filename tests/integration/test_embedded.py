"""`undertow run` as its user starts it: what it stores, says, refuses, and leaves behind."""

import contextlib
import csv
import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nights import PARAMS, disturbed_night, night, write_ndjson

from sinks.clickhouse import client as clickhouse
from sinks.sql.report import report

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def undertow(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *args],
        env=os.environ | {"UNDERTOW_SQL_PORT": "0"} | environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def report_of(data_dir: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((data_dir / "run.json").read_bytes())
    return report


def sql(data_dir: Path, query: str) -> list[list[str]]:
    answer = undertow("sql", query, "--data-dir", str(data_dir), "--format", "TSV")
    assert answer.returncode == 0, answer.stderr
    return [line.split("\t") for line in answer.stdout.splitlines()]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("night") / "recording"
    write_ndjson(night(), folder)
    (folder.parent / "params.json").write_bytes(msgspec.json.encode(PARAMS))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def params(recording: Path) -> dict[str, str]:
    return {"UNDERTOW_PARAMS": str(recording.parent / "params.json")}


def test_every_kind_of_bad_input_is_a_dead_letter_and_changes_nothing_else(
    recording: Path, params: dict[str, str], tmp_path: Path
) -> None:
    clean = undertow("run", "--source", str(recording), "--data-dir", str(tmp_path / "a"), **params)
    assert clean.returncode == 0, clean.stderr
    dirty = tmp_path / "dirty"
    shutil.copytree(recording, dirty)
    good = (dirty / "liquidations.ndjson").read_bytes().splitlines()[40]
    bad = {
        "unknown asset": good.replace(b'"asset":"', b'"asset":"?'),
        "NaN": good.replace(b'"price":100.0', b'"price":NaN'),
        "negative size": good.replace(b'"price":100.0', b'"price":-100.0'),
        "absurd size": good.replace(b'"quantity":', b'"quantity":9e99,"x":'),
        "future": good.replace(b'"ts_event":17', b'"ts_event":39').replace(
            b'"ts_recv":17', b'"ts_recv":39'
        ),
        "ahead of receipt": good.replace(b'"ts_event":176', b'"ts_event":177'),
        "wrong type": good.replace(b'"price":100.0', b'"price":"much"'),
        "truncated": good[:80],
        "unknown side": good.replace(b'"position_side":"long"', b'"position_side":"LONG"'),
        "duplicate": good,
    }
    lines = (dirty / "liquidations.ndjson").read_bytes().splitlines()
    lines[41:41] = bad.values()
    (dirty / "liquidations.ndjson").write_bytes(b"\n".join(lines) + b"\n")
    ran = undertow("run", "--source", str(dirty), "--data-dir", str(tmp_path / "b"), **params)
    assert ran.returncode == 3, ran.stderr  # what could not be used is a loss
    before, after = report_of(tmp_path / "a"), report_of(tmp_path / "b")
    # The record that stood there twice counts once, and is none.
    assert after["dead_letters"] == len(bad) - 1
    assert f"Dead letters: {len(bad) - 1}" in ran.stdout
    for figure in ("records", "liquidated_usd", "episodes", "whale_verdicts", "market_episodes"):
        assert after[figure] == before[figure]
    letters = sql(tmp_path / "b", "SELECT topic, offset, field, reason FROM dead_letters FINAL")
    assert all(reason for *_, reason in letters)
    assert {field for _, _, field, _ in letters} >= {
        "price",
        "quantity",
        "position_side",
        "ts_event",
    }


def test_what_is_told_anew_replaces_and_takes_back(tmp_path: Path, params: dict[str, str]) -> None:
    sent = write_ndjson(disturbed_night(), tmp_path / "recording")
    data = tmp_path / "data"
    ran = undertow(
        "run", "--source", str(tmp_path / "recording"), "--data-dir", str(data), **params
    )
    assert ran.returncode == 0, ran.stderr

    verdicts = "SELECT event_id, verdict, version, reason FROM whale_verdicts ORDER BY event_id"
    assert sql(data, verdicts) == [
        ["deposit", "retracted", "3", "removed by a reorg"],
        ["seller", "retracted", "2", "removed by a reorg"],
    ]
    assert [(v["event_id"], v["verdict"]) for v in report_of(data)["whale_verdicts"]] == [
        ("deposit", "retracted"), ("seller", "retracted"),
    ]  # fmt: skip
    back = "SELECT dedup_key FROM alerts WHERE kind = 'whale.retracted'"
    assert sql(data, back) == [["seller"]]
    assert sql(data, "SELECT corrections FROM episodes WHERE asset = 'BTC'") == [["2"]]
    stored = "SELECT count(), countIf(removed), countIf(version = 2) FROM liquidations FINAL"
    assert sql(data, stored) == [[str(sent["liquidations"]), "1", "2"]]
    counted = "SELECT (SELECT sum(orders) FROM board_24h) = sum(orders) - 1 FROM liquidations FINAL"
    assert sql(data, counted) in ([["1"]], [["true"]])
    assert report_of(data)["orders"] == sent["liquidations"] - 1
    assert report_of(data)["dead_letters"] == 0
    assert sql(data, "SELECT DISTINCT inflow_id FROM what_triggered WHERE inflow_id != ''") == []


def test_the_report_and_sql_agree_and_a_second_run_doubles_nothing(
    recording: Path, params: dict[str, str], tmp_path: Path
) -> None:
    for _ in range(2):
        ran = undertow("run", "--source", str(recording), "--data-dir", str(tmp_path), **params)
        assert ran.returncode == 0, ran.stderr
    report = report_of(tmp_path)
    [[orders, usd]] = sql(tmp_path, "SELECT sum(orders), sum(notional_usd) FROM liquidations")
    lines = (recording / "liquidations.ndjson").read_bytes().splitlines()
    worth = sum(json.loads(line)["notional_usd"] for line in lines)
    assert int(orders) == len(lines) == report["records"]["liquidations"]
    assert float(usd) == pytest.approx(worth)
    assert report["liquidated_usd"] == pytest.approx(worth)
    assert {e["asset"] for e in report["episodes"]} == {"BTC", "ETH"}
    [[board]] = sql(tmp_path, "SELECT sum(notional_usd) FROM board_24h")
    assert float(board) == pytest.approx(worth)
    [[episodes]] = sql(tmp_path, "SELECT count() FROM episodes WHERE ts_detected IS NOT NULL")
    assert int(episodes) == 2


def test_the_report_is_of_its_run_alone_and_tells_episodes_as_the_view_does(
    recording: Path, params: dict[str, str], tmp_path: Path
) -> None:
    for source in (tmp_path / "other", recording):
        if source != recording:
            write_ndjson([e for e in night(seed=8) if e[1] != "whale_transfers"], source)
        ran = undertow(
            "run",
            "--source",
            str(source),
            "--data-dir",
            str(tmp_path / "data"),
            "--fresh",
            **params,
        )
        assert ran.returncode == 0, ran.stderr
    client = clickhouse.open_client("chdb", tmp_path / "data")
    with contextlib.closing(client):
        [[run]] = client.query(
            "SELECT argMax(kafka_topic, kafka_offset) FROM cascades WHERE asset = 'BTC'"
            " AND kafka_topic IN (SELECT kafka_topic FROM whale_transfers)"
        ).result_rows
        before = report(client, run)
        # An order of the episode is taken back long after its end: no new peak, no coverage.
        client.command(
            "INSERT INTO cascades SELECT * REPLACE('corrected' AS phase, 'late' AS finding_id,"
            " ts_event + toIntervalHour(1) AS ts_event, ts_event AS ts_peak, 'unknown' AS coverage)"
            f" FROM (SELECT * FROM cascades WHERE kafka_topic = '{run}' AND phase = 'closed'"
            " AND asset = 'BTC') SETTINGS prefer_column_name_to_alias = 1"
        )
        assert report(client, run) == before
        [[stored]] = client.query("SELECT count() FROM liquidations FINAL").result_rows
    kept = report_of(tmp_path / "data")
    assert before["episodes"] == kept["episodes"]
    assert before["orders"] == kept["orders"] < stored


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["--source", "/nowhere/at/all"], "no such file"),
        (["--hours", "25"], "at most 24"),
        (["--hours", "0"], "above 0"),
        (["--speed", "fast"], "--speed"),
        (["--sql-port", "abc"], "sql_port"),
        (["--params", "/nowhere.json"], "parameters /nowhere.json"),
    ],
)
def test_what_cannot_run_says_so_in_one_line(args: list[str], reason: str, tmp_path: Path) -> None:
    ran = undertow("run", "--data-dir", str(tmp_path / "d"), *args)
    assert ran.returncode == 2
    assert reason in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1


def test_a_busy_port_is_one_line(recording: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = undertow(
            "run", "--source", str(recording), "--data-dir", str(tmp_path), "--sql-port", port
        )
    assert ran.returncode == 2
    assert port in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1


def test_an_unwritable_data_directory_is_one_line(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ran = undertow("run", "--source", str(recording), "--data-dir", str(tmp_path / "file" / "d"))
    assert ran.returncode == 2
    assert "cannot write" in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1


def test_while_it_serves_others_query_it_and_a_second_process_is_refused(
    recording: Path, params: dict[str, str], tmp_path: Path
) -> None:
    serving = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "streams.cli",
            "run",
            "--source",
            str(recording),
            "--serve",
            "--data-dir",
            str(tmp_path),
        ],
        env=os.environ | {"UNDERTOW_SQL_PORT": "0"} | params,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run.json").exists():
            assert serving.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        url = json.loads((tmp_path / "endpoint.json").read_bytes())["url"]
        with urllib.request.urlopen(
            url, data=b"SELECT count() FROM liquidations", timeout=30
        ) as answer:
            assert int(answer.read()) > 1000
        assert int(sql(tmp_path, "SELECT count() FROM trades")[0][0]) > 1000
        second = undertow("run", "--source", str(recording), "--data-dir", str(tmp_path))
        assert second.returncode == 2
        assert "another process" in second.stderr
    finally:
        serving.send_signal(signal.SIGINT)
        _out, err = serving.communicate(timeout=60)
    assert serving.returncode == 0, err
    assert "Traceback" not in err
    assert not (tmp_path / "endpoint.json").exists()


@pytest.mark.skipif(not SHARED.exists(), reason="no shared/data beside the checkout")
def test_a_real_aftermath_is_stored_whole_and_claims_no_cascade(tmp_path: Path) -> None:
    folder = SHARED / "binance_ws_2025-01_paulius"
    ran = undertow("run", "--source", str(folder), "--data-dir", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    report = report_of(tmp_path)
    with gzip.open(folder / "binance.csv.gz", "rt") as file:
        # The recorder wrote most rows twice.
        rows = {tuple(row[:11]) for row in csv.reader(file)}
    # symbol, side, type, tif, quantity, price, average price, status, last, cumulative, ms
    worth = sum(float(row[9]) * float(row[6]) for row in rows)
    longs = sum(float(row[9]) * float(row[6]) for row in rows if row[1] == "SELL")
    with gzip.open(folder / "binance_trades.csv.gz", "rt") as file:
        trades = sum(1 for _ in file)
    assert report["records"]["liquidations"] == len(rows)
    assert report["records"]["trades"] == trades
    assert report["liquidated_usd"] == pytest.approx(worth, rel=1e-6)
    assert report["long_share"] == pytest.approx(longs / worth, rel=1e-6)
    assert report["episodes"] == []
    assert report["lower_bound"]


@pytest.mark.skipif(not SHARED.exists(), reason="no shared/data beside the checkout")
def test_a_recorder_that_cannot_know_the_side_is_still_counted(tmp_path: Path) -> None:
    ran = undertow(
        "run", "--source", str(SHARED / "binance_liqs_2023-01_krishna"), "--data-dir", str(tmp_path)
    )
    assert ran.returncode == 0, ran.stderr  # candles alone hold no record: nothing is lost
    report = report_of(tmp_path)
    assert "no records in BTC_1m.csv" in ran.stderr
    assert report["long_share"] is None
    assert report["orders_of_unknown_side"] > 0.5 * report["orders"]
    busiest = report["busiest_hours"][0]
    # Hours are those of the last day, which ends on the 16th at 17:43.
    assert "2023-01-15T17" <= busiest["hour"] < "2023-01-16T18"
    [[hour, usd]] = sql(
        tmp_path,
        "SELECT toStartOfHour(ts_event) AS hour, sum(notional_usd) AS usd FROM liquidations FINAL"
        " GROUP BY hour ORDER BY usd DESC LIMIT 1",
    )
    assert hour.startswith("2023-01-14 00")
    assert float(usd) == pytest.approx(63.3e6, rel=0.001)
