"""The embedded loop, lost at any insert and gone on with from its checkpoint: the same rows."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nights import PARAMS, Item, clocked, night

from schemas import codec
from schemas.findings import Alert
from schemas.topics import RAW_TOPICS
from sinks.clickhouse.client import Batch
from streams.run import checkpoint, loop
from streams.run.loop import Ears, Outlets, SourceChanged, drive
from streams.run.row_writer import Rows
from streams.sources import Source


class Lost(Exception):
    """The process is gone."""


class Store:
    """Tables in memory, and alerts by id; the insert that brings `left` to 0 is half done."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[int, bytes]] = {}
        self.alerts: dict[str, bytes] = {}
        self.left = 0

    def insert(self, batch: Batch) -> int:
        self.left -= 1
        events = list(zip(batch.offsets, batch.records, strict=True))
        for offset, record in events[: len(events) // 2] if self.left == 0 else events:
            table = self.tables.setdefault(batch.table, {})
            assert offset not in table, "written twice"
            table[offset] = codec.encode(record)
        if self.left == 0:
            raise Lost
        return len(events)

    def put(self, alert: Alert) -> None:
        self.alerts[alert.alert_id] = codec.encode(alert)

    def cut_back(self, tally: checkpoint.Tally) -> None:
        for name, table in self.tables.items():
            kept = tally.written.get(name, 0)
            self.tables[name] = {offset: row for offset, row in table.items() if offset < kept}


def source(items: list[Item]) -> Source:
    return Source("night", "night", iter(items), None, 600.0, clocked=(), timed=RAW_TOPICS)


def attempt(store: Store, items: list[Item], kept: Path) -> bool:
    """Run as the shell does; return whether the source's end was reached."""
    played = source(items)
    run = checkpoint.load(kept, played, PARAMS.version)
    if run is None:
        run = checkpoint.begin(played, PARAMS.version)
    store.cut_back(run.tally)
    rows = Rows(store, run.run, "", run.tally, kept.write_bytes, 400, 0.0)
    quiet = Ears(lambda *_: None, lambda _: None, lambda: False)
    with rows:
        return drive(
            PARAMS, played, run, Outlets(rows, store.put, lambda: None, 0), quiet, None, 0.0
        )


def ended(items: list[Item], losses: list[int]) -> Store:
    store = Store()
    with TemporaryDirectory() as folder:
        kept = Path(folder) / checkpoint.NAME
        for inserts in losses:
            store.left = inserts
            try:
                if attempt(store, items, kept):
                    return store
            except Lost:
                pass
        store.left = 0
        assert attempt(store, items, kept)
    return store


@pytest.fixture(autouse=True, scope="module")
def at_every_second() -> Iterator[None]:
    """Otherwise the machine's speed decides where checkpoints lie."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "REST", 0)
        yield


@pytest.fixture(scope="module")
def items() -> list[Item]:
    # The last records again: what is refused as a duplicate has offsets of its own.
    events = clocked(night(seconds=900, burst_at=500))
    return events[:6000] + events[5900:6000] + events[6000:]


@pytest.fixture(scope="module")
def undisturbed(items: list[Item]) -> Store:
    return ended(items, [])


def test_the_night_fills_tables_and_tells_alerts(undisturbed: Store) -> None:
    assert {"trades", "liquidations", "bars", "cascades", "alerts"} <= set(undisturbed.tables)
    assert undisturbed.alerts


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=6))
def test_lost_at_any_insert_the_rows_end_the_same(items, undisturbed, losses) -> None:
    store = ended(items, losses)
    assert store.tables == undisturbed.tables
    assert store.alerts == undisturbed.alerts


def test_a_source_that_reads_otherwise_is_not_gone_on_with(items: list[Item]) -> None:
    with TemporaryDirectory() as folder:
        kept = Path(folder) / checkpoint.NAME
        store = Store()
        store.left = 300
        with pytest.raises(Lost):
            attempt(store, items, kept)
        taken = checkpoint.load(kept, source(items), PARAMS.version)
        assert taken
        assert taken.items > 100
        store.left = 0
        for changed in (items[:50] + items[51:], items[: taken.items - 1]):
            with pytest.raises(SourceChanged):
                attempt(store, changed, kept)
