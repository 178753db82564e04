"""Trades out of JSON text straight into columns, for what is plainly a trade.

    {"type":"trade",...}   a row: spans of its names, numbers as they are
    [{...},{...}]          a row for each element
    anything else          `odd`: whoever asks decodes it exactly

A message is scanned only where nothing is left to judgement: the twelve fields of a trade, each
once, in any order; texts without escapes, ids in ASCII; numbers of up to 19 digits. Anything else,
sound or not, is odd. What is scanned has the values that `codec.decode` gives, to the bit
(`python -m fuzz_scan`).
Eight bytes at a time: a byte each took three times as long; msgspec, pysimdjson and yyjson with
columns of what they give twice to four times. `SCANNER.on = False` leaves all to the decoder.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.scan import event_ids
from schemas.scan.bytes_at import byte_at, compiled, lowest_bit, word_at
from schemas.scan.columns import Columns, Ints, Scanned, Words
from schemas.scan.decimals import Floats, real_at
from schemas.scan.event_ids import IdsInText
from schemas.scan.name_table import UNKNOWN, Names

Bytes = NDArray[np.uint8]
Bits = NDArray[np.uint64]

#: Fields in the order in which our own encoder writes them; the scanner expects that first.
FIELDS = (
    "type", "event_id", "venue", "instrument", "venue_symbol", "asset", "aggressor_side",
    "price", "quantity", "notional_usd", "ts_event", "ts_recv",
)  # fmt: skip
#: No trade is shorter: its names alone, with quotes and colons, take more.
SHORTEST = 130
#: Bytes after the last message that are looked at but not judged.
PADDING = 32

_ALL = (1 << len(FIELDS)) - 1
_TYPE, _ID, _SIDE, _PRICE, _USD, _TS_EVENT = 0, 1, 6, 7, 9, 10
_NULL = np.uint64(int.from_bytes(b"null", "little"))
_ONES = np.uint64(0x0101010101010101)
_FOUR, _FIVE, _SIX = (np.uint64((1 << 8 * size) - 1) for size in (4, 5, 6))
_HIGH = np.uint64(0x8080808080808080)
_BUY, _SELL = (np.uint64(int.from_bytes(x, "little")) for x in (b'buy"', b'sell"'))
_TRADE = np.uint64(int.from_bytes(b'trade"', "little"))


def _keys() -> Bits:
    """Return each field's name, quoted, as three 8-byte words and the mask of their bytes."""
    quoted = [f'"{name}"'.encode() for name in FIELDS]
    parts = [[key[at : at + 8] for at in (0, 8, 16)] for key in quoted]
    return np.array(
        [[(int.from_bytes(x, "little"), (1 << 8 * len(x)) - 1) for x in key] for key in parts],
        np.uint64,
    )


_KEYS, _SIZES = _keys(), np.array([len(name) + 2 for name in FIELDS])


class _Rows(NamedTuple):
    """What was scanned, a row a trade, in order.

    `spans` (5, 2, n) are first and last + 1 byte of event_id, venue, instrument, venue_symbol
    and asset; `mark` a hash of the last four. `usd` is NaN where notional_usd is null.
    """

    message: Ints
    element: Ints
    spans: Ints
    mark: Bits
    buys: NDArray[np.bool_]
    price: Floats
    quantity: Floats
    usd: Floats
    ts_event: Ints
    ts_recv: Ints
    odd: Ints


class Scanner(msgspec.Struct):
    """Whether this process scans at all; when off, every message is odd."""

    on: bool = True


SCANNER = Scanner()


def scanned(words: Words, payloads: Sequence[bytes | None]) -> Scanned:
    """Scan messages of `trades` into columns; what they say is not compared yet."""
    if not SCANNER.on:
        return _all_odd(len(payloads))
    whole = payloads if None not in payloads else [payload or b"" for payload in payloads]
    text = b"".join([*whole, bytes(PADDING)])  # type: ignore[list-item]
    ends = np.cumsum(np.fromiter(map(len, whole), np.int64, len(whole)))  # type: ignore[arg-type]
    return scanned_text(words, text, ends)


def scanned_text(words: Words, text: bytes | memoryview, ends: Ints) -> Scanned:
    """Scan messages that lie in `text` one after the other, each to its end; ids stay there.

    PADDING bytes must follow the last; raises ValueError where they do not.
    """
    if not SCANNER.on:
        return _all_odd(len(ends))
    if len(text) < PADDING + (int(ends[-1]) if len(ends) else 0):
        raise ValueError(f"{PADDING} bytes must follow the messages")
    words.bounded()
    rows = _rows(text, ends)
    label = _labels(words, text, rows)
    ids = IdsInText(np.frombuffer(text, np.uint8), rows.spans[0])
    of = Columns(
        ids, words.words_of(label), label, rows.buys, rows.price, rows.quantity, rows.usd,
        rows.ts_event, rows.ts_recv,
    )  # fmt: skip
    return Scanned(of, rows.message, rows.element, rows.odd)


