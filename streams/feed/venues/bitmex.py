"""BitMEX: venue-protocols.md 5."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from streams.feed.protocol import FORCED, NOTHING, TRADES, Answer, Asked, Get, Protocol, Stream
from streams.feeds.instruments import Instrument


class _Request(msgspec.Struct, frozen=True):
    args: list[str] | str = []


class _Reply(msgspec.Struct):
    success: bool = False
    subscribe: str = ""
    error: str = ""
    status: int | None = None
    request: _Request = _Request()


_REPLY = msgspec.json.Decoder(_Reply)
_ROWS = msgspec.json.Decoder(list[Any])


def routes(instruments: Iterable[Instrument]) -> dict[str, list[Stream]]:
    """Return all forced orders, trades and open interest of each instrument."""
    streams = [Stream(FORCED, "liquidation", "liquidation")]
    for one in instruments:
        symbol = one.venue_symbol
        streams.append(Stream(TRADES, "trade", f"trade:{symbol}", symbol))
        streams.append(Stream(FORCED, "instrument", f"instrument:{symbol}", symbol, True))
    return {"realtime": streams}


def named(asset: str) -> list[str]:
    """Return the symbols that an asset has by the venue's custom."""
    coin = "XBT" if asset == "BTC" else asset
    return [f"{coin}USD", f"{coin}USDT"]


def request(streams: Sequence[Stream], number: int) -> str:
    """Return the request that subscribes to `streams`."""
    names = [stream.name for stream in streams]
    return msgspec.json.encode({"op": "subscribe", "args": names}).decode()


def answer(frame: bytes, asked: Asked) -> Answer:
    """Return what a reply means: it repeats the request that it is of."""
    reply = _REPLY.decode(frame)
    if reply.success and reply.subscribe:
        return Answer(confirmed=[reply.subscribe])
    if not reply.error:
        return NOTHING
    names = [reply.request.args] if isinstance(reply.request.args, str) else reply.request.args
    for number, streams in asked.items():
        if {stream.name for stream in streams} & set(names):
            return Answer(refused_request=number, reason=reply.error)
    return NOTHING


def first(stream: Stream, symbols: Sequence[str], after: int, before: int) -> list[Get] | None:
    """Return the first page of trades after a time."""
    if stream.channel != "trade":
        return None
    query: dict[str, str | int] = {
        "symbol": stream.symbol, "startTime": _moment(after), "endTime": _moment(before),
        "count": 1000, "start": 0,
    }  # fmt: skip
    return [Get("rest", "/api/v1/trade", query, "trade")]


def following(
    request: Get, page: bytes, times: Sequence[int], after: int, before: int
) -> Get | None:
    """Return the page behind one, by the count of rows before it."""
    rows, count = len(_ROWS.decode(page)), int(request.query["count"])
    if rows < count:
        return None
    return request._replace(query=request.query | {"start": int(request.query["start"]) + rows})


def _moment(micros: int) -> str:
    moment = datetime.fromtimestamp(micros / 1e6, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


PROTOCOL = Protocol(
    venue="bitmex",
    urls={"realtime": "wss://ws.bitmex.com/realtime", "rest": "https://www.bitmex.com"},
    routes=routes,
    named=named,
    request=request,
    answer=answer,
    listing=(Get("rest", "/api/v1/instrument/active", {}, ""),),
    pings=(15.0, "ping"),
    streams_a_request=20,
    pace_s=1.0,
    connects_a_minute=20,
    share=0.02,
    first=first,
    next=following,
    goes_forward=True,
    requests_a_minute=25,
)
