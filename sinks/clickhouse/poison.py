"""A batch that ClickHouse refuses is taken apart, until only what it refuses is left.

    whole ──refused──> it says which rows ──> those noted, the rest under a token of its own
             └──it does not say──> by the table's partitions, under the same token
                                       └──refused──> noted, halves under tokens of their own
                                                         └──one row refused──> noted, refusal

ClickHouse remembers a token by partition, so any grouping of whole partitions under the batch's
own token repairs a torn insert. Within a partition a half, or what is left without the rows that
break a constraint, needs a token of its own, and the whole must never be tried again once such a
part is in: that is noted before the part is tried, and a batch formed again after a crash is taken
apart where it was. A refused insert may have landed all the same: a part whose rows are all in is
not written again.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas import codec
from schemas.redact import redacted
from schemas.status import DeadLetter, letter
from sinks.clickhouse.client import MAX_PARTITIONS, Batch
from sinks.clickhouse.constraints import Breach
from sinks.clickhouse.retry import ROW_ERRORS, SinkError
from sinks.clickhouse.rows import Coords, Piece, names_of, partitions_of, trade_table

log = logging.getLogger("undertow.sink")
Indices = NDArray[np.int64]
#: What the reason of a letter of ours begins with.
NOT_STORED_IN = "not stored in "
#: The driver ends its words with where it asked, which is nobody else's business.
_URL = " (for url "
_CONSTRAINT = 469
_BEFORE = "refused by ClickHouse before the sink was started again"


class Refusal(NamedTuple):
    """A row that no insert takes: its offset, the record as JSON, ClickHouse's reason."""

    offset: int
    raw: bytes
    reason: str


class Written(NamedTuple):
    """How many rows of a batch are in, those that cannot be, and how many inserts were tried."""

    rows: int
    refusals: list[Refusal]
    inserts: int


class Insertion(NamedTuple):
    """How one batch is written: `put` an insert, `note` parts that may not be tried whole again.

    `stored` says which rows of a batch are in (offset, time and name of each), `known` which
    parts whoever tried it before has noted, `breach` which rows a refusal is about; `between` is
    called between inserts and may raise to leave.
    """

    put: Callable[[Batch], int]
    stored: Callable[[Batch], Container[tuple[int, int, str]]] = lambda _: frozenset()
    known: Collection[str] = frozenset()
    note: Callable[[Sequence[str]], object] = lambda _: None
    breach: Callable[[Batch, BaseException], Breach | None] = lambda *_: None
    between: Callable[[], object] = lambda: None


def insert(batch: Batch, how: Insertion) -> Written:
    """Write a batch, all but what ClickHouse refuses of it.

    The whole is not tried where it was taken apart before. Raises SinkError when the table or
    the database is at fault, and what `how.between` raises.
    """
    cause = None
    if not how.known:
        try:
            return Written(how.put(batch), [], 1)
        except SinkError as problem:
            if not problem.splits:
                raise
            cause = problem.cause
    rows = f"{batch.rows} rows of {batch.table}"
    log.warning("%s are refused together and taken apart: %s", rows, cause or _BEFORE)
    return _Apart(batch, how, cause).all()