def _all_odd(count: int) -> Scanned:
    none, whole = np.empty(0), np.empty(0, np.int64)
    ids = event_ids.of([])
    of = Columns(ids, whole, whole, none.astype(np.bool_), none, none, none, whole, whole)
    return Scanned(of, whole, whole, np.arange(count))


def _labels(words: Words, text: bytes | memoryview, rows: _Rows) -> Ints:
    """Return each row's label, learning those that are new."""
    if words.names is None:
        words.names = Names()
    names: Names = words.names
    labels = names.find(text, rows.spans[1:], rows.mark)
    while (new := np.flatnonzero(labels == UNKNOWN)).size:
        marks, first = np.unique(rows.mark[new], return_index=True)
        for mark, row in zip(marks.tolist(), new[first].tolist(), strict=True):
            spelled = [bytes(text[a:b]) for a, b in rows.spans[1:, :, row].tolist()]
            if _learn(words, spelled):
                names.add(spelled, mark)
            else:
                labels[new[rows.mark[new] == np.uint64(mark)]] = -1
        new = new[labels[new] == UNKNOWN]
        labels[new] = names.find(text, rows.spans[1:, :, new], rows.mark[new])
    return labels


def _learn(words: Words, names: list[bytes]) -> bool:
    try:
        venue, instrument, symbol, asset = map(bytes.decode, names)
    except UnicodeDecodeError:
        return False
    return words.learn(venue, asset, instrument, symbol)


def _rows(text: bytes | memoryview, ends: Ints) -> _Rows:
    most = len(text) // SHORTEST + 1
    message, element = np.empty(most, np.int64), np.empty(most, np.int64)
    spans, mark = np.empty((5, 2, most), np.int64), np.empty(most, np.uint64)
    buys, reals = np.empty(most, np.bool_), np.empty((3, most))
    times, odd = np.empty((2, most), np.int64), np.empty(len(ends), np.int64)
    n, odds = _scan(
        np.frombuffer(text, np.uint8), ends, message, element, spans, mark, buys, reals,
        reals.view(np.uint64), times, odd,
    )  # fmt: skip
    return _Rows(
        message[:n], element[:n], spans[:, :, :n], mark[:n], buys[:n], reals[0, :n], reals[1, :n],
        reals[2, :n], times[0, :n], times[1, :n], odd[:odds],
    )  # fmt: skip


@compiled
def _scan(
    text: Bytes, ends: Ints, message: Ints, element: Ints, spans: Ints, mark: Bits,
    buys: NDArray[np.bool_], reals: Floats, bits: Bits, times: Ints, odd: Ints,
) -> tuple[int, int]:  # fmt: skip
    n = odds = begin = 0
    for number in range(len(ends)):
        end, before, i = ends[number], n, begin
        # No further than its end, or messages of nothing but space would cost their square.
        while i < end and _is_space(byte_at(text, i)):
            i += 1
        good = i < end
        many = byte_at(text, i) == 91  # [
        i += many
        while good:
            i = _trade(text, i, n, spans, mark, buys, reals, bits, times) if n < len(mark) else -1
            if i < 0 or i > end:
                good = False
                break
            message[n], element[n] = number, n - before if many else -1
            n += 1
            i = _space(text, i)
            if not many or byte_at(text, i) != 44:  # ,
                break
            i += 1
        if good and many:
            good = i < end and byte_at(text, i) == 93  # ]
            i = _space(text, i + 1)
        # White space at the end may run into the next message, or out of the text.
        if not good or i < end:
            n = before
            odd[odds] = number
            odds += 1
        begin = end
    return n, odds


@compiled
def _space(text: Bytes, i: int) -> int:
    """Return the next byte that is no white space."""
    while _is_space(byte_at(text, i)):
        i += 1
    return i


@compiled
def _is_space(byte: int) -> bool:
    return byte == 32 or byte == 10 or byte == 13 or byte == 9


