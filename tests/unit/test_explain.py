"""`undertow run --explain` says of each file what it is taken for, and what of it is not used."""

import gzip
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from schemas.market import Liquidation
from schemas.status import DeadLetter
from streams.cli import main
from streams.sources.open import open_source

HEADER = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue\n"
BYBIT = (
    "1740614400.1234,BTCUSDT,Sell,0.012,85000.5,MinusTick,aaaa,1\n"
    "1740614401.5,BTCUSDT,Buy,0.5,85001,PlusTick,bbbb,1\n"
    "1740614402.5,BTCUSDT,Up,0.5,85001,PlusTick,cccc,1\n"
)
VENUES = "exchange,symbol,side,quantity,price,timestamp\n"
ORDER = "binance,BTCUSDT,SELL,0.5,85000,1740614400123\n"


def explained(source: Path, *args: str) -> tuple[list[dict[str, Any]], int]:
    done = CliRunner().invoke(main, ["run", "--source", str(source), "--explain", "--json", *args])
    return [json.loads(line) for line in done.stdout.splitlines()], done.exit_code


def test_each_file_is_named_with_evidence_times_rows_and_what_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "BTCUSDT2025-02-27.csv.gz").write_bytes(gzip.compress((HEADER + BYBIT).encode()))
    (tmp_path / "funding.csv").write_text("calc_time,last_funding_rate\n1740614400000,0.0001\n")
    files, code = explained(tmp_path)
    assert code == 3  # a row was lost
    archive, funding = sorted(files, key=lambda file: str(file["path"]))
    assert archive["form"] == "Bybit's and BitMEX's public archives: trades"
    assert archive["packing"] == "gzip"
    assert archive["evidence"].startswith("its header timestamp,symbol,side,size,price")
    assert (archive["first"], archive["last"]) == (1_740_614_400_123_400, 1_740_614_401_500_000)
    assert (archive["rows"], archive["records"], archive["bad"]) == (4, {"trade": 2}, 1)
    assert archive["complaints"] == ["line 4: side: 'Up' is neither buy nor sell"]
    assert "no receipt" in archive["lacks"]
    assert funding["reason"] == "funding rates: no order and no position"


def test_a_file_that_may_hold_records_and_is_not_read_is_exit_code_3_or_2(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + BYBIT)
    (tmp_path / "b.bin").write_bytes(b"\x00\x01\x02")
    assert explained(tmp_path)[1] == 3
    assert explained(tmp_path, "--strict")[1] == 2
    done = CliRunner().invoke(main, ["run", "--source", str(tmp_path), "--explain"])
    assert "taken for  Bybit's and BitMEX's public archives: trades" in done.stdout


def test_repeats_count_once_and_the_switch_keeps_them(tmp_path: Path) -> None:
    (tmp_path / "forced_orders.csv").write_text(VENUES + ORDER * 3)
    [file], _ = explained(tmp_path)
    assert (file["records"], file["repeats"]) == ({"liquidation": 3}, 2)

    def ids(keep: bool | None) -> list[str]:
        records = [record for _, record in open_source(tmp_path, keep_repeats=keep).items]
        return [record.event_id for record in records if isinstance(record, Liquidation)]

    assert len(set(ids(None))) == 1
    assert len(set(ids(True))) == len(ids(True)) == 3


def test_a_recorder_s_switch_is_the_same(tmp_path: Path) -> None:
    row = "BTC,BUY,LIMIT,IOC,0.784,26263.36,26003.33,FILLED,0.784,0.784,1693000000000\n"
    (tmp_path / "binance.csv").write_text(row * 2)
    kinds = [type(record) for _, record in open_source(tmp_path).items]
    assert kinds == [Liquidation, DeadLetter]
    kinds = [type(record) for _, record in open_source(tmp_path, keep_repeats=True).items]
    assert kinds == [Liquidation, Liquidation]
