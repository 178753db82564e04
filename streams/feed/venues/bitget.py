"""Bitget v3, the unified account: venue-protocols.md 8. v2 acknowledges, and then stays silent.

A frame may hold forced orders that are 20 s old, so that a gap begins so long before its loss.
"""

from collections.abc import Iterable, Sequence

import msgspec

from streams.feed.protocol import FORCED, NOTHING, TRADES, Answer, Asked, Get, Protocol, Stream
from streams.feeds.instruments import Instrument


class _Argument(msgspec.Struct, frozen=True):
    instType: str = ""
    topic: str = ""
    symbol: str = ""


class _Reply(msgspec.Struct):
    event: str = ""
    arg: _Argument = _Argument()
    code: str | int = ""
    msg: str = ""


_REPLY = msgspec.json.Decoder(_Reply)


def routes(instruments: Iterable[Instrument]) -> dict[str, list[Stream]]:
    """Return trades and open interest of each, and all forced orders of each category."""
    streams, categories = [], set()
    for one in instruments:
        category = _category(one)
        categories.add(category)
        name = f"publicTrade:{category}:{one.venue_symbol}"
        streams.append(Stream(TRADES, "publicTrade", name, one.venue_symbol))
        reading = f"ticker:{category}:{one.venue_symbol}"
        streams.append(Stream(FORCED, "ticker", reading, one.venue_symbol, True))
    forced = [
        Stream(FORCED, "liquidation", f"liquidation:{category}:") for category in sorted(categories)
    ]
    return {"public": forced + streams}


def named(asset: str) -> list[str]:
    """Return the symbols that an asset has by the venue's custom."""
    return [f"{asset}USDT", f"{asset}USD"]


def request(streams: Sequence[Stream], number: int) -> str:
    """Return the request that subscribes to `streams`."""
    arguments = []
    for stream in streams:
        topic, category, symbol = stream.name.split(":")
        argument = {"instType": category, "topic": topic}
        arguments.append(argument | ({"symbol": symbol} if symbol else {}))
    return msgspec.json.encode({"op": "subscribe", "args": arguments}).decode()


def answer(frame: bytes, asked: Asked) -> Answer:
    """Return what a reply means: each argument is answered by itself."""
    reply = _REPLY.decode(frame)
    name = f"{reply.arg.topic}:{reply.arg.instType.lower()}:{reply.arg.symbol}"
    if reply.event == "subscribe":
        return Answer(confirmed=[name])
    if reply.event == "error":
        return Answer(refused={name: f"{reply.code} {reply.msg}"[:300]})
    return NOTHING


def _category(instrument: Instrument) -> str:
    quote = instrument.instrument.split("-")[1]
    return {"USDT": "usdt-futures", "USDC": "usdc-futures"}.get(quote, "coin-futures")


PROTOCOL = Protocol(
    venue="bitget",
    urls={"public": "wss://ws.bitget.com/v3/ws/public", "rest": "https://api.bitget.com"},
    marked=(30, 74),
    routes=routes,
    named=named,
    request=request,
    answer=answer,
    listing=tuple(
        Get("rest", "/api/v3/market/instruments", {"category": category}, "")
        for category in ("USDT-FUTURES", "USDC-FUTURES", "COIN-FUTURES")
    ),
    pings=(25.0, "ping"),
    streams_a_connection=50,
    streams_a_request=25,
    delay_s=20.0,
    share=0.1,
)
