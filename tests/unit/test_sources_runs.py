"""A dump read by the run is the dump read line by line."""

import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest
from dumps import SECOND_0, lines
from nights import PARAMS

from schemas import codec
from schemas.scan import trades
from schemas.scan.bar_sums import add_each
from schemas.scan.columns import Trades
from schemas.status import DeadLetter, FeedStatus
from schemas.words import SECOND
from streams.core import fold, pipeline
from streams.process.clock import not_after
from streams.sources import runs
from streams.sources.ndjson import ndjson_source
from streams.sources.pace import paced


def played(path: Path, by_the_run: bool) -> tuple[list[Any], pipeline.State, set[int]]:
    """Everything stored and concluded, in a form that does not know runs, and the runs' lengths."""
    state, outputs, lengths = pipeline.State(), [], set()
    for topic, record in paced(ndjson_source(path, by_the_run), not_after()):
        if isinstance(record, Trades):
            lengths.add(len(record))
            for trade in record.records(record.of.price > 0):
                outputs.append((topic, trade))
                pipeline.step(PARAMS, state, topic, trade)
        elif isinstance(record, DeadLetter):
            # Stamped with the last time before it: of the run, or of its last trade.
            outputs.append((topic, msgspec.structs.replace(record, ts_recv=SECOND_0 * SECOND)))
        else:
            outputs.append((topic, record))
            outputs += pipeline.step(PARAMS, state, topic, record).outputs
    return outputs, state, lengths


@pytest.mark.parametrize("name", ["trades.ndjson", "trades.ndjson.gz"])
def test_runs_hold_the_records_of_the_lines_in_their_order(tmp_path, monkeypatch, name) -> None:
    # Small, so that runs end at blocks too.
    monkeypatch.setattr(runs, "BLOCK", 60_000)
    path = tmp_path / name
    content = b"\n".join(lines(3_000))
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    outputs, state, lengths = played(path, by_the_run=True)
    plainly, state_plainly, none = played(path, by_the_run=False)
    assert outputs == plainly
    assert msgspec.msgpack.encode(state.shard) == msgspec.msgpack.encode(state_plainly.shard)
    assert not none
    assert min(lengths) >= runs.LEAST
    assert max(lengths) > 150
    assert sum(isinstance(record, DeadLetter) for _, record in outputs) == 10


def test_with_the_scanner_off_every_line_is_decoded_alone(tmp_path, monkeypatch) -> None:
    path = tmp_path / "trades.ndjson"
    path.write_bytes(b"\n".join(lines(500)))
    plainly, _, _ = played(path, by_the_run=False)
    monkeypatch.setattr(trades.SCANNER, "on", False)
    outputs, _, lengths = played(path, by_the_run=True)
    assert outputs == plainly
    assert not lengths


def test_folding_a_run_is_folding_its_trades(tmp_path) -> None:
    path = tmp_path / "trades.ndjson"
    path.write_bytes(b"\n".join(line for line in lines(2_000) if line))
    whole, single = fold.FoldState(), fold.FoldState()
    refused = 0
    for _, record in paced(ndjson_source(path, by_the_run=True), not_after()):
        if isinstance(record, Trades):
            everything = record.of.price > 0
            again = fold.fold_columns(whole, record.words, record.of, everything, add_each)
            bars = [fold.fold(single, trade) for trade in record.records(everything)]
            assert again == [n for n, why in enumerate(bars) if why == "duplicate"]
            refused += len(again)
        elif isinstance(record, FeedStatus):
            assert fold.tell_time(whole, record, PARAMS) == fold.tell_time(single, record, PARAMS)
    assert refused > 0
    assert whole.late == single.late > 0
    assert whole.ids == single.ids
    assert sorted(map(codec.encode, fold.drain(whole))) == sorted(
        map(codec.encode, fold.drain(single))
    )


def test_a_file_that_breaks_off_gives_what_was_whole(tmp_path) -> None:
    path = tmp_path / "trades.ndjson.gz"
    content = b"\n".join(line for line in lines(20_000) if line)
    path.write_bytes(gzip.compress(content)[:-2_000])
    items = list(ndjson_source(path, by_the_run=True).items)
    letter = items[-1][1]
    assert isinstance(letter, DeadLetter)
    assert "breaks off" in letter.reason
    assert sum(len(r) for _, r in items if isinstance(r, Trades)) > 5_000
