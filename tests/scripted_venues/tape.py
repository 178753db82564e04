"""What a scripted venue prints, and what a feed has to make of it."""

import json
from collections.abc import Iterable

from schemas.market import Liquidation, Trade
from scripted_venues.server import Event, Script
from streams.feeds import registry

LATER = 300_000_000


def ids(venue: str, script: Script, events: Iterable[Event]) -> list[str]:
    """Return the identities that the events of a tape have, as the venue's parser gives them."""
    known = registry.bundled(venue).of_connection()
    # Bitfinex's frames have a number for their channel.
    known.channels |= {number: name for name, number in getattr(script, "numbers", {}).items()}
    identities = []
    for event in events:
        _, frame = script.frame(event)
        text = frame.encode() if isinstance(frame, str) else frame
        parsed = registry.parse(venue, None, text, known, event.ts * 1000 + LATER)
        assert not parsed.refusals, json.dumps(event)
        identities += [r.event_id for r in parsed.records if isinstance(r, Trade | Liquidation)]
    return identities
