"""Binance USD-M and COIN-M: venue-protocols.md 1.

Forced orders of both products come on `!forceOrder@arr` of either host, so one is enough. The
path without /market acknowledges, and then stays silent.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from streams.feed.protocol import FORCED, NOTHING, TRADES, Answer, Asked, Get, Protocol, Stream
from streams.feeds.instruments import Instrument

_PAGE = 1000


class _Reply(msgspec.Struct):
    id: int | None = None
    error: dict[str, Any] | None = None


class _Row(msgspec.Struct):
    a: int


_REPLY = msgspec.json.Decoder(_Reply)
_ROWS = msgspec.json.Decoder(list[_Row])


def routes(instruments: Iterable[Instrument]) -> dict[str, list[Stream]]:
    """Return trades of each instrument by product, and all forced orders on one stream."""
    chosen: dict[str, list[Stream]] = {"um": [Stream(FORCED, "forceOrder", "!forceOrder@arr")]}
    for one in instruments:
        name = f"{one.venue_symbol.lower()}@aggTrade"
        route = "um" if one.unit == "base" else "cm"
        chosen.setdefault(route, []).append(Stream(TRADES, "aggTrade", name, one.venue_symbol))
    return chosen


def named(asset: str) -> list[str]:
    """Return the symbols that an asset has by the venue's custom."""
    return [f"{asset}USDT", f"{asset}USD_PERP"]


def request(streams: Sequence[Stream], number: int) -> str:
    """Return the request that subscribes to `streams`."""
    names = [stream.name for stream in streams]
    return msgspec.json.encode({"method": "SUBSCRIBE", "params": names, "id": number}).decode()


def answer(frame: bytes, asked: Asked) -> Answer:
    """Return what `{"result":null,"id":1}` or an error means; it is no proof of delivery."""
    reply = _REPLY.decode(frame)
    if reply.error is not None:
        reason = str(reply.error.get("msg", reply.error))
        return Answer(refused_request=reply.id, reason=reason)
    if reply.id is None:
        return NOTHING
    return Answer(confirmed=[stream.name for stream in asked.get(reply.id, ())])


def first(stream: Stream, symbols: Sequence[str], after: int, before: int) -> list[Get] | None:
    """Return the first page of aggregate trades after a time; windows hold an hour at most."""
    if stream.channel != "aggTrade":
        return None
    query: dict[str, str | int] = {"symbol": stream.symbol, "limit": _PAGE}
    query |= {"startTime": after // 1000, "endTime": min(before, after + 3_600_000_000) // 1000}
    host, path = _host(stream.symbol)
    return [Get(host, f"{path}/aggTrades", query, f"aggTrade:{stream.symbol}")]


def following(
    request: Get, page: bytes, times: Sequence[int], after: int, before: int
) -> Get | None:
    """Return the page behind one, by the last id of it."""
    rows = _ROWS.decode(page)
    if not rows or (times and max(times) >= before):
        return None
    query = {"symbol": request.query["symbol"], "limit": _PAGE, "fromId": rows[-1].a + 1}
    return request._replace(query=query)


def reading(symbol: str) -> Get:
    """Return what asks for the open interest of a symbol: no stream tells it."""
    host, path = _host(symbol)
    return Get(host, f"{path}/openInterest", {"symbol": symbol}, "openInterest")


def _host(symbol: str) -> tuple[str, str]:
    is_cm = "_" in symbol and symbol.partition("_")[0].endswith("USD")
    return ("rest_cm", "/dapi/v1") if is_cm else ("rest_um", "/fapi/v1")


PROTOCOL = Protocol(
    venue="binance",
    urls={
        "um": "wss://fstream.binance.com/market/stream",
        "cm": "wss://dstream.binance.com/stream",
        "rest_um": "https://fapi.binance.com",
        "rest_cm": "https://dapi.binance.com",
    },
    marked=(0, 32),
    routes=routes,
    named=named,
    request=request,
    answer=answer,
    listing=(
        Get("rest_um", "/fapi/v1/exchangeInfo", {}, ""),
        Get("rest_cm", "/dapi/v1/exchangeInfo", {}, ""),
    ),
    streams_a_connection=200,
    life_s=86_400.0,
    share=0.35,
    first=first,
    next=following,
    reading=reading,
    # 20 of the 2,400 a minute that both products share, and others need some.
    requests_a_minute=60,
    goes_forward=True,
)
