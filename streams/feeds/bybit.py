"""Bybit v5 derivatives, linear and inverse: every liquidation, trades, tickers.

Formats: reference/wire-formats.md 3.3 (Bybit's v5 websocket docs).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar

import msgspec

from schemas.market import Liquidation, MarkPrice, OpenInterest, Trade
from schemas.words import ROUNDING_USD, Coverage, OpenInterestSides
from streams.feeds import readings, tape
from streams.feeds.checks import (
    Millis,
    PriceIn,
    SizeIn,
    SizeOrZero,
    Stream,
    Word,
    seen,
)
from streams.feeds.frames import (
    NO_RECORD,
    NOT_A_FRAME,
    Kind,
    Parsed,
    Refusal,
    UnreadableFrame,
    built,
    control,
    one_by_one,
    unreadable,
)
from streams.feeds.identities import PAIR, apart, told_apart
from streams.feeds.instruments import Instrument, Instruments, Parser, described
from streams.feeds.symbols import day_of, is_inverse, split_symbol
from streams.feeds.tape import LEAST_PRICE, LEAST_USD, LONG, SHORT

Side = Literal["Buy", "Sell"]
Items = TypeVar("Items")


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


class _Routed(msgspec.Struct, gc=False):
    topic: str = ""
    op: str = ""
    retCode: int | None = None


class _Pushed(msgspec.Struct, Generic[Items], gc=False):
    topic: Stream
    data: Items


class _Message(msgspec.Struct, Generic[Items], gc=False):
    topic: Stream = ""
    data: Items | None = None
    op: str = ""
    success: bool = True
    ret_msg: str = ""
    retCode: int | None = None
    retMsg: str = ""


class _PastPrint(msgspec.Struct, gc=False):
    execId: Word
    symbol: Word
    side: Side
    size: SizeIn
    price: PriceIn
    time: Millis


class _Page(msgspec.Struct, Generic[Items], gc=False):
    list: Items


class _Answer(msgspec.Struct, Generic[Items], gc=False):
    result: _Page[Items]


class _Ticker(msgspec.Struct, gc=False):
    symbol: Word
    markPrice: PriceIn | Literal[""] | None = None
    openInterest: SizeOrZero | Literal[""] | None = None
    singleOpenInterest: SizeOrZero | Literal[""] | None = None


class _Tickers(msgspec.Struct, gc=False):
    topic: str = ""
    ts: Millis | None = None
    data: _Ticker | None = None
    op: str = ""
    success: bool = True
    ret_msg: str = ""


_TICKERS = msgspec.json.Decoder(_Tickers, strict=False)
_ROUTED = msgspec.json.Decoder(_Routed, strict=False)
#: The feeds met, by topic: more than any venue has topics, so that garbage cannot grow it.
_FEEDS: dict[str, tape.Feed] = {}
_MOST_FEEDS = 4_096
_PUSHED_LIQUIDATIONS = msgspec.json.Decoder(_Pushed[list[_Liquidated]], strict=False)
_PUSHED_PRINTS = msgspec.json.Decoder(_Pushed[list[_Printed]], strict=False)
_LIQUIDATIONS = Kind(_Message, _Liquidated)
_PRINTS = Kind(_Message, _Printed)
_PAST_PRINTS = Kind(_Answer, _PastPrint, "result.list")


# {"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1791565601482,"data":[
#  {"T":1791565600992,"s":"BTCUSDT","S":"Buy","v":"0.006","p":"82396.90"},
#  {"T":1791565601058,"s":"BTCUSDT","S":"Buy","v":"0.038","p":"82394.30"}]}
def parse_all_liquidation(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read every item of one allLiquidation message.

    S is the POSITION's side: Buy means a long was liquidated, the opposite of Binance's
    word. p is the bankruptcy price, not a fill. "snapshot" is always new data.
    Raises UnreadableFrame. Source: wire-formats.md 3.3; times in microseconds.
    """
    try:
        pushed = _PUSHED_LIQUIDATIONS.decode(frame)
        feed = _FEEDS.get(pushed.topic) or _feed(pushed.topic)
        records = _liquidations(pushed.data, feed, instruments, ts_recv)
        return Parsed(records if len(records) == 1 else told_apart(records), [])
    except NO_RECORD:
        pass  # below, each item in its place
    message, refusals = _LIQUIDATIONS.read(frame)
    if message.data is None or not message.topic.startswith("allLiquidation."):
        return _reply(message, "allLiquidation.")
    feed = _feed(message.topic)
    return apart(one_by_one(message.data, _liquidations, (feed, instruments, ts_recv), refusals))


