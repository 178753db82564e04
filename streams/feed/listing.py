"""A venue's instruments: as it tells them itself, else as cached, else as in this package."""

import logging
import os
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from streams.feed.protocol import Protocol
from streams.feed.rest import NoAnswer, Rest
from streams.feeds import registry
from streams.feeds.frames import UnreadableFrame
from streams.feeds.instruments import Instrument, Instruments

log = logging.getLogger("undertow.feed")


class Nothing(Exception):
    """No instrument of what is wanted is known; the message is one clear line."""


class Cached(msgspec.Struct):
    """The answers of a venue's own endpoints, and the day on which it gave them."""

    date: str
    documents: list[Any]


async def listed(rest: Rest, protocol: Protocol, cache: Path) -> Instruments:
    """Return the venue's instruments, from its endpoint, the cache file or the package."""
    today = datetime.now(UTC).date().isoformat()
    try:
        documents = [msgspec.json.decode(await rest.ask(get)) for get in protocol.listing]
        if documents:
            known = _merged(protocol, Cached(today, documents))
            _keep(cache, Cached(today, documents))
            return known
    except (NoAnswer, ValueError) as problem:
        log.warning("%s: instruments not read: %s", protocol.venue, problem)
    try:
        cached = msgspec.json.decode(cache.read_bytes(), type=Cached)
        log.info("%s: instruments as of %s", protocol.venue, cached.date)
        return _merged(protocol, cached)
    except (OSError, ValueError):
        return registry.bundled(protocol.venue)


def chosen(
    protocol: Protocol, instruments: Instruments, assets: Collection[str] | None
) -> list[Instrument]:
    """Return the futures and perpetuals of `assets`, of all where None. Raises Nothing."""
    listing = [one for one in instruments.values() if not one.instrument.endswith("-SPOT")]
    if instruments.source != _endpoint(protocol):
        # The package does not list what the venue has: its names follow a custom.
        symbols = {one.venue_symbol for one in listing}
        custom = {symbol for asset in assets or () for symbol in protocol.named(asset)} - symbols
        listing += filter(None, (_by_rule(instruments, symbol) for symbol in sorted(custom)))
    picked = [one for one in listing if assets is None or one.asset in assets]
    if not picked:
        names = ", ".join(sorted(assets)) if assets else "any asset"
        raise Nothing(
            f"{protocol.venue}: no instrument of {names} is known, and it does not answer"
        )
    return sorted(picked, key=lambda one: one.venue_symbol)


def _by_rule(instruments: Instruments, symbol: str) -> Instrument | None:
    try:
        return instruments[symbol]
    except UnreadableFrame:
        return None


def _endpoint(protocol: Protocol) -> str:
    return f"{protocol.venue}'s own listing"


def _merged(protocol: Protocol, cached: Cached) -> Instruments:
    source = _endpoint(protocol)
    known: Instruments | None = None
    for document in cached.documents:
        one = registry.instruments_of(protocol.venue, document, source, cached.date)
        if known is None:
            known = one
        else:
            known.update(one)
    if known is None:
        raise ValueError("no document")
    return known


def _keep(path: Path, cached: Cached) -> None:
    beside = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(msgspec.json.encode(cached))
        os.replace(beside, path)
    except OSError as problem:
        log.warning("instruments are not kept for a start without answer: %s", problem)
