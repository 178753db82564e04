"""Hyperliquid perpetuals: trades, liquidations in users' fills, open interest and mark price.

Formats: reference/wire-formats.md 3.5. No channel tells of liquidations: they stand in the fills
of the users that one follows, so what is heard is a part.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar

import msgspec

from schemas.market import Liquidation, MarkPrice, OpenInterest, Trade
from schemas.words import OrderSide, PositionSide
from streams.feeds import readings, tape
from streams.feeds.checks import Millis, Number, PriceIn, SizeIn, SizeOrZero, Word
from streams.feeds.frames import (
    NO_RECORD,
    NOT_A_FRAME,
    Kind,
    Parsed,
    Refusal,
    UnreadableFrame,
    built,
    control,
    is_array,
    one_by_one,
    unreadable,
)
from streams.feeds.instruments import Instrument, Instruments, Parser, asked, described

#: Channels that answer our own requests.
_CONTROL = frozenset({"subscriptionResponse", "pong", "error"})
#: What the server says first, in plain text.
_GREETING = b"Websocket connection established."
_PERPETUAL = re.compile(r"(?:[a-z0-9]{1,10}:)?(k?)([^\W_]+)")

Side = Literal["A", "B"]
Items = TypeVar("Items")


class _Print(msgspec.Struct, gc=False):
    coin: Word
    side: Side
    px: PriceIn
    sz: SizeIn
    time: Millis
    tid: Number


class _Forced(msgspec.Struct, gc=False):
    liquidatedUser: str
    method: str


class _Fill(_Print, gc=False):
    dir: str = ""
    liquidation: _Forced | None = None


class _Message(msgspec.Struct, Generic[Items], gc=False):
    channel: str
    data: Items


class _Fills(msgspec.Struct, Generic[Items], gc=False):
    fills: Items
    user: str = ""
    isSnapshot: bool = False


class _FillsMessage(msgspec.Struct, Generic[Items], gc=False):
    channel: str
    data: _Fills[Items]


class _Context(msgspec.Struct, gc=False):
    openInterest: SizeOrZero
    markPx: PriceIn


class _Asset(msgspec.Struct, gc=False):
    coin: Word
    ctx: _Context


class _Routed(msgspec.Struct, gc=False):
    channel: str
    data: msgspec.Raw = msgspec.Raw(b"null")


_FEED = tape.Feed("hyperliquid", "userFills", "fill", "unknown")
_ROUTED = msgspec.json.Decoder(_Routed)
_PRINTS = Kind(_Message, _Print)
_FILLS = Kind(_FillsMessage, _Fill, "data.fills")
_CONTEXT = msgspec.json.Decoder(_Message[_Asset], strict=False)


# {"channel":"trades","data":[{"coin":"BTC","side":"B","px":"84302.0","sz":"0.0411",
#  "time":1791400304010,"hash":"0x71aa...","tid":903311780045120,"users":["0x31c0","0x9e2b"]}]}
def parse_trades(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read every print of one trades message; side B bought, A sold, as the taker.

    `tid` is a hash of 50 bits: unique only with coin and time. The first message after
    subscribing holds recent history, unmarked; REST's answer, a bare array, is history.
    Raises UnreadableFrame. Microseconds.
    """
    try:
        message = _PRINTS.decode(frame)
        if message.channel == "trades":
            return Parsed(_trades(message.data, instruments, ts_recv), [])
    except NO_RECORD:
        pass  # below, each item in its place
    if answered := is_array(frame):
        frame = b'{"channel":"trades","data":' + frame + b"}"
    message, refusals = _read(_PRINTS, frame, "trades")
    if message is None:
        return _reply(frame)
    parsed = one_by_one(message.data, _trades, (instruments, ts_recv), refusals)
    parsed.history = answered
    return parsed


def _trades(items: Sequence[_Print], instruments: Instruments, ts_recv: int) -> list[Trade]:
    records = []
    for item in items:
        coin, time = item.coin, item.time
        event_id = f"hyperliquid:{coin}:{time}:{item.tid}"
        side: OrderSide = "buy" if item.side == "B" else "sell"
        instrument, size, price = instruments[coin], item.sz, item.px
        records.append(
            tape.trade("hyperliquid", event_id, instrument, side, size, price, time * 1000, ts_recv)
        )
    return records


