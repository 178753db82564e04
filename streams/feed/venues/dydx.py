"""dYdX v4's indexer: venue-protocols.md 9. Beyond 32 of a channel a connection loses them silently.

Messages of a connection are numbered: a hole is a gap.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from streams.feed.protocol import BOTH, NOTHING, Answer, Asked, Get, Protocol, Stream
from streams.feed.venues.replies import refused_by_text
from streams.feeds.instruments import Instrument


class _Reply(msgspec.Struct):
    type: str = ""
    channel: str = ""
    id: str = ""
    message: str = ""


class _Numbered(msgspec.Struct):
    message_id: int | None = None


_REPLY = msgspec.json.Decoder(_Reply)
_NUMBERED = msgspec.json.Decoder(_Numbered)


def routes(instruments: Iterable[Instrument]) -> dict[str, list[Stream]]:
    """Return trades, with the forced ones among them, of each market."""
    return {
        "indexer": [
            Stream(BOTH, "v4_trades", f"v4_trades:{one.venue_symbol}", one.venue_symbol)
            for one in instruments
        ]
    }


def named(asset: str) -> list[str]:
    """Return the symbols that an asset has by the venue's custom."""
    return [f"{asset}-USD"]


def request(streams: Sequence[Stream], number: int) -> str:
    """Return the request that subscribes to one stream."""
    wanted = {
        "type": "subscribe",
        "channel": "v4_trades",
        "id": streams[0].symbol,
        "batched": False,
    }
    return msgspec.json.encode(wanted).decode()


def answer(frame: bytes, asked: Asked) -> Answer:
    """Return what `subscribed` or an error means."""
    reply = _REPLY.decode(frame)
    if reply.type == "subscribed":
        return Answer(confirmed=[f"{reply.channel}:{reply.id}"])
    if reply.type == "error":
        return refused_by_text(asked, reply.message)
    return NOTHING


def number_of(frame: bytes) -> int | None:
    """Return a message's number on its connection."""
    return _NUMBERED.decode(frame).message_id


def first(stream: Stream, symbols: Sequence[str], after: int, before: int) -> list[Get] | None:
    """Return the last page of trades, forced ones among them."""
    path = f"/v4/trades/perpetualMarket/{stream.symbol}"
    return [Get("rest", path, {"limit": 1000}, f"v4_trades:{stream.symbol}")]


def following(
    request: Get, page: bytes, times: Sequence[int], after: int, before: int
) -> Get | None:
    """Return the page before one."""
    if len(times) < int(request.query["limit"]) or min(times) <= after:
        return None
    moment = datetime.fromtimestamp(min(times) / 1e6, UTC)
    until = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return request._replace(query=request.query | {"createdBeforeOrAt": until})


PROTOCOL = Protocol(
    venue="dydx",
    urls={"indexer": "wss://indexer.dydx.trade/v4/ws", "rest": "https://indexer.dydx.trade"},
    marked=(-3, None),  # a list of trades ends there, or an object of markets
    routes=routes,
    named=named,
    request=request,
    answer=answer,
    listing=(Get("rest", "/v4/perpetualMarkets", {}, ""),),
    streams_a_connection=32,
    streams_a_request=1,
    pace_s=0.1,
    share=0.01,
    first=first,
    next=following,
    number_of=number_of,
    requests_a_minute=120,
)
