"""A batch that ClickHouse refuses is taken apart, until only what it refuses is left.

    whole ──refused──> by the table's partitions, under the same token
                            └──one partition refused──> noted, halves under tokens of their own
                                                            └──one row refused──> noted, refusal

ClickHouse remembers a token by partition, so any grouping of whole partitions under the batch's
own token repairs a torn insert. Within a partition a half needs a token of its own, and the
whole must never be tried again once a half is in: that is noted before the halves are tried, and
a batch formed again after a crash is taken apart where it was. A refused insert may have landed
before, unheard: a part whose rows are all in is not written again.
"""

import time
from collections.abc import Callable, Container, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas import codec
from schemas.redact import redacted
from schemas.status import DeadLetter, letter
from sinks.clickhouse.client import MAX_PARTITIONS, Batch
from sinks.clickhouse.retry import SinkError
from sinks.clickhouse.rows import Coords, Piece, names_of, partitions_of, trade_table

Indices = NDArray[np.int64]
#: What the reason of a letter of ours begins with.
NOT_STORED_IN = "not stored in "
#: The driver ends its words with where it asked, which is nobody else's business.
_URL = " (for url "


class Refusal(NamedTuple):
    """A row that no insert takes: its offset, the record as JSON, ClickHouse's reason."""

    offset: int
    raw: bytes
    reason: str


class Insertion(NamedTuple):
    """How one batch is written: `put` an insert, `note` parts that may not be tried whole again.

    `stored` says which rows of a batch are in (offset, time and name of each), `known` which
    parts whoever tried it before has noted; `between` is called between inserts and may raise to
    leave.
    """

    put: Callable[[Batch], int]
    stored: Callable[[Batch], Container[tuple[int, int, str]]] = lambda _: frozenset()
    known: Container[str] = frozenset()
    note: Callable[[Sequence[str]], object] = lambda _: None
    between: Callable[[], object] = lambda: None


def insert(batch: Batch, how: Insertion, apart: bool = False) -> tuple[int, list[Refusal]]:
    """Write a batch; return how many rows are in, and those that cannot be.

    `apart` says that it was taken apart before, so the whole is not tried. Raises SinkError
    when the table or the database is at fault, and what `how.between` raises.
    """
    cause = None
    if not apart:
        try:
            return how.put(batch), []
        except SinkError as problem:
            if not problem.splits:
                raise
            cause = problem.cause
    return _Apart(batch, how, cause).all()


class _Apart:
    """One batch in pieces: its rows by partition, then offset, then place in their message."""

    def __init__(self, batch: Batch, how: Insertion, cause: BaseException | None) -> None:
        """`cause` is why the whole was refused, None when it was not tried."""
        self._batch = batch
        self._how = how
        self._cause = cause
        offsets = [np.asarray(batch.offsets, np.int64), *(p.offsets for p in batch.pieces)]
        partitions = partitions_of(batch.table, batch.records, batch.pieces)
        # Stable: the rows of one message keep their order, however the batch came together.
        order = np.lexsort((np.concatenate(offsets), partitions))
        numbers, starts = np.unique(partitions[order], return_index=True)
        rows = np.split(order, starts[1:])
        self._rows: dict[int, Indices] = dict(zip(numbers.tolist(), rows, strict=True))
        # The insert that was refused now may have landed before, unheard.
        stored = how.stored(batch)
        names = names_of(batch.table, batch.records, batch.pieces)
        at = np.concatenate(offsets).tolist()
        self._stored = np.fromiter(
            ((offset, *name) in stored for offset, name in zip(at, names, strict=True)),
            np.bool_,
            len(at),
        )
        self._refused: list[tuple[str, Batch, BaseException]] = []

    def all(self) -> tuple[int, list[Refusal]]:
        rows = self._partitions(sorted(self._rows))
        fresh = [part for part, _, _ in self._refused if part not in self._how.known]
        if fresh:
            # Noted before they are told of: none is ever both a row and a letter.
            self._how.note(fresh)
        return rows, [_refusal(batch, cause) for _, batch, cause in self._refused]

    def _partitions(self, numbers: list[int]) -> int:
        """Insert some partitions under the batch's own token."""
        if len(numbers) == 1:
            return self._part(numbers[0], 0, len(self._rows[numbers[0]]))
        whole = len(numbers) <= MAX_PARTITIONS and not any(map(self._is_apart, numbers))
        if whole and self._refusing(np.concatenate([self._rows[n] for n in numbers]), "") is None:
            return sum(len(self._rows[n]) for n in numbers)
        half = len(numbers) // 2
        return self._partitions(numbers[:half]) + self._partitions(numbers[half:])

    def _is_apart(self, number: int) -> bool:
        return _part(number, 0, len(self._rows[number])) in self._how.known

    def _part(self, number: int, first: int, last: int) -> int:
        """Insert some rows of one partition."""
        part = _part(number, first, last)
        rows = self._rows[number][first:last]
        is_whole = last - first == len(self._rows[number])
        cause: BaseException | None = None
        if part not in self._how.known:
            tried = self._cause if is_whole and len(self._rows) == 1 else None
            tried = None if self._stored[rows].all() else tried
            cause = tried or self._refusing(rows, "" if is_whole else part)
            if cause is None:
                return last - first
        if last - first == 1:
            known = ValueError("refused by ClickHouse before the sink was started again")
            self._refused.append((part, _picked(self._batch, rows, part), cause or known))
            return 0
        if cause is not None:
            self._how.note([part])
        half = (first + last) // 2
        return self._part(number, first, half) + self._part(number, half, last)

    def _refusing(self, rows: Indices, part: str) -> BaseException | None:
        """Try to insert some rows; return why that cannot be, None when they are in."""
        if self._stored[rows].all():
            return None
        self._how.between()
        try:
            self._how.put(_picked(self._batch, np.sort(rows), part))
        except SinkError as problem:
            if not problem.splits:
                raise
            return problem.cause
        return None


