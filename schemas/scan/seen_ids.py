"""Event ids that were seen in a second, each once: strings while they are few, else a table.

    letters 60000000016000000002··· ends 0 10 20 ··· marks (hashes) ··· slots: which id, from 1

An id is looked for from the slot on that the highest bits of its hash say. Where hashes agree the
ids themselves are compared, so none is ever taken for another. The hash has a key that nobody who
writes ids knows: ids made to agree would all be looked for at one place, each behind the others.
`schemas.scan.event_ids` fills the table, compiled.
"""

from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

#: How far a hash's high bits come down behind each of its two factors.
SHIFTS = 32, 29
_MASK = 0xFFFFFFFFFFFFFFFF


class SeenIds(msgspec.Struct):
    """The ids of one second; arrays are bytes here, so that a checkpoint can have them.

    `key` is the table's own: where a checkpoint brings one, it stays.
    """

    key: int = 0
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
        ends, most = memoryview(self.ends).cast("q"), len(slots) - 1
        mark = mark_of(event_id, self.key)
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


def factors_of(key: int) -> tuple[int, int]:
    """Return the two odd numbers that the hash of a key multiplies by."""
    return key | 1, (key * 0x9E3779B97F4A7C15 & _MASK) ^ key >> 32 | 1


def mark_of(event_id: bytes, key: int) -> int:
    """Return the hash of an id under a key of 64 bits, as the compiled loop has it."""
    mark = len(event_id)
    for at in range(0, len(event_id), 8):
        mark ^= int.from_bytes(event_id[at : at + 8], "little")
        for factor, shift in zip(factors_of(key), SHIFTS, strict=True):
            mark = mark * factor & _MASK
            mark ^= mark >> shift
    return mark
