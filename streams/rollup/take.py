"""Messages of one trades partition into its fold: by the batch, and one by one where it must.

messages ──> rows ──runs of trades──> columns ──> fold_columns
               └──a word on time, or what is not certainly sound──> codec.decode ──> fold
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np
from confluent_kafka import Message

from schemas import batch, codec
from schemas.batch import Columns, Words
from schemas.codec import InvalidRecord
from schemas.market import Trade, TradeRow
from schemas.status import DeadLetter, FeedStatus
from streams import clock, kafka, refusals
from streams.params import Params
from streams.rollup import fold

#: Messages decoded before they are laid out in columns: what fits a core's own cache.
CHUNK = 500

#: Which message, which element of its array (0 where it is none), and what is wrong.
Problem = tuple[int, int, InvalidRecord]


class Partition(msgspec.Struct):
    """One owned trades partition; messages before `live_from` only warm the state.

    `letters` and the sums of `state` wait for the next transaction.
    """

    number: int
    state: fold.FoldState
    live_from: int
    position: int
    clock_told: tuple[int, str] = (0, "")
    letters: list[DeadLetter] = []


class Rows(NamedTuple):
    """Rows in order, and for each its message and, of an array's trades, which one it is."""

    rows: Sequence[batch.Row | None]
    message: Sequence[int]
    element: Sequence[int | None]


class Run(NamedTuple):
    """Trades in columns that wait to be folded together, with where each came from."""

    pieces: list[Columns]
    stamps: list[int]
    message: list[int]
    element: list[int | None]


def take(params: Params, words: Words, part: Partition, messages: list[Message]) -> int:
    """Fold messages of one partition, in their order; return how many became dead letters."""
    if (messages[0].offset() or 0) < part.live_from:
        warm = sum(1 for m in messages if (m.offset() or 0) < part.live_from)
        _fold(params, words, part, messages[:warm])
        messages = messages[warm:]
    if not messages:
        return 0
    if part.position <= part.live_from:
        fold.drain(part.state)  # bars of the warm-up were told
    problems = _fold(params, words, part, messages)
    part.position = (messages[-1].offset() or 0) + 1
    letters = list(_letters(messages, problems))
    part.letters += letters
    return len(letters)


def _fold(params: Params, words: Words, part: Partition, messages: list[Message]) -> list[Problem]:
    """Fold messages; return what was refused, by the message's place."""
    words.bounded()
    problems: list[Problem] = []
    run = Run([], [], [], [])
    for first in range(0, len(messages), CHUNK):
        chunk = messages[first : first + CHUNK]
        flat = _flat(batch.decode([message.value() for message in chunk]), first)
        odd = [place for place, row in enumerate(flat.rows) if type(row) is not TradeRow]
        for before, place in pairwise([-1, *odd, len(flat.rows)]):
            _lay(run, words, flat, messages, before + 1, place)
            if place < len(flat.rows):
                problems += _fold_run(params, words, part, messages, run)
                run = Run([], [], [], [])
                number = flat.message[place]
                problems += _alone(params, part, messages, number, flat.element[place])
    problems += _fold_run(params, words, part, messages, run)
    return problems


def _flat(rows: Sequence[batch.Row | list[TradeRow] | None], first: int) -> Rows:
    """Lay the trades of arrays out beside the others; messages are counted from `first`."""
    if not any(type(row) is list for row in rows):
        return Rows(rows, range(first, first + len(rows)), [None] * len(rows))  # type: ignore[arg-type]
    flat: list[batch.Row | None] = []
    message: list[int] = []
    element: list[int | None] = []
    for number, row in enumerate(rows, first):
        if isinstance(row, list) and row:
            flat += row
            message += [number] * len(row)
            element += range(len(row))
        else:  # an array of nothing is no record
            flat.append(None if isinstance(row, list) else row)
            message.append(number)
            element.append(None)
    return Rows(flat, message, element)


def _lay(run: Run, words: Words, flat: Rows, messages: list[Message], start: int, end: int) -> None:
    """Add rows to a run; their structs may go, which are most of what a flood allocates."""
    if start == end:
        return
    whole = start == 0 and end == len(flat.rows)
    rows = flat.rows if whole else flat.rows[start:end]
    run.pieces.append(batch.columns(words, rows))  # type: ignore[arg-type]
    numbers = flat.message[start:end]
    run.stamps.extend([messages[number].timestamp()[1] for number in numbers])
    run.message.extend(numbers)
    run.element.extend(flat.element[start:end])


def _fold_run(
    params: Params, words: Words, part: Partition, messages: list[Message], run: Run
) -> Iterator[Problem]:
    if not run.pieces:
        return
    of = batch.together(run.pieces)
    good = batch.sound(words, of, batch.latest(run.stamps))
    again = fold.fold_columns(part.state, words, of, good)
    for row in np.flatnonzero(~good).tolist():
        yield from _alone(params, part, messages, run.message[row], run.element[row])
    for row in again:
        number, element = run.message[row], run.element[row]
        yield number, element or 0, _refused(part, messages[number], "duplicate", element)


def _alone(
    params: Params, part: Partition, messages: list[Message], number: int, element: int | None
) -> Iterator[Problem]:
    """Take in one message, or one element of its array, as exactly as can be."""
    message = messages[number]
    payload = message.value()
    pieces = None if payload is None else batch.elements(payload)
    if element is None and not pieces:
        told = _exact(params, part, message, payload, None)
        yield from ((number, 0, problem) for problem in told)
        return
    for place, piece in enumerate(pieces or ()):
        if element in (None, place):
            told = _exact(params, part, message, piece, place)
            yield from ((number, place, problem) for problem in told)


def _exact(
    params: Params, part: Partition, message: Message, payload: bytes | None, element: int | None
) -> Iterator[InvalidRecord]:
    offset = message.offset() or 0
    refused: str | None = None
    try:
        not_after = clock.not_after_message(message.timestamp()[1])
        record = codec.decode("trades", payload, part.number, offset, not_after)
        if isinstance(record, FeedStatus):
            refused = fold.tell_time(part.state, record, params)
        elif isinstance(record, Trade):
            refused = fold.fold(part.state, record)
    except InvalidRecord as problem:
        field = _within(element, problem.field)
        yield InvalidRecord("trades", part.number, offset, field, problem.reason)
    if refused in refusals.LETTERS:
        yield _refused(part, message, refused, element)


def _refused(part: Partition, message: Message, why: str, element: int | None) -> InvalidRecord:
    field, reason = refusals.LETTERS[why]
    offset = message.offset() or 0
    return InvalidRecord("trades", part.number, offset, _within(element, field), reason)


def _within(element: int | None, field: str) -> str:
    return field if element is None else f"[{element}].{field}".rstrip(".")


def _letters(messages: list[Message], problems: list[Problem]) -> Iterator[DeadLetter]:
    """Yield a dead letter a message, which names the first element at fault and counts more."""
    by_message: dict[int, list[InvalidRecord]] = {}
    for number, _, problem in sorted(problems, key=lambda told: told[:2]):
        by_message.setdefault(number, []).append(problem)
    for number, told in by_message.items():
        first = told[0]
        if len(told) > 1:
            first.reason += f"; also refused of this message: {len(told) - 1}"
        yield kafka.dead_letter(first, messages[number].value())
