"""What a token's address stands for: only listed ones are read, as anyone may emit a `Transfer`."""

from typing import Any

from schemas.texts import asset_problem
from streams.feeds.frames import UnreadableFrame
from streams.feeds.instruments import HINT, Instrument, Instruments

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


#: Aave v3's pools, whose liquidations are read; any contract may emit a `LiquidationCall`.
#: Source: POOL of each market in bgd-labs/aave-address-book, src/ts, 2026-11; on Ethereum the core,
#: Prime (Lido) and EtherFi markets.
POOLS = {
    "ethereum": (
        "0x87870bca3f3fd6335c3f4ce8392d69350b4fa4e2",
        "0x4e033931ad43597d96d6bcc25c280717730b58b1",
        "0x0aa97c284e98396202b6a04024f5e2c65026f3c0",
    ),
    "arbitrum": ("0x794a61358d6845594f94dc1db02a252b5b4814ad",),
    "avalanche": ("0x794a61358d6845594f94dc1db02a252b5b4814ad",),
    "base": ("0xa238dd80c259a72e81d7e4664a9801593f98d1c5",),
    "bsc": ("0x6807dc923806fe8fd134338eabca509979a7e0cb",),
    "optimism": ("0x794a61358d6845594f94dc1db02a252b5b4814ad",),
    "polygon": ("0x794a61358d6845594f94dc1db02a252b5b4814ad",),
}


class Pool(Instrument, frozen=True, kw_only=True, gc=False, cache_hash=True):
    """A lending pool beside those in POOLS, as a user's list names it."""


class Token(Instrument, frozen=True, kw_only=True, gc=False, cache_hash=True):
    """A token: how many `decimals` its integers have, and the `coin` that it wraps or is."""

    coin: str
    decimals: int


def by_name(symbol: str) -> Instrument:
    """Raise UnreadableFrame("symbol"): what a token is stands in no address."""
    raise UnreadableFrame("symbol", f"{symbol[:60]!r} is not a token of the list: {HINT}")


# {"0xdac17f958d2ee523a2206206994597c13d831ec7":{"symbol":"USDT","decimals":6}}
# {"0x87870bca3f3fd6335c3f4ce8392d69350b4fa4e2":{"pool":"aave"}}
def of_metadata(symbol: str, row: dict[str, Any]) -> Token | Pool:
    """Return a token or a pool; a wrapped token names the coin under it as `asset`.

    Raises UnreadableFrame.
    """
    if row.get("pool") == "aave":
        return Pool(venue_symbol=symbol.lower(), asset="AAVE", instrument="AAVE")
    decimals = row.get("decimals")
    if isinstance(decimals, str) and decimals.isdecimal():  # as explorers write it
        decimals = int(decimals[:4])
    if not isinstance(decimals, int) or not 0 <= decimals <= 36 or not row.get("symbol"):
        raise UnreadableFrame("decimals", f"{symbol[:60]} has no symbol or decimals")
    token = str(row["symbol"]).upper()
    coin = str(row.get("asset") or token).upper()
    if fault := asset_problem(token) or asset_problem(coin):
        raise UnreadableFrame("symbol", fault)
    return Token(
        venue_symbol=symbol.lower(), asset=token, instrument=token, coin=coin, decimals=decimals
    )


def pools_of(chain: str, tokens: Instruments) -> tuple[str, ...]:
    """Return the pools of a chain whose liquidations are read, in lower case."""
    listed = (address for address, one in tokens.items() if isinstance(one, Pool))
    return (*POOLS[chain], *listed)


def is_pool(address: str, tokens: Instruments) -> bool:
    """Say whether a contract, in lower case, is a pool of the tokens' chain."""
    return address in POOLS[tokens.chain] or isinstance(tokens.get(address), Pool)
