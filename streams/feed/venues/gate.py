"""Gate v4: venue-protocols.md 7.

What its REST tells of forced orders has identities of its own, so that it cannot fill a gap: what
came both ways would count twice.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from streams.feed.protocol import FORCED, NOTHING, TRADES, Answer, Asked, Get, Protocol, Stream
from streams.feed.venues.replies import refused_by_text
from streams.feeds.instruments import Instrument


class _Reply(msgspec.Struct):
    channel: str = ""
    event: str = ""
    payload: list[str] | None = None
    error: dict[str, Any] | None = None


_REPLY = msgspec.json.Decoder(_Reply)


def routes(instruments: Iterable[Instrument]) -> dict[str, list[Stream]]:
    """Return trades and open interest by settling coin, and all forced orders of each."""
    chosen: dict[str, list[Stream]] = {}
    for one in instruments:
        symbol = one.venue_symbol
        route = "btc" if symbol.endswith("_USD") else "usdt"
        if route not in chosen:
            everything = Stream(
                FORCED, "futures.public_liquidates", "futures.public_liquidates:!all"
            )
            chosen[route] = [everything]
        name = f"futures.trades:{symbol}"
        chosen[route].append(Stream(TRADES, "futures.trades", name, symbol))
        reading = f"futures.tickers:{symbol}"
        chosen[route].append(Stream(FORCED, "futures.tickers", reading, symbol, True))
    return chosen


def named(asset: str) -> list[str]:
    """Return the symbols that an asset has by the venue's custom."""
    return [f"{asset}_USDT", *(["BTC_USD"] if asset == "BTC" else [])]


def request(streams: Sequence[Stream], number: int) -> str:
    """Return the request that subscribes to `streams`, which are of one channel."""
    channel = streams[0].channel
    payload = ",".join(f'"{stream.name.partition(":")[2]}"' for stream in streams)
    return f'{{"time":$SECONDS,"channel":"{channel}","event":"subscribe","payload":[{payload}]}}'


def answer(frame: bytes, asked: Asked) -> Answer:
    """Return what a reply means: it repeats the payload, or names the channel alone."""
    reply = _REPLY.decode(frame)
    if reply.event != "subscribe":
        return NOTHING
    if reply.error:
        return refused_by_text(asked, str(reply.error.get("message", reply.error)), reply.channel)
    if reply.payload:
        return Answer(confirmed=[f"{reply.channel}:{of}" for of in reply.payload])
    for number in sorted(asked):
        if asked[number][0].channel == reply.channel:
            return Answer(confirmed=[stream.name for stream in asked[number]])
    return NOTHING


def first(stream: Stream, symbols: Sequence[str], after: int, before: int) -> list[Get] | None:
    """Return the last page of trades before a time, in whole seconds."""
    if stream.channel != "futures.trades":
        return None
    settle = "btc" if stream.symbol.endswith("_USD") else "usdt"
    query: dict[str, str | int] = {
        "contract": stream.symbol, "from": after // 1_000_000, "to": before // 1_000_000 + 1,
        "limit": 1000, "offset": 0,
    }  # fmt: skip
    return [Get("rest", f"/api/v4/futures/{settle}/trades", query, "futures.trades")]


def following(
    request: Get, page: bytes, times: Sequence[int], after: int, before: int
) -> Get | None:
    """Return the page before one, by the count of rows behind it."""
    limit = int(request.query["limit"])
    if len(times) < limit:
        return None
    return request._replace(query=request.query | {"offset": int(request.query["offset"]) + limit})


PROTOCOL = Protocol(
    venue="gate",
    urls={
        "usdt": "wss://fx-ws.gateio.ws/v4/ws/usdt",
        "btc": "wss://fx-ws.gateio.ws/v4/ws/btc",
        "rest": "https://api.gateio.ws",
    },
    marked=(44, 74),
    routes=routes,
    named=named,
    request=request,
    answer=answer,
    listing=(
        Get("rest", "/api/v4/futures/usdt/contracts", {}, ""),
        Get("rest", "/api/v4/futures/btc/contracts", {}, ""),
    ),
    pings=(15.0, '{"time":$SECONDS,"channel":"futures.ping"}'),
    share=0.1,
    first=first,
    next=following,
    goes_forward=True,
    requests_a_minute=300,
)
