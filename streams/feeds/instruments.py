"""What one unit of a venue's quantity is: contract size, inverse or linear, base and quote."""

from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Literal

import msgspec

from schemas.texts import identity_problem
from schemas.words import Coverage, check_words, grid_usd
from streams.feeds.frames import Parsed, UnreadableFrame, unreadable
from streams.feeds.symbols import without_multiplier

#: What the venue counts: coins, money of the quote currency, or money of the settling coin
#: whose worth in the quote is not in the message (quanto).
Unit = Literal["base", "quote", "settle"]

#: What a hint about an unknown instrument says.
HINT = "give the venue's own metadata (--instruments FILE), or wait for a newer snapshot"

#: Where the venues' metadata endpoints keep the list of their instruments.
_LISTS = ("symbols", "result", "list", "data", "universe", "instruments", "markets")
#: How the venues call a symbol in a row of that list; HTX's `symbol` is the coin alone.
_SYMBOLS = ("instId", "instrument_name", "contract_code", "symbol", "name", "ticker")

#: Symbols remembered a venue: far above any venue's listing, so that garbage cannot grow it.
_MOST = 20_000


class Instrument(msgspec.Struct, frozen=True, kw_only=True, gc=False, cache_hash=True):
    """One contract: its names, and what one unit of its quantity is.

    A quantity of `n` is n * `size` of `unit`. `multiplier` coins are one base unit of the
    symbol (1000PEPEUSDT: 1000), so prices are divided and quantities multiplied by it.
    """

    venue_symbol: str
    asset: str
    instrument: str
    unit: Unit = "base"
    size: float = 1.0
    multiplier: float = 1.0
    in_dollars: bool = True
    #: Counted in its coin or its dollars, one for one, as most are.
    is_plain: bool = False

    def __post_init__(self) -> None:
        is_plain = self.unit != "settle" and self.multiplier == 1.0 and self.in_dollars
        msgspec.structs.force_setattr(self, "is_plain", is_plain)


#: What all prints of a channel have in common: how their ids begin, then instrument, venue's symbol
#: and asset. A plain tuple, as one with names takes longer to unpack.
Named = tuple[str, str, str, str]


class Instruments(dict[str, Instrument]):
    """A venue's instruments by its own symbols; `rule` answers for symbols that it lacks.

    `source` and `date` (YYYY-MM-DD) say where the table comes from. `rule` raises
    UnreadableFrame for a symbol that it cannot judge.
    """

    # An attribute in a slot is read at a third of the cost, and parsers read one a frame.
    __slots__ = (
        "chain", "channels", "date", "liquidation_sign", "named", "payer", "rule", "source",
        "symbol_stream",
    )  # fmt: skip

    def __init__(
        self,
        rule: Callable[[str], Instrument],
        known: dict[str, Instrument] | None = None,
        source: str = "naming rule",
        date: str = "",
    ) -> None:
        super().__init__(known or {})
        self.rule = rule
        self.source = source
        self.date = date
        #: Which chain the addresses are of, where they are tokens.
        self.chain = "ethereum"
        #: Which of several addresses that paid together stands for all, None where nobody knows.
        self.payer: Callable[[frozenset[str]], str | None] | None = None
        #: What Binance's `<symbol>@forceOrder` samples, None where nothing but its page says so.
        self.symbol_stream: Coverage | None = None
        #: Which side Gate's WebSocket sign is: the order's or the position's, None until learnt.
        self.liquidation_sign: Literal["order", "position"] | None = None
        #: What a connection's channel numbers are of, as its replies say; -1: every other one.
        self.channels: dict[int, str] = {}
        #: What prints of a channel's number have in common, of those met since it was named.
        self.named: dict[int, Named] = {}

    def of_connection(self) -> "Instruments":
        """Return the same instruments for a connection, whose channel numbers are its own."""
        same = Instruments(self.rule, self, self.source, self.date)
        same.liquidation_sign, same.chain = self.liquidation_sign, self.chain
        same.symbol_stream, same.payer = self.symbol_stream, self.payer
        return same

    def __missing__(self, symbol: str) -> Instrument:
        instrument = self.rule(symbol)
        if len(self) < _MOST:
            self[symbol] = instrument
        return instrument


#: (frame, ts_recv in microseconds, the venue's instruments) -> what the frame held. Raises
#: UnreadableFrame when nothing of the frame can be read.
Parser = Callable[[bytes, int, Instruments], Parsed]


def sized(
    instrument: Instrument, amount: float, price: float, most_usd: float = 1e10
) -> tuple[float, float, float | None]:
    """Return (price a coin, coins, worth in USD or None) of `amount` of the venue's units.

    `price` is the venue's, in its quote currency; `most_usd` bounds a believable worth. Raises
    UnreadableFrame for what no record can hold, and for a quanto: its price tells no worth.
    """
    if instrument.unit == "base":
        coins = amount * instrument.size
        worth = coins * price
    elif instrument.unit == "quote":
        worth = amount * instrument.size
        coins = worth / price
    else:
        raise UnreadableFrame("symbol", f"{instrument.venue_symbol} is quanto: no base quantity")
    if instrument.multiplier != 1.0:
        coins *= instrument.multiplier
        price /= instrument.multiplier
    # Written so that NaN fails every one of them.
    if not (0.0 < price <= 1e9 and 0.0 < coins <= 1e15 and 0.0 <= worth <= most_usd):
        raise _out_of_range(price, coins, worth, most_usd)
    if not instrument.in_dollars:
        return price, coins, None
    return price, coins, grid_usd(worth)


