"""BitMEX: the liquidation, trade and instrument tables.

Formats: reference/wire-formats.md 3.6. Quantities are contracts, whose size is each symbol's own;
XBT is BTC here.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar

import msgspec

from schemas.market import Liquidation, MarkPrice, OpenInterest, Trade
from schemas.words import check_worth
from streams.feeds import readings, tape
from streams.feeds.checks import PriceIn, SizeIn, SizeOrZero, Stream, Word, micros, not_ahead, seen
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
from streams.feeds.instruments import (
    Instrument,
    Instruments,
    Parser,
    described,
    dollars,
    in_coins,
    sized,
    snapshot,
    unknown,
)
from streams.feeds.symbols import last_friday

#: The months of futures' names: XBTZ26 expires on December's last Friday.
_MONTHS = "FGHJKMNQUVXZ"
_DATED = re.compile(r"([A-Z0-9]+?)(USDT|USD|)([FGHJKMNQUVXZ])([0-9]{2})")
_PAIR = re.compile(r"([A-Z0-9]+?)_?(USDT|USDC|USD|EUR|XBT)")

#: How many of the units that multipliers are in are a coin: satoshi, gwei, lamports.
_UNITS = {"XBt": 1e8, "Gwei": 1e9, "LAMp": 1e9}
#: What price times coins is not held to, where the venue tells the worth itself.
_BEYOND = 1e300
Items = TypeVar("Items")


class _Message(msgspec.Struct, Generic[Items], gc=False):
    table: str = ""
    action: str = ""
    data: Items | None = None
    success: bool | None = None
    error: str = ""
    info: str = ""


class _Forced(msgspec.Struct, gc=False):
    orderID: Word
    symbol: Word
    side: Literal["Buy", "Sell"]
    price: PriceIn
    leavesQty: SizeIn


class _Named(msgspec.Struct, gc=False):
    orderID: Word


class _Print(msgspec.Struct, gc=False):
    timestamp: Word
    symbol: Word
    price: PriceIn | None = None
    side: str | None = ""
    size: SizeOrZero | None = None
    trdMatchID: Stream | None = ""
    homeNotional: SizeOrZero | None = None
    foreignNotional: SizeOrZero | None = None
    trdType: str = ""


class _Reading(msgspec.Struct, gc=False):
    symbol: Word
    openInterest: SizeOrZero | None = None
    markPrice: PriceIn | None = None
    timestamp: str | None = None
    # A partial's rows say what their contract is as well.
    isInverse: bool | None = None
    isQuanto: bool | None = None
    underlying: str | None = None
    quoteCurrency: str | None = None
    settlCurrency: str | None = None
    multiplier: float | None = None
    underlyingToPositionMultiplier: float | None = None
    expiry: str | None = None


class _Routed(msgspec.Struct, gc=False):
    table: str = ""
    success: bool | None = None
    error: str = ""
    info: str = ""
    unsubscribe: str = ""


_FEED = tape.Feed("bitmex", "liquidation", "bankruptcy", "full")
_ROUTED = msgspec.json.Decoder(_Routed, strict=False)
_FORCED = Kind(_Message, _Forced)
_NAMED = Kind(_Message, _Named)
_PRINTS = Kind(_Message, _Print)
_READINGS = Kind(_Message, _Reading)


# {"table":"liquidation","action":"insert","data":[{"orderID":"7b1c22aa","symbol":"XBTUSD",
#  "side":"Sell","price":83120.5,"leavesQty":412000}]}
# {"table":"liquidation","action":"update","data":[{"orderID":"7b1c22aa","leavesQty":150000}]}
def parse_liquidation(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read the orders that one message inserts, at the time of receipt: the table has none.

    `side` is the ORDER's, `price` the bankruptcy price. What an update or a delete takes off
    an order told already; whether it traded or was cancelled is not said. `partial` holds
    orders of unknown age: they tell nothing new. Raises UnreadableFrame. Microseconds.
    """
    try:
        message = _FORCED.decode(frame)
        if message.action == "insert" and message.table == "liquidation" and message.data:
            return Parsed(_inserted(message.data, instruments, ts_recv), [])
    except NO_RECORD:
        pass  # below, each item in its place
    frame = _message(frame, "liquidation")
    if _action(frame) in ("partial", "update", "delete"):
        message, refusals = _NAMED.read(frame)
        return _reply(message, "liquidation") or built(message.data, lambda _: None, refusals)
    message, refusals = _FORCED.read(frame)
    if (reply := _reply(message, "liquidation")) is not None:
        return reply
    return one_by_one(message.data, _inserted, (instruments, ts_recv), refusals)


