"""Gate's open interest, one side and both, and its mark prices."""

import msgspec

from schemas.market import MarkPrice, OpenInterest
from streams.feeds import readings
from streams.feeds.checks import PriceIn, Seconds, SizeOrZero, Word
from streams.feeds.frames import Kind, Parsed, built
from streams.feeds.gate_frames import Message, read
from streams.feeds.instruments import Instruments


class _Ticker(msgspec.Struct, gc=False):
    contract: Word
    total_size: SizeOrZero | None = None
    mark_price: PriceIn | None = None


class _Stats(msgspec.Struct, gc=False):
    contract: Word
    time: Seconds
    open_interest: SizeOrZero
    mark_price: PriceIn | None = None


_TICKERS = Kind(Message, _Ticker, "result")
_STATS = Kind(Message, _Stats, "result")


# {"time":1790000001,"channel":"futures.tickers","event":"update","result":[{"contract":"BTC_USDT",
#  "last":"86400","mark_price":"86401.1","index_price":"86410","total_size":"335169045"}]}
def parse_tickers(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read open interest (total_size: contracts, one side) and mark price of each contract.

    Rows have no time of their own: the message's is taken. Raises UnreadableFrame.
    Source: venue-protocols.md 7; microseconds.
    """
    message, refusals, reply = read(_TICKERS, frame, "futures.tickers")
    if reply is not None:
        return reply
    stamp = message.time_ms * 1000 if message.time_ms else (message.time or 0) * 1_000_000
    times = stamp or ts_recv, ts_recv

    def interest(row: _Ticker) -> OpenInterest | None:
        if row.total_size is None:
            return None
        instrument, price = instruments[row.contract], row.mark_price
        return readings.interest("gate", instrument, row.total_size, price, "one", times)

    def mark(row: _Ticker) -> MarkPrice | None:
        if row.mark_price is None:
            return None
        return readings.mark("gate", instruments[row.contract], row.mark_price, times)

    parsed = built(message.result, interest, refusals, "result")
    parsed.records += built(message.result, mark, {}, "result").records
    return parsed


# {"channel":"futures.contract_stats","event":"update","result":[{"time":1790000000,
#  "contract":"BTC_USDT","open_interest":670338090,"open_interest_usd":5080000000}]}
def parse_contract_stats(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read open interest as contract_stats counts it: both sides, twice that of the tickers.

    Raises UnreadableFrame. Source: wire-formats-corrections.md 3.8; microseconds.
    """
    message, refusals, reply = read(_STATS, frame, "futures.contract_stats")
    if reply is not None:
        return reply

    def build(row: _Stats) -> OpenInterest | None:
        instrument, times = instruments[row.contract], (row.time * 1_000_000, ts_recv)
        amount, price = row.open_interest, row.mark_price
        return readings.interest("gate", instrument, amount, price, "both", times)

    return built(message.result, build, refusals, "result")
