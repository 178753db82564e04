"""Frames through the parsers, as tests hand them in: text, or what JSON is made of."""

import json
from pathlib import Path

from streams.feeds import registry
from streams.feeds.frames import Parsed

#: A receipt shortly after the frames of the tests, microseconds.
RECV = 1_791_600_000_000_000
FIXTURES = Path(__file__).resolve().parents[2] / "shared" / "data" / "ws_fixtures"
NO_FIXTURES = f"recorded frames are not at {FIXTURES}"


def parsed(venue, channel, frame, metadata=None, ts_recv=RECV, symbol="") -> Parsed:
    """Parse one frame; `metadata` is the venue's own, else the bundled snapshot is used.

    `symbol`: what an answer of REST was asked for.
    """
    text = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
    known = (
        registry.bundled(venue)
        if metadata is None
        else registry.instruments_of(venue, metadata, "test")
    )
    known = known.of_connection()
    if symbol:
        known.channels[-1] = f"{channel}:{symbol}"
    return registry.parse(venue, channel, text, known, ts_recv)


def records(venue, channel, frame, metadata=None, ts_recv=RECV) -> list:
    """Parse a frame in which nothing is wrong."""
    result = parsed(venue, channel, frame, metadata, ts_recv)
    assert result.refusals == []
    return result.records


def refused(venue, channel, frame, metadata=None, ts_recv=RECV) -> list[str]:
    """Return the fields complained about in a frame of which nothing becomes a record."""
    result = parsed(venue, channel, frame, metadata, ts_recv)
    assert result.records == []
    assert all(refusal.reason for refusal in result.refusals)
    return [refusal.field for refusal in result.refusals]
