"""Trades out of JSON text straight into columns, for what is plainly a trade.

    {"type":"trade",...}   a row: spans of its names, numbers as they are
    [{...},{...}]          a row for each element
    anything else          `odd`: whoever asks decodes it exactly

A message is scanned only where nothing is left to judgement: the twelve fields of a trade, each
once, in any order; ASCII without escapes; numbers of up to 19 digits. Anything else, sound or
not, is odd. What is scanned has the values that `codec.decode` gives, to the bit: decimals
are read by Eisel and Lemire's method (Lemire 2021, arXiv 2101.11408), which says when it cannot.
Eight bytes at a time: a byte each took three times as long, msgspec and columns of its
structs four times.
"""

from typing import Any, NamedTuple

import numba as nb
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]

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
_TYPE, _SIDE, _PRICE, _USD, _TS_EVENT = 0, 6, 7, 9, 10
_MASK32 = np.uint64(0xFFFFFFFF)
_ONES = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)
_BUY, _SELL = (np.uint64(int.from_bytes(x, "little")) for x in (b'buy"', b'sell"'))
_TRADE = np.uint64(int.from_bytes(b'trade"', "little"))
#: Powers of ten that decimals of trades need; others are left to the exact decoder.
_LEAST, _MOST = -40, 30


def _keys() -> Words:
    """Return each field's name, quoted, as three 8-byte words and the mask of their bytes."""
    quoted = [f'"{name}"'.encode() for name in FIELDS]
    parts = [[key[at : at + 8] for at in (0, 8, 16)] for key in quoted]
    return np.array(
        [[(int.from_bytes(x, "little"), (1 << 8 * len(x)) - 1) for x in key] for key in parts],
        np.uint64,
    )


def _powers() -> Words:
    """Return 5^q in 128 bits, the first bit set, rounded as Lemire's table is: (q, high and low)."""
    rows = []
    for q in range(_LEAST, _MOST + 1):
        power = 5 ** abs(q)
        if q >= 0:
            shift = 128 - power.bit_length()
            value = power << shift if shift >= 0 else power >> -shift
        else:
            z = (power - 1).bit_length()
            value = (1 << (z + 127 if q >= -27 else 2 * z + 128)) // power + 1
            value >>= max(0, value.bit_length() - 128)
        rows.append((value >> 64, value & (2**64 - 1)))
    return np.array(rows, np.uint64)


_KEYS, _SIZES = _keys(), np.array([len(name) + 2 for name in FIELDS])
_FIVES, _TENS = _powers(), 10.0 ** np.arange(23)


class Rows(NamedTuple):
    """What was scanned, a row a trade, in order; `odd` are messages left to the exact decoder.

    `message` and `element` say where a row was told (element -1: the message is no array).
    `spans` (5, 2, n) are first and last + 1 byte of event_id, venue, instrument, venue_symbol
    and asset; `mark` a hash of the last four. `usd` is NaN where notional_usd is null.
    """

    message: Ints
    element: Ints
    spans: Ints
    mark: Words
    buys: NDArray[np.bool_]
    price: Floats
    quantity: Floats
    usd: Floats
    ts_event: Ints
    ts_recv: Ints
    odd: Ints


def scan(text: bytes, ends: Ints) -> Rows:
    """Scan joined messages; `ends` is the end of each in `text`, which PADDING bytes follow."""
    if len(text) < PADDING + (int(ends[-1]) if len(ends) else 0):
        raise ValueError(f"{PADDING} bytes must follow the messages")
    most = len(text) // SHORTEST + 1
    message, element = np.empty(most, np.int64), np.empty(most, np.int64)
    spans, mark = np.empty((5, 2, most), np.int64), np.empty(most, np.uint64)
    buys, reals = np.empty(most, np.bool_), np.empty((3, most))
    times, odd = np.empty((2, most), np.int64), np.empty(len(ends), np.int64)
    n, odds = _scan(
        np.frombuffer(text, np.uint8), ends, message, element, spans, mark, buys, reals,
        reals.view(np.uint64), times, odd,
    )  # fmt: skip
    return Rows(
        message[:n], element[:n], spans[:, :, :n], mark[:n], buys[:n], reals[0, :n], reals[1, :n],
        reals[2, :n], times[0, :n], times[1, :n], odd[:odds],
    )  # fmt: skip


@nb.njit(cache=True, nogil=True)
def line_ends(text: Bytes) -> Ints:
    """Return where each line of `text` ends, its newline included."""
    n = 0
    for i in range(len(text)):
        n += text[i] == 10
    out = np.empty(n, np.int64)
    n = 0
    for i in range(len(text)):
        if text[i] == 10:
            out[n] = i + 1
            n += 1
    return out