def _liquidations(
    items: Sequence[_Liquidated], feed: tape.Feed, instruments: Instruments, ts_recv: int
) -> list[Liquidation]:
    records = []
    for item in items:
        symbol, millis = item.s, item.T
        amount, price = item.v, item.p
        position, order = LONG if item.S == "Buy" else SHORT
        event_id = f"bybit:{symbol}:{millis}:{position}:{PAIR(amount, price).hex()}"
        of, ts_event = instruments[symbol], millis * 1000
        # As `tape` does, without its call.
        quantity = amount * of.size
        product = quantity * price
        if of.unit != "base":
            product, quantity = quantity, quantity / price
        worth: float | None
        if (
            of.is_plain
            and price >= LEAST_PRICE
            and LEAST_USD < product <= 1e10
            and ts_event <= ts_recv
        ):
            worth = product + ROUNDING_USD - ROUNDING_USD
        else:
            price, quantity, worth = tape.exactly(of, amount, price, ts_event, ts_recv)
        records.append(
            Liquidation(
                event_id, "bybit", of.instrument, of.venue_symbol, of.asset, position, order, price,
                "bankruptcy", quantity, worth, "full", feed.stream, ts_event, ts_recv,
            )
        )  # fmt: skip
    return records


def _feed(topic: str) -> tape.Feed:
    """Return the feed of a topic of liquidations. Raises UnreadableFrame for another."""
    if not topic.startswith("allLiquidation."):
        raise UnreadableFrame("topic", f"{topic[:60]!r} is not allLiquidation.*")
    feed = tape.Feed("bybit", seen("topic", topic), "bankruptcy", "full")
    if len(_FEEDS) < _MOST_FEEDS:
        _FEEDS[topic] = feed
    return feed


