"""Payloads that are not records, each one proved so, of every kind that people have met."""

import json
import random
import string
from collections.abc import Callable, Iterator
from typing import Any

from schemas import codec
from schemas.codec import InvalidRecord
from schemas.words import MAX_AHEAD
from streams.process import clock

Maker = Callable[[random.Random, dict[str, Any]], bytes]
DAY_US = 86_400_000_000
_TEXTS = (
    "event_id",
    "venue",
    "asset",
    "instrument",
    "venue_symbol",
    "tx_hash",
    "to_owner",
    "stream",
)
_NUMBERS = ("price", "quantity", "notional_usd")
_REQUIRED = ("type", "event_id", "asset", "ts_event", "ts_recv")
_ODD: tuple[Any, ...] = (
    None,
    True,
    [],
    {},
    [1, 2],
    {"a": 1},
    "",
    "NaN",
    "-",
    "\u0000",
    -1,
    1e308,
    2**63,
    "9" * 400,
)


def _dump(record: Any) -> bytes:
    return json.dumps(record).encode()


def fuzzed(rng: random.Random, good: dict[str, Any]) -> bytes:
    """Flip, cut or repeat bytes of a good record."""
    text = bytearray(_dump(good))
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(text))
        what = rng.randrange(3)
        if what == 0:
            text[at] = rng.randrange(256)
        elif what == 1:
            del text[at : at + rng.randint(1, 40)]
        else:
            text[at:at] = text[at : at + rng.randint(1, 40)]
        text = text or bytearray(b"{")
    return bytes(text)


def wrong_type(rng: random.Random, good: dict[str, Any]) -> bytes:
    """Put something else where a field should be, or leave it out."""
    field = rng.choice(_REQUIRED)
    if rng.random() < 0.3:
        return _dump({k: v for k, v in good.items() if k != field})
    return _dump(good | {field: rng.choice(_ODD)})


def huge_string(rng: random.Random, good: dict[str, Any]) -> bytes:
    """A name of up to 2 kB, now and then of half a megabyte."""
    size = 500_000 if rng.random() < 0.002 else rng.randint(201, 2_000)
    field = rng.choice([f for f in _TEXTS if f in good])
    return _dump(good | {field: rng.choice(string.ascii_letters) * size})


def deep(rng: random.Random, good: dict[str, Any]) -> bytes:
    """Brackets in brackets, alone or in a field that nobody asked for."""
    depth = 20_000 if rng.random() < 0.02 else rng.randint(5, 1_000)
    nest = b"[" * depth + b"]" * depth
    if rng.random() < 0.5:
        return nest
    return b'{"a":' * depth + b"1" + b"}" * depth


def not_utf8(rng: random.Random, good: dict[str, Any]) -> bytes:
    """Bytes that no UTF-8 text has, inside a name."""
    bad = rng.choice((b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"))
    return _dump(good | {"event_id": "@@"}).replace(b"@@", b"a" + bad)


def extreme(rng: random.Random, good: dict[str, Any]) -> bytes:
    """Numbers beyond what a price, a size or a time may be."""
    worth = rng.choice((b"1e999", b"-1e300", b"NaN", b"Infinity", b"-0.5", b"1e16", b"9" * 400))
    return _dump(good | {rng.choice(_NUMBERS): "@@"}).replace(b'"@@"', worth)


def future(rng: random.Random, good: dict[str, Any]) -> bytes:
    """Stamped later than anything may be."""
    ahead = rng.choice((2 * MAX_AHEAD, DAY_US, 3650 * DAY_US))
    at = clock.now_us() + MAX_AHEAD + ahead
    return _dump(good | {"ts_event": at, "ts_recv": at, "event_id": f"f{rng.random()}"})


def empty(rng: random.Random, good: dict[str, Any]) -> bytes:
    """Nothing, or JSON that is not an object."""
    return rng.choice((b"", b" ", b"null", b"0", b'""', b"[]", b"{}", b"\x00", b'{"type":"bar"}'))


MAKERS: tuple[Maker, ...] = (
    fuzzed, wrong_type, huge_string, deep, not_utf8, extreme, future, empty,
)  # fmt: skip


def is_bad(topic: str, payload: bytes) -> bool:
    """Whether a stage must refuse it."""
    try:
        codec.decode(topic, payload, not_after=clock.not_after() + MAX_AHEAD)
    except InvalidRecord:
        return True
    return False


def bad_payloads(
    rng: random.Random, good: dict[str, list[dict[str, Any]]]
) -> Iterator[tuple[str, bytes]]:
    """Yield (topic, payload) without end, each known to be bad."""
    topics = [topic for topic, some in good.items() if some]
    while True:
        topic = rng.choice(topics)
        payload = rng.choice(MAKERS)(rng, rng.choice(good[topic]))
        if is_bad(topic, payload):
            yield topic, payload
