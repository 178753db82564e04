"""The generated night as a source: raw venue messages through the real parsers."""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from schemas.identity import natural_id
from schemas.status import DeadLetter
from streams.feeds import binance, bybit, whale_alert
from streams.feeds.frames import UnreadableFrame
from streams.simulate import night
from streams.sources import Item, Source

#: What reads each kind of message, and the topic of what it gives.
PARSERS: dict[str, tuple[str, Callable[[bytes, int], Sequence[msgspec.Struct]]]] = {
    "forceOrder": ("liquidations", binance.parse_force_order),
    "aggTrade": ("trades", binance.parse_agg_trade),
    "allLiquidation": ("liquidations", bybit.parse_all_liquidation),
    "publicTrade": ("trades", bybit.parse_public_trade),
    "alert": ("whale_transfers", whale_alert.parse_alert),
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
        topic, parse = PARSERS[kind]
        try:
            for record in parse(frame, ts_recv):
                yield topic, record
        except UnreadableFrame as problem:
            yield (
                "dead_letters",
                DeadLetter(
                    topic=f"{venue}.{kind}",
                    partition=0,
                    offset=number,
                    field=problem.field,
                    reason=problem.reason,
                    raw=frame[:2_000].decode(errors="replace"),
                    ts_recv=ts_recv,
                ),
            )
