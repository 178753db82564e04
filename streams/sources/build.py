"""Records of any venue from what a file tells of them, in the venue's own units."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from schemas.market import CLOSING_ORDER, Liquidation, Trade
from schemas.words import Coverage, OrderSide, PositionSide, PriceKind
from streams.feeds import registry
from streams.feeds.checks import checked, seen
from streams.feeds.frames import UnreadableFrame
from streams.feeds.identities import exact
from streams.feeds.instruments import Instrument, sized

#: How files call venues that are named otherwise here.
VENUE_NAMES = {
    "okex": "okx", "okex5": "okx", "huobi": "htx", "gateio": "gate", "gate.io": "gate",
    "gate-io": "gate", "binanceusdm": "binance", "binance_futures": "binance",
    "binance-futures": "binance", "binancecoinm": "binance", "krakenfutures": "kraken",
    "kraken-futures": "kraken", "dydx-v4": "dydx", "hl": "hyperliquid",
    "cryptofacilities": "kraken", "binance_delivery": "binance", "gateio_futures": "gate",
    "huobi_dm": "htx", "huobi_swap": "htx", "kraken_futures": "kraken",
}  # fmt: skip
#: Nodes' frames have no venue's marks, and their records' times are mostly those of receipt.
CHAINS = ("ethereum", "bitcoin")
_PERPETUAL = re.compile(r"([^\W_]+)(?:-([A-Z]+)-PERP|/([A-Z]+):[A-Z]+)")
#: How venues write the perpetual of a base and a quote, where one rule holds for all of them.
_PERPETUALS: dict[str, Callable[[str, str], str]] = {
    "binance": lambda base, quote: f"{base}USD_PERP" if quote == "USD" else base + quote,
    "bybit": lambda base, quote: f"{base}PERP" if quote == "USDC" else base + quote,
    "okx": lambda base, quote: f"{base}-{quote}-SWAP",
    "gate": lambda base, quote: f"{base}_{quote}",
    "bitget": lambda base, quote: base + quote,
    "htx": lambda base, quote: f"{base}-{quote}",
    "bitmex": lambda base, quote: base.replace("BTC", "XBT") + quote,
    "hyperliquid": lambda base, quote: base,
    "dydx": lambda base, quote: f"{base}-USD",
}
_MARKET = re.compile(r"[-_/](?:(um|cm|futures|perp|usdm|coinm)|(spot))(?=[-_/.])", re.IGNORECASE)
_LONG = frozenset({"long", "long_liquidation", "longs"})
_SHORT = frozenset({"short", "short_liquidation", "shorts"})


class Terms(NamedTuple):
    """What a row tells of an order or print: size and price in the venue's units, and times."""

    amount: float
    price: float
    ts_event: int
    ts_recv: int


def venue_named(text: str) -> str:
    """Return the venue that a file names; raises UnreadableFrame for one that is not known."""
    name = text.strip().lower()
    name = VENUE_NAMES.get(name, name)
    if name not in registry.VENUES or name in (*CHAINS, "whale_alert"):
        raise UnreadableFrame("exchange", f"{text[:40]!r} is no venue that is known here")
    return name


def venues_in(path: Path) -> list[str]:
    """Return the venues that a path's last parts name."""
    words = set(re.split(r"[^a-z0-9]+", "/".join(path.parts[-3:]).lower()))
    names = {VENUE_NAMES.get(word, word) for word in words}
    return [venue for venue in registry.VENUES if venue in names and venue not in CHAINS]


def venue_symbol(venue: str, symbol: str) -> str:
    """Return a symbol as the venue writes it, where a recorder wrote it as its library does.

    BTC-USDT-PERP (cryptofeed, and ours) and BTC/USDT:USDT (ccxt); any other is returned as it is.
    """
    matched = _PERPETUAL.fullmatch(symbol.upper())
    if matched is None or venue not in _PERPETUALS:
        return symbol.upper() if venue in ("binance", "bybit", "bitget") else symbol
    return _PERPETUALS[venue](matched[1], matched[2] or matched[3])


