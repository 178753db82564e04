"""Bytes <-> records. Both ways validate alike; what fails says where and why."""

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Union

import msgspec

from schemas.rules import fault, field_and_reason
from schemas.topics import TOPICS

_ENCODER = msgspec.json.Encoder()
_PARTS = msgspec.json.Decoder(list[msgspec.Raw])
#: A text with half a surrogate; a number of another library; an integer beyond 64 bits.
_UNWRITABLE = (ValueError, TypeError, OverflowError, RecursionError, msgspec.MsgspecError)


class InvalidRecord(Exception):
    """A message that is not a record: `topic`, `partition`, `offset`, `field`, `reason`."""

    def __init__(self, topic: str, partition: int, offset: int, field: str, reason: str) -> None:
        super().__init__(f"{topic}[{partition}]@{offset}: {field or 'message'}: {reason}")
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.field = field
        self.reason = reason


_MANY: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(list[topic.payload[0]])  # type: ignore[name-defined]
    for name, topic in TOPICS.items()
    if topic.many
}
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(Union[topic.payload])  # noqa: UP007 - built at run time
    for name, topic in TOPICS.items()
}


def decode(
    topic: str,
    payload: bytes | None,
    partition: int = 0,
    offset: int = -1,
    not_after: int | None = None,
) -> Any:
    """Decode one message of `topic` into its record.

    Raises InvalidRecord for anything that is not one: types, ranges, non-finite
    numbers, unknown words, times ahead of their receipt or of `not_after`
    (microseconds; a shell passes its clock plus MAX_AHEAD), truncated text.
    """
    if payload is None:
        raise InvalidRecord(topic, partition, offset, "", "empty message")
    try:
        record = _DECODERS[topic].decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        field, reason = field_and_reason(problem)
        raise InvalidRecord(topic, partition, offset, field, reason) from None
    if wrong := fault(record):
        raise InvalidRecord(topic, partition, offset, *wrong)
    if not _is_told_by(record, not_after):
        late = not_after or 0
        field = "ts_event" if (getattr(record, "ts_event", 0) or 0) > late else "ts_recv"
        raise InvalidRecord(topic, partition, offset, field, "stamped in the future")
    return record


def _is_sound(record: Any, not_after: int | None) -> bool:
    return not fault(record) and _is_told_by(record, not_after)


def _is_told_by(record: Any, not_after: int | None) -> bool:
    """Return whether neither of a record's times lies beyond the latest believable one."""
    return not_after is None or (
        (getattr(record, "ts_event", 0) or 0) <= not_after
        and (getattr(record, "ts_recv", 0) or 0) <= not_after
    )


def decode_many(
    topic: str,
    payload: bytes | None,
    partition: int = 0,
    offset: int = -1,
    not_after: int | None = None,
) -> tuple[list[Any], InvalidRecord | None]:
    """Decode one message into its records; those of an array that are none leave the others be.

    Returns with them the first thing that is wrong, which says how many more are. Only topics
    that carry `many` take arrays.
    """
    if payload is None or payload.lstrip()[:1] != b"[":
        try:
            return [decode(topic, payload, partition, offset, not_after)], None
        except InvalidRecord as problem:
            return [], problem
    pieces = None
    if topic in _MANY:
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            many = _MANY[topic].decode(payload)
            if many and all(_is_sound(record, not_after) for record in many):
                return many, None
        pieces = elements(payload)
    records, problems = [], []
    for number, piece in enumerate(pieces or (payload,)):
        try:
            records.append(decode(topic, piece, partition, offset, not_after))
        except InvalidRecord as problem:
            if pieces:
                problem.field = f"[{number}].{problem.field}".rstrip(".")
            problems.append(problem)
    if len(problems) > 1:
        problems[0].reason += f"; also refused of this message: {len(problems) - 1}"
    return records, problems[0] if problems else None


def elements(payload: bytes) -> list[bytes] | None:
    """Return the elements of an array payload, None for any other payload."""
    if payload.lstrip()[:1] != b"[":
        return None
    try:
        return [bytes(part) for part in _PARTS.decode(payload)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def encode_many(records: Sequence[msgspec.Struct], is_checked: bool = False) -> bytes:
    """Encode records of one kind, at least one, as one message of many; raises as `encode` does."""
    kind = type(records[0])
    try:
        payload = _ENCODER.encode(records)
        read_back = [] if is_checked else _decoder_of(kind, many=True).decode(payload)
    except _UNWRITABLE as problem:
        raise _not_written(kind, *field_and_reason(problem)) from None
    for wrong in filter(None, map(fault, read_back)):
        raise _not_written(kind, *wrong)
    return payload


def encode(record: msgspec.Struct, is_checked: bool = False) -> bytes:
    """Encode one record as JSON that `decode` reads.

    Raises InvalidRecord, naming the field, for one that it would refuse: it is read back, which
    costs less than comparing its fields here and cannot disagree. One that `is_checked` is not.
    """
    kind = type(record)
    try:
        payload = _ENCODER.encode(record)
        if is_checked:
            return payload
        read_back = _decoder_of(kind).decode(payload)
    except _UNWRITABLE as problem:
        raise _not_written(kind, *field_and_reason(problem)) from None
    if wrong := fault(read_back):
        raise _not_written(kind, *wrong)
    return payload


@lru_cache
def _decoder_of(kind: type[msgspec.Struct], many: bool = False) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(list[kind] if many else kind)  # type: ignore[valid-type]


def _not_written(kind: type[msgspec.Struct], field: str, reason: str) -> InvalidRecord:
    return InvalidRecord(str(kind.__struct_config__.tag), 0, -1, field, reason)


def validated(record: Any) -> Any:
    """Return `record` unchanged when it satisfies its own type's constraints.

    Parsers build structs directly, which msgspec does not check; this does, at the
    one door through which parsed records enter. Raises msgspec.ValidationError.
    """
    record = msgspec.convert(msgspec.to_builtins(record), type(record))
    if wrong := fault(record):
        raise msgspec.ValidationError(f"{wrong[1]} - at `$.{wrong[0]}`")
    return record
