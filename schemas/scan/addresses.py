"""Messages that lie where a pointer says: their fields, copies of their payloads, their end.

`rd_kafka_message_t` is public, nine words of eight bytes:

    0 err (int32) · 1 topic · 2 partition (int32) · 3 payload · 4 len · 5 key · 6 key_len · 7 offset
    8 librdkafka's own

Nothing here can tell a good address from a bad one: the caller vouches for every pointer, and for
functions that are those of the library that made the messages.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from schemas.scan.bytes_at import compiled

Ints = NDArray[np.int64]
#: Rows of what `look` writes.
ERROR, PARTITION, PAYLOAD, SIZE, OFFSET, STAMP_MS = range(6)
FIELDS = 6

_WORD, _BYTE = ir.IntType(64), ir.IntType(8)


def _load(_: Any, address: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], _WORD.as_pointer()))

    return types.int64(types.int64), code


def _copy_from(_: Any, to: Any, at: Any, address: Any, size: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        source = builder.inttoptr(args[2], _BYTE.as_pointer())
        target = builder.gep(array.data, [args[1]])
        cgutils.raw_memcpy(builder, target, source, args[3], 1)  # type: ignore[no-untyped-call]
        return context.get_dummy_value()

    return types.void(to, types.int64, types.int64, types.int64), code


def _stamp_of(_: Any, function: Any, message: Any) -> Any:
    """Call int64_t f(const rd_kafka_message_t *, rd_kafka_timestamp_type_t *or_null)."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_WORD, [_WORD, _WORD])
        called = builder.inttoptr(args[0], kind.as_pointer())
        return builder.call(called, [args[1], ir.Constant(_WORD, 0)])

    return types.int64(types.int64, types.int64), code


def _destroy(_: Any, function: Any, message: Any) -> Any:
    """Call void f(rd_kafka_message_t *)."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_WORD])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [args[1]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


_load_at: Any = intrinsic(_load)
_copy_at: Any = intrinsic(_copy_from)
_stamp_at: Any = intrinsic(_stamp_of)
_destroy_at: Any = intrinsic(_destroy)


@compiled
def look(messages: Ints, stamp_of: int, fields: Ints) -> None:
    """Write the fields of each message into its column; `stamp_of` is the library's function."""
    for n in range(len(messages)):
        at = messages[n]
        fields[ERROR, n] = _load_at(at) & 0xFFFFFFFF
        fields[PARTITION, n] = _load_at(at + 16) & 0xFFFFFFFF
        fields[PAYLOAD, n] = _load_at(at + 24)
        fields[SIZE, n] = _load_at(at + 32)
        fields[OFFSET, n] = _load_at(at + 56)
        fields[STAMP_MS, n] = _stamp_at(stamp_of, at)


@compiled
def copy(payloads: Ints, ends: Ints, text: NDArray[np.uint8]) -> None:
    """Copy payloads one behind the other into `text`, each to its end."""
    begin = 0
    for n in range(len(payloads)):
        if ends[n] > begin:
            _copy_at(text, begin, payloads[n], ends[n] - begin)
        begin = ends[n]


@compiled
def destroy(messages: Ints, function: int) -> None:
    """Give messages back by the library's function; nothing of them may be read any more."""
    for n in range(len(messages)):
        _destroy_at(function, messages[n])
