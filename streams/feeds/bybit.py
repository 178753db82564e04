"""Bybit v5 derivatives: every liquidation, and public trades.

Formats: reference/wire-formats.md 3.3 (Bybit's v5 websocket docs).
"""

from collections import Counter
from typing import Literal

import msgspec

from schemas.identity import natural_id
from schemas.market import Liquidation, Trade
from schemas.words import Coverage, grid_usd
from streams.feeds.checks import (
    NOT_A_FRAME,
    Millis,
    PriceIn,
    SizeIn,
    Word,
    checked,
    trade,
    unreadable,
)
from streams.feeds.frames import UnreadableFrame
from streams.feeds.symbols import is_inverse, split_symbol

Side = Literal["Buy", "Sell"]


class _Liquidated(msgspec.Struct, gc=False):
    T: Millis
    s: Word
    S: Side
    v: SizeIn
    p: PriceIn


class _Printed(msgspec.Struct, gc=False):
    T: Millis
    s: Word
    S: Side
    v: SizeIn
    p: PriceIn
    i: Word


class _Liquidations(msgspec.Struct, gc=False):
    topic: str = ""
    data: list[_Liquidated] | None = None
    op: str = ""
    success: bool = True
    ret_msg: str = ""


class _Prints(msgspec.Struct, gc=False):
    topic: str = ""
    data: list[_Printed] | None = None
    op: str = ""
    success: bool = True
    ret_msg: str = ""


_LIQUIDATIONS = msgspec.json.Decoder(_Liquidations, strict=False)
_PRINTS = msgspec.json.Decoder(_Prints, strict=False)


# {"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1791565601482,"data":[
#  {"T":1791565600992,"s":"BTCUSDT","S":"Buy","v":"0.006","p":"82396.90"},
#  {"T":1791565601058,"s":"BTCUSDT","S":"Buy","v":"0.038","p":"82394.30"}]}
def parse_all_liquidation(frame: bytes, ts_recv: int) -> list[Liquidation]:
    """Read every item of one allLiquidation message; an acknowledgement gives [].

    S is the POSITION's side: Buy means a long was liquidated, the opposite of Binance's
    word. p is the bankruptcy price, not a fill. "snapshot" is always new data.
    Raises UnreadableFrame. Source: wire-formats.md 3.3; times in microseconds.
    """
    try:
        message = _LIQUIDATIONS.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    if _is_reply(message, "allLiquidation.") or message.data is None:
        return []
    # There is no id, and two orders in one message may agree in everything.
    seen: Counter[tuple[object, ...]] = Counter()
    records = []
    for item in message.data:
        facts = (item.s, item.S, item.T, item.v, item.p)
        records.append(
            liquidated(
                symbol=item.s,
                position_side="long" if item.S == "Buy" else "short",
                size=item.v,
                bankruptcy_price=item.p,
                ts_event=item.T * 1000,
                ts_recv=ts_recv,
                occurrence=seen[facts],
                coverage="full",
                stream=message.topic,
            )
        )
        seen[facts] += 1
    return records


# {"topic":"publicTrade.BTCUSD","type":"snapshot","ts":1680673823566,"data":[
#  {"T":1680673823564,"s":"BTCUSD","S":"Buy","v":"5823","p":"28560.50","L":"PlusTick",
#   "i":"0cbf2330-952d-5d03-a462-4bf826c867af","BT":false}]}
def parse_public_trade(frame: bytes, ts_recv: int) -> list[Trade]:
    """Read every print of one publicTrade message; an acknowledgement gives [].

    S is the taker's side; v is base units, on inverse contracts dollars. Block trades
    are prints too. Raises UnreadableFrame. Source: wire-formats.md 3.3; microseconds.
    """
    try:
        message = _PRINTS.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    if _is_reply(message, "publicTrade.") or message.data is None:
        return []
    return [
        public_trade(x.s, x.i, "buy" if x.S == "Buy" else "sell", x.v, x.p, x.T * 1000, ts_recv)
        for x in message.data
    ]


def liquidated(
    *,
    symbol: str,
    position_side: Literal["long", "short"],
    size: float,
    bankruptcy_price: float,
    ts_event: int,
    ts_recv: int,
    occurrence: int,
    coverage: Coverage,
    stream: str,
) -> Liquidation:
    """Build the Liquidation of one Bybit item (venue units; times in microseconds).

    `size` is base units, on inverse contracts dollars; worth is taken at the bankruptcy
    price. `occurrence` counts equal items before it. Raises UnreadableFrame.
    """
    asset, instrument, multiplier = split_symbol(symbol)
    quantity, worth = _base_and_worth(instrument, size, bankruptcy_price)
    facts = (symbol, position_side, ts_event // 1000, size, bankruptcy_price, occurrence)
    return checked(
        lambda: Liquidation(
            event_id=natural_id("bybit", *facts),
            venue="bybit",
            instrument=instrument,
            venue_symbol=symbol,
            asset=asset,
            position_side=position_side,
            order_side="sell" if position_side == "long" else "buy",
            price=bankruptcy_price / multiplier,
            price_kind="bankruptcy",
            quantity=quantity * multiplier,
            notional_usd=grid_usd(worth),
            coverage=coverage,
            stream=stream,
            ts_event=ts_event,
            ts_recv=ts_recv,
        )
    )


def public_trade(
    symbol: str,
    trade_id: str,
    aggressor_side: Literal["buy", "sell"],
    size: float,
    price: float,
    ts_event: int,
    ts_recv: int,
) -> Trade:
    """Build the Trade of one Bybit print (venue units; times in microseconds).

    Raises UnreadableFrame.
    """
    asset, instrument, multiplier = split_symbol(symbol)
    quantity, worth = _base_and_worth(instrument, size, price)
    return trade(
        f"bybit:{symbol}:{trade_id}",
        "bybit",
        instrument,
        symbol,
        asset,
        aggressor_side,
        price / multiplier,
        quantity * multiplier,
        worth,
        ts_event,
        ts_recv,
    )


def _base_and_worth(instrument: str, size: float, price: float) -> tuple[float, float]:
    """Base units (before the multiplier) and dollars of `size` at `price`."""
    if is_inverse(instrument):
        return size / price, size
    return size, size * price


def _is_reply(message: _Liquidations | _Prints, topic: str) -> bool:
    """Tell a reply (subscribed, pong) from data; raises when it is neither, or a refusal."""
    if message.topic.startswith(topic):
        if message.data is None:
            raise UnreadableFrame("data", "missing")
        return False
    if not message.success:
        raise UnreadableFrame("success", f"refused: {message.ret_msg[:200]}")
    if message.op and not message.topic:
        return True
    raise UnreadableFrame("topic", f"{message.topic[:60]!r} is not {topic}*")
