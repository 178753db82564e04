"""`undertow run` over a dump taken by the run stores and counts what it does line by line."""

import gzip
from pathlib import Path
from typing import Any

from dumps import lines
from nights import PARAMS
from runs import OFTEN
from runs import run as ran

from streams.process.settings import Settings
from streams.run.loop import Ears
from streams.run.shell import Embedded
from streams.sources.ndjson import ndjson_source


def stored(data: Path, source: Path, by_the_run: bool) -> tuple[Any, ...]:
    ears = Ears(tell=lambda *_: None, say=lambda _: None, stop=lambda: False)
    with Embedded(Settings(data_dir=str(data), sql_port=0), PARAMS) as run:
        result = run.play(ndjson_source(source, by_the_run), None, True, ears)

        def ask(sql: str) -> Any:
            return run.client.query(sql).result_rows

        trades = ask(
            "SELECT event_id, venue, instrument, asset, aggressor_side, price, quantity,"
            " notional_usd, ts_event, ts_recv FROM trades ORDER BY ts_recv, event_id, price"
        )
        bars = ask(
            "SELECT asset, ts_open, high, low, buy_usd, sell_usd, trades FROM bars FINAL ORDER BY ALL"
        )
        letters = ask("SELECT field, reason, count() FROM dead_letters GROUP BY ALL ORDER BY ALL")
        offsets = ask("SELECT count(), uniqExact(kafka_offset), max(kafka_offset) FROM trades")
    return trades, bars, letters, offsets, result["late"], result["repeats"]


def test_a_dump_by_the_run_is_stored_and_counted_as_line_by_line(tmp_path: Path) -> None:
    source = tmp_path / "trades.ndjson"
    source.write_bytes(b"\n".join(lines(3_000)))
    by_the_run = stored(tmp_path / "a", source, True)
    assert by_the_run == stored(tmp_path / "b", source, False)
    trades, _, letters, [(count, distinct, last)], late, repeats = by_the_run
    assert len(trades) == count == distinct == last + 1 > 2_900
    assert letters
    assert repeats > 0
    assert late > 0


def test_a_run_that_read_with_losses_says_so_by_its_exit_code(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    # A dump without its broken lines, of which each is a loss.
    sound = [line for line in lines(3_000) if line.startswith(b'{"') and b"DOGE-" not in line]
    whole = b"\n".join(sound)
    (source / "trades.ndjson.gz").write_bytes(gzip.compress(whole)[:-2_000])
    code, output = ran(tmp_path / "a", OFTEN, "--source", str(source), "--no-serve")
    assert code == 3, output
    assert "read only up to where they break off: trades.ndjson.gz" in output
    (source / "trades.ndjson.gz").write_bytes(gzip.compress(whole))
    assert ran(tmp_path / "b", OFTEN, "--source", str(source), "--no-serve")[0] == 0
    (source / "notes.bin").write_bytes(b"\x00\x01")
    code, output = ran(tmp_path / "c", OFTEN, "--source", str(source), "--no-serve")
    assert code == 3
    assert "not read: notes.bin" in output
    code, output = ran(tmp_path / "d", OFTEN, "--source", str(source), "--strict")
    assert (code, "--strict: not read: notes.bin" in output) == (2, True)
