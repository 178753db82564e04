"""What a venue may send, and the door through which rare records enter."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from schemas.codec import validated
from schemas.texts import identity_problem
from schemas.words import MAX_MICROS, MIN_MICROS, check_times
from streams.feeds.frames import UnreadableFrame, unreadable

Record = TypeVar("Record", bound=msgspec.Struct)

# What a venue may send. Decoders run with strict=False: "0.014" is then a number, while
# "NaN", "inf", "1_0" and "-1" fail with the field's name before any arithmetic.
Millis = Annotated[int, Meta(ge=1_420_070_400_000, le=4_102_444_800_000)]
Seconds = Annotated[int, Meta(ge=1_420_070_400, le=4_102_444_800)]
PriceIn = Annotated[float, Meta(gt=0, le=1e9)]
PriceOrZero = Annotated[float, Meta(ge=0, le=1e9)]
SizeIn = Annotated[float, Meta(gt=0, le=1e15)]
SizeOrZero = Annotated[float, Meta(ge=0, le=1e15)]
SignedSize = Annotated[float, Meta(ge=-1e15, le=1e15)]
Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
#: A stream's name, or an id that may be missing.
Stream = Annotated[str, Meta(max_length=100)]
#: A time in ISO 8601, for `micros`.
Moment = Annotated[str, Meta(min_length=20, max_length=40)]
Word = Annotated[str, Meta(min_length=1, max_length=100)]


def seen(field: str, text: str) -> str:
    """Return an id or a stream's name; raises UnreadableFrame where it holds what is not seen."""
    # As the rule decides on nearly every id, without its call.
    if text.isascii() and text.isprintable() and text.strip():
        return text
    if problem := identity_problem(text):
        raise UnreadableFrame(field, problem)
    return text


_MILLIS = {f"{n:03}": n * 1_000 for n in range(1_000)}


@lru_cache(maxsize=4_096)
def seen_stream(field: str, text: str) -> str:
    """Return what `seen` does of a name that message after message bears."""
    return seen(field, text)


def micros(field: str, text: str) -> int:
    """Return the microseconds of a time in ISO 8601, UTC where it names no zone.

    Raises UnreadableFrame(field), also for a time that no record may have.
    """
    try:
        if text[23:] == "Z" and text[19] == ".":  # as BitMEX, dYdX and Kraken write it
            return _second(text[:19]) + _MILLIS[text[20:23]]
    except (ValueError, KeyError):
        pass  # told below
    try:
        stamp = datetime.fromisoformat(text)
        result = round(stamp.replace(tzinfo=stamp.tzinfo or UTC).timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        raise UnreadableFrame(field, f"{text[:60]!r} is no time") from None
    if not MIN_MICROS <= result <= MAX_MICROS:
        raise UnreadableFrame(field, f"{text[:60]!r} is not from 2015 to 2099")
    return result


@lru_cache(maxsize=4_096)
def _second(text: str) -> int:
    """Return the microseconds of a whole second in UTC. Raises ValueError."""
    second = int(datetime.fromisoformat(text + "+00:00").timestamp()) * 1_000_000
    if not MIN_MICROS <= second < MAX_MICROS:
        raise ValueError("not from 2015 to 2099")
    return second


def not_ahead(ts_event: int, ts_recv: int) -> None:
    """Raise UnreadableFrame where `ts_event` lies too far after `ts_recv` (`schemas.words`)."""
    try:
        check_times(ts_event, ts_recv)
    except ValueError as problem:
        raise unreadable(problem) from None


def checked(build: Callable[[], Record]) -> Record:
    """Return the record that `build` makes when it satisfies its own type.

    Raises UnreadableFrame otherwise, also when the record refuses to be made.
    """
    try:
        result: Record = validated(build())
    except ValueError as problem:
        raise unreadable(problem) from None
    return result
