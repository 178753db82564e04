"""Messages of one trades partition into its fold: by the batch, and one by one where it must.

messages ──scan──> columns ──runs of trades──> fold_columns
             └──a word on time, or what is not certainly sound──> codec.decode ──> fold

`recall` reads again what an earlier owner has folded and committed: for its ids.
"""

from collections.abc import Iterator
from itertools import pairwise

import msgspec
import numpy as np

from schemas import codec
from schemas.codec import InvalidRecord
from schemas.market import Trade
from schemas.scan import columns, trades
from schemas.scan.bar_sums import add_each
from schemas.scan.columns import Scanned, Words
from schemas.status import DeadLetter, FeedStatus
from schemas.words import MAX_MICROS, not_after_message
from streams.core import fold, refusals
from streams.core.detectors.watermark import InputClock
from streams.core.params import Params
from streams.kafka.batches import Batch
from streams.kafka.records import dead_letter
from streams.process import lateness

#: One trade of so many says how late trades come.
SAMPLE = 1_000
#: Which message, which element of its array (-1 where it is none), and what is wrong.
Problem = tuple[int, int, InvalidRecord]


class Partition(msgspec.Struct):
    """One owned trades partition; all before `live_from` is folded and committed, or will be.

    `letters`, `repeats` and the sums of `state` wait for the next transaction. `spans` has the
    offsets between which the ids of each open second lie. Of what is before `live_from`,
    `stretches` are to be recalled, with words on time unless they are known.
    """

    number: int
    state: fold.FoldState
    live_from: int
    position: int
    clock_told: tuple[int, str] = (0, "")
    letters: list[DeadLetter] = []
    repeats: int = 0
    late_told: int = 0
    spans: dict[int, tuple[int, int]] = {}
    stretches: list[tuple[int, int]] = []
    words_known: bool = False


def take(params: Params, words: Words, part: Partition, messages: Batch) -> int:
    """Fold messages of one partition, in their order; return how many became dead letters."""
    problems = _fold(params, words, part, messages)
    part.position = int(messages.offsets[-1]) + 1
    letters = list(_letters(messages, problems))
    part.letters += letters
    return len(letters)


def recall(params: Params, words: Words, part: Partition, messages: Batch) -> Batch | None:
    """Take in what of the messages lies before `live_from`, and return the rest, if any.

    It was folded, and its bars and letters are committed: it leaves ids, and words on time
    where those are not known.
    """
    count = int(np.searchsorted(messages.offsets, part.live_from))
    late, late_share = part.state.late, msgspec.structs.replace(part.state.late_share)
    repeats = part.repeats
    known = part
    if part.words_known:
        # To a clock that is past everything no word says anything.
        ahead = fold.FoldState(InputClock(now=MAX_MICROS), part.state.ids)
        ahead.frontier = part.state.frontier
        known = msgspec.structs.replace(part, state=ahead)
    if count:
        _fold(params, words, known, messages.part(0, count))
    part.state.sums.clear()
    part.state.late, part.state.late_share = late, late_share
    part.repeats = repeats
    part.state.news.clear()
    return messages.part(count, len(messages)) if count < len(messages) else None


def _fold(params: Params, words: Words, part: Partition, messages: Batch) -> list[Problem]:
    """Fold messages, and note where ids lie; return what was refused, by the message's place."""
    ids = part.state.ids
    before = {second: len(known) for second, known in ids.items()}
    problems = _fold_all(params, words, part, messages)
    first, last = int(messages.offsets[0]), int(messages.offsets[-1])
    for second, known in ids.items():
        if len(known) != before.get(second, 0):
            part.spans[second] = part.spans.get(second, (first, last))[0], last
    for second in part.spans.keys() - ids.keys():
        del part.spans[second]
    return problems


def _fold_all(params: Params, words: Words, part: Partition, messages: Batch) -> list[Problem]:
    scanned = trades.scanned_text(words, messages.text, messages.ends)
    odd = scanned.odd.tolist()
    # Rows before the first odd message, between it and the next, and so on.
    cuts = [0, *np.searchsorted(scanned.message, scanned.odd).tolist(), len(scanned.message)]
    problems: list[Problem] = []
    for (first, last), number in zip(pairwise(cuts), [*odd, None], strict=True):
        if first < last:
            problems += _fold_run(params, words, part, messages, scanned, first, last)
        if number is not None:
            problems += _alone(params, part, messages, number, -1)
    return problems


def _fold_run(
    params: Params,
    words: Words,
    part: Partition,
    messages: Batch,
    scanned: Scanned,
    first: int,
    last: int,
) -> Iterator[Problem]:
    """Fold trades that no word on time parts."""
    of = scanned.of.part(first, last)
    at, element = scanned.message[first:last], scanned.element[first:last]
    good = columns.sound(words, of, columns.latest(messages.stamps_ms[at]))
    for row in np.flatnonzero(good)[::SAMPLE].tolist():
        venue = words.known[int(of.word[row])][0]
        lateness.note("trades", venue, int(of.ts_event[row]), part.state.clock.now)
    again = fold.fold_columns(part.state, words, of, good, add_each)
    for row in np.flatnonzero(~good).tolist():
        yield from _alone(params, part, messages, int(at[row]), int(element[row]))
    part.repeats += len(again)


def _alone(
    params: Params, part: Partition, messages: Batch, number: int, element: int
) -> Iterator[Problem]:
    """Take in one message, or one element of its array, as exactly as can be."""
    payload = messages.payload(number)
    pieces = None if payload is None else codec.elements(payload)
    if element < 0 and not pieces:
        refused = _exact(params, part, messages, number, payload, -1)
        yield from ((number, -1, problem) for problem in refused)
        return
    for place, piece in enumerate(pieces or ()):
        if element in (-1, place):
            refused = _exact(params, part, messages, number, piece, place)
            yield from ((number, place, problem) for problem in refused)


def _exact(
    params: Params,
    part: Partition,
    messages: Batch,
    number: int,
    payload: bytes | None,
    element: int,
) -> Iterator[InvalidRecord]:
    offset = int(messages.offsets[number])
    refused: str | None = None
    try:
        not_after = not_after_message(int(messages.stamps_ms[number]))
        record = codec.decode("trades", payload, part.number, offset, not_after)
        if isinstance(record, FeedStatus):
            refused = fold.tell_time(part.state, record, params)
        elif isinstance(record, Trade):
            refused = fold.fold(part.state, record)
    except InvalidRecord as problem:
        field = _within(element, problem.field)
        yield InvalidRecord("trades", part.number, offset, field, problem.reason)
    part.repeats += refused == "duplicate"
    if refused in refusals.LETTERS:
        yield _refused(part, offset, refused, element)


def _refused(part: Partition, offset: int, why: str, element: int) -> InvalidRecord:
    field, reason = refusals.LETTERS[why]
    return InvalidRecord("trades", part.number, offset, _within(element, field), reason)


def _within(element: int, field: str) -> str:
    return field if element < 0 else f"[{element}].{field}".rstrip(".")


def _letters(messages: Batch, problems: list[Problem]) -> Iterator[DeadLetter]:
    """Yield a dead letter a message, which names the first element at fault and counts more."""
    by_message: dict[int, list[InvalidRecord]] = {}
    for number, _, problem in sorted(problems, key=lambda of_message: of_message[:2]):
        by_message.setdefault(number, []).append(problem)
    for number, of_message in by_message.items():
        first = of_message[0]
        if len(of_message) > 1:
            first.reason += f"; also refused of this message: {len(of_message) - 1}"
        yield dead_letter(first, messages.payload(number))
