"""Numbers for the four names of a scanned trade: a hash table over their bytes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.loads import byte_at, compiled

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Marks = NDArray[np.uint64]
#: What `Names.find` returns for names that it does not hold.
UNKNOWN = -2


class Names:
    """Numbers by the four names of a row: a hash table over their bytes, compared in full."""

    def __init__(self) -> None:
        self._texts: list[bytes] = []
        self._marks: list[int] = []
        self._sizes: list[list[int]] = []
        self._table: tuple[Any, ...] = ()

    def find(self, text: bytes, spans: Ints, mark: Marks) -> Ints:
        """Return each row's number, UNKNOWN where its names have none; `mark` is their hash."""
        if not self._table:
            self._table = self._laid_out()
        return np.asarray(_find(np.frombuffer(text, np.uint8), spans, mark, *self._table))

    def add(self, names: list[bytes], mark: int) -> None:
        """Give four names, whose hash is `mark`, the next number, counted from 0."""
        self._texts += names
        self._sizes.append([len(name) for name in names])
        self._marks.append(mark)
        self._table = ()

    def _laid_out(self) -> tuple[Any, ...]:
        size = max(1024, 1 << (2 * len(self._marks)).bit_length())
        slots = np.full(size, -1, np.int64)
        for number, mark in enumerate(self._marks):
            at = mark % size
            while slots[at] >= 0:
                at = (at + 1) % size
            slots[at] = number
        sizes = np.array(self._sizes, np.int64).reshape(-1, 4)
        whole = sizes.sum(axis=1)
        own = np.frombuffer(b"".join(self._texts), np.uint8)
        return slots, np.array(self._marks, np.uint64), own, np.cumsum(whole) - whole, sizes


@compiled
def _find(
    text: Bytes, spans: Ints, mark: Marks, slots: Ints, marks: Marks, own: Bytes, places: Ints,
    sizes: Ints,
) -> Ints:  # fmt: skip
    out = np.empty(len(mark), np.int64)
    most = np.uint64(len(slots) - 1)
    for n in range(len(mark)):
        out[n] = UNKNOWN
        at = np.int64(mark[n] & most)
        while slots[at] >= 0:
            number = slots[at]
            here = marks[number] == mark[n]
            if here and _same(text, spans[:, :, n], own, places[number], sizes[number]):
                out[n] = number
                break
            at = (at + 1) & np.int64(most)
    return out


@compiled
def _same(text: Bytes, spans: Ints, own: Bytes, place: int, sizes: Ints) -> bool:
    for name in range(4):
        first, size = spans[name, 0], spans[name, 1] - spans[name, 0]
        if size != sizes[name]:
            return False
        for i in range(size):
            if byte_at(text, first + i) != byte_at(own, place + i):
                return False
        place += size
    return True
