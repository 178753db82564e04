"""cryptofeed's Kafka backend: topics like `trades-BINANCE_FUTURES-BTC-USDT-PERP`. Pure.

    {"exchange":"BINANCE_FUTURES","symbol":"BTC-USDT-PERP","side":"sell","amount":0.5,
     "price":90000.0,"id":"123","type":null,"timestamp":1791.5,"receipt_timestamp":1791.6}
    {"exchange":"BYBIT","symbol":"BTC-USDT-PERP","side":"buy","quantity":0.5,"price":9e4,
     "id":null,"status":null,"timestamp":1791.5,"receipt_timestamp":1791.6}

Read from cryptofeed 2.4 (backends/kafka.py, types.pyx, exchanges/*.py), not run against it.
"""

import re
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from schemas.market import Liquidation, OpenInterest, Trade
from schemas.words import MAX_MICROS, MIN_MICROS, Coverage, OpenInterestSides, PriceKind
from streams.feeds import readings, registry
from streams.feeds.checks import PriceIn, SizeIn, SizeOrZero, Word
from streams.feeds.frames import NOT_A_FRAME, UnreadableFrame, unreadable
from streams.feeds.instruments import Instrument
from streams.sources.build import Terms, liquidation, position_closed, taker, trade

#: The topics that its callbacks write by default.
TOPICS = "^(trades|liquidations|open_interest)-.+"
_NAME = re.compile(r"([^-]+)-([A-Z0-9]+)-(?:PERP|(\d\d)([FGHJKMNQUVXZ])(\d\d))")
_MONTHS = "FGHJKMNQUVXZ"


class Exchange(NamedTuple):
    """A venue as cryptofeed names it, and what it makes of the venue's liquidations.

    `by_order`: whether their side is the order's, None where it hides which; `has_forced`: whether
    it tells of any. `lost` is for people.
    """

    venue: str
    lost: str
    has_forced: bool = True
    by_order: bool | None = True
    price_kind: PriceKind | None = None
    coverage: Coverage = "unknown"
    sides: OpenInterestSides = "unknown"


EXCHANGES = {
    "BINANCE_FUTURES": Exchange(
        "binance", "liquidations: the order's quantity and limit, not what was filled nor at which"
        " price; orders not filled whole are left out; one a second and symbol",
        price_kind="order_limit", coverage="largest_per_second", sides="one",
    ),
    "BINANCE_DELIVERY": Exchange(
        "binance", "as BINANCE_FUTURES; quantities are contracts of 100 or 10 dollars",
        price_kind="order_limit", coverage="latest_per_second", sides="one",
    ),
    "BYBIT": Exchange(
        "bybit", "liquidations: the side is the position's, unlike its other venues'; no ids",
        by_order=False, price_kind="bankruptcy", sides="both",
    ),
    "OKX": Exchange(
        "okx", "liquidations: bankruptcy prices; old ones told again at each connection; no ids",
        price_kind="bankruptcy", coverage="latest_per_second", sides="one",
    ),
    "BITMEX": Exchange(
        "bitmex", "liquidations: no time of the venue's, changes of an order told like new ones",
        price_kind="bankruptcy", coverage="full",
    ),
    "DERIBIT": Exchange(
        "deribit", "liquidations: the taker's side, also where the maker was liquidated: whose"
        " position it was is unknown", by_order=None, price_kind="fill", coverage="full",
    ),
    "GATEIO_FUTURES": Exchange("gate", "no liquidations; insurance prints are not left out", False),
    "HYPERLIQUID": Exchange("hyperliquid", "no liquidations", False),
    "BITGET": Exchange("bitget", "no liquidations", False),
    "DYDX": Exchange("dydx", "no liquidations, though the tape marks them", False),
    "HUOBI_SWAP": Exchange("htx", "no liquidations; prints of both sides: half is told", False),
    "HTX_SWAP": Exchange("htx", "no liquidations; prints of both sides: half is told", False),
}  # fmt: skip
#: What is lost whatever the venue.
ALWAYS = (
    "No coverage and no gaps: while cryptofeed was away, nothing says so.",
    "Liquidations without a venue's id have identities that a live feed does not give: never"
    " bridge a venue beside a feed of it.",
    "KRAKEN_FUTURES is refused: one symbol stands for two contracts, of dollars and of coins.",
)


class _Print(msgspec.Struct, gc=False):
    exchange: Word
    symbol: Word
    side: Word
    amount: SizeIn
    price: PriceIn
    timestamp: float
    receipt_timestamp: float
    id: str | int | None = None


class _Forced(msgspec.Struct, gc=False):
    exchange: Word
    symbol: Word
    side: Word
    quantity: SizeIn
    price: PriceIn
    timestamp: float
    receipt_timestamp: float
    id: str | int | None = None
    status: str | None = None


class _Open(msgspec.Struct, gc=False):
    exchange: Word
    symbol: Word
    open_interest: SizeOrZero
    timestamp: float
    receipt_timestamp: float


_PRINT = msgspec.json.Decoder(_Print, strict=False)
_FORCED = msgspec.json.Decoder(_Forced, strict=False)
_OPEN = msgspec.json.Decoder(_Open, strict=False)


