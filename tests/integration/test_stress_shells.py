"""Minute klines through both shells: the same stress findings, stored, reported, and paged to nobody."""

import json
from pathlib import Path

from test_both_shells import Stack, columns, embedded_rows, undertow
from test_stress import START_MIN, crash

from schemas.words import MINUTE


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
    environ = {"UNDERTOW_SQL_PORT": "0"}
    source = ("--source", str(tmp_path / "klines"), "--data-dir", str(tmp_path / "a"))
    ran = undertow("run", "--no-serve", *source, **environ)
    assert ran.returncode == 0, ran.stderr
    assert "Stress by minute bars, no liquidation: 1 times" in ran.stdout
    report = json.loads((tmp_path / "a" / "run.json").read_text())
    assert [row["asset"] for row in report["stress"]] == ["BTC"]
    assert report["episodes"] == report["watched"] == []
    here = embedded_rows(tmp_path / "a", "stress")
    assert [row["phase"] for row in here] == ["onset", "closed"]
    shown = undertow("alerts", "preview", "--data-dir", str(tmp_path / "a"))
    assert "stress" not in shown.stdout
    stack = Stack(tmp_path / "b", environ | {"KAFKA_URL": clean_topics})
    try:
        fed = undertow("replay", str(tmp_path / "klines"), "--kafka-url", clean_topics)
        assert fed.returncode == 0, fed.stderr
        stack.wait_for("stress", "SELECT toInt32(count()) AS n FROM stress", [2])
        assert stack.rows(columns("stress")) == here
    finally:
        code = stack.stop()
    assert code == 0
