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

MINUTE_S = 60.0
_TERM = "term"
_BEGINS = "begins"
#: Compaction would keep the latest row of a key, a frozen worker's: not before this has passed.
_SETTLED_MS = 600_000


class StateTable(faust.Table):  # type: ignore[type-arg]
    """A table for batches, which have no "current event" to take a partition from."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("extra_topic_configs", {"min.compaction.lag.ms": _SETTLED_MS})
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
        key = (name, (0.0, 0.0)) if self.window else name.encode()
        await (await self._send(key, {} if self.window else b"", partition, _BEGINS))

    async def put(self, key: Any, value: Any, partition: int) -> Any:
        """Write and return the future of its changelog record; None deletes."""
        store: Any = self.data
        if value is None:
            store.data.pop(key, None)
            store._key_partition.pop(key, None)
        else:
            store.data[key] = value
            # Only recovery fills this by itself; without it a key stays in memory after
            # its partition has moved to another worker.
            store._key_partition[key] = partition
        return await self._send(key, value, partition, _TERM)

    async def _send(self, key: Any, value: Any, partition: int, header: str) -> Any:
        # Not `send_soon`: its buffer sends one record at a time, and stops the loop to do it.
        return await self.changelog_topic.send(
            key=key,
            value=value,
            partition=partition,
            headers={header: str(self.term(partition)).encode()},
            key_serializer=self.key_serializer,
            value_serializer=self.value_serializer,
        )

    def of_partition(self, partition: int) -> Iterator[tuple[Any, Any]]:
        """Yield the (key, value) pairs that belong to one partition."""
        store: Any = self.data
        for key, owner in store._key_partition.items():
            if owner == partition and key in store.data:
                yield key, store.data[key]

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Take recovered rows into memory, but for those of a worker already replaced."""
        super().apply_changelog_batch([event for event in batch if self._is_current(event.message)])

    def _is_current(self, message: Any) -> bool:
        # Faust hands what it fetched for a partition it no longer has to whichever table
        # came before it in the queue.
        if message.topic != self.changelog_topic.get_topic_name():
            return False
        number, headers = message.partition, dict(message.headers or ())
        term = int(headers.get(_BEGINS) or headers.get(_TERM) or 0)
        if message.offset <= self._read.get(number, -1):
            self._terms[number] = 0  # read anew from its beginning
        self._read[number] = message.offset
        if term < self.term(number):
            return False
        self._terms[number] = term
        return _BEGINS not in headers


async def take_over(partition: int, *tables: StateTable) -> None:
    """Begin a term above every one before it, and let the changelogs know before anything else.

    What the worker before us still writes comes after this and is not read back.
    """
    term = 1 + max(table.term(partition) for table in tables)
    await asyncio.gather(*(table.begin(partition, term) for table in tables))


def minute_table(app: faust.App, name: str, partitions: int) -> Any:
    """Return a table of tumbling minutes that never expires by wall clock.

    Expiry runs on wall clock in Faust, so a replay of old data would lose every window
    at once; the detectors say which minutes may go.
    """
    table = StateTable(app, name=name, partitions=partitions)
    windowed = table.tumbling(MINUTE_S, expires=None)
    # Faust would have the broker delete a windowed table's rows after its default of 7 days.
    table._changelog_deleting = False
    return windowed


def bucket_of(windowed: Any, key: str, minute: int) -> tuple[str, Any]:
    """Return the key of the bucket of one minute (since the epoch)."""
    return key, windowed.table.window.current(minute * MINUTE_S)


def minutes_of_partition(windowed: Any, partition: int) -> Iterator[tuple[str, int, Any]]:
    """Yield (key, minute, value) of every bucket of one partition."""
    for (key, bucket), value in windowed.table.of_partition(partition):
        yield key, int(bucket[0] // MINUTE_S), value
