"""Binance's readings: mark prices of its streams, open interest of its REST endpoints.

Formats: reference/wire-formats.md 3.1 and corrections 3.2.
"""

from typing import Generic, Literal, TypeVar

import msgspec

from schemas.market import MarkPrice, OpenInterest
from streams.feeds import readings
from streams.feeds.binance_frames import Framed, array_in
from streams.feeds.checks import Millis, PriceIn, SizeOrZero, Word
from streams.feeds.frames import NOT_A_FRAME, Kind, Parsed, UnreadableFrame, built, unreadable
from streams.feeds.instruments import Instruments

Items = TypeVar("Items")


class _Mark(msgspec.Struct, gc=False):
    e: Literal["markPriceUpdate"]
    E: Millis
    s: Word
    p: PriceIn


class _Marks(msgspec.Struct, Generic[Items], gc=False):
    data: Items


class _Interest(msgspec.Struct, gc=False):
    symbol: Word
    openInterest: SizeOrZero
    time: Millis


class _Statistic(msgspec.Struct, gc=False):
    sumOpenInterest: SizeOrZero
    sumOpenInterestValue: SizeOrZero
    timestamp: Millis
    symbol: str = ""
    pair: str = ""
    contractType: str = ""


class _Statistics(msgspec.Struct, Generic[Items], gc=False):
    rows: Items


_MARK = Framed(_Mark)
_MARKS = Kind(_Marks, _Mark)
_INTEREST = msgspec.json.Decoder(_Interest, strict=False)
_STATISTICS = Kind(_Statistics, _Statistic, "rows")


# {"e":"markPriceUpdate","E":1790000010000,"s":"BTCUSDT","p":"86101.33","i":"86110.02",
#  "P":"86090.11","r":"0.00003","T":1790006400000}            (of !markPrice@arr an array of these)
def parse_mark_price(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read the mark price of one symbol, or of each in an array, at the event's time.

    Raises UnreadableFrame. Source: venue-protocols.md 1; microseconds.
    """

    def build(event: _Mark) -> MarkPrice:
        return readings.mark("binance", instruments[event.s], event.p, (event.E * 1000, ts_recv))

    if (body := array_in(frame)) is not None:
        message, refusals = _MARKS.read(b'{"data":' + body + b"}")
        return built(message.data, build, refusals)
    _, event = _MARK.read(frame)
    return event if isinstance(event, Parsed) else Parsed([build(event)], [])


# {"symbol":"BTCUSD_PERP","pair":"BTCUSD","openInterest":"12100455","contractType":"PERPETUAL",
#  "time":1791400692001}                       (REST /fapi/v1 and /dapi/v1 openInterest; no stream)
def parse_open_interest(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read one answer of REST openInterest: one side, coins on USD-M, contracts on COIN-M.

    Raises UnreadableFrame. Source: wire-formats-corrections.md 3.2; microseconds.
    """
    try:
        answer = _INTEREST.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    instrument, times = instruments[answer.symbol], (answer.time * 1000, ts_recv)
    record = readings.interest("binance", instrument, answer.openInterest, None, "one", times)
    return Parsed([] if record is None else [record], [])


# [{"symbol":"BTCUSDT","sumOpenInterest":"94791.893","sumOpenInterestValue":"7990000000.1",
#   "timestamp":1791284697161}]   COIN-M: [{"pair":"BTCUSD","contractType":"PERPETUAL",...}]
def parse_open_interest_hist(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read an answer of REST openInterestHist, in which the value on COIN-M is in the COIN.

    Raises UnreadableFrame. Source: wire-formats-corrections.md 3.2; microseconds.
    """
    message, refusals = _STATISTICS.read(b'{"rows":' + frame + b"}")

    def build(row: _Statistic) -> OpenInterest | None:
        instrument = instruments[row.symbol or _coin_m(row.pair, row.contractType)]
        times = row.timestamp * 1000, ts_recv
        amount, value = row.sumOpenInterest, row.sumOpenInterestValue
        if not amount or not value:
            return readings.interest("binance", instrument, amount, None, "one", times)
        if instrument.unit == "quote":
            worth = amount * instrument.size if instrument.in_dollars else None
            return readings.open_interest("binance", instrument, value, worth, "one", times)
        coins = amount * instrument.size * instrument.multiplier
        worth = value if instrument.in_dollars else None
        return readings.open_interest("binance", instrument, coins, worth, "one", times)

    return built(message.rows, build, refusals, "rows")


def _coin_m(pair: str, contract: str) -> str:
    """Return the symbol of a COIN-M statistic, which names pair and kind of contract."""
    if contract != "PERPETUAL":
        raise UnreadableFrame("contractType", f"{contract[:40]!r} of {pair[:40]!r} has no symbol")
    return f"{pair}_PERP"
