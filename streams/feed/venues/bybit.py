"""Bybit v5, linear and inverse: venue-protocols.md 2.

One bad topic refuses the whole request, so that a refused one is asked for again in halves.
"""

from collections.abc import Iterable, Sequence

import msgspec

from streams.feed.protocol import FORCED, NOTHING, TRADES, Answer, Asked, Get, Protocol, Stream
from streams.feeds.instruments import Instrument


class _Reply(msgspec.Struct):
    op: str = ""
    success: bool = True
    req_id: str = ""
    ret_msg: str = ""


_REPLY = msgspec.json.Decoder(_Reply)


def routes(instruments: Iterable[Instrument]) -> dict[str, list[Stream]]:
    """Return trades, forced orders and open interest of each instrument by category."""
    chosen: dict[str, list[Stream]] = {}
    for one in instruments:
        symbol = one.venue_symbol
        streams = chosen.setdefault("linear" if one.unit == "base" else "inverse", [])
        streams.append(Stream(TRADES, "publicTrade", f"publicTrade.{symbol}", symbol))
        streams.append(Stream(FORCED, "allLiquidation", f"allLiquidation.{symbol}", symbol))
        streams.append(Stream(FORCED, "tickers", f"tickers.{symbol}", symbol, True))
    return chosen


def named(asset: str) -> list[str]:
    """Return the symbols that an asset has by the venue's custom."""
    return [f"{asset}USDT", f"{asset}USD"]


def request(streams: Sequence[Stream], number: int) -> str:
    """Return the request that subscribes to `streams`."""
    names = [stream.name for stream in streams]
    text = msgspec.json.encode({"req_id": str(number), "op": "subscribe", "args": names})
    return text.decode()


def answer(frame: bytes, asked: Asked) -> Answer:
    """Return what a reply means: its `req_id` is the number of our request."""
    reply = _REPLY.decode(frame)
    if reply.op != "subscribe" or not reply.req_id.isdecimal():
        return NOTHING
    number = int(reply.req_id)
    if not reply.success:
        return Answer(refused_request=number, reason=reply.ret_msg)
    return Answer(confirmed=[stream.name for stream in asked.get(number, ())])


def first(stream: Stream, symbols: Sequence[str], after: int, before: int) -> list[Get] | None:
    """Return the last thousand trades: all that the venue keeps for everyone."""
    if stream.channel != "publicTrade":
        return None
    category = "inverse" if stream.symbol.endswith("USD") else "linear"
    query: dict[str, str | int] = {"category": category, "symbol": stream.symbol, "limit": 1000}
    return [Get("rest", "/v5/market/recent-trade", query, "publicTrade")]


PROTOCOL = Protocol(
    venue="bybit",
    urls={
        "linear": "wss://stream.bybit.com/v5/public/linear",
        "inverse": "wss://stream.bybit.com/v5/public/inverse",
        "rest": "https://api.bybit.com",
    },
    routes=routes,
    named=named,
    request=request,
    answer=answer,
    listing=(
        Get("rest", "/v5/market/instruments-info", {"category": "linear", "limit": 1000}, ""),
        Get("rest", "/v5/market/instruments-info", {"category": "inverse", "limit": 1000}, ""),
    ),
    pings=(20.0, '{"op":"ping"}'),
    streams_a_request=50,
    connects_a_minute=60,
    share=0.25,
    first=first,
    requests_a_minute=300,
)
