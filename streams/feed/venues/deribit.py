"""Deribit: venue-protocols.md 6. A forced order is a print like others, marked."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from streams.feed.protocol import BOTH, FORCED, NOTHING, Answer, Asked, Get, Protocol, Stream
from streams.feeds.instruments import Instrument

_TEST = '{"jsonrpc":"2.0","id":900001,"method":"public/test","params":{}}'


class _Params(msgspec.Struct, frozen=True):
    type: str = ""


class _Reply(msgspec.Struct):
    id: int | None = None
    method: str = ""
    params: _Params = _Params()
    result: Any = None
    error: dict[str, Any] | None = None


class _Page(msgspec.Struct):
    has_more: bool = False


class _Answer(msgspec.Struct):
    result: _Page


_REPLY = msgspec.json.Decoder(_Reply)
_ANSWER = msgspec.json.Decoder(_Answer)


def routes(instruments: Iterable[Instrument]) -> dict[str, list[Stream]]:
    """Return trades, with the forced ones among them, and open interest of each instrument."""
    streams = []
    for one in instruments:
        symbol = one.venue_symbol
        streams.append(Stream(BOTH, "trades", f"trades.{symbol}.100ms", symbol))
        streams.append(Stream(FORCED, "ticker", f"ticker.{symbol}.agg2", symbol, True))
    return {"public": streams}


def named(asset: str) -> list[str]:
    """Return the symbols that an asset has by the venue's custom."""
    return [f"{asset}-PERPETUAL", f"{asset}_USDC-PERPETUAL"]


def request(streams: Sequence[Stream], number: int) -> str:
    """Return the request that subscribes to `streams`."""
    return msgspec.json.encode(
        {
            "jsonrpc": "2.0", "id": number, "method": "public/subscribe",
            "params": {"channels": [stream.name for stream in streams]},
        }
    ).decode()  # fmt: skip


def answer(frame: bytes, asked: Asked) -> Answer:
    """Return what a reply means: what is missing in `result` was not subscribed."""
    reply = _REPLY.decode(frame)
    if reply.method == "heartbeat":
        return Answer(reply=_TEST) if reply.params.type == "test_request" else NOTHING
    if reply.error is not None:
        return Answer(refused_request=reply.id, reason=str(reply.error)[:300])
    streams = asked.get(reply.id or 0, ())
    if not streams or not isinstance(reply.result, list):
        return NOTHING
    served = [stream.name for stream in streams if stream.name in reply.result]
    lacking = {s.name: "not in the result" for s in streams if s.name not in reply.result}
    return Answer(confirmed=served, refused=lacking)


def first(stream: Stream, symbols: Sequence[str], after: int, before: int) -> list[Get] | None:
    """Return the first page of trades after a time, forced ones among them."""
    query: dict[str, str | int] = {
        "instrument_name": stream.symbol, "start_timestamp": after // 1000,
        "end_timestamp": before // 1000, "count": 1000, "sorting": "asc",
    }  # fmt: skip
    path = "/api/v2/public/get_last_trades_by_instrument_and_time"
    return [Get("rest", path, query, "trades")]


def following(
    request: Get, page: bytes, times: Sequence[int], after: int, before: int
) -> Get | None:
    """Return the page behind one, from its last millisecond on."""
    if not times or not _ANSWER.decode(page).result.has_more:
        return None
    return request._replace(query=request.query | {"start_timestamp": max(times) // 1000})


PROTOCOL = Protocol(
    venue="deribit",
    urls={"public": "wss://www.deribit.com/ws/api/v2", "rest": "https://www.deribit.com"},
    marked=(52, 72),
    routes=routes,
    named=named,
    request=request,
    answer=answer,
    listing=(
        Get(
            "rest",
            "/api/v2/public/get_instruments",
            {"currency": "any", "kind": "future", "expired": "false"},
            "",
        ),
    ),
    greeting=(
        '{"jsonrpc":"2.0","id":900000,"method":"public/set_heartbeat","params":{"interval":30}}',
    ),
    share=0.02,
    first=first,
    next=following,
    goes_forward=True,
    requests_a_minute=120,
)