def _inserted(
    orders: Sequence[_Forced], instruments: Instruments, ts_recv: int
) -> list[Liquidation]:
    records = []
    for order in orders:
        event_id = f"bitmex:liquidation:{seen('orderID', order.orderID)}"
        instrument, amount, price = instruments[order.symbol], order.leavesQty, order.price
        side: Literal["long", "short"] = "long" if order.side == "Sell" else "short"
        if instrument.unit == "settle":  # a quanto's coins and worth hang on another price
            record = tape.stated(
                _FEED, event_id, instrument, side, price, None, None, ts_recv, ts_recv
            )
        else:
            record = tape.liquidation(
                _FEED, event_id, instrument, side, amount, price, ts_recv, ts_recv
            )
        records.append(record)
    return records


# {"table":"trade","action":"insert","data":[{"timestamp":"2026-10-07T19:11:40.120Z",
#  "symbol":"XBTUSD","side":"Buy","size":3000,"price":84301.5,"tickDirection":"PlusTick",
#  "trdMatchID":"a1b2-..","grossValue":3558660,"homeNotional":0.0355866,"foreignNotional":3000,
#  "trdType":"Regular"}]}
def parse_trade(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read every print of one trade message; `side` is the taker's.

    homeNotional is the quantity in coins and foreignNotional the worth in the quote, whatever
    a contract is. Rows of index symbols (.BXBT) are no trades. Raises UnreadableFrame.
    Source: wire-formats.md 3.6; microseconds.
    """
    try:
        message = _PRINTS.decode(frame)
        if message.table == "trade" and message.data and message.action == "insert":
            return Parsed(_trades(message.data, instruments, ts_recv), [])
    except NO_RECORD:
        pass  # below, each item in its place
    message, refusals = _PRINTS.read(_message(frame, "trade"))
    if (reply := _reply(message, "trade")) is not None:
        return reply
    parsed = one_by_one(message.data, _trades, (instruments, ts_recv), refusals)
    parsed.history = message.action == "partial"
    return parsed


def _trades(items: Sequence[_Print], instruments: Instruments, ts_recv: int) -> list[Trade]:
    records = []
    for item in items:
        symbol, price = item.symbol, item.price
        if symbol.startswith(".") or item.trdType == "Referential":
            continue
        if price is None or item.side not in ("Buy", "Sell") or not item.trdMatchID:
            raise UnreadableFrame("side", f"{item.side!r:.20}: no side, price or trdMatchID")
        event_id = f"bitmex:{symbol}:{seen('trdMatchID', item.trdMatchID)}"
        side: Literal["buy", "sell"] = "buy" if item.side == "Buy" else "sell"
        instrument = instruments.get(symbol) or _named(symbol)
        price, coins, worth = _terms(item, price, instrument)
        if (ts_event := micros("timestamp", item.timestamp)) > ts_recv:
            not_ahead(ts_event, ts_recv)
        records.append(
            Trade(
                event_id, "bitmex", instrument.instrument, symbol, instrument.asset, side, price,
                coins, worth, ts_event, ts_recv,
            )
        )  # fmt: skip
    return records


# {"table":"instrument","action":"update","data":[{"symbol":"XBTUSD","openInterest":411647400,
#  "openValue":420691293378,"markPrice":97849.76,"timestamp":"2024-11-25T12:00:00.000Z"}]}
def parse_instrument(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read open interest (contracts) and mark price where one changed; rows hold changes only.

    Raises UnreadableFrame. Source: venue-protocols.md 5; microseconds.
    """
    message, refusals = _READINGS.read(_message(frame, "instrument"))
    if (reply := _reply(message, "instrument")) is not None:
        return reply
    rows = [row for row in message.data if row is not None and not row.symbol.startswith(".")]

    def interest(row: _Reading) -> OpenInterest | None:
        if row.openInterest is None:
            return None
        instrument, times = _described(row) or instruments[row.symbol], _times(row, ts_recv)
        amount, price = row.openInterest, row.markPrice
        return readings.interest("bitmex", instrument, amount, price, "unknown", times)

    def mark(row: _Reading) -> MarkPrice | None:
        if row.markPrice is None:
            return None
        instrument = instruments.get(row.symbol) or _named(row.symbol)
        return readings.mark("bitmex", instrument, row.markPrice, _times(row, ts_recv))

    parsed = built(message.data, lambda _: None, refusals)
    builders: tuple[Callable[[_Reading], Any], ...] = (interest, mark)
    for build in builders:
        part = built(rows, build)
        parsed.records += part.records
        parsed.refusals += part.refusals
    return parsed


@lru_cache(maxsize=16_384)
def _named(symbol: str) -> Instrument:
    """Return what a symbol is called, its contract's size left open: prints tell it themselves."""
    try:
        return by_name(symbol)
    except UnreadableFrame:
        base, quote, kind = _parts(symbol, {})
        return described("bitmex", symbol, base, quote, kind, "settle")


@lru_cache(maxsize=16_384)
def by_name(symbol: str) -> Instrument:
    """Return an XBT future in dollars (inverse, a dollar each), or what the snapshot holds.

    No other contract's size stands in a name: raises UnreadableFrame("symbol").
    """
    if dated := re.fullmatch(r"XBT([FGHJKMNQUVXZ][0-9]{2})", symbol):
        return described("bitmex", symbol, "BTC", "USD", _day(dated[1]), "quote")
    if symbol not in snapshot("bitmex")[0]:
        raise unknown("bitmex", symbol)
    return of_metadata(symbol, snapshot("bitmex")[0][symbol])


# {"symbol":"XBTUSDT","underlying":"XBT","quoteCurrency":"USDT","isInverse":false,"isQuanto":false,
#  "underlyingToPositionMultiplier":1000000,"multiplier":1,"expiry":null}  (/instrument/active)
def of_metadata(symbol: str, row: dict[str, Any]) -> Instrument:
    """Return what a row of instrument/active says of `symbol`. Raises UnreadableFrame."""
    base, quote, kind = _parts(symbol, row)
    if row.get("isQuanto"):
        return described("bitmex", symbol, base, quote, kind, "settle")
    if row.get("isInverse"):
        # One unit of the quote is -100,000,000 satoshi of the coin at a price of one.
        units = _UNITS.get(row.get("settlCurrency") or "XBt")
        if units is None:
            raise UnreadableFrame("settlCurrency", f"{symbol[:60]} is settled in what is unknown")
        size = abs(float(row.get("multiplier") or units)) / units
        return described("bitmex", symbol, base, quote, kind, "quote", size)
    contracts_a_coin = row.get("underlyingToPositionMultiplier")
    if not contracts_a_coin:
        raise UnreadableFrame("underlyingToPositionMultiplier", f"{symbol[:60]} has none")
    return described("bitmex", symbol, base, quote, kind, "base", 1 / float(contracts_a_coin))


def route(frame: bytes) -> str:
    """Return the table that a frame names, "" for control. Raises UnreadableFrame."""
    if is_array(frame):
        if b'"trdMatchID"' in frame:
            return "trade"
        return "liquidation" if b'"leavesQty"' in frame else "instrument"
    try:
        routed = _ROUTED.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    if not routed.table and routed.success is None and not routed.error and not routed.info:
        raise UnreadableFrame("table", "neither a table nor a reply")
    return routed.table


CHANNELS: dict[str, Parser] = {
    "liquidation": parse_liquidation,
    "trade": parse_trade,
    "instrument": parse_instrument,
}


class _Action(msgspec.Struct, gc=False):
    action: str = ""


_ACTION = msgspec.json.Decoder(_Action, strict=False)


def _described(row: _Reading) -> Instrument | None:
    """Return the instrument of a row that describes it, as those of a partial do."""
    if row.isInverse is None or not row.underlying or not row.quoteCurrency:
        return None
    return of_metadata(row.symbol, msgspec.structs.asdict(row))


def _message(frame: bytes, table: str) -> bytes:
    """Return a frame as a message: an answer of REST is what a table held, as a partial is."""
    if not is_array(frame):
        return frame
    return b'{"table":"%s","action":"partial","data":%s}' % (table.encode(), frame)


def _action(frame: bytes) -> str:
    try:
        return _ACTION.decode(frame).action
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None


def _terms(item: _Print, price: float, instrument: Instrument) -> tuple[float, float, float | None]:
    """Return price, coins, and dollars or None of a print, as the venue counts them."""
    coins, usd = item.homeNotional, item.foreignNotional
    if not coins or not usd:
        return sized(instrument, item.size or 0.0, price)
    price, coins, _ = sized(in_coins(instrument), coins, price, _BEYOND)
    worth = dollars(instrument, usd)
    if worth is not None:
        check_worth(worth, price * coins)
    return price, coins, worth


def _parts(symbol: str, row: dict[str, Any]) -> tuple[str, str, str]:
    """Return base, quote and kind (PERP, SPOT or day) of a symbol, by its metadata first."""
    dated, pair = _DATED.fullmatch(symbol), _PAIR.fullmatch(symbol)
    base, quote = row.get("underlying"), row.get("quoteCurrency")
    # XBT_USDT is a pair; ETHUSD_ETH a perpetual that is settled in ether.
    end = symbol.partition("_")[2]
    kind = "SPOT" if end and quote in (None, end) else "PERP"
    if row.get("expiry"):
        kind = datetime.fromisoformat(str(row["expiry"])).strftime("%y%m%d")
    elif dated and not (base and quote):
        kind = _day(dated[3] + dated[4])
    if not base or not quote:
        if dated is None and pair is None:
            raise unknown("bitmex", symbol)
        matched = pair or dated
        assert matched is not None
        # A future that names no quote is priced in XBT; XBT itself in dollars.
        base, quote = matched[1], matched[2] or ("USD" if matched[1] == "XBT" else "XBT")
    return _coin(str(base)), _coin(str(quote)), kind


def _coin(name: str) -> str:
    return "BTC" if name == "XBT" else name.upper()


def _day(code: str) -> str:
    """Return the expiry, YYMMDD, of a month's letter and two digits of the year."""
    return last_friday(2000 + int(code[1:]), _MONTHS.index(code[0]) + 1)


def _times(row: _Reading, ts_recv: int) -> tuple[int, int]:
    return (micros("timestamp", row.timestamp) if row.timestamp else ts_recv), ts_recv


def _reply(message: _Message[object], table: str) -> Parsed | None:
    """Return what a reply means, None for data of `table`."""
    if message.table == table:
        if message.data is None:
            raise UnreadableFrame("data", "missing")
        return None
    if message.error:
        return control(Refusal("error", f"refused: {message.error[:200]}"))
    if not message.table and (message.success is not None or message.info):
        return control()
    raise UnreadableFrame("table", f"{message.table[:60]!r} is not {table}")
