"""Open interest before an episode and since: how much of what was open is gone.

Readings come every few minutes at best, so what is told lags behind the orders. In base units:
dollars would fall with the price. Source: detection.md section 1 (open-interest drop, a field).
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from schemas.market import OpenInterest
from schemas.words import SECOND

#: A reading older than this at the start of an episode says nothing of it, seconds.
STALE_S = 900


class Reading(msgspec.Struct, array_like=True):
    """The last reading of one instrument: its second, and base units."""

    second: int
    quantity: float


class Drop(NamedTuple):
    """The share that is gone, and the oldest second it rests on."""

    share: float
    second: int


def step(readings: dict[str, Reading], shown: Iterable[OpenInterest]) -> None:
    """Remember a closed second's readings in base units, by venue, its symbol and sides counted."""
    for one in sorted(shown, key=lambda r: (r.ts_event, r.event_id)):
        if one.quantity is not None:
            readings[name_of(one)] = Reading(one.ts_event // SECOND, one.quantity)


def name_of(one: OpenInterest) -> str:
    """Return what a reading is known by."""
    # Not by instrument: an inverse and a linear contract of one venue may share its name.
    name = f"{one.venue}:{one.venue_symbol}"
    # One side is half of both: a feed that changes from one to the other is another.
    return name + ":both" if one.sides == "both" else name


def before(readings: dict[str, Reading], second: int) -> dict[str, float]:
    """Return base units by instrument as an episode begins, of readings that are not stale."""
    return {name: one.quantity for name, one in readings.items() if one.second > second - STALE_S}


def drop(readings: dict[str, Reading], began: dict[str, float], onset: int) -> Drop | None:
    """Return what is gone since `began`, over instruments read after `onset`; None without any."""
    since = {n: r for n, r in readings.items() if n in began and r.second > onset}
    if not since:
        return None
    was = sum(began[name] for name in sorted(since))
    now = sum(since[name].quantity for name in sorted(since))
    return Drop(round(1 - now / was, 6), min(r.second for r in since.values()))
