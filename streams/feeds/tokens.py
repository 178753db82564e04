"""What a token's address stands for: only listed ones are read, as anyone may emit a `Transfer`."""

from typing import Any

from schemas.texts import asset_problem
from streams.feeds.frames import UnreadableFrame
from streams.feeds.instruments import HINT, Instrument

#: The coin of each chain that is spoken to alike.
NATIVE = {
    "ethereum": "ETH",
    "arbitrum": "ETH",
    "avalanche": "AVAX",
    "base": "ETH",
    "bsc": "BNB",
    "optimism": "ETH",
    "polygon": "POL",
}


class Token(Instrument, frozen=True, kw_only=True, gc=False, cache_hash=True):
    """A token: how many `decimals` its integers have, and the `coin` that it wraps or is."""

    coin: str
    decimals: int


def by_name(symbol: str) -> Instrument:
    """Raise UnreadableFrame("symbol"): what a token is stands in no address."""
    raise UnreadableFrame("symbol", f"{symbol[:60]!r} is not a token of the list: {HINT}")


# {"0xdac17f958d2ee523a2206206994597c13d831ec7":{"symbol":"USDT","decimals":6}}
def of_metadata(symbol: str, row: dict[str, Any]) -> Token:
    """Return a token; a wrapped one names the coin under it as `asset`. Raises UnreadableFrame."""
    decimals = row.get("decimals")
    if not isinstance(decimals, int) or not 0 <= decimals <= 36 or not row.get("symbol"):
        raise UnreadableFrame("decimals", f"{symbol[:60]} has no symbol or decimals")
    token = str(row["symbol"]).upper()
    coin = str(row.get("asset") or token).upper()
    if fault := asset_problem(token) or asset_problem(coin):
        raise UnreadableFrame("symbol", fault)
    return Token(
        venue_symbol=symbol.lower(), asset=token, instrument=token, coin=coin, decimals=decimals
    )
