"""The door through which parsed records enter, and the one complaint it makes."""

from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from schemas.codec import field_and_reason, validated
from schemas.market import Trade
from schemas.words import grid_usd
from streams.feeds.frames import UnreadableFrame

Record = TypeVar("Record", bound=msgspec.Struct)

# What a venue may send. Decoders run with strict=False: "0.014" is then a number, while
# "NaN", "inf", "1_0" and "-1" fail with the field's name before any arithmetic.
Millis = Annotated[int, Meta(ge=1_420_070_400_000, le=4_102_444_800_000)]
PriceIn = Annotated[float, Meta(gt=0, le=1e9)]
PriceOrZero = Annotated[float, Meta(ge=0, le=1e9)]
SizeIn = Annotated[float, Meta(gt=0, le=1e15)]
SizeOrZero = Annotated[float, Meta(ge=0, le=1e15)]
Word = Annotated[str, Meta(min_length=1, max_length=100)]

#: What msgspec raises for bytes that are not the frame that was asked for.
NOT_A_FRAME = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def unreadable(problem: Exception) -> UnreadableFrame:
    """Turn a decoder's or a record's complaint into UnreadableFrame(field, reason)."""
    return UnreadableFrame(*field_and_reason(problem))


def checked(build: Callable[[], Record]) -> Record:
    """Return the record that `build` makes when it satisfies its own type.

    Raises UnreadableFrame otherwise, also when the record refuses to be made.
    """
    try:
        result: Record = validated(build())
    except ValueError as problem:
        raise unreadable(problem) from None
    return result


def trade(
    event_id: str,
    venue: str,
    instrument: str,
    venue_symbol: str,
    asset: str,
    aggressor_side: str,
    price: float,
    quantity: float,
    worth_usd: float,
    ts_event: int,
    ts_recv: int,
) -> Trade:
    """Build a Trade (base units, dollars, microseconds), checking its ranges cheaply.

    The same bounds as the Meta of schemas.words, without the round trip through
    builtins that `checked` makes: trades are hot. Raises UnreadableFrame.
    """
    # Written so that NaN fails every one of them.
    if not 0.0 < price <= 1e9:
        raise UnreadableFrame("price", f"{price!r} is not in (0, 1e9]")
    if not 0.0 < quantity <= 1e15:
        raise UnreadableFrame("quantity", f"{quantity!r} is not in (0, 1e15]")
    if not 0.0 <= worth_usd <= 1e10:
        raise UnreadableFrame("notional_usd", f"{worth_usd!r} is not in [0, 1e10]")
    if not 1_420_070_400_000_000 <= ts_event <= 4_102_444_800_000_000:
        raise UnreadableFrame("ts_event", f"{ts_event} us is not between 2015 and 2100")
    if not 1_420_070_400_000_000 <= ts_recv <= 4_102_444_800_000_000:
        raise UnreadableFrame("ts_recv", f"{ts_recv} us is not between 2015 and 2100")
    if not 0 < len(event_id) <= 200:
        raise UnreadableFrame("event_id", f"{len(event_id)} characters, not 1..200")
    try:
        return Trade(
            event_id=event_id,
            venue=venue,
            instrument=instrument,
            venue_symbol=venue_symbol,
            asset=asset,
            aggressor_side=aggressor_side,  # type: ignore[arg-type]
            price=price,
            quantity=quantity,
            notional_usd=grid_usd(worth_usd),
            ts_event=ts_event,
            ts_recv=ts_recv,
        )
    except ValueError as problem:
        raise unreadable(problem) from None
