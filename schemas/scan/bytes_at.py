"""Loops over bytes, compiled; and bytes and words at any place for them, no place checked."""

from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

import numba as nb
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

_LOAD = Callable[[Any, int], Any]
_Loop = TypeVar("_Loop", bound=Callable[..., Any])


def compiled(loop: _Loop) -> _Loop:
    """Return a loop compiled at its first call, without the interpreter's lock.

    What was compiled is kept beside the source, else for the user, else not at all.
    """
    try:
        made: Any = nb.njit(cache=True, nogil=True)(loop)
    except RuntimeError:  # no place for it, as in a container that may not write
        return cast(_Loop, nb.njit(nogil=True)(loop))
    # numba looks at the loop's own file only, and would keep a loop that another, changed
    # since, is compiled into.
    made._cache._cache_file._source_stamp = _sources(Path(loop.__code__.co_filename).parent)
    return cast(_Loop, made)


@lru_cache
def _sources(folder: Path) -> bytes:
    """Return a hash of all that stands in a folder of loops."""
    return sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))).digest()


def _place(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return builder.gep(array.data, [args[1]])


def _byte_at(_: Any, text: Any, at: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        loaded = builder.load(_place(context, builder, signature, args))
        return builder.zext(loaded, ir.IntType(64))

    return types.int64(text, types.int64), code


def _word_at(_: Any, text: Any, at: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _place(context, builder, signature, args)
        return builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(text, types.int64), code


def _lowest_bit(_: Any, bits: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), code


#: One byte as a signed number; numba's own index looks for negative places first.
byte_at: _LOAD = cast(Any, intrinsic(_byte_at))
#: Eight bytes as an unsigned number, the first one lowest.
word_at: _LOAD = cast(Any, intrinsic(_word_at))
#: The place of the lowest bit that is set, 64 where none is.
lowest_bit: Callable[[Any], Any] = cast(Any, intrinsic(_lowest_bit))
