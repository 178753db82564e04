"""`undertow run` over a dump taken by the run stores and counts what it does line by line."""

from pathlib import Path
from typing import Any

from dumps import lines
from nights import PARAMS

from streams.process.settings import Settings
from streams.run.loop import Ears
from streams.run.shell import Embedded
from streams.sources.ndjson import ndjson_source


def stored(data: Path, source: Path, by_the_run: bool) -> tuple[Any, ...]:
    ears = Ears(tell=lambda *_: None, say=lambda _: None, stop=lambda: False)
    with Embedded(Settings(data_dir=str(data), sql_port=0), PARAMS) as run:
        found = run.play(ndjson_source(source, by_the_run), None, True, ears)

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
    return trades, bars, letters, offsets, found["late"]


def test_a_dump_by_the_run_is_stored_and_counted_as_line_by_line(tmp_path: Path) -> None:
    source = tmp_path / "trades.ndjson"
    source.write_bytes(b"\n".join(lines(3_000)))
    by_the_run = stored(tmp_path / "a", source, True)
    assert by_the_run == stored(tmp_path / "b", source, False)
    trades, _, letters, [(count, distinct, last)], late = by_the_run
    assert len(trades) == count == distinct == last + 1 > 2_900
    assert any(reason == "duplicate event_id" for _, reason, _ in letters)
    assert late > 0
