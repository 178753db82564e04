"""Hyperliquid: venue-protocols.md 4. It tells nobody's forced orders but those of users followed.

Subscriptions go one by one: a coin that it does not like gets no answer, or kills the connection.
"""

from collections.abc import Iterable, Sequence

import msgspec

from streams.feed.protocol import FORCED, NOTHING, TRADES, Answer, Asked, Get, Protocol, Stream
from streams.feed.venues.replies import all_asked
from streams.feeds.instruments import Instrument


class _Subscription(msgspec.Struct, frozen=True):
    type: str = ""
    coin: str = ""


class _Subscribed(msgspec.Struct):
    subscription: _Subscription


class _Reply(msgspec.Struct):
    channel: str
    data: _Subscribed | str | None = None


_REPLY = msgspec.json.Decoder(_Reply)


def routes(instruments: Iterable[Instrument]) -> dict[str, list[Stream]]:
    """Return trades and open interest of each coin."""
    streams = []
    for one in instruments:
        coin = one.venue_symbol
        streams.append(Stream(TRADES, "trades", f"trades:{coin}", coin))
        streams.append(Stream(FORCED, "activeAssetCtx", f"activeAssetCtx:{coin}", coin, True))
    return {"public": streams}


def named(asset: str) -> list[str]:
    """Return the symbols that an asset has by the venue's custom."""
    return [asset]


def request(streams: Sequence[Stream], number: int) -> str:
    """Return the request that subscribes to one stream."""
    kind, _, coin = streams[0].name.partition(":")
    wanted = {"method": "subscribe", "subscription": {"type": kind, "coin": coin}}
    return msgspec.json.encode(wanted).decode()


def answer(frame: bytes, asked: Asked) -> Answer:
    """Return what a response or an error means."""
    reply = _REPLY.decode(frame)
    if isinstance(reply.data, _Subscribed):
        subscribed = reply.data.subscription
        return Answer(confirmed=[f"{subscribed.type}:{subscribed.coin}"])
    if reply.channel != "error" or not isinstance(reply.data, str):
        return NOTHING
    for stream in all_asked(asked):
        kind = stream.name.partition(":")[0]
        if f'"{stream.symbol}"' in reply.data and f'"{kind}"' in reply.data:
            if reply.data.startswith("Already subscribed"):
                return Answer(confirmed=[stream.name])
            return Answer(refused={stream.name: reply.data[:300]})
    return NOTHING


def first(stream: Stream, symbols: Sequence[str], after: int, before: int) -> list[Get] | None:
    """Return the last trades of a coin, which are few."""
    if stream.channel != "trades":
        return None
    body = msgspec.json.encode({"type": "recentTrades", "coin": stream.symbol})
    return [Get("rest", "/info", {}, "trades", body)]


PROTOCOL = Protocol(
    venue="hyperliquid",
    urls={"public": "wss://api.hyperliquid.xyz/ws", "rest": "https://api.hyperliquid.xyz"},
    routes=routes,
    named=named,
    request=request,
    answer=answer,
    listing=(Get("rest", "/info", {}, "", b'{"type":"meta"}'),),
    pings=(30.0, '{"method":"ping"}'),
    streams_a_connection=450,
    streams_a_request=1,
    pace_s=0.05,
    connects_a_minute=25,
    share=0.0,
    first=first,
)