@intrinsic
def _byte(_: Any, text: Any, at: Any) -> Any:
    """Load one byte as a signed number, without numba's look at negative places."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        found = builder.load(builder.gep(array.data, [args[1]]))
        return builder.zext(found, ir.IntType(64))

    return types.int64(text, types.int64), code


@intrinsic
def _word(_: Any, text: Any, at: Any) -> Any:
    """Load eight bytes from any place, the first one lowest."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        place = builder.bitcast(
            builder.gep(array.data, [args[1]]), ir.IntType(64).as_pointer()
        )
        return builder.load(place, align=1)

    return types.uint64(text, types.int64), code


@intrinsic
def _lowest_bit(_: Any, word: Any) -> Any:
    """Return the place of the lowest bit set; 64 where none is."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), code


#: What `Names.find` returns for names that it does not hold.
UNKNOWN = -2


class Names:
    """Numbers by the four names of a row: a hash table over their bytes, compared in full."""

    def __init__(self) -> None:
        self._texts: list[bytes] = []
        self._marks: list[int] = []
        self._sizes: list[list[int]] = []
        self._table: tuple[Any, ...] = ()

    def find(self, text: bytes, rows: Rows, some: Ints | None = None) -> Ints:
        """Return the number of each row (or of `some` rows), UNKNOWN where it has none."""
        spans, mark = rows.spans, rows.mark
        if some is not None:
            spans, mark = spans[:, :, some], mark[some]
        if not self._table:
            self._table = self._laid_out()
        return np.asarray(_find(np.frombuffer(text, np.uint8), spans, mark, *self._table))

    def add(self, text: bytes, rows: Rows, row: int) -> None:
        """Give a row's names the next number, counted from 0."""
        spans = rows.spans[1:, :, row].tolist()
        self._texts += [text[first:last] for first, last in spans]
        self._sizes.append([last - first for first, last in spans])
        self._marks.append(int(rows.mark[row]))
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
        own = np.frombuffer(b"".join([*self._texts, bytes(PADDING)]), np.uint8)
        return slots, np.array(self._marks, np.uint64), own, np.cumsum(whole) - whole, sizes


