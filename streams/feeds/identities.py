"""Identities of items that the venue does not number: their facts, exactly, and occurrence."""

from struct import Struct

_PACK = {n: Struct(f"<{n}d").pack for n in range(1, 5)}


def exact(*numbers: float) -> str:
    """Return the bits of up to four numbers in hexadecimal: equal for equal numbers only."""
    return _PACK[len(numbers)](*numbers).hex()


def occurring(event_id: str, counts: dict[str, int]) -> str:
    """Return the id of one more item with the same facts: the first keeps its own, then #1.

    `counts` is of the items of one message, so that a redelivery gives the same ids.
    """
    count = counts.get(event_id, 0)
    counts[event_id] = count + 1
    return f"{event_id}#{count}" if count else event_id
