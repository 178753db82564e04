"""Faust tables written with their partition said, and read by explicit event-time bucket."""

from collections.abc import Iterator
from typing import Any

import faust

MINUTE_S = 60.0


class StateTable(faust.Table):  # type: ignore[type-arg]
    """A table for batches, which have no "current event" to take a partition from."""

    def put(self, key: Any, value: Any, partition: int) -> Any:
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
        return self.send_changelog(partition, key, value)

    def of_partition(self, partition: int) -> Iterator[tuple[Any, Any]]:
        """Yield the (key, value) pairs that belong to one partition."""
        store: Any = self.data
        for key, owner in store._key_partition.items():
            if owner == partition and key in store.data:
                yield key, store.data[key]


def minute_table(app: faust.App, name: str, partitions: int) -> Any:
    """Return a table of tumbling minutes that never expires by wall clock.

    Expiry runs on wall clock in Faust, so a replay of old data would lose every window
    at once; the detectors say which minutes may go.
    """
    table = StateTable(app, name=name, partitions=partitions)
    return table.tumbling(MINUTE_S, expires=None)


def put_minute(windowed: Any, key: str, minute: int, value: Any, partition: int) -> Any:
    """Write the bucket of one minute (since the epoch); None deletes it."""
    bucket = windowed.table.window.current(minute * MINUTE_S)
    return windowed.table.put((key, bucket), value, partition)


def minutes_of_partition(windowed: Any, partition: int) -> Iterator[tuple[str, int, Any]]:
    """Yield (key, minute, value) of every bucket of one partition."""
    for (key, bucket), value in windowed.table.of_partition(partition):
        yield key, int(bucket[0] // MINUTE_S), value
