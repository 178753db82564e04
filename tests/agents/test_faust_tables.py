"""What a worker that has been replaced still writes is not read back."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust import App

from streams.detect import faust_tables

Row = tuple[str, bytes | None, dict[str, bytes]]


class Recorder:
    """Stands where the changelog and Faust's producer are: keeps what was sent, in order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sent: list[Row] = []

    def get_topic_name(self) -> str:
        return self.name

    async def send_rows(self, _: str, partition: int, rows: Any, headers: Any) -> list[int]:
        first = len(self.sent)
        self.sent += [(key, value, dict(headers)) for key, value in rows]
        return list(range(first, len(self.sent)))


def worker(log: list[Row]) -> tuple[faust_tables.StateTable, Recorder]:
    """A worker that has recovered `log` and writes on to it."""
    app = App("t", broker="kafka://127.0.0.1:1", store="memory://", topic_disable_leader=True)
    table = faust_tables.StateTable(
        app, name="rows", partitions=1, key_type=bytes, value_type=bytes
    )
    changelog = Recorder(table.changelog_topic.get_topic_name())
    table.changelog_topic = changelog  # type: ignore[assignment]
    app.producer = changelog
    recover(table, changelog, log)
    changelog.sent = log
    return table, changelog


def recover(
    table: faust_tables.StateTable, changelog: Recorder, log: list[Row], since: int = 0
) -> None:
    events = [
        SimpleNamespace(
            key=key,
            value=value,
            message=SimpleNamespace(
                topic=changelog.name,
                partition=0,
                offset=offset,
                key=key,
                value=value,
                headers=list(headers.items()),
            ),
        )
        for offset, (key, value, headers) in enumerate(log)
        if offset >= since
    ]
    table.apply_changelog_batch(events)


def contents(table: faust_tables.StateTable) -> dict[Any, Any]:
    return dict(table.of_partition(0))


@pytest.fixture
def log() -> list[Row]:
    return []


def test_rows_written_after_a_successor_began_are_not_read_back(log: list[Row]) -> None:
    frozen, _ = worker(log)
    asyncio.run(faust_tables.take_over(0, frozen))
    asyncio.run(frozen.put([(b"BTC", b"1")], 0))
    successor, _ = worker(log)
    asyncio.run(faust_tables.take_over(0, successor))
    asyncio.run(successor.put([(b"BTC", b"2")], 0))
    asyncio.run(frozen.put([(b"BTC", b"old")], 0))
    asyncio.run(frozen.put([(b"ETH", b"old")], 0))
    third, _ = worker(log)
    assert contents(third) == {b"BTC": b"2"}


def test_a_deletion_by_a_replaced_worker_deletes_nothing(log: list[Row]) -> None:
    frozen, _ = worker(log)
    asyncio.run(faust_tables.take_over(0, frozen))
    asyncio.run(frozen.put([(b"BTC", b"1")], 0))
    successor, _ = worker(log)
    asyncio.run(faust_tables.take_over(0, successor))
    asyncio.run(frozen.put([(b"BTC", None)], 0))
    assert contents(worker(log)[0]) == {b"BTC": b"1"}


def test_what_a_worker_wrote_before_its_successor_began_counts(log: list[Row]) -> None:
    first, _ = worker(log)
    asyncio.run(faust_tables.take_over(0, first))
    successor, _ = worker(log)
    asyncio.run(first.put([(b"BTC", b"late but before")], 0))
    asyncio.run(faust_tables.take_over(0, successor))
    assert contents(worker(log)[0]) == {b"BTC": b"late but before"}


def test_reading_the_log_again_from_its_beginning_gives_the_same_rows(log: list[Row]) -> None:
    first, changelog = worker(log)
    asyncio.run(faust_tables.take_over(0, first))
    asyncio.run(first.put([(b"BTC", b"1")], 0))
    asyncio.run(faust_tables.take_over(0, first))
    asyncio.run(first.put([(b"BTC", b"2")], 0))
    asyncio.run(first.put([(b"ETH", b"3")], 0))
    before = contents(first)
    first.data.data.clear()  # type: ignore[attr-defined]
    recover(first, changelog, log)
    assert contents(first) == before == {b"BTC": b"2", b"ETH": b"3"}


def test_each_term_has_a_key_of_its_own_so_compaction_keeps_them_all(log: list[Row]) -> None:
    for _ in range(3):
        asyncio.run(faust_tables.take_over(0, worker(log)[0]))
    begun = [key for key, _, headers in log if "begins" in headers]
    assert begun == [b"#0.1", b"#0.2", b"#0.3"]


def test_rows_of_another_table_are_left_alone() -> None:
    table, changelog = worker([])
    changelog.name = "other"
    recover(table, Recorder("another"), [(b"BTC", b"1", {})])
    assert contents(table) == {}


def test_a_day_is_kept_until_the_changelog_has_it_and_then_its_place() -> None:
    app = App("t", broker="kafka://127.0.0.1:1", store="memory://", topic_disable_leader=True)
    flows = faust_tables.flow_table(app, "flows", 1).table
    day, hour = (faust_tables.bucket_of("BTC", 1_440, minutes) for minutes in (1_440, 60))
    both = {day: b"one", hour: b"two"}

    class Slow(Recorder):
        async def send_rows(self, *_: Any) -> list[int]:
            await asyncio.sleep(0)  # the first time the other rows are written meanwhile
            seen.append(contents(flows))
            return [41, 42] if len(seen) == 1 else [43]

    async def write() -> None:
        first = asyncio.create_task(flows.put([(day, b"one"), (hour, b"two")], 0))
        await first
        seen.append(contents(flows))
        await asyncio.gather(flows.put([(day, b"three")], 0), flows.put([(day, None)], 0))

    seen: list[Any] = []
    app.producer = Slow("slow")
    asyncio.run(write())
    assert seen[:2] == [both, {day: faust_tables.Left(41), hour: b"two"}]
    assert contents(flows) == {hour: b"two"}


def test_keys_are_those_that_faust_would_write() -> None:
    app = App("t", broker="kafka://127.0.0.1:1", store="memory://", topic_disable_leader=True)
    flows = faust_tables.flow_table(app, "flows", 1).table
    changelog = app.producer = Recorder("rows")
    key = faust_tables.bucket_of("BTC", 29_000_000, 60)
    asyncio.run(flows.put([(key, b"1")], 0))
    theirs, _ = flows.changelog_topic.prepare_key(key, flows.key_serializer)
    assert [key for key, _, _ in changelog.sent] == [theirs]


def test_minutes_are_never_deleted_by_their_age() -> None:
    app = App("t", broker="kafka://127.0.0.1:1", store="memory://", topic_disable_leader=True)
    windowed = faust_tables.flow_table(app, "flows", 1)
    topic = windowed.table.changelog_topic
    assert topic.compacting
    assert not topic.deleting
