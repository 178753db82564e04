"""What goes between whoever asks and the process that reads: a question, a head, a body.

asker  --[length][Question]-->  reader process
asker  <--[length][Head][body of Head.size bytes, or an open file with it]--  reader process
"""

import struct
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import msgspec

READONLY = 164
#: The code of what no code was told for.
UNKNOWN = 1001

_LENGTH = struct.Struct(">I")
Frame = TypeVar("Frame", bound=msgspec.Struct)


class Limits(NamedTuple):
    """What one query may use: seconds, bytes, rows."""

    seconds: int = 30
    memory_bytes: int = 1_000_000_000
    result_rows: int = 1_000_000
    result_bytes: int = 200_000_000

    def settings(self) -> dict[str, int]:
        """Return the limits under ClickHouse's names."""
        return {
            "max_execution_time": self.seconds,
            "max_memory_usage": self.memory_bytes,
            "max_result_rows": self.result_rows,
            "max_result_bytes": self.result_bytes,
        }


class QueryError(Exception):
    """A query that was refused or failed: ClickHouse's `code` and its text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def failure(code: int, name: str, why: str) -> QueryError:
    """Word an error as ClickHouse words its own."""
    return QueryError(code, f"Code: {code}. DB::Exception: {why} ({name})")


def refuse(why: str) -> QueryError:
    """Word a refusal as ClickHouse words its own."""
    return failure(READONLY, "READONLY", f"{why}: this endpoint only reads.")


class Question(msgspec.Struct, array_like=True, frozen=True):
    """One statement; `params` are as in ClickHouse's `param_name`, `settings` are the caller's.

    `protocol` is the version of the protocol that the client speaks, `encoding` one of
    `sinks.sql.compression`, which an answer that is worth it comes in.
    """

    sql: str
    fmt: str = "TabSeparated"
    params: dict[str, str] = {}
    database: str = ""
    settings: dict[str, str] = {}
    protocol: int = 0
    encoding: str = ""


class Head(msgspec.Struct, array_like=True, frozen=True):
    """What stands before an answer's `size` bytes; `code` other than 0 is a failure's, in `text`.

    `rows` are the answer's, `read_rows` and `read_bytes` what was read for it; `ignored` are
    settings that were not the caller's to change. With `in_file` an open file of the answer
    follows instead, whose name is gone already.
    """

    code: int = 0
    text: str = ""
    fmt: str = ""
    rows: int = 0
    read_rows: int = 0
    read_bytes: int = 0
    elapsed_ns: int = 0
    size: int = 0
    encoding: str = ""
    in_file: bool = False
    ignored: list[str] = []


def packed(frame: msgspec.Struct) -> bytes:
    """Return a frame with its length before it."""
    content = msgspec.msgpack.encode(frame)
    return _LENGTH.pack(len(content)) + content


def unpacked(kind: type[Frame], receive: Callable[[int], bytes]) -> Frame:
    """Read a frame; `receive` returns exactly so many bytes, or raises."""
    [length] = _LENGTH.unpack(receive(_LENGTH.size))
    return msgspec.msgpack.decode(receive(length), type=kind)
