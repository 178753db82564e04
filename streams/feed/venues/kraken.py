"""Kraken Futures: venue-protocols.md 12. A forced order is a print like others, of its own type."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from streams.feed.protocol import BOTH, FORCED, NOTHING, Answer, Asked, Get, Protocol, Stream
from streams.feed.venues.replies import refused_by_text
from streams.feeds.instruments import Instrument

#: Pages overlap by it, as several prints may share one.
_MILLISECOND = 1_000


class _Reply(msgspec.Struct):
    event: str = ""
    feed: str = ""
    product_ids: list[str] = []
    message: str = ""


_REPLY = msgspec.json.Decoder(_Reply)


def routes(instruments: Iterable[Instrument]) -> dict[str, list[Stream]]:
    """Return trades, with the forced ones among them, and open interest of each product."""
    streams = []
    for one in instruments:
        product = one.venue_symbol
        streams.append(Stream(BOTH, "trade", f"trade:{product}", product))
        streams.append(Stream(FORCED, "ticker", f"ticker:{product}", product, True))
    return {"futures": streams}


def named(asset: str) -> list[str]:
    """Return the symbols that an asset has by the venue's custom."""
    coin = "XBT" if asset == "BTC" else asset
    return [f"PF_{coin}USD", *([f"PI_{coin}USD"] if asset in ("BTC", "ETH") else [])]


def request(streams: Sequence[Stream], number: int) -> str:
    """Return the request that subscribes to `streams`, which are of one feed."""
    products = [stream.symbol for stream in streams]
    wanted = {"event": "subscribe", "feed": streams[0].channel, "product_ids": products}
    return msgspec.json.encode(wanted).decode()


def answer(frame: bytes, asked: Asked) -> Answer:
    """Return what an event means: it repeats the feed and its products."""
    reply = _REPLY.decode(frame)
    if reply.event == "subscribed":
        return Answer(confirmed=[f"{reply.feed}:{product}" for product in reply.product_ids])
    if reply.event in ("alert", "error"):
        return refused_by_text(asked, reply.message)
    return NOTHING


def first(stream: Stream, symbols: Sequence[str], after: int, before: int) -> list[Get] | None:
    """Return the last hundred trades before a time, forced ones among them."""
    if stream.channel != "trade":
        return None
    query: dict[str, str | int] = {
        "symbol": stream.symbol,
        "lastTime": _moment(before + _MILLISECOND),
    }
    return [Get("rest", "/derivatives/api/v3/history", query, stream.name)]


def following(
    request: Get, page: bytes, times: Sequence[int], after: int, before: int
) -> Get | None:
    """Return the page before one."""
    if not times or min(times) <= after:
        return None
    return request._replace(query=request.query | {"lastTime": _moment(min(times) + _MILLISECOND)})


def _moment(micros: int) -> str:
    moment = datetime.fromtimestamp(micros / 1e6, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


PROTOCOL = Protocol(
    venue="kraken",
    urls={
        "futures": "wss://futures.kraken.com/ws/v1",
        "rest": "https://futures.kraken.com",
    },
    routes=routes,
    named=named,
    request=request,
    answer=answer,
    listing=(Get("rest", "/derivatives/api/v3/instruments", {}, ""),),
    pings=(30.0, ""),
    share=0.01,
    first=first,
    next=following,
    requests_a_minute=120,
)
