"""Venue symbols -> (asset, instrument, multiplier), for Binance and Bybit alike."""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from schemas.texts import is_letters
from streams.feeds.frames import UnreadableFrame

#: Quotes that count as one dollar each, longest match first; no other quote is split.
QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "USD")

#: More of spot, where no quote is plain USD: dollars of other issuers, then coins and currencies.
_SPOT_QUOTES = (
    *("PYUSD", "TUSD", "USD1", "USDE", "USDS", "USDP", "DAI"),
    *("BTC", "ETH", "BNB", "EUR", "EURI", "AEUR", "TRY", "GBP", "BRL", "JPY", "AUD", "ZAR", "PLN"),
    *("RON", "ARS", "MXN", "CZK", "COP", "IDR", "UAH", "NGN", "RUB", "VAI", "XRP", "TRX", "DOT"),
    *("DOGE", "SOL"),
)

# BTCUSD_PERP, BTCUSD_200925, BTCUSDT_230331 (Binance)
_UNDERSCORED = re.compile(r"([^_]+)_(PERP|[0-9]{6})")
# BTC-27DEC24 (USDC settled), BTCUSDT-27DEC24 (Bybit)
_DATED = re.compile(r"([^-]+)-([0-9]{1,2}[A-Z]{3}[0-9]{2})")
# BTCUSDZ24 (Bybit inverse, expires on the quarter month's last Friday)
_QUARTERLY = re.compile(r"(.+USD)([HMUZ])([0-9]{2})")
_QUARTER_MONTH = {"H": 3, "M": 6, "U": 9, "Z": 12}

_MULTIPLIED = re.compile(r"(10{3,7})(\D.*)")
_MULTIPLIED_AFTER = re.compile(r"([A-Z]{3,})(1000)")

# "BNBUSD" is BNB in dollars, not BN in BUSD: coins whose own last letter is B.
_ENDS_IN_B = frozenset({"ARB", "BNB", "BOB", "CKB", "RAB", "SHIB", "TRB"})


@lru_cache(maxsize=16_384)
def split_symbol(venue_symbol: str, kind: str = "PERP") -> tuple[str, str, float]:
    """Split a Binance or Bybit symbol: 1000PEPEUSDT -> (PEPE, PEPE-USDT-PERP, 1000.0).

    One unit of the venue's quantity is `multiplier` base units: base quantity =
    quantity * multiplier, base price = price / multiplier. A date in the symbol
    overrides `kind` (PERP or SPOT). Raises UnreadableFrame("symbol") when not known.
    """
    if matched := _UNDERSCORED.fullmatch(venue_symbol):
        asset, quote = _asset_and_quote(venue_symbol, matched[1], kind)
        kind = matched[2]
    elif matched := _DATED.fullmatch(venue_symbol):
        settled_in_usdc = not matched[1].endswith(("USDT", "USD"))
        pair = matched[1] + "USDC" if settled_in_usdc else matched[1]
        asset, quote = _asset_and_quote(venue_symbol, pair, kind)
        kind = expiry(venue_symbol, matched[2])
    elif matched := _QUARTERLY.fullmatch(venue_symbol):
        asset, quote = _asset_and_quote(venue_symbol, matched[1], kind)
        kind = last_friday(2000 + int(matched[3]), _QUARTER_MONTH[matched[2]])
    elif venue_symbol.endswith("PERP") and len(venue_symbol) > 4:
        # Bybit's USDC perpetuals name no quote: BTCPERP. (PERPUSDT is the coin PERP.)
        asset, quote = _asset_and_quote(venue_symbol, venue_symbol[:-4] + "USDC", kind)
    else:
        asset, quote = _asset_and_quote(venue_symbol, venue_symbol, kind)
    asset, multiplier = without_multiplier(asset)
    if len(asset) > 20:
        raise UnreadableFrame("symbol", f"{venue_symbol[:60]!r} has too long an asset")
    return asset, f"{asset}-{quote}-{kind}", multiplier


@lru_cache(maxsize=16_384)
def is_inverse(instrument: str) -> bool:
    """Tell whether `instrument` is quoted in plain USD, so that venues count it in dollars."""
    return instrument.split("-")[1] == "USD"


def _asset_and_quote(venue_symbol: str, pair: str, kind: str) -> tuple[str, str]:
    # Binance and others list names beyond ASCII: 币安人生USDT.
    if 2 <= len(pair) <= 40 and is_letters(pair) and pair not in QUOTES:
        for quote in (*QUOTES, *_SPOT_QUOTES) if kind == "SPOT" else QUOTES:
            asset = pair.removesuffix(quote)
            if asset in ("", pair) or (quote == "BUSD" and asset + "B" in _ENDS_IN_B):
                continue
            if quote == "USD" and kind == "SPOT":
                # Spot has TUSD, PYUSD and more: a bare USD ending is one of those.
                continue
            return asset, quote
    raise UnreadableFrame("symbol", f"{venue_symbol[:60]!r} is not a symbol in {', '.join(QUOTES)}")


def without_multiplier(asset: str) -> tuple[str, float]:
    """Split a base that stands for many coins: 1000PEPE -> (PEPE, 1000.0)."""
    if asset == "1MBABYDOGE":
        return "BABYDOGE", 1e6
    if matched := _MULTIPLIED.fullmatch(asset):
        return matched[2], float(matched[1])
    if matched := _MULTIPLIED_AFTER.fullmatch(asset):  # Bybit's SHIB1000USDT
        return matched[1], float(matched[2])
    return asset, 1.0


def expiry(venue_symbol: str, day: str) -> str:
    """Return YYMMDD of a day like 27DEC24. Raises UnreadableFrame("symbol")."""
    try:
        return datetime.strptime(day + "+0000", "%d%b%y%z").strftime("%y%m%d")
    except ValueError:
        raise UnreadableFrame("symbol", f"{venue_symbol!r} has no such expiry day") from None


def last_friday(year: int, month: int) -> str:
    """Return a month's last Friday, YYMMDD."""
    after = date(year + month // 12, month % 12 + 1, 1)
    return (after - timedelta(days=(after.weekday() - 5) % 7 + 1)).strftime("%y%m%d")


def day_of(ts: int) -> str:
    """Return the day of a time in microseconds as instruments name it: YYMMDD, in UTC."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ts)).strftime("%y%m%d")