@nb.njit(cache=True, nogil=True)
def _find(
    text: Bytes, spans: Ints, mark: Words, slots: Ints, marks: Words, own: Bytes, places: Ints,
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
            if here and _same(text, spans[1:, :, n], own, places[number], sizes[number]):
                out[n] = number
                break
            at = (at + 1) & np.int64(most)
    return out


@nb.njit(cache=True, nogil=True, inline="always")
def _same(text: Bytes, spans: Ints, own: Bytes, place: int, sizes: Ints) -> bool:
    for name in range(4):
        first, size = spans[name, 0], spans[name, 1] - spans[name, 0]
        if size != sizes[name]:
            return False
        for i in range(size):
            if _byte(text, first + i) != _byte(own, place + i):
                return False
        place += size
    return True


@nb.njit(cache=True, nogil=True)
def _scan(
    text: Bytes, ends: Ints, message: Ints, element: Ints, spans: Ints, mark: Words,
    buys: NDArray[np.bool_], reals: Floats, bits: Words, times: Ints, odd: Ints,
) -> tuple[int, int]:  # fmt: skip
    n = odds = begin = 0
    for number in range(len(ends)):
        end, before, good = ends[number], n, True
        i = _space(text, begin)
        many = _byte(text, i) == 91  # [
        i += many
        while True:
            i = _trade(text, i, n, spans, mark, buys, reals, bits, times) if n < len(mark) else -1
            if i < 0 or i > end:
                good = False
                break
            message[n], element[n] = number, n - before if many else -1
            n += 1
            i = _space(text, i)
            if not many or _byte(text, i) != 44:  # ,
                break
            i += 1
        if good and many:
            good = i < end and _byte(text, i) == 93  # ]
            i = _space(text, i + 1)
        # White space at the end may run into the next message, or out of the text.
        if not good or i < end:
            n = before
            odd[odds] = number
            odds += 1
        begin = end
    return n, odds


@nb.njit(cache=True, nogil=True, inline="always")
def _space(text: Bytes, i: int) -> int:
    """Return the next byte that is no white space."""
    byte = _byte(text, i)
    while byte == 32 or byte == 10 or byte == 13 or byte == 9:
        i += 1
        byte = _byte(text, i)
    return i


@nb.njit(cache=True, nogil=True)
def _trade(
    text: Bytes, i: int, n: int, spans: Ints, mark: Words, buys: NDArray[np.bool_],
    reals: Floats, bits: Words, times: Ints,
) -> int:  # fmt: skip
    """Scan one object at `i` into row `n`; return where it ends, -1 where it is odd."""
    i = _space(text, i)
    if _byte(text, i) != 123:  # {
        return -1
    told, wanted, hashed = 0, 0, np.uint64(0)
    while True:
        i = _space(text, i + 1)
        field = _key(text, i, wanted)
        if field < 0 or told >> field & 1:
            return -1
        told |= 1 << field
        wanted = field + 1
        i = _space(text, i + _SIZES[field])
        if _byte(text, i) != 58:  # :
            return -1
        i = _space(text, i + 1)
        if field >= _TS_EVENT:
            i = _whole(text, i, n, field, times)
        elif field >= _PRICE:
            i = _real(text, i, n, field, reals, bits)
        elif _byte(text, i) != 34:  # "
            return -1
        elif field == _SIDE:
            i = _side(text, i + 1, n, buys)
        elif field == _TYPE:
            i = i + 7 if _word(text, i + 1) & np.uint64((1 << 48) - 1) == _TRADE else -1
        else:
            first = i + 1
            i, own = _string(text, first)
            if not 1 <= i - first <= 200:
                return -1
            spans[field - 1, 0, n], spans[field - 1, 1, n] = first, i
            if field > 1:
                # Told apart by field, as fields may come in any order.
                hashed ^= (own + np.uint64(field)) * np.uint64(0x9E3779B97F4A7C15)
            i += 1
        if i < 0:
            return -1
        i = _space(text, i)
        if _byte(text, i) != 44:  # ,
            break
    mark[n] = hashed
    return i + 1 if told == _ALL and _byte(text, i) == 125 else -1  # }


@nb.njit(cache=True, nogil=True)
def _key(text: Bytes, i: int, wanted: int) -> int:
    """Return which field's name stands at `i`, trying `wanted` first; -1 for none."""
    one, two, three = _word(text, i), _word(text, i + 8), _word(text, i + 16)
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


@nb.njit(cache=True, nogil=True, inline="always")
def _string(text: Bytes, i: int) -> tuple[int, np.uint64]:
    """Return the place of the closing quote, -1 where a byte needs decoding, and a hash."""
    hashed = np.uint64(0xCBF29CE484222325)
    while True:
        word = _word(text, i)
        quote, escape = word ^ (_ONES * np.uint64(34)), word ^ (_ONES * np.uint64(92))
        # The highest bit of each byte that is a quote, a backslash, a control, not ASCII.
        stop = (
            ((quote - _ONES) & ~quote)
            | ((escape - _ONES) & ~escape)
            | ((word - _ONES * np.uint64(32)) & ~word)
            | word
        ) & _HIGH
        if stop == np.uint64(0):
            hashed = (hashed ^ word) * np.uint64(0x100000001B3)
            hashed ^= hashed >> np.uint64(29)
            i += 8
            continue
        rest = _lowest_bit(stop) >> 3
        word &= (np.uint64(1) << np.uint64(8 * rest)) - np.uint64(1)
        hashed = (hashed ^ word) * np.uint64(0x9E3779B97F4A7C15)
        i += rest
        return (i if _byte(text, i) == 34 else -1), hashed ^ hashed >> np.uint64(32)


@nb.njit(cache=True, nogil=True, inline="always")
def _side(text: Bytes, i: int, n: int, buys: NDArray[np.bool_]) -> int:
    word = _word(text, i)
    if word & np.uint64((1 << 32) - 1) == _BUY:
        buys[n] = True
        return i + 4
    if word & np.uint64((1 << 40) - 1) == _SELL:
        buys[n] = False
        return i + 5
    return -1


@nb.njit(cache=True, nogil=True, inline="always")
def _eight(word: np.uint64) -> int:
    """Return the number that eight digits write, -1 where one is none."""
    tens = np.uint64(0xF0F0F0F0F0F0F0F0)
    above = ((word + np.uint64(0x0606060606060606)) & tens) >> np.uint64(4)
    if (word & tens) | above != np.uint64(0x3333333333333333):
        return -1
    word -= _ONES * np.uint64(48)
    word = word * np.uint64(10) + (word >> np.uint64(8))
    mask = np.uint64(0x000000FF000000FF)
    high = (word & mask) * np.uint64(0x000F424000000064)
    low = ((word >> np.uint64(16)) & mask) * np.uint64(0x0000271000000001)
    return np.int64((high + low) >> np.uint64(32))


@nb.njit(cache=True, nogil=True, inline="always")
def _whole(text: Bytes, i: int, n: int, field: int, times: Ints) -> int:
    """Read 16 plain digits, as every time here has; return where they end, else -1."""
    high, low = _eight(_word(text, i)), _eight(_word(text, i + 8))
    after = _byte(text, i + 16)
    if high < 10_000_000 or low < 0 or after == 46 or after == 69 or after == 101:  # . E e
        return -1
    times[field - _TS_EVENT, n] = high * 100_000_000 + low
    return -1 if 48 <= after <= 57 else i + 16


@nb.njit(cache=True, nogil=True)
def _real(text: Bytes, i: int, n: int, field: int, reals: Floats, bits: Words) -> int:
    """Read a number that is not negative, or null; return where it ends, -1 where it is odd."""
    row, byte = field - _PRICE, _byte(text, i)
    if field == _USD and byte == 110:
        reals[row, n] = np.nan
        null = _word(text, i) & _MASK32 == np.uint64(0x6C6C756E)
        return i + 4 if null else -1
    value, exponent, digits, first, leading = np.uint64(0), 0, 0, i, byte == 48
    while 48 <= byte <= 57:
        value = value * np.uint64(10) + np.uint64(byte - 48)
        digits += value != np.uint64(0)
        i += 1
        byte = _byte(text, i)
    if i == first or (leading and i - first > 1):
        return -1
    if byte == 46:
        point = i + 1
        while True:
            i += 1
            byte = _byte(text, i)
            if not 48 <= byte <= 57:
                break
            value = value * np.uint64(10) + np.uint64(byte - 48)
            digits += value != np.uint64(0)
        exponent = point - i
        if exponent == 0:
            return -1
    if digits > 19:
        return -1
    if byte == 101 or byte == 69:  # e
        i, power = _exponent(text, i + 1)
        exponent += power
    if i < 0 or not _decimal(value, exponent, row, n, reals, bits):
        return -1
    return i


@nb.njit(cache=True, nogil=True)
def _exponent(text: Bytes, i: int) -> tuple[int, int]:
    """Read what follows an e; return where it ends, -1 where it is odd, and its value."""
    sign = _byte(text, i)
    if sign == 45 or sign == 43:
        i += 1
    power, first = 0, i
    while i - first < 4 and 48 <= _byte(text, i) <= 57:
        power = power * 10 + _byte(text, i) - 48
        i += 1
    if i == first or i - first > 3:
        return -1, 0
    return i, -power if sign == 45 else power


@nb.njit(cache=True, nogil=True)
def _decimal(value: np.uint64, exponent: int, row: int, n: int, reals: Floats, bits: Words) -> bool:
    """Write value * 10^exponent, correctly rounded; return whether that could be told."""
    if value <= np.uint64(1 << 53) and -22 <= exponent <= 22:
        exact = float(value)
        reals[row, n] = exact / _TENS[-exponent] if exponent < 0 else exact * _TENS[exponent]
        return True
    if not _LEAST <= exponent <= _MOST or value == np.uint64(0):
        return False
    shift = 0
    while value < np.uint64(1 << 63):
        value <<= np.uint64(1)
        shift += 1
    high, low = _product(value, _FIVES[exponent - _LEAST, 0])
    if high & np.uint64(0x1FF) == np.uint64(0x1FF):
        more, _ = _product(value, _FIVES[exponent - _LEAST, 1])
        low += more
        if more > low:
            high += np.uint64(1)
    upper = high >> np.uint64(63)
    drop = upper + np.uint64(9)
    mantissa = high >> drop
    power = ((152170 + 65536) * exponent >> 16) + 63 + np.int64(upper) - shift + 1023
    if power <= 0 or power >= 2046:
        return False
    tie = low <= np.uint64(1) and -4 <= exponent <= 23
    if tie and mantissa & np.uint64(3) == np.uint64(1) and mantissa << drop == high:
        mantissa &= ~np.uint64(1)
    mantissa = (mantissa + (mantissa & np.uint64(1))) >> np.uint64(1)
    if mantissa >= np.uint64(1 << 53):
        mantissa = np.uint64(1 << 52)
        power += 1
    bits[row, n] = (mantissa & ~np.uint64(1 << 52)) | np.uint64(power) << np.uint64(52)
    return True


@nb.njit(cache=True, nogil=True, inline="always")
def _product(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return a * b as (high, low) 64 bits."""
    half = np.uint64(32)
    a1, a0, b1, b0 = a >> half, a & _MASK32, b >> half, b & _MASK32
    low = a0 * b0
    middle = a1 * b0 + (low >> half)
    cross = a0 * b1 + (middle & _MASK32)
    return a1 * b1 + (middle >> half) + (cross >> half), (cross << half) | (low & _MASK32)