def instrument_of(venue: str, symbol: str) -> Instrument:
    """Return a venue's instrument by its own symbol; raises UnreadableFrame."""
    return registry.bundled(venue)[symbol]


def trade(
    venue: str, instrument: Instrument, trade_id: str, aggressor_side: OrderSide, terms: Terms
) -> Trade:
    """Build a print under the identity that the venue's live feed gives it too.

    Without a venue's id its facts are the identity. Raises UnreadableFrame.
    """
    symbol = instrument.venue_symbol
    facts = f"{terms.ts_event}:{aggressor_side}:{exact(terms.amount, terms.price)}"
    event_id = f"{venue}:{symbol}:{seen('id', trade_id) if trade_id else facts}"
    price, quantity, worth = sized(instrument, terms.amount, terms.price)
    return checked(
        lambda: Trade(
            event_id=event_id,
            venue=venue,
            instrument=instrument.instrument,
            venue_symbol=symbol,
            asset=instrument.asset,
            aggressor_side=aggressor_side,
            price=price,
            quantity=quantity,
            notional_usd=worth,
            ts_event=terms.ts_event,
            ts_recv=terms.ts_recv,
        )
    )


def liquidation(
    venue: str,
    instrument: Instrument,
    position_side: PositionSide,
    terms: Terms,
    price_kind: PriceKind | None,
    coverage: Coverage,
    stream: str,
) -> Liquidation:
    """Build a forced order whose price is of `price_kind`; None where what it is, is not known.

    Its facts are its identity. Raises UnreadableFrame.
    """
    symbol = instrument.venue_symbol
    facts = f"{terms.ts_event}:{position_side}:{exact(terms.amount, terms.price)}"
    price, quantity, worth = sized(instrument, terms.amount, terms.price)
    return checked(
        lambda: Liquidation(
            event_id=f"{venue}:{stream}:{symbol}:{facts}",
            venue=venue,
            instrument=instrument.instrument,
            venue_symbol=symbol,
            asset=instrument.asset,
            position_side=position_side,
            order_side=CLOSING_ORDER.get(position_side),  # type: ignore[arg-type]
            price=price if price_kind else None,
            price_kind=price_kind,
            quantity=quantity,
            notional_usd=worth,
            coverage=coverage,
            stream=stream,
            ts_event=terms.ts_event,
            ts_recv=terms.ts_recv,
        )
    )


def position_closed(text: str, by_order: bool | None) -> PositionSide:
    """Return whose position a side word says was closed.

    `long` and `short` are positions; `by_order` says whether buy and sell are the order's, False
    for the position's, None where it is not known. Raises UnreadableFrame.
    """
    side = text.strip().lower()
    if side in _LONG:
        return "long"
    if side in _SHORT:
        return "short"
    if side not in ("buy", "sell", "b", "s"):
        raise UnreadableFrame("side", f"{text[:40]!r} is neither buy, sell, long nor short")
    if by_order is None:
        return "unknown"
    return "long" if side.startswith("s") == by_order else "short"


def taker(text: str) -> OrderSide:
    """Return a taker's side; raises UnreadableFrame."""
    side = text.strip().lower()
    if side in ("buy", "b", "bid"):
        return "buy"
    if side in ("sell", "s", "ask", "a"):
        return "sell"
    raise UnreadableFrame("side", f"{text[:40]!r} is neither buy nor sell")


def yes(text: str, field: str) -> bool:
    """Return what a word of yes or no says; raises UnreadableFrame."""
    word = text.strip().lower()
    if word in ("true", "t", "1"):
        return True
    if word in ("false", "f", "0"):
        return False
    raise UnreadableFrame(field, f"{text[:40]!r} is neither true nor false")


def said_market(path: Path) -> str:
    """Return "spot" or "futures" as the path says last of its parts, "" where it says neither."""
    said = _MARKET.findall("/" + "/".join(path.parts[-5:]))
    return "" if not said else "spot" if said[-1][1] else "futures"