def of_message(topic: str, message: bytes) -> list[Any]:
    """Return the record of a message, none for one that tells of nothing. Raises UnreadableFrame.

    The topic's first word says what it is of.
    """
    kind = topic.partition("-")[0]
    try:
        record: Trade | Liquidation | OpenInterest | None
        if kind == "trades":
            record = _trade(_PRINT.decode(message))
        elif kind == "liquidations":
            record = _liquidation(_FORCED.decode(message))
        elif kind == "open_interest":
            record = _open_interest(_OPEN.decode(message))
        else:
            raise UnreadableFrame("topic", f"{topic[:60]!r} is not of trades or liquidations")
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    return [] if record is None else [record]


def _trade(x: _Print) -> Trade:
    exchange = _exchange(x.exchange)
    terms = _terms(x.amount, x)
    if exchange.venue == "htx":
        terms = terms._replace(amount=x.amount / 2)
    trade_id = "" if x.id is None else str(x.id)
    if exchange.venue == "hyperliquid" and trade_id:
        trade_id = f"{terms.ts_event // 1000}:{trade_id}"
    instrument = instrument_of(x.exchange, x.symbol)
    return trade(exchange.venue, instrument, trade_id, taker(x.side), terms)


def _liquidation(x: _Forced) -> Liquidation | None:
    exchange = _exchange(x.exchange)
    if not exchange.has_forced:
        raise UnreadableFrame("exchange", f"{x.exchange}: no liquidations of it are known")
    if exchange.venue == "binance" and x.status == "unfilled":
        return None  # nothing, or an unknown part, was sold
    instrument = instrument_of(x.exchange, x.symbol)
    position = position_closed(x.side, exchange.by_order)
    record = liquidation(
        exchange.venue, instrument, position, _terms(x.quantity, x),
        exchange.price_kind, exchange.coverage, f"cryptofeed:{x.exchange}",
    )  # fmt: skip
    if exchange.venue == "bitmex" and x.id:
        # As the live feed has it: an order that changes is told again, and is one.
        return msgspec.structs.replace(record, event_id=f"bitmex:liquidation:{x.id}")
    return record


def _open_interest(x: _Open) -> OpenInterest | None:
    exchange, times = _exchange(x.exchange), (_micros(x.timestamp), _micros(x.receipt_timestamp))
    instrument = instrument_of(x.exchange, x.symbol)
    venue = exchange.venue
    return readings.interest(venue, instrument, x.open_interest, None, exchange.sides, times)


def _exchange(name: str) -> Exchange:
    if name not in EXCHANGES:
        raise UnreadableFrame("exchange", f"{name[:40]!r} is not of {', '.join(EXCHANGES)}")
    return EXCHANGES[name]


def _terms(amount: float, x: _Print | _Forced) -> Terms:
    return Terms(amount, x.price, _micros(x.timestamp), _micros(x.receipt_timestamp))


def _micros(seconds: float) -> int:
    stamp = round(seconds * 1_000_000) if 0 < seconds < 1e11 else 0
    if not MIN_MICROS <= stamp <= MAX_MICROS:
        raise UnreadableFrame("timestamp", f"{seconds!r} is not seconds between 2015 and 2100")
    return stamp


@lru_cache(maxsize=16_384)
def instrument_of(exchange: str, symbol: str) -> Instrument:
    """Return the instrument that a normalised symbol (BTC-USDT-PERP) means on an exchange.

    Raises UnreadableFrame where the venue's own symbol cannot be told.
    """
    name = _NAME.fullmatch(symbol)
    if name is None:
        raise UnreadableFrame("symbol", f"{symbol[:60]!r} is no future or perpetual")
    base, quote = name[1], name[2]
    day = f"{name[3]}{_MONTHS.index(name[4]) + 1:02d}{name[5]}" if name[3] else ""
    known = registry.bundled(_exchange(exchange).venue)
    wanted = f"{base}-{quote}-{day or 'PERP'}"
    for one in known.values():
        if one.instrument == wanted and one.multiplier == 1.0:
            return one
    return known[_symbol(exchange, base, quote, day)]


def _symbol(exchange: str, base: str, quote: str, day: str) -> str:
    """Return the venue's own symbol by its custom."""
    if exchange in ("BINANCE_FUTURES", "BINANCE_DELIVERY"):
        end = day or ("PERP" if exchange == "BINANCE_DELIVERY" else "")
        return f"{base}{quote}_{end}" if end else f"{base}{quote}"
    symbols = {
        "OKX": f"{base}-{quote}-{day or 'SWAP'}",
        "DERIBIT": f"{base}-PERPETUAL" if quote == "USD" else f"{base}_{quote}-PERPETUAL",
        "GATEIO_FUTURES": f"{base}_{quote}" + (f"_20{day}" if day else ""),
        "BITMEX": f"{base}{quote}",
        "HYPERLIQUID": base,
        "DYDX": f"{base}-{quote}",
        "HUOBI_SWAP": f"{base}-{quote}",
        "HTX_SWAP": f"{base}-{quote}",
        "BYBIT": f"{base}PERP" if quote == "USDC" else f"{base}{quote}",
    }
    if day and exchange not in ("OKX", "GATEIO_FUTURES"):
        raise UnreadableFrame("symbol", f"{base}-{quote} of {day}: {exchange}'s name is not known")
    return symbols.get(exchange, f"{base}{quote}")