# {"topic":"publicTrade.BTCUSD","type":"snapshot","ts":1680673823566,"data":[
#  {"T":1680673823564,"s":"BTCUSD","S":"Buy","v":"5823","p":"28560.50","L":"PlusTick",
#   "i":"0cbf2330-952d-5d03-a462-4bf826c867af","BT":false}]}
def parse_public_trade(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read every print of one publicTrade message.

    S is the taker's side; v is base units, on inverse contracts dollars. Block trades
    are prints too. REST's answer is history. Raises UnreadableFrame. Source: wire-formats.md
    3.3; microseconds.
    """
    try:
        pushed = _PUSHED_PRINTS.decode(frame)
        if pushed.topic.startswith("publicTrade."):
            return Parsed(_trades(pushed.data, instruments, ts_recv), [])
    except NO_RECORD:
        pass  # below, each item in its place
    message, refusals = _PRINTS.read(frame)
    if message.data is None or not message.topic.startswith("publicTrade."):
        if message.retCode == 0 and not message.op:
            return _answer(frame, ts_recv, instruments)
        return _reply(message, "publicTrade.")
    return one_by_one(message.data, _trades, (instruments, ts_recv), refusals)


def _trades(items: Sequence[_Printed], instruments: Instruments, ts_recv: int) -> list[Trade]:
    records = []
    for item in items:
        symbol = item.s
        side: Literal["buy", "sell"] = "buy" if item.S == "Buy" else "sell"
        event_id = f"bybit:{symbol}:{seen('i', item.i)}"
        instrument, ts_event = instruments[symbol], item.T * 1000
        records.append(
            tape.trade("bybit", event_id, instrument, side, item.v, item.p, ts_event, ts_recv)
        )
    return records


# {"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[{"execId":"0cbf2330-952d",
#  "symbol":"BTCUSDT","price":"80000","size":"0.5","side":"Buy","time":"1790000000123"}]}}
def _answer(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read an answer of REST recent-trade. Raises UnreadableFrame."""
    answer, refusals = _PAST_PRINTS.read(frame)

    def build(row: _PastPrint) -> Trade:
        instrument, exec_id = instruments[row.symbol], seen("execId", row.execId)
        side: Literal["buy", "sell"] = "buy" if row.side == "Buy" else "sell"
        return public_trade(
            instrument, exec_id, side, row.size, row.price, row.time * 1000, ts_recv
        )

    parsed = built(answer.result.list, build, refusals, "result.list")
    parsed.history = True
    return parsed


# {"topic":"tickers.BTCUSDT","type":"snapshot","cs":24987956059,"ts":1673272861686,"data":{
#  "symbol":"BTCUSDT","markPrice":"17217.33","openInterest":"68744.761","openInterestValue":
#  "1183601235.91","singleOpenInterest":"34372.38","singleOpenInterestValue":"591800617.9"}}
def parse_tickers(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read open interest and mark price where the message tells them; a delta holds changes only.

    openInterest counts BOTH sides, singleOpenInterest one: the former is in every message, so
    a series is made of it alone. Raises UnreadableFrame. Source: corrections 3.3; microseconds.
    """
    try:
        message = _TICKERS.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    if message.data is None or not message.topic.startswith("tickers."):
        return _reply(message, "tickers.")
    times = message.ts * 1000 if message.ts else ts_recv, ts_recv

    def interest(row: _Ticker) -> OpenInterest | None:
        amount = row.openInterest
        sides: OpenInterestSides = "both"
        if amount in (None, ""):
            amount, sides = row.singleOpenInterest, "one"
        if not amount:
            return None
        price = row.markPrice or None
        return readings.interest("bybit", instruments[row.symbol], amount, price, sides, times)

    def mark(row: _Ticker) -> MarkPrice | None:
        if not row.markPrice:
            return None
        return readings.mark("bybit", instruments[row.symbol], row.markPrice, times)

    parsed = built([message.data], interest)
    parsed.records += built([message.data], mark).records
    return parsed


def liquidated(
    instrument: Instrument,
    position_side: Literal["long", "short"],
    size: float,
    bankruptcy_price: float,
    times: tuple[int, int],
    coverage: Coverage,
    stream: str,
) -> Liquidation:
    """Build the Liquidation of one Bybit item (venue units; ts_event and ts_recv, microseconds).

    `size` is base units, on inverse contracts dollars; worth is taken at the bankruptcy
    price. There is no id, and two orders of one message may agree in everything: whoever reads
    a message tells them apart. Raises UnreadableFrame.
    """
    symbol = instrument.venue_symbol
    ts_event, ts_recv = times
    return tape.liquidation(
        tape.Feed("bybit", stream, "bankruptcy", coverage),
        f"bybit:{symbol}:{ts_event // 1000}:{position_side}:{PAIR(size, bankruptcy_price).hex()}",
        instrument,
        position_side,
        size,
        bankruptcy_price,
        ts_event,
        ts_recv,
    )


def public_trade(
    instrument: Instrument,
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
    event_id = f"bybit:{instrument.venue_symbol}:{trade_id}"
    return tape.trade("bybit", event_id, instrument, aggressor_side, size, price, ts_event, ts_recv)


@lru_cache(maxsize=16_384)
def by_name(symbol: str) -> Instrument:
    """Return what the name says: plain USD is inverse, counted in dollars; others in coins.

    Raises UnreadableFrame("symbol").
    """
    asset, instrument, multiplier = split_symbol(symbol)
    return Instrument(
        venue_symbol=symbol,
        asset=asset,
        instrument=instrument,
        unit="quote" if is_inverse(instrument) else "base",
        multiplier=multiplier,
    )


# {"symbol":"BTCUSD","contractType":"InversePerpetual","baseCoin":"BTC","quoteCoin":"USD",
#  "settleCoin":"BTC","deliveryTime":"0"}                          (/v5/market/instruments-info)
def of_metadata(symbol: str, row: dict[str, Any]) -> Instrument:
    """Return what a row of instruments-info says of `symbol`. Raises UnreadableFrame."""
    if "baseCoin" not in row or "quoteCoin" not in row:
        return by_name(symbol)
    inverse = str(row.get("contractType", "")).startswith("Inverse")
    delivery = int(row.get("deliveryTime") or 0)
    return described(
        "bybit",
        symbol,
        str(row["baseCoin"]),
        str(row["quoteCoin"]),
        day_of(delivery * 1000) if delivery else "PERP",
        "quote" if inverse else "base",
    )


def _reply(message: _Message[object] | _Tickers, topic: str) -> Parsed:
    """Return what a reply (subscribed, pong, refused) means. Raises UnreadableFrame."""
    if message.topic.startswith(topic):
        raise UnreadableFrame("data", "missing")
    if isinstance(message, _Message) and message.retCode:
        return control(Refusal("retCode", f"refused: {message.retCode} {message.retMsg[:200]}"))
    if not message.success:
        return control(Refusal("success", f"refused: {message.ret_msg[:200]}"))
    if message.op and not message.topic:
        return control()
    raise UnreadableFrame("topic", f"{message.topic[:60]!r} is not {topic}*")


CHANNELS: dict[str, Parser] = {
    "allLiquidation": parse_all_liquidation,
    "publicTrade": parse_public_trade,
    "tickers": parse_tickers,
}


def route(frame: bytes) -> str:
    """Return the channel that a frame names, "" for a reply. Raises UnreadableFrame."""
    try:
        routed = _ROUTED.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    if routed.retCode is not None and not routed.topic and not routed.op:
        return "publicTrade"
    if not routed.topic and not routed.op:
        raise UnreadableFrame("topic", "neither a topic nor an op")
    return routed.topic.partition(".")[0]
