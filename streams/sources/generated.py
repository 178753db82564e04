"""The generated night as a source: raw venue messages through the real parsers."""

from collections.abc import Iterator

from schemas.identity import natural_id
from schemas.status import letter
from streams.feeds import registry
from streams.feeds.frames import Parsed
from streams.simulate.night import night
from streams.sources import Item, Source

#: The topic of what each kind of message gives.
TOPIC_OF = {
    "forceOrder": "liquidations",
    "aggTrade": "trades",
    "allLiquidation": "liquidations",
    "publicTrade": "trades",
    "alert": "whale_transfers",
}


def generated_source(seed: int, hours: float) -> Source:
    """Return the first `hours` (at most 24) of the generated night of `seed`.

    Raises ValueError for hours outside (0, 24].
    """
    made = night.generate(seed, hours)
    return Source(
        name=f"generated night (seed {seed}, {hours:g} h)",
        identity=natural_id("night", seed, hours),
        items=_parsed(made.frames),
        span=made.span,
        gap_after_s=3600.0,
        planted=made.planted,
    )


def _parsed(frames: Iterator[night.Frame]) -> Iterator[Item]:
    for number, (ts_recv, venue, kind, frame) in enumerate(frames, 1):
        parsed = parse(venue, kind, frame, ts_recv)
        for record in parsed.records:
            yield TOPIC_OF[kind], record
        for refusal in parsed.refusals:
            place = (f"{venue}.{kind}", 0, number)
            yield "dead_letters", letter(place, refusal.field, refusal.reason, frame, ts_recv)


def parse(venue: str, kind: str, frame: bytes, ts_recv: int) -> Parsed:
    """Return what one raw message of the night holds; `kind` is its channel."""
    return registry.parse(venue, kind, frame, registry.bundled(venue), ts_recv)
