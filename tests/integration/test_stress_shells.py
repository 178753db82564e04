"""Minute klines through both shells: the same stress findings, stored, reported, paged to nobody."""

import json
from pathlib import Path

from minutes import START_MIN, crash
from runs import OFTEN, run
from stages import rows, running, undertow, until

from schemas.words import MINUTE

ROWS = "SELECT * EXCEPT (kafka_topic, kafka_partition, kafka_offset) FROM stress ORDER BY ts_event"


def write_klines(folder: Path) -> None:
    """Write the crash as Binance Vision has it: milliseconds, volume in coins and in quote."""
    folder.mkdir()
    lines = [
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
        "taker_buy_volume,taker_buy_quote_volume,ignore"
    ]
    for number, bar in enumerate(crash()):
        opened = (START_MIN + number) * MINUTE // 1_000
        quote, price = bar.buy_usd + bar.sell_usd, (bar.high + bar.low) / 2
        lines.append(
            f"{opened},{price},{bar.high},{bar.low},{price},{quote / price},{opened + 59_999},"
            f"{quote},{bar.trades},{bar.buy_usd / price},{bar.buy_usd},0"
        )
    (folder / "BTCUSDT-um-1m-2025-11-21.csv").write_text("\n".join(lines) + "\n")


def test_a_crash_in_klines_is_the_same_stress_in_both_shells(
    clean_topics: str, tmp_path: Path
) -> None:
    write_klines(tmp_path / "klines")
    here = ("--data-dir", str(tmp_path / "a"))
    code, said = run(tmp_path / "a", OFTEN, "--no-serve", "--source", str(tmp_path / "klines"))
    assert code == 0, said
    report = json.loads((tmp_path / "a" / "run.json").read_text())
    assert [row["asset"] for row in report["stress"]] == ["BTC"]
    assert report["episodes"] == report["watched"] == []
    asked = undertow({}, "sql", ROWS, "--format", "JSONEachRow", *here)
    embedded = [json.loads(line) for line in asked.stdout.splitlines()]
    assert [row["phase"] for row in embedded] == ["onset", "closed"]
    assert "stress" not in undertow({}, "alerts", "preview", *here).stdout
    environ = {
        "KAFKA_URL": clean_topics,
        "UNDERTOW_SQL_PORT": "0",
        "UNDERTOW_DATA_DIR": str(tmp_path / "b"),
    }
    with running(environ, "stack", log=tmp_path / "log"):
        until(lambda: "feed it" in (tmp_path / "log").read_text(), "the stack to be up", 120)
        fed = undertow({}, "replay", str(tmp_path / "klines"), "--kafka-url", clean_topics)
        assert fed.returncode == 0, fed.stderr
        until(lambda: len(rows(tmp_path / "b", ROWS)) == 2, "stress to be stored", 120)
        assert rows(tmp_path / "b", ROWS) == embedded
