"""What the scanner takes must be what `codec.decode` takes, to the bit; the rest is left whole."""

import struct
from typing import Any

import msgspec
import numpy as np

from fuzz_scan.guarded import GuardedText
from schemas import codec
from schemas.codec import InvalidRecord
from schemas.scan import columns, trades
from schemas.scan.columns import Trades

NO_LIMIT = np.iinfo(np.int64).max


class Tally(msgspec.Struct):
    """Messages given, rows taken, messages left alone, and every difference found."""

    messages: int = 0
    rows: int = 0
    in_arrays: int = 0
    left: int = 0
    differences: list[str] = []


def judge(words: columns.Words, room: GuardedText, messages: list[bytes], tally: Tally) -> None:
    """Scan messages whose text ends at a guarded page; hold every row against the decoder."""
    text = room.holding(b"".join([*messages, bytes(trades.PADDING)]))
    ends = np.cumsum(np.fromiter(map(len, messages), np.int64, len(messages)))
    scanned = trades.scanned_text(words, text, ends)
    sound = columns.sound(words, scanned.of, np.full(len(scanned.message), NO_LIMIT))
    records = Trades(words, scanned.of).records(sound)
    rows_of: dict[int, list[tuple[int, Any]]] = {}
    for row, record in zip(np.flatnonzero(sound).tolist(), records, strict=True):
        number, element = int(scanned.message[row]), int(scanned.element[row])
        rows_of.setdefault(number, []).append((element, record))
    odd, unsound = set(scanned.odd.tolist()), set(scanned.message[~sound].tolist())
    seen = set(scanned.message.tolist())
    if seen & odd or seen | odd != set(range(len(messages))):
        tally.differences.append(f"messages taken and left: {sorted(seen & odd)}")
    for number, rows in rows_of.items():
        _compare(messages[number], rows, number in unsound, tally)
    tally.messages += len(messages)
    tally.rows += len(records)
    tally.left += len(odd)


def _compare(message: bytes, rows: list[tuple[int, Any]], in_part: bool, tally: Tally) -> None:
    in_array = rows[0][0] >= 0
    pieces = codec.elements(message) if in_array else [message]
    if pieces is None or (not in_part and len(pieces) != len(rows)):
        tally.differences.append(f"{len(rows)} rows taken of {message!r}")
        return
    tally.in_arrays += in_array * len(rows)
    for element, record in rows:
        try:
            exact = codec.decode("trades", pieces[max(element, 0)])
        except InvalidRecord as problem:
            exact = problem
        if not isinstance(exact, msgspec.Struct) or bits(exact) != bits(record):
            tally.differences.append(f"{message!r}: scanned {record}, decoded {exact!r}")


def bits(record: msgspec.Struct) -> tuple[Any, ...]:
    """Return a record's fields, numbers by their bits."""
    fields = msgspec.structs.astuple(record)
    return tuple(struct.pack("<d", x) if isinstance(x, float) else x for x in fields)
