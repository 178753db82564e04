"""What a connection to a venue is made of: streams, routes, and how the venue is spoken to. Pure.

Protocol.routes   what is wanted -> streams by route      (a route: one URL, many sockets)
Protocol.request  some streams   -> the request that subscribes to them
Protocol.answer   a control frame -> what it confirms, refuses, wants answered
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec

from streams.feeds.instruments import Instrument


class Stream(NamedTuple):
    """One subscription: the topics of its records, its parser's channel, the venue's name of it.

    `symbol` is empty where the stream is of all instruments. `name` is what acknowledgements say.
    `is_reading`: each record of it replaces the last, so that none is missed by who was away.
    """

    topics: tuple[str, ...]
    channel: str
    name: str
    symbol: str = ""
    is_reading: bool = False


class Answer(msgspec.Struct):
    """What a control frame means to a subscription.

    `reply` is to be sent back. `confirmed` are names of streams; `refused` gives names and
    reasons; `refused_request` is the number of a request refused whole, for `reason`. `leave`:
    the venue will close this connection, so that another must stand before.
    """

    reply: str | bytes | None = None
    confirmed: Sequence[str] = ()
    refused: dict[str, str] = {}
    refused_request: int | None = None
    reason: str = ""
    leave: str = ""


#: Requests without an answer yet, by their numbers.
Asked = Mapping[int, tuple[Stream, ...]]
NOTHING = Answer()
TRADES, FORCED = ("trades",), ("liquidations",)
#: Of streams in which a forced order is a print like others.
BOTH = ("trades", "liquidations")


class Get(NamedTuple):
    """One REST request: the name of its host among a protocol's urls, path, and what it asks.

    `channel` is the parser's, with the symbol where the rows do not say it: trade:PI_XBTUSD.
    `body` is sent by POST where there is one.
    """

    host: str
    path: str
    query: dict[str, str | int]
    channel: str
    body: bytes | None = None

    @property
    def target(self) -> str:
        """The path with its query."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path


#: (stream, symbols, after, before) -> first pages of what it gave in that span, microseconds, None
#: where the venue keeps none; `symbols` are those that are wanted, for a stream of all.
First = Callable[[Stream, Sequence[str], int, int], list[Get] | None]
#: (request, answer, times of its records, after, before) -> the next page, None behind the last.
Next = Callable[[Get, bytes, Sequence[int], int, int], Get | None]


def no_first(stream: Stream, symbols: Sequence[str], after: int, before: int) -> None:
    """Return None: the venue keeps no history of this."""


def no_reading(symbol: str) -> None:
    """Return None: what is open comes on a stream, or is not told."""


def no_next(
    request: Get, answer: bytes, times: Sequence[int], after: int, before: int
) -> Get | None:
    """Return nothing: one page is all."""
    return None


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How one venue is spoken to.

    `urls` are by name of route or REST host, each a setting. `listing` are requests whose answers
    tell the instruments. `pace_s` lies between two requests, `life_s` is how long a connection
    lasts at most; `delay_s` how long after an event the venue may push it; `pings` are what the
    client has to send, and how often; an empty one is a control frame. In texts $SECONDS stands
    for the time. `goes_forward`: pages of history begin at its beginning. `share` is the venue's
    usual share of all forced orders.
    """

    venue: str
    urls: Mapping[str, str]
    routes: Callable[[Iterable[Instrument]], dict[str, list[Stream]]]
    named: Callable[[str], list[str]]
    request: Callable[[Sequence[Stream], int], str]
    answer: Callable[[bytes, Asked], Answer]
    listing: tuple[Get, ...] = ()
    greeting: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    pings: tuple[float, str] | None = None
    streams_a_connection: int = 200
    streams_a_request: int = 100
    pace_s: float = 0.3
    connects_a_minute: int = 30
    life_s: float | None = None
    delay_s: float = 1.0
    share: float = 0.01
    #: The number of a message on its connection, where messages are numbered one by one.
    number_of: Callable[[bytes], int | None] | None = None
    #: Where a frame has bytes that mostly tell its channel: what is begun alike is parsed alike.
    marked: tuple[int | None, int | None] = (0, 24)
    first: First = no_first
    next: Next = no_next
    #: What asks for an instrument's open interest, where no stream tells it.
    reading: Callable[[str], Get | None] = no_reading
    requests_a_minute: int = 60
    goes_forward: bool = False


def sharded(streams: Sequence[Stream], most: int) -> list[tuple[Stream, ...]]:
    """Split streams over connections of `most` each; those of all instruments share the first."""
    ordered = sorted(streams, key=lambda stream: stream.symbol != "")
    return [tuple(ordered[n : n + most]) for n in range(0, len(ordered), most)]
