"""Numbers for the four names of a scanned trade: a hash table over their bytes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.scan.bytes_at import byte_at, compiled

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Marks = NDArray[np.uint64]
#: What `Names.find` returns for names that it does not hold.
UNKNOWN = -2


class Names:
    """Numbers by the four names of a row: a hash table over their bytes, compared in full."""

    def __init__(self) -> None:
        self._count = self._bytes = 0
        self._slots = np.full(1024, -1, np.int64)
        self._marks = np.zeros(256, np.uint64)
        self._places = np.zeros(256, np.int64)
        self._sizes = np.zeros((256, 4), np.int64)
        self._own = np.zeros(8192, np.uint8)

    def find(self, text: bytes | memoryview, spans: Ints, mark: Marks) -> Ints:
        """Return each row's number, UNKNOWN where its names have none; `mark` is their hash."""
        arrays = self._slots, self._marks, self._own, self._places, self._sizes
        return np.asarray(_find(np.frombuffer(text, np.uint8), spans, mark, *arrays))

    def add(self, names: list[bytes], mark: int) -> None:
        """Give four names, whose hash is `mark`, the next number, counted from 0."""
        number, whole = self._count, b"".join(names)
        if number == len(self._marks):
            self._marks, self._places = _longer(self._marks), _longer(self._places)
            self._sizes = _longer(self._sizes)
        while self._bytes + len(whole) > len(self._own):
            self._own = _longer(self._own)
        self._marks[number], self._places[number] = mark, self._bytes
        self._sizes[number] = [len(name) for name in names]
        self._own[self._bytes : self._bytes + len(whole)] = np.frombuffer(whole, np.uint8)
        self._count, self._bytes = number + 1, self._bytes + len(whole)
        first = number
        if 2 * self._count > len(self._slots):
            first, self._slots = 0, np.full(2 * len(self._slots), -1, np.int64)
        _place(self._slots, self._marks, first, self._count)


def _longer(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array twice as long, what it held in front."""
    return np.concatenate((array, np.zeros_like(array)))


@compiled
def _place(slots: Ints, marks: Marks, first: int, last: int) -> None:
    """Put the numbers from `first` to before `last` where their marks are looked for."""
    most = np.uint64(len(slots) - 1)
    for number in range(first, last):
        at = np.int64(marks[number] & most)
        while slots[at] >= 0:
            at = (at + 1) & np.int64(most)
        slots[at] = number


@compiled
def _find(
    text: Bytes, spans: Ints, mark: Marks, slots: Ints, marks: Marks, known: Bytes, places: Ints,
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
            if here and _same(text, spans[:, :, n], known, places[number], sizes[number]):
                out[n] = number
                break
            at = (at + 1) & np.int64(most)
    return out


@compiled
def _same(text: Bytes, spans: Ints, known: Bytes, place: int, sizes: Ints) -> bool:
    for name in range(4):
        first, size = spans[name, 0], spans[name, 1] - spans[name, 0]
        if size != sizes[name]:
            return False
        for i in range(size):
            if byte_at(text, first + i) != byte_at(known, place + i):
                return False
        place += size
    return True
