"""tardis-machine's normalised messages, put on topics as they are. Pure.

    {"type":"trade","symbol":"BTCUSDT","exchange":"binance-futures","id":"3445","price":61130.98,
     "amount":0.00145,"side":"sell","timestamp":"2026-02-29T23:59:59.998Z",
     "localTimestamp":"2026-03-01T00:00:00.001Z"}
    {"type":"liquidation",...}    {"type":"derivative_ticker","openInterest":…,"markPrice":…,...}
    {"type":"disconnect","exchange":"bybit","localTimestamp":"…"}

Symbols and amounts are the venue's own; the side of a liquidation is the order's. Read from its
documentation and tardis-node's mappers, not run against it.
"""

from typing import Any

import msgspec

from streams.feeds.checks import Moment, Word, micros
from streams.feeds.frames import NOT_A_FRAME, unreadable
from streams.sources import tardis

TOPICS = "^tardis.*"
ALWAYS = (
    "Only what the mapper makes of a message: no raw frame to look at again.",
    "Binance: liquidations that were not filled whole are left out; trades are raw prints, whose"
    " ids are not those of aggTrades.",
    "Deribit: where both sides were liquidated, one is told.",
    "Prices of liquidations: of Bybit, OKX, BitMEX bankruptcy prices; of HTX, Bitfinex none.",
    "Gate: what its sign means was not known to the mapper either.",
    "Liquidations have identities that a live feed does not give: never bridge a venue beside a"
    " feed of it.",
)


class _Normalised(msgspec.Struct, gc=False):
    type: str
    exchange: Word
    localTimestamp: Moment
    symbol: str = ""
    timestamp: Moment | None = None
    id: str | None = None
    side: str = ""
    price: float | None = None
    amount: float | None = None
    openInterest: float | None = None
    markPrice: float | None = None


_DECODER = msgspec.json.Decoder(_Normalised, strict=False)


def of_message(topic: str, message: bytes) -> list[Any]:
    """Return the record of a message, none for one that tells of nothing we keep.

    Raises UnreadableFrame.
    """
    try:
        x = _DECODER.decode(message)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    if x.type not in ("trade", "liquidation", "derivative_ticker"):
        return []
    received = micros("localTimestamp", x.localTimestamp)
    at = micros("timestamp", x.timestamp) if x.timestamp else received
    if x.type == "derivative_ticker":
        cells = [x.exchange, x.symbol, at, received, x.openInterest or "", x.markPrice or ""]
    else:
        cells = [x.exchange, x.symbol, at, received, x.id or "", x.side, x.price, x.amount]
    try:
        record = tardis.of_cells(x.type, cells)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    return [] if record is None else [record]
