"""HTX: venue-protocols.md 11. Every frame is a gzip member; pings are echoed byte for byte."""

from collections.abc import Iterable, Sequence

import msgspec

from streams.feed.protocol import FORCED, NOTHING, TRADES, Answer, Asked, Get, Protocol, Stream
from streams.feeds.htx import plain
from streams.feeds.instruments import Instrument

_EVERY = "public.*.liquidation_orders"
_REPEATED = 2014


class _Reply(msgspec.Struct, rename={"err_code": "err-code", "err_msg": "err-msg"}):
    op: str = ""
    topic: str = ""
    id: str = ""
    subbed: str = ""
    status: str = ""
    err_code: int | str = 0
    err_msg: str = ""


_REPLY = msgspec.json.Decoder(_Reply, strict=False)


def routes(instruments: Iterable[Instrument]) -> dict[str, list[Stream]]:
    """Return trades of each contract and all forced orders, by what it is settled in."""
    chosen: dict[str, list[Stream]] = {}
    for one in instruments:
        symbol = one.venue_symbol
        kind = "swap" if one.instrument.split("-")[1] == "USD" else "linear"
        chosen[f"{kind}_orders"] = [Stream(FORCED, "liquidation_orders", _EVERY)]
        name = f"market.{symbol}.trade.detail"
        chosen.setdefault(kind, []).append(Stream(TRADES, "trade.detail", name, symbol))
    return chosen


def named(asset: str) -> list[str]:
    """Return the symbols that an asset has by the venue's custom."""
    return [f"{asset}-USDT", f"{asset}-USD"]


def request(streams: Sequence[Stream], number: int) -> str:
    """Return the request that subscribes to one stream."""
    name = streams[0].name
    wanted = {"sub": name, "id": str(number)}
    if name == _EVERY:  # without `business_type` dated futures are missing
        wanted = {"op": "sub", "cid": str(number), "topic": name, "business_type": "all"}
    return msgspec.json.encode(wanted).decode()


def answer(frame: bytes, asked: Asked) -> Answer:
    """Return what a reply means; a ping is answered with its own bytes."""
    frame = plain(frame)
    if b'"ping"' in frame[:40]:
        return Answer(reply=frame.replace(b'"ping"', b'"pong"', 1).decode())
    reply = _REPLY.decode(frame)
    if reply.op == "close":
        return Answer(leave="the venue closes the connection")
    if reply.op == "sub":
        if reply.err_code in (0, _REPEATED):
            return Answer(confirmed=[_EVERY])
        return Answer(refused={_EVERY: f"{reply.err_code} {reply.err_msg}"[:300]})
    if reply.subbed:
        return Answer(confirmed=[reply.subbed])
    if reply.status == "error" and reply.id.isdecimal():
        reason = f"{reply.err_code} {reply.err_msg}"[:300]
        return Answer(refused_request=int(reply.id), reason=reason)
    return NOTHING


PROTOCOL = Protocol(
    venue="htx",
    urls={
        "linear": "wss://api.hbdm.com/linear-swap-ws",
        "swap": "wss://api.hbdm.com/swap-ws",
        "linear_orders": "wss://api.hbdm.com/linear-swap-notification",
        "swap_orders": "wss://api.hbdm.com/swap-notification",
        "rest": "https://api.hbdm.com",
    },
    routes=routes,
    named=named,
    request=request,
    answer=answer,
    listing=(
        Get("rest", "/linear-swap-api/v1/swap_contract_info", {}, ""),
        Get("rest", "/swap-api/v1/swap_contract_info", {}, ""),
    ),
    streams_a_request=1,
    pace_s=0.1,
    share=0.02,
)