def dollars(instrument: Instrument, worth: float, most_usd: float = 1e10) -> float | None:
    """Return a worth that the venue tells itself, None where its quote is no dollar.

    Raises UnreadableFrame for what no record can hold.
    """
    if not instrument.in_dollars:
        return None
    if not 0.0 <= worth <= most_usd:
        raise UnreadableFrame("notional_usd", f"{worth!r} is not in [0, {most_usd:.0e}]")
    return grid_usd(worth)


@lru_cache(maxsize=4_096)
def in_coins(instrument: Instrument) -> Instrument:
    """Return the instrument as a message counts it that tells coins beside contracts."""
    return msgspec.structs.replace(instrument, unit="base", size=1.0)


def _out_of_range(price: float, coins: float, worth: float, most_usd: float) -> UnreadableFrame:
    if not 0.0 < price <= 1e9:
        return UnreadableFrame("price", f"{price!r} is not in (0, 1e9]")
    if not 0.0 < coins <= 1e15:
        return UnreadableFrame("quantity", f"{coins!r} is not in (0, 1e15]")
    return UnreadableFrame("notional_usd", f"{worth!r} is not in [0, {most_usd:.0e}]")


@cache
def snapshot(venue: str) -> tuple[dict[str, dict[str, Any]], str, str]:
    """Return (rows by symbol, source, date) of the metadata in this package; empty where none."""
    path = resources.files("streams.feeds") / "snapshot" / f"{venue}.json"
    if not path.is_file():
        return {}, "naming rule", ""
    bundled = msgspec.json.decode(path.read_bytes())
    return bundled["instruments"], bundled["source"], bundled["date"]


def snapshot_dates() -> dict[str, str]:
    """Return of what day the metadata of each venue in this package is, YYYY-MM-DD."""
    folder = resources.files("streams.feeds") / "snapshot"
    venues = sorted(path.name.partition(".")[0] for path in folder.iterdir())
    return {venue: snapshot(venue)[2] for venue in venues}


def described(
    venue: str,
    symbol: str,
    base: str,
    quote: str,
    kind: str = "PERP",
    unit: Unit = "base",
    size: float = 1.0,
) -> Instrument:
    """Build an Instrument from what a venue says of it: `base` may be 1000PEPE.

    `kind` is PERP, SPOT or the day of expiry, YYMMDD. Raises UnreadableFrame.
    """
    asset, multiplier = without_multiplier(base)
    instrument = f"{asset}-{quote}-{kind}"
    if not 0.0 < size <= 1e12:
        raise UnreadableFrame("symbol", f"{symbol[:60]!r} has a contract size of {size!r}")
    try:
        dollars = check_words(venue, asset, instrument)
        if fault := identity_problem(symbol):
            raise ValueError(fault)
    except ValueError as problem:
        raise UnreadableFrame("symbol", f"{symbol[:60]!r}: {unreadable(problem).reason}") from None
    return Instrument(
        venue_symbol=symbol,
        asset=asset,
        instrument=instrument,
        unit=unit,
        size=size,
        multiplier=multiplier,
        in_dollars=dollars,
    )


def unknown(venue: str, symbol: str) -> UnreadableFrame:
    """Return the complaint about a symbol whose contract size is not known."""
    return UnreadableFrame("symbol", f"{symbol[:60]!r} is not an instrument of {venue}: {HINT}")


def asked(instruments: Instruments, venue: str) -> str:
    """Return the symbol that an answer of REST is of, where its rows do not say it.

    Raises UnreadableFrame.
    """
    symbol = instruments.channels.get(-1, "").partition(":")[2]
    if not symbol:
        raise UnreadableFrame("symbol", f"the rows of {venue} do not say it: CHANNEL:SYMBOL does")
    return symbol


def _holds_a_list(row: Any) -> bool:
    """Say whether an item is no instrument, but keeps the list of them."""
    if not isinstance(row, dict) or any(name in row for name in _SYMBOLS):
        return False
    return any(isinstance(row.get(name), list | dict) for name in _LISTS)


def rows(document: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (symbol, its row) of a venue's metadata: its endpoint's answer, or a dict by symbol.

    Raises ValueError where neither shape is found.
    """
    if isinstance(document, dict):
        for name in _LISTS:
            if isinstance(document.get(name), list | dict):
                yield from rows(document[name])
                return
        for symbol, row in document.items():
            if not isinstance(row, dict):
                raise ValueError(f"{symbol!r} is not an instrument: {str(row)[:60]!r}")
            yield symbol, row
        return
    if isinstance(document, list) and document and _holds_a_list(document[0]):
        for part in document:
            if not isinstance(part, list):  # contexts, in Hyperliquid's metaAndAssetCtxs
                yield from rows(part)
        return
    if not isinstance(document, list):
        raise ValueError(f"neither a list nor an object of instruments: {str(document)[:60]!r}")
    for row in document:
        symbol = (
            next((row[k] for k in _SYMBOLS if k in row), None) if isinstance(row, dict) else None
        )
        if not isinstance(symbol, str):
            raise ValueError(f"no symbol ({', '.join(_SYMBOLS)}) in {str(row)[:100]!r}")
        yield symbol, row