def letters_of(batch: Batch, refusals: Sequence[Refusal]) -> list[DeadLetter]:
    """Return the dead letters of what ClickHouse refused of one batch: one for each message.

    A letter's identity is the place of the message, of which several records may be refused.
    """
    now = time.time_ns() // 1_000
    of_message: dict[int, list[Refusal]] = {}
    for one in refusals:
        of_message.setdefault(one.offset, []).append(one)
    letters = []
    for offset, those in of_message.items():
        reason = redacted(those[0].reason.split(_URL)[0])
        count = f" ({len(those)} records of one message)" if len(those) > 1 else ""
        raw = b"[%s]" % b",".join(one.raw for one in those) if len(those) > 1 else those[0].raw
        place = (batch.topic, batch.partition, offset)
        letters.append(
            letter(place, "", f"{NOT_STORED_IN}{batch.table}{count}: {reason}", raw, now)
        )
    return letters


def _part(number: int, first: int, last: int) -> str:
    return f"{number}:{first}-{last}"


def _picked(batch: Batch, rows: Indices, part: str) -> Batch:
    """Return the batch of some of its rows: records come first, then the pieces."""
    count = len(batch.records)
    of_records = rows[rows < count].tolist()
    pieces = []
    for piece in batch.pieces:
        mine = rows[(rows >= count) & (rows < count + len(piece.offsets))] - count
        count += len(piece.offsets)
        if len(mine):
            of = piece.of._replace(**{
                name: getattr(piece.of, name)[mine] for name in piece.of._fields[1:]
            })  # fmt: skip
            pieces.append(Piece(piece.labels, of, piece.ids.take(mine), piece.offsets[mine]))
    return batch._replace(
        records=[batch.records[n] for n in of_records],
        offsets=[batch.offsets[n] for n in of_records],
        pieces=pieces,
        part=part,
    )


def _refusal(one: Batch, cause: BaseException) -> Refusal:
    """Return what is told of a batch of one row."""
    if one.records:
        return Refusal(one.offsets[0], codec.encode(one.records[0]), str(cause))
    [piece] = one.pieces
    shown = trade_table([], one.pieces, Coords(one.topic, one.partition, []))
    [row] = shown.drop_columns(["kafka_topic", "kafka_partition", "kafka_offset"]).to_pylist()
    times = {"ts_event": int(piece.of.ts_event[0]), "ts_recv": int(piece.of.ts_recv[0])}
    return Refusal(
        int(piece.offsets[0]), msgspec.json.encode({"type": "trade"} | row | times), str(cause)
    )
