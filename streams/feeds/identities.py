"""Identities of items that the venue does not number: their facts, exactly, and occurrence."""

from struct import Struct

import msgspec

from streams.feeds.frames import Parsed

_PACK = {n: Struct(f"<{n}d").pack for n in range(1, 5)}


def exact(*numbers: float) -> str:
    """Return the bits of up to four numbers in hexadecimal: equal for equal numbers only."""
    return _PACK[len(numbers)](*numbers).hex()


def told_apart(parsed: Parsed) -> Parsed:
    """Return a message's records with an id each, where orders in it agree in everything."""
    records = parsed.records
    if len(records) > 1 and len({record.event_id for record in records}) < len(records):
        counts: dict[str, int] = {}
        parsed.records = [
            msgspec.structs.replace(record, event_id=occurring(record.event_id, counts))
            for record in records
        ]
    return parsed


def occurring(event_id: str, counts: dict[str, int]) -> str:
    """Return the id of one more item with the same facts: the first keeps its own, then #1.

    `counts` is of the items of one message, so that a redelivery gives the same ids.
    """
    count = counts.get(event_id, 0)
    counts[event_id] = count + 1
    return f"{event_id}#{count}" if count else event_id
