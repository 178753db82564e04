"""Records of our own that nobody could read, made readable; nothing ends or is dropped for one.

    record ──encode──> bytes                                     (nearly always)
              └─refused─> the field at fault, cut or bounded ──encode──> bytes, and a dead letter
                                └─ cannot be ─> the dead letter alone

Texts are cut with …, numbers brought to the nearest bound, what is no number and may be unknown
becomes unknown, lists keep their first elements. The dead letter says what was changed.
"""

import logging
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from schemas import metrics, texts
from schemas.codec import InvalidRecord, decode, encode, encode_many
from schemas.identity import natural_id
from schemas.market import Trade
from schemas.rules import Rule, ruled_fields
from schemas.status import DeadLetter, letter
from schemas.topics import TOPICS, key_of

log = logging.getLogger("undertow.records")


class Message(NamedTuple):
    """What is sent to a topic for a record."""

    topic: str
    record: msgspec.Struct
    key: bytes | None
    value: bytes


class _CannotFit(Exception):
    """A value from which no legal one can be made."""


def sendable(topic: str, record: msgspec.Struct, now_us: Callable[[], int]) -> list[Message]:
    """Return what to send so that a record can be read: mostly itself, else as `readable` says."""
    try:
        # Trades are many, and none is made here: whoever read one has checked it.
        value = encode(record, is_checked=type(record) is Trade)
    except InvalidRecord:
        return [
            Message(to, one, key_of(TOPICS[to], one) or None, encode(one))
            for to, one in readable(topic, record, now_us)
        ]
    return [Message(topic, record, key_of(TOPICS[topic], record) or None, value)]


def sendable_many(
    topic: str,
    records: list[msgspec.Struct],
    now_us: Callable[[], int],
    is_checked: bool = False,
) -> list[Message]:
    """Return what to send so that records can be read: one message of many, as `sendable` says.

    They are not read back where `is_checked` says that they can be read, nor are trades.
    """
    try:
        # Together: each by itself costs twice as much.
        is_checked = is_checked or all(type(record) is Trade for record in records)
        return [Message(topic, records[0], None, encode_many(records, is_checked))]
    except InvalidRecord:
        pass  # below, each by itself
    messages = [message for record in records for message in sendable(topic, record, now_us)]
    values = [message.value for message in messages if message.topic == topic]
    others = [message for message in messages if message.topic != topic]
    if not values:
        return others
    return [*others, Message(topic, records[0], None, b"[" + b",".join(values) + b"]")]


def readable(
    topic: str, record: msgspec.Struct, now_us: Callable[[], int]
) -> Iterator[tuple[str, msgspec.Struct]]:
    """Yield a record and its topic as they are, or the nearest readable one and a dead letter."""
    faults: list[InvalidRecord] = []
    fitted: msgspec.Struct | None = record
    while fitted is not None:
        try:
            payload = encode(fitted)
        except InvalidRecord as problem:
            faults.append(problem)
            fitted = _fitted(fitted, problem.field, len(faults))
        else:
            # As it is read: what is no number and may be unknown has become unknown.
            yield topic, decode(topic, payload)
            break
    if faults:
        ts_detect = getattr(record, "ts_detect", None)
        ts_recv = ts_detect if isinstance(ts_detect, int) else now_us()
        yield "dead_letters", _letter(topic, record, fitted is not None, faults, ts_recv)


def _letter(
    topic: str, record: msgspec.Struct, is_sent: bool, faults: list[InvalidRecord], ts_recv: int
) -> DeadLetter:
    raw = repr(record)
    log.error("%s: %s, as nobody could read it: %s", topic, "shortened" if is_sent else "not sent",
              "; ".join(f"{fault.field}: {fault.reason}" for fault in faults))  # fmt: skip
    metrics.UNREADABLE.labels(topic).inc()
    # No offset names it; a number made from its content gives a second telling the same row.
    place = int(natural_id(topic, raw)[:13], 16)
    first = faults[0]
    changed = f"; {len(faults)} fields in all" if len(faults) > 1 else ""
    outcome = "made readable" if is_sent else "not sent"
    reason = f"{outcome}: {first.reason}{changed}"
    return letter((topic, 0, place), first.field, reason, raw.encode(errors="replace"), ts_recv)


def _fitted(record: msgspec.Struct, field: str, attempt: int) -> msgspec.Struct | None:
    """Return a record with one field fitted, all of them where none is named; None: cannot be."""
    kind = type(record)
    if attempt > len(kind.__struct_fields__) + 1:
        return None
    named = field.partition("[")[0].partition(".")[0]
    rules = {ruled.name: ruled.rule for ruled in ruled_fields(kind)}
    changes = {}
    for known in inspect.type_info(kind).fields:  # type: ignore[attr-defined]
        if known.encode_name == named or not named:
            value = getattr(record, known.name)
            try:
                changes[known.name] = _fit(known.type, rules.get(known.name), value)
            except _CannotFit:
                return None
    return msgspec.structs.replace(record, **changes) if changes else None


def _fit(kind: inspect.Type, rule: Rule | None, value: Any) -> Any:
    """Return the legal value nearest to one; raises _CannotFit."""
    if isinstance(kind, inspect.Metadata):
        return _fit(kind.type, rule, value)
    if isinstance(kind, inspect.UnionType):
        return _fit_one_of(kind, rule, value)
    if isinstance(kind, inspect.ListType | inspect.CollectionType):
        kept = list(value)[: kind.max_length]
        return [_fit(kind.item_type, rule, element) for element in kept]
    if isinstance(kind, inspect.StrType):
        return _fit_text(kind, rule, str(value))
    if isinstance(kind, inspect.FloatType | inspect.IntType):
        return _fit_number(kind, value)
    if isinstance(kind, inspect.BoolType):
        return bool(value)
    if isinstance(kind, inspect.LiteralType) and value in kind.values:
        return value
    if isinstance(kind, inspect.LiteralType) and "unknown" in kind.values:
        return "unknown"
    raise _CannotFit


def _fit_one_of(kind: inspect.UnionType, rule: Rule | None, value: Any) -> Any:
    known = next(one for one in kind.types if not isinstance(one, inspect.NoneType))
    try:
        no_number = isinstance(value, float) and math.isnan(value)
        return None if value is None or no_number else _fit(known, rule, value)
    except _CannotFit:
        return None


def _fit_text(kind: inspect.StrType, rule: Rule | None, text: str) -> str:
    most = kind.max_length or len(text)
    nearest = texts.name(text) if rule is texts.name_problem else texts.identity(text)
    for made in (texts.plain(text, most), nearest[:most]):
        if len(made) >= (kind.min_length or 0) and (rule is None or rule(made) is None):
            return made
    raise _CannotFit


def _fit_number(kind: inspect.FloatType | inspect.IntType, value: Any) -> float | int:
    least = kind.ge if kind.ge is not None else kind.gt
    most = kind.le if kind.le is not None else kind.lt
    try:
        number = float(value) if isinstance(kind, inspect.FloatType) else int(value)
    except (TypeError, ValueError, OverflowError):
        raise _CannotFit from None
    if math.isnan(number):
        number = max(0.0, least or 0.0)
    if least is not None and number < least:
        number = least
    if most is not None and number > most:
        number = most
    if kind.gt is not None and number <= kind.gt:
        number = math.nextafter(kind.gt, math.inf)
    return float(number) if isinstance(kind, inspect.FloatType) else int(number)
