"""ClickHouse's Native format for clients that name a protocol version.

chDB writes Native as for a client of no version. One that names a version of 54454 or later
reads a block's info before each block, and before each column's data a byte that says
whether it is written in the plain way. Where a column's data ends is said nowhere, so each
type is walked over.
"""

import re
from collections.abc import Callable

from sinks.sql.protocol import failure

#: The first version that reads a column's way of writing (clickhouse-go and its kin are later).
VERSION = 54454
#: Field 1 is_overflows = 0, field 2 bucket_num = -1, end.
_BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
_PLAIN = b"\x00"

_SIZES = {
    "Int8": 1, "UInt8": 1, "Bool": 1, "Enum8": 1, "Nothing": 1,
    "Int16": 2, "UInt16": 2, "Enum16": 2, "Date": 2, "BFloat16": 2,
    "Int32": 4, "UInt32": 4, "Float32": 4, "Date32": 4, "DateTime": 4, "Time": 4, "IPv4": 4,
    "Int64": 8, "UInt64": 8, "Float64": 8, "DateTime64": 8, "Time64": 8,
    "Int128": 16, "UInt128": 16, "UUID": 16, "IPv6": 16, "Int256": 32, "UInt256": 32,
    "Decimal32": 4, "Decimal64": 8, "Decimal128": 16, "Decimal256": 32, "Point": 16,
}  # fmt: skip
#: A name before a type, in a named tuple.
_NAMED = re.compile(r"(?:\w+|`(?:[^`\\]|\\.)*`) +(?=[A-Z])")


def for_version(body: bytes) -> bytes:
    """Rewrite Native of no version for one that reads blocks' info; raises QueryError.

    The types of aggregate states, JSON, Dynamic and Variant are not walked over.
    """
    pieces: list[bytes] = []
    at = 0
    while at < len(body):
        start = at
        columns, at = _number(body, at)
        rows, at = _number(body, at)
        pieces += [_BLOCK_INFO, body[start:at]]
        for _ in range(columns):
            start = at
            _, at = _text(body, at)
            kind, at = _text(body, at)
            pieces += [body[start:at], _PLAIN]
            if rows:
                start = at
                at = _data(body, _prefix(at, kind), kind, rows)
                pieces.append(body[start:at])
    return b"".join(pieces)


def _prefix(at: int, kind: str) -> int:
    """Step over what stands before all data of a column: each dictionary's version."""
    name, arguments = _parts(kind)
    if name == "LowCardinality":
        return at + 8
    for argument in _inner(name, arguments):
        at = _prefix(at, argument)
    return at


def _data(body: bytes, at: int, kind: str, rows: int) -> int:
    """Step over a column's data."""
    name, arguments = _parts(kind)
    if name in _SIZES:
        return at + _SIZES[name] * rows
    if name.startswith("Interval"):
        return at + 8 * rows
    if name == "Decimal":
        digits = int(arguments[0])
        return at + (4 if digits <= 9 else 8 if digits <= 18 else 16 if digits <= 38 else 32) * rows
    if name == "FixedString":
        return at + int(arguments[0]) * rows
    walk = _WALKS.get(name)
    if walk is None:
        why = f"Type {kind} cannot be sent in Native to this client: cast it to String."
        raise failure(48, "NOT_IMPLEMENTED", why)
    return walk(body, at, arguments, rows)


def _strings(body: bytes, at: int, _: list[str], rows: int) -> int:
    for _row in range(rows):
        length = body[at]
        if length < 128:
            at += length + 1
        else:
            length, at = _number(body, at)
            at += length
    return at


def _nullable(body: bytes, at: int, arguments: list[str], rows: int) -> int:
    return _data(body, at + rows, arguments[0], rows)


def _array(body: bytes, at: int, arguments: list[str], rows: int) -> int:
    """Step over offsets, then over the elements of all rows; of a map, keys and then values."""
    if not rows:
        return at
    end = at + 8 * rows
    elements = int.from_bytes(body[end - 8 : end], "little")
    return _tuple(body, end, arguments, elements)


def _tuple(body: bytes, at: int, arguments: list[str], rows: int) -> int:
    for argument in _inner("Tuple", arguments):
        at = _data(body, at, argument, rows)
    return at


def _low_cardinality(body: bytes, at: int, arguments: list[str], rows: int) -> int:
    if not rows:
        return at
    width = 1 << (body[at] & 0xFF)
    keys = int.from_bytes(body[at + 8 : at + 16], "little")
    name, inner = _parts(arguments[0])
    at = _data(body, at + 16, inner[0] if name == "Nullable" else arguments[0], keys)
    return at + 8 + width * rows


def _simple_aggregate(body: bytes, at: int, arguments: list[str], rows: int) -> int:
    return _data(body, at, arguments[1], rows)


_WALKS: dict[str, Callable[[bytes, int, list[str], int], int]] = {
    "String": _strings,
    "Nullable": _nullable,
    "Array": _array,
    "Map": _array,
    "Tuple": _tuple,
    "LowCardinality": _low_cardinality,
    "SimpleAggregateFunction": _simple_aggregate,
}


def _inner(name: str, arguments: list[str]) -> list[str]:
    """Return the types within a type."""
    if name == "Tuple":
        named = [_NAMED.match(argument) for argument in arguments]
        return [a[name.end() :] if name else a for a, name in zip(arguments, named, strict=True)]
    if name == "SimpleAggregateFunction":
        return arguments[1:]
    return arguments if name in ("Nullable", "Array", "Map") else []


def _parts(kind: str) -> tuple[str, list[str]]:
    """Split `Map(String, Array(UInt8))` into its name and its arguments."""
    name, bracket, rest = kind.partition("(")
    if not bracket:
        return name, []
    arguments, depth, start, quote = [], 0, 0, ""
    rest = rest[:-1]
    for at, sign in enumerate(rest):
        if quote:
            quote = "" if sign == quote and rest[at - 1] != "\\" else quote
        elif sign in "'`":
            quote = sign
        elif sign in "()":
            depth += 1 if sign == "(" else -1
        elif sign == "," and not depth:
            arguments.append(rest[start:at].strip())
            start = at + 1
    return name, [*arguments, rest[start:].strip()]


def _number(body: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = body[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7


def _text(body: bytes, at: int) -> tuple[str, int]:
    length, at = _number(body, at)
    return body[at : at + length].decode("utf-8", "replace"), at + length
