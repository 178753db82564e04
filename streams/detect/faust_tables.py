"""Faust tables written with their partition said, and read by explicit event-time bucket.

Rows carry the term of the worker that wrote them. A worker that was frozen and has been
replaced may still write; what it writes after its successor's first row is not read back:

    offset   90        91         92          93        94
    row      K term 4  term 5     K term 5    K term 4  L term 5
                       successor              ignored
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

import faust
import orjson
from faust.windows import TumblingWindow

from streams.detect import changelog_rows

MINUTE_S = 60.0
#: Rows of more than an hour stay in the changelog.
LONG_S = 3_600.0
_TERM = "term"
_BEGINS = "begins"
#: Compaction would keep the latest row of a key, a frozen worker's: not before this has passed.
_SETTLED_MS = 600_000
#: Kafka leaves half a log and its last gigabyte as written: far more than the rows themselves.
_CHANGELOG = {
    "min.compaction.lag.ms": _SETTLED_MS,
    "min.cleanable.dirty.ratio": 0.2,
    "segment.bytes": 64 * 2**20,
    "segment.ms": 3_600_000,
}
Headers = Iterable[tuple[str, bytes]] | None
#: A changelog's record: offset, key, value (None deletes), headers.
Row = tuple[int, bytes, bytes | None, Headers]


class StateTable(faust.Table):  # type: ignore[type-arg]
    """A table for batches, which have no "current event" to take a partition from."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("extra_topic_configs", _CHANGELOG)
        super().__init__(*args, **kwargs)
        self._terms: dict[int, int] = {}
        self._read: dict[int, int] = {}

    def term(self, partition: int) -> int:
        """Return the highest term read or begun for a partition, 0 when it is new."""
        return self._terms.get(partition, 0)

    async def begin(self, partition: int, term: int) -> None:
        """Write what follows under `term`; the changelog has it when this returns."""
        self._terms[partition] = term
        # A key for each term: compaction forgets none of them.
        name: Any = f"#{partition}.{term}"
        key = orjson.dumps((name, (0.0, 0.0))) if self.window else name.encode()
        await self._send([(key, b"")], partition, _BEGINS)

    async def put(self, rows: Iterable[tuple[Any, bytes | None]], partition: int) -> None:
        """Write rows in their order, None deletes; the changelog has them when this returns."""
        store: Any = self.data
        written = list(rows)
        for key, value in written:
            if value is None:
                store.data.pop(key, None)
                store._key_partition.pop(key, None)
            else:
                store.data[key] = value
                # Only recovery fills this by itself; without it a key stays in memory after
                # its partition has moved to another worker.
                store._key_partition[key] = partition
        as_bytes = orjson.dumps if self.window else bytes
        sent = ((as_bytes(key), value) for key, value in written)
        self._written(written, await self._send(sent, partition, _TERM))

    async def _send(
        self, rows: Iterable[tuple[bytes, bytes | None]], partition: int, header: str
    ) -> list[int]:
        producer: Any = self.app.producer
        headers = [(header, str(self.term(partition)).encode())]
        topic = self.changelog_topic.get_topic_name()
        offsets: list[int] = await producer.send_rows(topic, partition, rows, headers)
        return offsets

    def _written(self, rows: Iterable[tuple[Any, bytes | None]], offsets: Iterable[int]) -> None:
        """Note that the changelog has rows, at these offsets."""

    def of_partition(self, partition: int) -> Iterator[tuple[Any, Any]]:
        """Yield the (key, value) pairs that belong to one partition."""
        store: Any = self.data
        for key, owner in store._key_partition.items():
            if owner == partition and key in store.data:
                yield key, store.data[key]

    def partitions_kept(self) -> set[int]:
        """Return the partitions of which there is any row."""
        store: Any = self.data
        return set(store._key_partition.values())

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Take rows that Faust itself has recovered into memory."""
        # Faust hands what it fetched for a partition it no longer has to whichever table
        # came before it in the queue.
        ours = self.changelog_topic.get_topic_name()
        for message in (event.message for event in batch):
            if message.topic == ours:
                row = message.offset, message.key, message.value, message.headers
                self.take(message.partition, [row])

    def take(self, partition: int, rows: Iterable[Row]) -> None:
        """Take rows of our changelog into memory, in order, but for those of a worker replaced."""
        store: Any = self.data
        values, owners = store.data, store._key_partition
        windowed = self.window is not None
        read, said, current = self._read.get(partition, -1), None, False
        for offset, name, value, headers in rows:
            if offset <= read:
                self._terms[partition] = 0  # read anew from its beginning
                said = None
            read = offset
            # Mostly one worker's rows follow each other.
            if said is None or headers != said:
                said, current = headers, self._is_current(partition, headers)
            if not current:
                continue
            key: Any = name
            if windowed:
                asset, (begin, end) = orjson.loads(name)
                key = asset, (begin, end)
            if value is None:
                values.pop(key, None)
                owners.pop(key, None)
            else:
                values[key] = self._in_memory(key, value, offset)
                owners[key] = partition
        self._read[partition] = read

    def _in_memory(self, _key: Any, value: bytes, _offset: int) -> Any:
        """Return what is kept in memory of a row read."""
        return value

    def _is_current(self, partition: int, headers: Headers) -> bool:
        term, begins = 0, False
        for name, value in headers or ():
            if name in (_TERM, _BEGINS):
                term, begins = int(value), name == _BEGINS
        highest = self._terms.get(partition, 0)
        if term < highest:
            return False
        if term > highest:
            self._terms[partition] = term
        return not begins


class Left(int):
    """Where in its changelog a row is that memory does not have: the offset."""


class FlowTable(StateTable):
    """Rows by minutes; those of a day or longer stay in the changelog.

    They are nearly all of it, and hardly ever read: with them in memory 2,000 assets of 45 days
    took 3.5 GB, and as long to come back as that takes to be had from the machine.
    """

    def _written(self, rows: Iterable[tuple[Any, bytes | None]], offsets: Iterable[int]) -> None:
        """Keep only the place of a long row."""
        store: Any = self.data
        for (key, value), offset in zip(rows, offsets, strict=True):
            if value is not None and _is_long(key) and store.data.get(key) is value:
                store.data[key] = Left(offset)

    def _in_memory(self, key: Any, value: bytes, offset: int) -> Any:
        return Left(offset) if _is_long(key) else value

    async def read_left(self, partition: int, keys: Iterable[Any]) -> dict[Any, bytes]:
        """Return the rows of these keys of one partition from the changelog.

        Raises RowGone where the changelog no longer has one, or gives no answer.
        """
        store: Any = self.data
        places = {int(store.data[key]): key for key in keys}
        app: Any = self.app
        topic = self.changelog_topic.get_topic_name()
        rows = await changelog_rows.read(app.recovery_conf, topic, partition, list(places))
        return {places[offset]: value for offset, value in rows.items()}


def _is_long(key: Any) -> bool:
    begin, end = key[1]
    return bool(end - begin > LONG_S)


async def take_over(partition: int, *tables: StateTable) -> None:
    """Begin a term above every one before it, and let the changelogs know before anything else.

    What the worker before us still writes comes after this and is not read back.
    """
    term = 1 + max(table.term(partition) for table in tables)
    await asyncio.gather(*(table.begin(partition, term) for table in tables))


def flow_table(app: faust.App, name: str, partitions: int) -> Any:
    """Return a table of tumbling windows of bytes that never expires by wall clock.

    Expiry runs on wall clock in Faust, so a replay of old data would lose every window
    at once; the detectors say which may go.
    """
    table = FlowTable(app, name=name, partitions=partitions, value_type=bytes)
    windowed = table.tumbling(MINUTE_S, expires=None)
    # Faust would have the broker delete a windowed table's rows after its default of 7 days.
    table._changelog_deleting = False
    return windowed


def bucket_of(key: str, minute: int, minutes: int) -> tuple[str, Any]:
    """Return the key of the window of so many minutes that begins with one (since the epoch)."""
    return key, TumblingWindow(minutes * MINUTE_S).current(minute * MINUTE_S)


def rows_of_partition(windowed: Any, partition: int) -> Iterator[tuple[str, tuple[int, int], Any]]:
    """Yield (key, (first minute, minutes), value) of every window of one partition."""
    for (key, (begin, end)), value in windowed.table.of_partition(partition):
        yield key, (int(begin // MINUTE_S), round((end - begin) / MINUTE_S)), value
