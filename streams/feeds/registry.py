"""Every venue's channels and their parsers: bytes of a frame in, records and refusals out."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from streams.feeds import (
    binance,
    bitcoin,
    bitfinex,
    bitget,
    bitmex,
    bybit,
    deribit,
    dydx,
    ethereum,
    gate,
    htx,
    hyperliquid,
    kraken,
    okx,
    whale_alert,
)
from streams.feeds.frames import Parsed, Refusal, UnreadableFrame, control, unreadable
from streams.feeds.instruments import Instrument, Instruments, Parser, rows, snapshot
from streams.feeds.tokens import NATIVE


class Venue(NamedTuple):
    """One venue: its channels by their own names, and what its messages and symbols say.

    `route` returns the channel that a frame names, "" for control, and raises UnreadableFrame.
    `by_name` answers for symbols that are not in the metadata, `of_metadata` reads (symbol, row).
    """

    channels: dict[str, Parser]
    route: Callable[[bytes], str]
    by_name: Callable[[str], Instrument]
    of_metadata: Callable[[str, dict[str, Any]], Instrument]


_MODULES: dict[str, Any] = {
    "binance": binance,
    "bybit": bybit,
    "okx": okx,
    "hyperliquid": hyperliquid,
    "bitmex": bitmex,
    "deribit": deribit,
    "gate": gate,
    "bitget": bitget,
    "dydx": dydx,
    "kraken": kraken,
    "htx": htx,
    "bitfinex": bitfinex,
    "whale_alert": whale_alert,
    "ethereum": ethereum,
    "bitcoin": bitcoin,
}
VENUES: dict[str, Venue] = {
    name: Venue(module.CHANNELS, module.route, module.by_name, module.of_metadata)
    for name, module in _MODULES.items()
}
VENUES |= dict.fromkeys(NATIVE, VENUES["ethereum"])
_PARSERS = {name: venue.channels for name, venue in VENUES.items()}


def parse(
    venue: str, channel: str | None, frame: bytes, instruments: Instruments, ts_recv: int
) -> Parsed:
    """Return what one frame of `venue` holds; total: whatever the bytes, nothing is raised.

    `channel` is one of the venue's own, None where the frame is to tell; `ts_recv` in
    microseconds. Raises KeyError for a venue or a channel that is not in VENUES.
    """
    try:
        if channel is None:
            channel = _routed(venue, frame)
        return _PARSERS[venue][channel](frame, ts_recv, instruments)
    except (ValueError, OverflowError) as problem:  # the latter from sums beyond a float
        if frame == b"pong":  # plain text at OKX, BitMEX and Bitget
            return control()
        why = problem if isinstance(problem, UnreadableFrame) else unreadable(problem)
        return Parsed([], [Refusal(why.field, why.reason)])


def channel_of(venue: str, frame: bytes) -> str | None:
    """Return the channel that a frame names, the venue's first for control; None for no frame."""
    try:
        return _routed(venue, frame)
    except (ValueError, OverflowError):
        return None


def _routed(venue: str, frame: bytes) -> str:
    """Return the channel that a frame names, the venue's first for control."""
    entry = VENUES[venue]
    channel = entry.route(frame)
    if channel in entry.channels:
        return channel
    if channel:
        reason = f"{channel[:60]!r} is not read: {', '.join(entry.channels)} are"
        raise UnreadableFrame("channel", reason)
    return next(iter(entry.channels))


def channel_named(venue: str, name: str) -> str:
    """Return the channel that a subscription's name belongs to: btcusdt@aggTrade -> aggTrade.

    Raises KeyError when the venue has none such.
    """
    channels = VENUES[venue].channels
    # The longest first: `trades-all` also starts like `trades`.
    for channel in sorted(channels, key=len, reverse=True):
        if {channel, channel.rpartition(".")[2]} & _parts(name):
            return channel
    raise KeyError(name)


def _parts(name: str) -> set[str]:
    """Every piece of a subscription's name: a.b@c -> a, b, c, a.b, ..."""
    pieces = name.replace("@", "\0").replace(":", "\0").lstrip("!").split("\0")
    dotted = [piece.split(".") for piece in pieces]
    heads = {".".join(parts[:n]) for parts in dotted for n in range(1, len(parts) + 1)}
    return heads | {part for parts in dotted for part in parts}


@cache
def bundled(venue: str) -> Instruments:
    """Return the venue's instruments as of the snapshot in this package, else by their names."""
    entry = VENUES[venue]
    described, source, date = snapshot(venue)
    if not described:
        named = Instruments(entry.by_name)
        named.chain = venue if venue in NATIVE else named.chain
        return named
    return instruments_of(venue, described, source, date)


def instruments_of(venue: str, document: Any, source: str, date: str = "") -> Instruments:
    """Return the instruments of a venue's own metadata, decoded from JSON.

    `document` is its endpoint's answer or an object by symbol; rows that describe nothing that
    is followed are passed over. Raises ValueError where it is neither, or every row is such.
    """
    entry = VENUES[venue]
    known: dict[str, Instrument] = {}
    problems = []
    for symbol, row in rows(document):
        try:
            instrument = entry.of_metadata(symbol, row)
            # An address may be written with the capitals of a checksum.
            known[symbol.lower() if venue in NATIVE else symbol] = instrument
        except (TypeError, ValueError, OverflowError) as problem:
            # An endpoint's answer lists options, spot and more beside what is followed.
            problems.append(f"{symbol}: {problem}")
    if problems and not known:
        raise ValueError(problems[0])
    table = Instruments(entry.by_name, known, source, date)
    table.chain = venue if venue in NATIVE else table.chain
    return table