class _Apart:
    """One batch in pieces: its rows by partition, then offset, then place in their message."""

    def __init__(self, batch: Batch, how: Insertion, cause: BaseException | None) -> None:
        """`cause` is why the whole was refused, None when it was not tried."""
        self._batch = batch
        self._how = how
        self._cause = cause
        self._inserts = int(cause is not None)
        offsets = [np.asarray(batch.offsets, np.int64), *(p.offsets for p in batch.pieces)]
        self._offsets: Indices = np.concatenate(offsets)
        partitions = partitions_of(batch.table, batch.records, batch.pieces)
        # Stable: the rows of one message keep their order, however the batch came together.
        order = np.lexsort((self._offsets, partitions))
        numbers, starts = np.unique(partitions[order], return_index=True)
        rows = np.split(order, starts[1:])
        self._rows: dict[int, Indices] = dict(zip(numbers.tolist(), rows, strict=True))
        # The insert that was refused now may have landed all the same.
        self._stored = self._those_stored()
        #: Rows that break a constraint: no insert has them.
        self._breaking = np.zeros(batch.rows, np.bool_)
        self._reasons: dict[int, str] = {}
        self._single: list[str] = []
        self._answers = True
        self._recall()

    def all(self) -> Written:
        if self._cause is not None:
            self._leave_out(np.arange(self._batch.rows), self._cause)
        self._partitions(sorted(self._rows))
        if self._single:
            # Noted before they are told of: none is ever both a row and a letter.
            self._how.note(self._single)
        refusals = _refusals(self._batch, self._reasons)
        return Written(self._batch.rows - len(refusals), refusals, self._inserts)

    def _those_stored(self) -> NDArray[np.bool_]:
        batch, stored = self._batch, self._how.stored(self._batch)
        names = names_of(batch.table, batch.records, batch.pieces)
        at = zip(self._offsets.tolist(), names, strict=True)
        return np.fromiter(((offset, *name) in stored for offset, name in at), np.bool_, batch.rows)

    def _recall(self) -> None:
        """Leave out what was noted to break a constraint."""
        for part in self._how.known:
            number, _, place = part.partition(":")
            if place.isdecimal():
                row = int(self._rows[int(number)][int(place)])
                self._breaking[row] = True
                self._reasons[row] = _BEFORE

    def _leave_out(self, rows: Indices, cause: BaseException) -> bool:
        """Leave out which of `rows`, refused together, break a constraint; say whether any does."""
        if not self._answers:
            return False
        breach = self._how.breach(_picked(self._batch, rows, ""), cause)
        broken = rows[list(breach.rows)] if breach else rows[:0]
        broken = broken[~self._stored[broken]]
        if breach is None or not len(broken):
            self._answers = getattr(cause, "code", None) != _CONSTRAINT
            return False
        self._breaking[broken] = True
        self._how.note(
            [
                f"{number}:{place}"
                for number, those in self._rows.items()
                for place in np.flatnonzero(np.isin(those, broken)).tolist()
            ]
        )
        self._reasons |= dict.fromkeys(broken.tolist(), breach.reason)
        return True

    def _partitions(self, numbers: list[int]) -> None:
        """Insert partitions, those that are not apart under the batch's own token."""
        apart = {number for number in numbers if self._is_apart(number)}
        whole = [number for number in numbers if number not in apart]
        alone = sorted(apart) if len(whole) > 1 else numbers
        for number in alone:
            self._partition(number)
        if len(whole) > 1:
            self._together(whole)

    def _together(self, numbers: list[int]) -> None:
        if len(numbers) <= MAX_PARTITIONS:
            rows = np.sort(np.concatenate([self._rows[number] for number in numbers]))
            cause = self._refusing(rows, "")
            if cause is None:
                return
            if self._leave_out(rows, cause):
                self._partitions(numbers)
                return
        half = len(numbers) // 2
        self._partitions(numbers[:half])
        self._partitions(numbers[half:])

    def _is_apart(self, number: int) -> bool:
        whole = self._part(number, 0, len(self._rows[number]))
        return whole in self._how.known or bool(self._breaking[self._rows[number]].any())

    def _partition(self, number: int) -> None:
        """Insert the rows of one partition, and halves of what is refused, level by level."""
        spans = [(0, len(self._rows[number]))]
        while spans:
            refused = [
                (first, last) for first, last in spans if not self._lands(number, first, last)
            ]
            parts = [self._part(number, first, last) for first, last in refused]
            fresh = [part for part in parts if part not in self._how.known]
            if fresh:
                self._how.note(fresh)
            spans = [
                half
                for first, last in refused
                for half in ((first, (first + last) // 2), ((first + last) // 2, last))
            ]

    def _lands(self, number: int, first: int, last: int) -> bool:
        """Insert some rows of one partition; False leaves them to be halved.

        One row alone is in or refused.
        """
        while True:
            part = self._part(number, first, last)
            rows = self._rows[number][first:last]
            rows = np.sort(rows[~self._breaking[rows]])
            is_whole = len(rows) == len(self._rows[number])
            cause: BaseException | None = None
            if not len(rows):
                return True
            if part not in self._how.known:
                cause = self._refusing(rows, "" if is_whole else part)
                if cause is None:
                    return True
                if self._leave_out(rows, cause):
                    continue
            if last - first > 1:
                return False
            self._reasons[int(rows[0])] = str(cause) if cause else _BEFORE
            if cause:
                self._single.append(part)
            return True

    def _refusing(self, rows: Indices, part: str) -> BaseException | None:
        """Try to insert some rows; return why that cannot be, None when they are in."""
        if self._stored[rows].all():
            return None
        self._how.between()
        if self._cause is not None and len(rows) == self._batch.rows:
            return self._cause
        self._inserts += 1
        try:
            self._how.put(_picked(self._batch, rows, part))
        except SinkError as problem:
            if not problem.splits:
                raise
            if not _comes_before_writing(problem.cause):
                self._stored = self._those_stored()
            return None if self._stored[rows].all() else problem.cause
        return None

    def _part(self, number: int, first: int, last: int) -> str:
        """Return what some rows of a partition are called, without those left out."""
        left_out = np.flatnonzero(self._breaking[self._rows[number][first:last]]) + first
        part = f"{number}:{first}-{last}"
        if not len(left_out):
            return part
        return f"{part}-{hashlib.sha256(left_out.astype('<i8').tobytes()).hexdigest()[:16]}"


def _comes_before_writing(cause: BaseException) -> bool:
    # Constraints are checked first.
    return getattr(cause, "code", None) == _CONSTRAINT or isinstance(cause, ROW_ERRORS)


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


def _refusals(batch: Batch, reasons: Mapping[int, str]) -> list[Refusal]:
    """Return what is told of some rows of a batch, in their order."""
    rows = sorted(reasons)
    if not rows:
        return []
    some = _picked(batch, np.array(rows, np.int64), "")
    raw = [codec.encode(record) for record in some.records]
    offsets = list(some.offsets)
    if some.pieces:
        shown = trade_table([], some.pieces, Coords(batch.topic, batch.partition, []))
        fields = shown.drop_columns(["kafka_topic", "kafka_partition", "kafka_offset"]).to_pylist()
        offsets += [offset for piece in some.pieces for offset in piece.offsets.tolist()]
        moments = [
            {"ts_event": event, "ts_recv": recv}
            for piece in some.pieces
            for event, recv in zip(
                piece.of.ts_event.tolist(), piece.of.ts_recv.tolist(), strict=True
            )
        ]
        raw += [
            msgspec.json.encode({"type": "trade"} | row | times)
            for row, times in zip(fields, moments, strict=True)
        ]
    return [
        Refusal(offset, one, reasons[row])
        for offset, one, row in zip(offsets, raw, rows, strict=True)
    ]
