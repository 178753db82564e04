"""Event ids that were seen in a second, each once: strings while they are few, else a table.

    letters 60000000016000000002··· ends 0 10 20 ··· marks (hashes) ··· slots: which id, from 1

An id is looked for from the slot on that the highest bits of its hash say: an id's last letters
reach no others. Where hashes agree the ids themselves are compared, so none is ever taken for
another.
`schemas.scan.event_ids` fills the table, compiled.
"""

from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

#: What a hash is multiplied by for each eight bytes, and how far its high bits come down.
FACTOR, SHIFT = 0x9E3779B97F4A7C15, 29


class SeenIds(msgspec.Struct):
    """The ids of one second; arrays are bytes here, so that a checkpoint can have them."""

    few: set[str] = set()
    count: int = 0
    letters: bytearray = bytearray()
    ends: bytearray = bytearray()
    marks: bytearray = bytearray()
    slots: bytearray = bytearray()

    def __len__(self) -> int:
        return len(self.few) + self.count

    def add(self, event_id: str) -> bool:
        """Add one id; return whether it was there already."""
        if event_id in self.few or (self.count and self._has(event_id.encode())):
            return True
        self.few.add(event_id)
        return False

    def _has(self, event_id: bytes) -> bool:
        slots, marks = memoryview(self.slots).cast("i"), memoryview(self.marks).cast("Q")
        ends, mark, most = memoryview(self.ends).cast("q"), mark_of(event_id), len(slots) - 1
        at = mark >> 64 - most.bit_length()
        while number := slots[at]:
            begin, end = ends[number - 1], ends[number]
            if marks[number - 1] == mark and self.letters[begin:end] == event_id:
                return True
            at = (at + 1) & most
        return False


class EventIds(Protocol):
    """A column of ids, as `schemas.scan.event_ids` has them."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | NDArray[np.bool_] | NDArray[np.int64]) -> "EventIds": ...

    def tolist(self) -> list[str]:
        """Return them as strings."""

    def note(self, seen: SeenIds) -> NDArray[np.bool_]:
        """Add them to what was seen, in order; return which were there already."""


def mark_of(event_id: bytes) -> int:
    """Return the hash of an id, as the compiled loop has it."""
    mark = len(event_id)
    for at in range(0, len(event_id), 8):
        eight = int.from_bytes(event_id[at : at + 8], "little")
        mark = ((mark ^ eight) * FACTOR) & 0xFFFFFFFFFFFFFFFF
        mark ^= mark >> SHIFT
    return mark
