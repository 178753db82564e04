"""OKX v5: venue-protocols.md 3.

`trades-all` has every fill under the number that REST has it under; `trades` joins several. It is
on /business alone, forced orders and open interest on /public.
"""

from collections.abc import Iterable, Sequence

import msgspec

from streams.feed.protocol import FORCED, NOTHING, TRADES, Answer, Asked, Get, Protocol, Stream
from streams.feed.venues.replies import refused_by_text
from streams.feeds.instruments import Instrument

_CLOSES_SOON = "64008"


class _Argument(msgspec.Struct, frozen=True):
    channel: str = ""
    instId: str = ""
    instType: str = ""


class _Reply(msgspec.Struct):
    event: str = ""
    arg: _Argument = _Argument()
    code: str = ""
    msg: str = ""


_REPLY = msgspec.json.Decoder(_Reply)


def routes(instruments: Iterable[Instrument]) -> dict[str, list[Stream]]:
    """Return all forced orders by kind, and trades and open interest of each instrument."""
    public = [
        Stream(FORCED, "liquidation-orders", f"liquidation-orders:{kind}")
        for kind in ("SWAP", "FUTURES")
    ]
    business = []
    for one in instruments:
        symbol = one.venue_symbol
        public.append(Stream(FORCED, "open-interest", f"open-interest:{symbol}", symbol, True))
        business.append(Stream(TRADES, "trades-all", f"trades-all:{symbol}", symbol))
    return {"public": public, "business": business}


def named(asset: str) -> list[str]:
    """Return the symbols that an asset has by the venue's custom."""
    return [f"{asset}-USDT-SWAP", f"{asset}-USD-SWAP"]


def request(streams: Sequence[Stream], number: int) -> str:
    """Return the request that subscribes to `streams`."""
    arguments = []
    for stream in streams:
        channel, _, of = stream.name.partition(":")
        kind = "instId" if stream.symbol else "instType"
        arguments.append({"channel": channel, kind: of})
    return msgspec.json.encode({"op": "subscribe", "args": arguments}).decode()


def answer(frame: bytes, asked: Asked) -> Answer:
    """Return what an event means: each argument is answered by itself."""
    reply = _REPLY.decode(frame)
    if reply.event == "subscribe":
        argument = reply.arg
        return Answer(confirmed=[f"{argument.channel}:{argument.instId or argument.instType}"])
    if reply.event == "notice" and reply.code == _CLOSES_SOON:
        return Answer(leave=reply.msg)
    if reply.event == "error":
        return refused_by_text(asked, f"{reply.code} {reply.msg}")
    return NOTHING


def first(stream: Stream, symbols: Sequence[str], after: int, before: int) -> list[Get] | None:
    """Return the last page of trades before a time; of forced orders a page a family."""
    if stream.channel == "trades-all":
        query: dict[str, str | int] = {
            "instId": stream.symbol, "type": 2, "after": before // 1000 + 1, "limit": 100
        }  # fmt: skip
        return [Get("rest", "/api/v5/market/history-trades", query, "trades-all")]
    if stream.channel != "liquidation-orders":
        return None
    kind = stream.name.partition(":")[2]
    of_kind = [s for s in symbols if s.endswith("-SWAP") == (kind == "SWAP")]
    return [
        Get(
            "rest", "/api/v5/public/liquidation-orders",
            {"instType": kind, "uly": family, "state": "filled", "limit": 100,
             "after": before // 1000 + 1},
            "liquidation-orders",
        )
        for family in sorted({"-".join(symbol.split("-")[:2]) for symbol in of_kind})
    ]  # fmt: skip


def following(
    request: Get, page: bytes, times: Sequence[int], after: int, before: int
) -> Get | None:
    """Return the page before one."""
    if len(times) < int(request.query["limit"]) or min(times) <= after:
        return None
    return request._replace(query=request.query | {"after": min(times) // 1000 + 1})


PROTOCOL = Protocol(
    venue="okx",
    urls={
        "public": "wss://ws.okx.com:8443/ws/v5/public",
        "business": "wss://ws.okx.com:8443/ws/v5/business",
        "rest": "https://www.okx.com",
    },
    routes=routes,
    named=named,
    request=request,
    answer=answer,
    listing=(
        Get("rest", "/api/v5/public/instruments", {"instType": "SWAP"}, ""),
        Get("rest", "/api/v5/public/instruments", {"instType": "FUTURES"}, ""),
    ),
    pings=(20.0, "ping"),
    connects_a_minute=60,
    share=0.2,
    first=first,
    next=following,
    requests_a_minute=300,
)
