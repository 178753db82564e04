"""Bitfinex: venue-protocols.md 10. No metadata lists its derivatives: names follow custom."""

from collections.abc import Iterable, Sequence

import msgspec

from streams.feed.protocol import FORCED, NOTHING, TRADES, Answer, Asked, Get, Protocol, Stream
from streams.feeds.instruments import Instrument

_ALREADY = 10301
_LEAVE = {20051: "the venue asks to reconnect", 20061: "the venue asks to subscribe anew"}


class _Reply(msgspec.Struct):
    event: str
    channel: str = ""
    symbol: str = ""
    key: str = ""
    code: int | None = None
    msg: str = ""


_REPLY = msgspec.json.Decoder(_Reply)


def routes(instruments: Iterable[Instrument]) -> dict[str, list[Stream]]:
    """Return all forced orders, and trades of each derivative."""
    trades = [
        Stream(TRADES, "trades", f"trades:{one.venue_symbol}", one.venue_symbol)
        for one in instruments
    ]
    return {"public": [Stream(FORCED, "liq", "status:liq:global"), *trades]}


def named(asset: str) -> list[str]:
    """Return the symbols that an asset has by the venue's custom."""
    return [f"t{asset}F0:USTF0"]


def request(streams: Sequence[Stream], number: int) -> str:
    """Return the request that subscribes to one stream."""
    channel, _, of = streams[0].name.partition(":")
    wanted = {"event": "subscribe", "channel": channel}
    wanted |= {"key": of} if channel == "status" else {"symbol": of}
    return msgspec.json.encode(wanted).decode()


def answer(frame: bytes, asked: Asked) -> Answer:
    """Return what an event means; heartbeats are arrays, which mean nothing."""
    if frame[:1] == b"[":
        return NOTHING
    reply = _REPLY.decode(frame)
    name = f"status:{reply.key}" if reply.key else f"trades:{reply.symbol}"
    if reply.event == "subscribed" or reply.code == _ALREADY:
        return Answer(confirmed=[name])
    if reply.event == "error":
        return Answer(refused={name: f"{reply.code} {reply.msg}"[:300]})
    return Answer(leave=_LEAVE.get(reply.code or 0, ""))


def first(stream: Stream, symbols: Sequence[str], after: int, before: int) -> list[Get] | None:
    """Return the last page of trades, or of forced orders, before a time."""
    query: dict[str, str | int] = {"start": after // 1000, "end": before // 1000 + 1}
    if stream.channel == "liq":
        return [Get("rest", "/v2/liquidations/hist", query | {"limit": 500}, "liq")]
    path = f"/v2/trades/{stream.symbol}/hist"
    return [Get("rest", path, query | {"limit": 10_000}, stream.name)]


def following(
    request: Get, page: bytes, times: Sequence[int], after: int, before: int
) -> Get | None:
    """Return the page before one."""
    if len(times) < int(request.query["limit"]):
        return None
    return request._replace(query=request.query | {"end": min(times) // 1000})


PROTOCOL = Protocol(
    venue="bitfinex",
    urls={"public": "wss://api-pub.bitfinex.com/ws/2", "rest": "https://api-pub.bitfinex.com"},
    marked=(0, 9),
    routes=routes,
    named=named,
    request=request,
    answer=answer,
    pings=(20.0, '{"event":"ping","cid":1}'),
    streams_a_connection=25,
    streams_a_request=1,
    pace_s=0.2,
    connects_a_minute=15,
    share=0.005,
    first=first,
    next=following,
    requests_a_minute=10,
)
