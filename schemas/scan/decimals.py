"""Decimal numbers in JSON text to float64, correctly rounded, or told to be left alone.

Eisel and Lemire's method (Lemire 2021, arXiv 2101.11408) over the powers that trades need.
"""

import numpy as np
from numpy.typing import NDArray

from schemas.scan.bytes_at import byte_at, compiled, lowest_bit, word_at

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]

#: Powers of ten that decimals of trades need; others are left to the exact decoder.
_LEAST, _MOST = -40, 30
_MASK32 = np.uint64(0xFFFFFFFF)
_ZEROS, _HIGH = np.uint64(0x3030303030303030), np.uint64(0x8080808080808080)
#: What lifts each byte above 9 past 127.
_LIFT = np.uint64(0x7676767676767676)
_WHOLES = 10 ** np.arange(8, dtype=np.uint64)


def _powers() -> Words:
    """Return 5^q in 128 bits, the first one set, rounded as Lemire's: (q, high and low)."""
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


_FIVES, _TENS = _powers(), 10.0 ** np.arange(23)


@compiled
def _digits(chunk: np.uint64) -> int:
    """Return how many digits eight bytes begin with."""
    digits = chunk ^ _ZEROS
    count: int = lowest_bit(((digits + _LIFT) | digits) & _HIGH) >> 3
    return count


@compiled
def _number(chunk: np.uint64, count: int) -> np.uint64:
    """Return the number that the first 1 to 7 bytes, all digits, write."""
    digits = (chunk ^ _ZEROS) << np.uint64(8 * (8 - count))
    digits = digits * np.uint64(10) + (digits >> np.uint64(8))
    mask = np.uint64(0x000000FF000000FF)
    high = (digits & mask) * np.uint64(0x000F424000000064)
    low = ((digits >> np.uint64(16)) & mask) * np.uint64(0x0000271000000001)
    return (high + low) >> np.uint64(32)


@compiled
def real_at(text: Bytes, i: int, n: int, row: int, reals: Floats, bits: Words) -> int:
    """Read a number of up to 19 digits, not negative, into [row, n]; return where it ends, else -1.

    `bits` is the same memory as `reals`.
    """
    # Nearly every number: one to seven digits on each side of the point, and no exponent.
    whole = _digits(word_at(text, i))
    if 0 < whole < 8 and (whole == 1 or byte_at(text, i) != 48):
        value = _number(word_at(text, i), whole)
        after = byte_at(text, i + whole)
        if after != 46 and after != 101 and after != 69:
            reals[row, n] = float(value)
            return i + whole
        part = _digits(word_at(text, i + whole + 1))
        if after == 46 and 0 < part < 8:
            after = byte_at(text, i + whole + 1 + part)
            if after != 101 and after != 69:
                value = value * _WHOLES[part] + _number(word_at(text, i + whole + 1), part)
                # Below 10^14, so both are exact.
                reals[row, n] = float(value) / _TENS[part]
                return i + whole + 1 + part
    byte = byte_at(text, i)
    # Digits are counted from the first that is not 0, as `value` may pass 2^64 and come to 0.
    value, exponent, digits, first, leading = np.uint64(0), 0, 0, i, byte == 48
    while 48 <= byte <= 57:
        value = value * np.uint64(10) + np.uint64(byte - 48)
        digits += digits > 0 or byte != 48
        i += 1
        byte = byte_at(text, i)
    if i == first or (leading and i - first > 1):
        return -1
    if byte == 46:
        point = i + 1
        while True:
            i += 1
            byte = byte_at(text, i)
            if not 48 <= byte <= 57:
                break
            value = value * np.uint64(10) + np.uint64(byte - 48)
            digits += digits > 0 or byte != 48
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


@compiled
def _exponent(text: Bytes, i: int) -> tuple[int, int]:
    """Read what follows an e; return where it ends, -1 where it is odd, and its value."""
    sign = byte_at(text, i)
    if sign == 45 or sign == 43:
        i += 1
    power, first = 0, i
    while i - first < 4 and 48 <= byte_at(text, i) <= 57:
        power = power * 10 + byte_at(text, i) - 48
        i += 1
    if i == first or i - first > 3:
        return -1, 0
    return i, -power if sign == 45 else power


@compiled
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


@compiled
def _product(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return a * b as (high, low) 64 bits."""
    half = np.uint64(32)
    a1, a0, b1, b0 = a >> half, a & _MASK32, b >> half, b & _MASK32
    low = a0 * b0
    middle = a1 * b0 + (low >> half)
    cross = a0 * b1 + (middle & _MASK32)
    return a1 * b1 + (middle >> half) + (cross >> half), (cross << half) | (low & _MASK32)