@compiled
def _trade(
    text: Bytes, i: int, n: int, spans: Ints, mark: Bits, buys: NDArray[np.bool_],
    reals: Floats, bits: Bits, times: Ints,
) -> int:  # fmt: skip
    """Scan one object at `i` into row `n`; return where it ends, -1 where it is odd."""
    i = _space(text, i)
    if byte_at(text, i) != 123:  # {
        return -1
    seen, wanted, hashed = 0, 0, np.uint64(0)
    while True:
        i = _space(text, i + 1)
        field = _key(text, i, wanted)
        if field < 0 or seen >> field & 1:
            return -1
        seen |= 1 << field
        wanted = field + 1
        i = _space(text, i + _SIZES[field])
        if byte_at(text, i) != 58:  # :
            return -1
        i = _space(text, i + 1)
        if field >= _TS_EVENT:
            i = _whole(text, i, n, field, times)
        elif field == _USD and word_at(text, i) & _FOUR == _NULL:
            reals[field - _PRICE, n] = np.nan
            i += 4
        elif field >= _PRICE:
            i = real_at(text, i, n, field - _PRICE, reals, bits)
        elif byte_at(text, i) != 34:  # "
            return -1
        elif field == _SIDE:
            i = _side(text, i + 1, n, buys)
        elif field == _TYPE:
            i = i + 7 if word_at(text, i + 1) & _SIX == _TRADE else -1
        else:
            first = i + 1
            i, span_hash = _string(text, first, _HIGH if field == _ID else np.uint64(0))
            if not 1 <= i - first <= 200 or byte_at(text, first) == 32:
                return -1
            spans[field - 1, 0, n], spans[field - 1, 1, n] = first, i
            if field > _ID:
                # Told apart by field, as fields may come in any order.
                hashed ^= (span_hash + np.uint64(field)) * np.uint64(0x9E3779B97F4A7C15)
            i += 1
        if i < 0:
            return -1
        i = _space(text, i)
        if byte_at(text, i) != 44:  # ,
            break
    mark[n] = hashed
    return i + 1 if seen == _ALL and byte_at(text, i) == 125 else -1  # }


@compiled
def _key(text: Bytes, i: int, wanted: int) -> int:
    """Return which field's name stands at `i`, trying `wanted` first; -1 for none."""
    one, two, three = word_at(text, i), word_at(text, i + 8), word_at(text, i + 16)
    for k in range(len(FIELDS)):
        field = wanted + k
        if field >= len(FIELDS):
            field -= len(FIELDS)
        if (
            one & _KEYS[field, 0, 1] == _KEYS[field, 0, 0]
            and two & _KEYS[field, 1, 1] == _KEYS[field, 1, 0]
            and three & _KEYS[field, 2, 1] == _KEYS[field, 2, 0]
        ):
            return field
    return -1


@compiled
def _string(text: Bytes, i: int, plain: np.uint64) -> tuple[int, np.uint64]:
    """Return the place of the closing quote, -1 where a byte needs decoding, and a hash.

    `plain` has the highest bit of each byte where none but printable ASCII may stand.
    """
    hashed = np.uint64(0xCBF29CE484222325)
    while True:
        chunk = word_at(text, i)
        quote, escape = chunk ^ (_ONES * np.uint64(34)), chunk ^ (_ONES * np.uint64(92))
        # The highest bit of each byte that is a quote, a backslash, a control, 127 or no ASCII.
        stop = (
            ((quote - _ONES) & ~quote)
            | ((escape - _ONES) & ~escape)
            | ((chunk - _ONES * np.uint64(32)) & ~chunk)
        ) & _HIGH | (chunk | (chunk + _ONES)) & plain
        if stop == np.uint64(0):
            hashed = (hashed ^ chunk) * np.uint64(0x100000001B3)
            hashed ^= hashed >> np.uint64(29)
            i += 8
            continue
        rest = lowest_bit(stop) >> 3
        chunk &= (np.uint64(1) << np.uint64(8 * rest)) - np.uint64(1)
        hashed = (hashed ^ chunk) * np.uint64(0x9E3779B97F4A7C15)
        i += rest
        return (i if byte_at(text, i) == 34 else -1), hashed ^ hashed >> np.uint64(32)


@compiled
def _side(text: Bytes, i: int, n: int, buys: NDArray[np.bool_]) -> int:
    chunk = word_at(text, i)
    if chunk & _FOUR == _BUY:
        buys[n] = True
        return i + 4
    if chunk & _FIVE == _SELL:
        buys[n] = False
        return i + 5
    return -1


@compiled
def _eight(digits: np.uint64) -> int:
    """Return the number that eight digits write, -1 where one is none."""
    tens = np.uint64(0xF0F0F0F0F0F0F0F0)
    above = ((digits + np.uint64(0x0606060606060606)) & tens) >> np.uint64(4)
    if (digits & tens) | above != np.uint64(0x3333333333333333):
        return -1
    digits -= _ONES * np.uint64(48)
    digits = digits * np.uint64(10) + (digits >> np.uint64(8))
    mask = np.uint64(0x000000FF000000FF)
    high = (digits & mask) * np.uint64(0x000F424000000064)
    low = ((digits >> np.uint64(16)) & mask) * np.uint64(0x0000271000000001)
    return int(np.int64((high + low) >> np.uint64(32)))


@compiled
def _whole(text: Bytes, i: int, n: int, field: int, times: Ints) -> int:
    """Read 16 plain digits, as every time here has; return where they end, else -1."""
    high, low = _eight(word_at(text, i)), _eight(word_at(text, i + 8))
    after = byte_at(text, i + 16)
    if high < 10_000_000 or low < 0 or after == 46 or after == 69 or after == 101:  # . E e
        return -1
    times[field - _TS_EVENT, n] = high * 100_000_000 + low
    return -1 if 48 <= after <= 57 else i + 16