# {"channel":"userFills","data":{"user":"0xabc","fills":[{"coin":"ETH","px":"2950.4","sz":"0.52",
#  "side":"B","time":1791400305101,"startPosition":"12.0","dir":"Open Long","closedPnl":"0.0",
#  "hash":"0x5c1d","oid":560010002,"crossed":false,"fee":"0.02","tid":118200455512,"liquidation":
#  {"liquidatedUser":"0x7777","markPx":"2951.0","method":"market"},"feeToken":"USDC"}]}}
def parse_user_fills(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read the liquidations among a user's fills; other fills stand on the tape already.

    Both parties of a liquidation have a fill with the same `tid`. REST's answer, a bare array,
    is history, and `instruments.channels[-1]` says whose. Raises UnreadableFrame.
    Source: wire-formats.md 3.5; microseconds.
    """
    if answered := is_array(frame):
        frame = b'{"channel":"userFills","data":{"isSnapshot":true,"fills":' + frame + b"}}"
    message, refusals = _read(_FILLS, frame, "userFills")
    if message is None:
        return _reply(frame)

    user = asked(instruments, "hyperliquid") if answered else message.data.user

    def build(fill: _Fill) -> Liquidation | None:
        if fill.liquidation is None:
            return None
        position = _position_side(fill, fill.liquidation, user)
        instrument = instruments[fill.coin]
        return tape.liquidation(
            _FEED,
            f"hyperliquid:liquidation:{fill.coin}:{fill.time}:{fill.tid}",
            instrument,
            position,
            fill.sz,
            fill.px,
            fill.time * 1000,
            ts_recv,
        )

    parsed = built(message.data.fills, build, refusals, "data.fills")
    parsed.history = message.data.isSnapshot
    return parsed


# {"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"funding":"0.0000125",
#  "openInterest":"27353.17682","prevDayPx":"76317.0","dayNtlVlm":"1516669192.19",
#  "premium":"-0.0005","oraclePx":"77605.0","markPx":"77562.0","midPx":"77558.5"}}}
def parse_asset_context(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read open interest (coins) and mark price; it has no time, so that of receipt is taken.

    Raises UnreadableFrame. Source: venue-protocols.md 4.
    """
    if route(frame) != "activeAssetCtx":
        return _reply(frame)
    try:
        asset = _CONTEXT.decode(frame).data
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    instrument, times = instruments[asset.coin], (ts_recv, ts_recv)
    price = asset.ctx.markPx

    def build(reading: str) -> OpenInterest | MarkPrice | None:
        if reading == "markPx":
            return readings.mark("hyperliquid", instrument, price, times)
        amount = asset.ctx.openInterest
        return readings.interest("hyperliquid", instrument, amount, price, "unknown", times)

    return built(("openInterest", "markPx"), build, path="data.ctx")


@lru_cache(maxsize=16_384)
def by_name(symbol: str) -> Instrument:
    """Return what a coin's name says: kPEPE is 1000 PEPE, xyz:CRWV a market of the dex xyz.

    Sizes are coins everywhere. Raises UnreadableFrame for spot pairs (@107, PURR/USDC).
    """
    name = _PERPETUAL.fullmatch(symbol)
    if name is None or not name[2].isupper():
        raise UnreadableFrame("symbol", f"{symbol[:60]!r} is not a perpetual of hyperliquid")
    return described("hyperliquid", symbol, ("1000" if name[1] else "") + name[2], "USD")


# {"universe":[{"name":"BTC","szDecimals":5,"maxLeverage":40},...]}        (/info, type meta)
def of_metadata(symbol: str, row: dict[str, Any]) -> Instrument:
    """Return the instrument of a row of `universe`, which tells no size: all are coins."""
    return by_name(symbol)


def route(frame: bytes) -> str:
    """Return the channel that a frame names, "" for control. Raises UnreadableFrame."""
    if is_array(frame):
        return "userFills" if b'"startPosition"' in frame else "trades"
    if frame == _GREETING:
        return ""
    try:
        channel = _ROUTED.decode(frame).channel
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    return "" if channel in _CONTROL else channel


CHANNELS: dict[str, Parser] = {
    "trades": parse_trades,
    "userFills": parse_user_fills,
    "activeAssetCtx": parse_asset_context,
}


def _position_side(fill: _Fill, forced: _Forced, user: str) -> PositionSide:
    """Return whose position was closed, which the fill's own side says only of its own user."""
    if forced.method == "backstop" and fill.dir.startswith("Liquidated"):
        return "long" if fill.dir.endswith("Long") else "short"
    if not user:
        raise UnreadableFrame("liquidation", "whose fills these are is not said, so no side is")
    of_user: PositionSide = "long" if fill.side == "A" else "short"
    if user.lower() == forced.liquidatedUser.lower():
        return of_user
    return "short" if of_user == "long" else "long"


def _read(kind: Kind, frame: bytes, channel: str) -> tuple[Any, dict[int, Refusal] | None]:
    """Return the message and refusals, None in its place for what is not of `channel`."""
    message = kind.whole(frame)
    if message is not None and message.channel == channel:
        return message, None
    return kind.read(frame) if route(frame) == channel else (None, None)


def _reply(frame: bytes) -> Parsed:
    """Return what a frame means that is none of the wanted channel."""
    if frame == _GREETING:
        return control()
    routed = _ROUTED.decode(frame)
    if routed.channel not in _CONTROL:
        raise UnreadableFrame("channel", f"{routed.channel[:60]!r} is another channel")
    if routed.channel != "error":
        return control()
    text = bytes(routed.data).decode(errors="replace")
    return control(Refusal("data", f"refused: {text[:200]}"))
