"""Ids of scanned trades where they lie in their text; and many at once into what was seen."""

import secrets
from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.scan.bytes_at import byte_at, compiled, word_at
from schemas.scan.seen_ids import SHIFTS, SeenIds, factors_of

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Marks = NDArray[np.uint64]
#: A second of no more ids has them as strings: one by one they cost less.
FEW = 1_000
#: Bytes behind a text that are looked at, but not judged.
PADDING = 8
#: The key of every table that this process begins.
KEY = secrets.randbits(64)


class IdsInText(msgspec.Struct, frozen=True):
    """A column of ids: (first, last + 1) x row, the bytes of each in `text`, PADDING behind them.

    It is `seen_ids.EventIds`, for as long as the text stays as it is.
    """

    text: Bytes
    spans: Ints

    def __len__(self) -> int:
        return int(self.spans.shape[1])

    def __getitem__(self, rows: slice | NDArray[np.bool_] | Ints) -> "IdsInText":
        return IdsInText(self.text, self.spans[:, rows])

    def tolist(self) -> list[str]:
        """Return them as strings."""
        ids = _lines(self.text, self.spans).tobytes().decode().split("\n")
        ids.pop()
        return ids

    def note(self, seen: SeenIds) -> NDArray[np.bool_]:
        """Add them to what was seen, in order; return which were there already."""
        if not seen.count and len(seen) + len(self) <= FEW:
            return np.fromiter(map(seen.add, self.tolist()), np.bool_, len(self))
        if seen.few:
            few, seen.few = of(seen.few), set()
            _noted(seen, few)
        return _noted(seen, self)


def of(ids: Iterable[str]) -> IdsInText:
    """Lay ids out."""
    texts = [event_id.encode() for event_id in ids]
    ends = np.cumsum([0, *map(len, texts)])
    text = np.frombuffer(b"".join([*texts, bytes(PADDING)]), np.uint8)
    return IdsInText(text, np.stack((ends[:-1], ends[1:])))


def _noted(seen: SeenIds, ids: IdsInText) -> NDArray[np.bool_]:
    spans = np.ascontiguousarray(ids.spans)
    seen.key = seen.key or KEY
    most = seen.count + len(ids)
    seen.ends = _longer(seen.ends, 8 * (most + 1))
    ends = np.frombuffer(seen.ends, np.int64)
    seen.letters = _longer(seen.letters, int(ends[seen.count] + (spans[1] - spans[0]).sum()))
    seen.marks = _longer(seen.marks, 8 * most)
    marks, slots = np.frombuffer(seen.marks, np.uint64), np.frombuffer(seen.slots, np.int32)
    # Half of the slots stay free, so that the next free one is near.
    if len(slots) < 2 * most:
        seen.slots = bytearray(4 << (2 * most).bit_length())
        slots = np.frombuffer(seen.slots, np.int32)
        _place(slots, marks, seen.count)
    again = np.empty(len(ids), np.bool_)
    letters = np.frombuffer(seen.letters, np.uint8)
    first, second = map(np.uint64, factors_of(seen.key))
    arrays = letters, ends, marks, slots
    seen.count = int(_add(ids.text, spans, first, second, again, seen.count, *arrays))
    return again


def _longer(array: bytearray, size: int) -> bytearray:
    """Return bytes that begin with these and have room for `size`, twice as long at least."""
    return array if size <= len(array) else array + bytes(max(size - len(array), len(array)))


@compiled
def _place(slots: NDArray[np.int32], marks: Marks, count: int) -> None:
    """Put ids where their marks are looked for."""
    most, lower = np.int64(len(slots) - 1), _lower_bits(len(slots))
    for number in range(count):
        at = np.int64(marks[number] >> lower)
        while slots[at] > 0:
            at = (at + 1) & most
        slots[at] = number + 1


@compiled
def _add(
    text: Bytes, spans: Ints, factor: np.uint64, other: np.uint64, again: NDArray[np.bool_],
    count: int, letters: Bytes, ends: Ints, marks: Marks, slots: NDArray[np.int32],
) -> int:  # fmt: skip
    """Add ids, each once, and say which were there; return how many are there now."""
    most, lower = np.int64(len(slots) - 1), _lower_bits(len(slots))
    for n in range(spans.shape[1]):
        first, size = spans[0, n], spans[1, n] - spans[0, n]
        mark = _mark(text, first, size, factor, other)
        at = np.int64(mark >> lower)
        again[n] = False
        while slots[at] > 0 and not again[n]:
            number = slots[at] - 1
            if marks[number] == mark and ends[number + 1] - ends[number] == size:
                again[n] = _same(text, first, letters, ends[number], size)
            at = (at + 1) & most
        if not again[n]:
            begin = ends[count]
            for i in range(size):
                letters[begin + i] = text[first + i]
            marks[count], ends[count + 1] = mark, begin + size
            count += 1
            slots[at] = count
    return count


@compiled
def _lower_bits(slots: int) -> np.uint64:
    """Return how many bits of a hash say nothing of its slot, of so many slots, a power of two."""
    lower = 64
    while slots > 1:
        slots >>= 1
        lower -= 1
    return np.uint64(lower)


@compiled
def _mark(text: Bytes, first: int, size: int, factor: np.uint64, other: np.uint64) -> np.uint64:
    mark, rest = np.uint64(size), size
    while rest > 0:
        eight = word_at(text, first)
        if rest < 8:
            eight &= (np.uint64(1) << np.uint64(8 * rest)) - np.uint64(1)
        mark = (mark ^ eight) * factor
        mark = (mark ^ mark >> np.uint64(SHIFTS[0])) * other
        mark ^= mark >> np.uint64(SHIFTS[1])
        first += 8
        rest -= 8
    return mark


@compiled
def _same(text: Bytes, first: int, letters: Bytes, begin: int, size: int) -> bool:
    i = 0
    while i < size and byte_at(text, first + i) == byte_at(letters, begin + i):
        i += 1
    return i == size


@compiled
def _lines(text: Bytes, spans: Ints) -> Bytes:
    """Return the bytes within spans, a line break (which none of them has) behind each."""
    size = 0
    for n in range(spans.shape[1]):
        size += spans[1, n] - spans[0, n] + 1
    lines, end = np.empty(size, np.uint8), 0
    for n in range(spans.shape[1]):
        for i in range(spans[0, n], spans[1, n]):
            lines[end] = text[i]
            end += 1
        lines[end] = 10
        end += 1
    return lines
