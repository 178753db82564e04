"""Owners as Whale Alert names them: labels, their kinds, and the one address of an owner."""

import re

import msgspec

from schemas.words import OwnerKind

PROVIDER = "whale_alert"

#: Labels for owners that nobody has labelled.
_UNLABELLED = re.compile(r"|unknown\b.*|multiple[ -]addresses", re.DOTALL)

_HEX_ADDRESS = re.compile(r"(0[xX])?[0-9a-fA-F]{40}")
#: "Multiple Addresses" is written in the place of one.
_ADDRESS = re.compile(r"[A-Za-z0-9:._-]{8,120}")

#: Where the provider's name for a venue is not the venue's name here.
_VENUE_NAMES = {"okex": "okx", "huobi": "htx", "gate-io": "gate", "gate.io": "gate"}

#: Used only when the alert carries no owner_type for the label.
EXCHANGES = frozenset(
    """
    binance binance-us bitfinex bitflyer bitget bithumb bitmex bitpanda bitso bitstamp bittrex
    btcturk bybit ceffu coinbase coinbase-institutional coincheck coinone crypto.com cryptocom
    deribit gate gemini hashkey hitbtc htx hyperliquid korbit kraken kucoin lbank mercado-bitcoin
    mexc okcoin okx paribu phemex poloniex robinhood upbit whitebit xt.com
    """.split()  # noqa: SIM905 - forty names read better without quotes
)

_KIND_OF_OWNER_TYPE: dict[str, OwnerKind] = {
    "exchange": "exchange",
    "unknown": "unknown",
    "": "unknown",
    "defi": "defi",
    "dex": "defi",
    "fund": "fund",
    "issuer": "issuer",
    "treasury": "issuer",
}


class Party(msgspec.Struct):
    """One party of a movement: its address, and whose it is said to be."""

    owner: str | None = None
    owner_type: str | None = None
    address: str | None = None


def owner_slug(label: str) -> str:
    """Return `label` as a name here: '#Binance' -> 'binance', 'OKEx' -> 'okx'."""
    slug = re.sub(r"[^a-z0-9.]+", "-", label.lower()).strip("-.")
    return _VENUE_NAMES.get(slug, slug) or "unnamed"


def address_of(owner: str, parties: list[Party]) -> str | None:
    """Return the one address of `owner` among `parties`; None where there are none or several."""
    addresses = {
        party.address.strip()
        for party in parties
        if party.address and owner_of(party.owner, [])[0] == owner
    }
    if len(addresses) != 1:
        return None
    address = addresses.pop()
    # Hexadecimal digits in capitals are a checksum, not another address.
    if _HEX_ADDRESS.fullmatch(address):
        return "0x" + address.lower().removeprefix("0x")
    return address if _ADDRESS.fullmatch(address) else None


def owner_of(label: str | None, parties: list[Party]) -> tuple[str, OwnerKind]:
    """Name and kind of the owner `label`: by the provider's owner_type, else by the table."""
    text = (label or "").strip().lower()
    if _UNLABELLED.fullmatch(text):
        return ("multiple-addresses" if text.startswith("multiple") else "unknown"), "unknown"
    name = owner_slug(text)[:100]
    for party in parties:
        if party.owner_type is not None and owner_slug(party.owner or "") == name:
            return name, _KIND_OF_OWNER_TYPE.get(party.owner_type.strip().lower(), "other")
    if name in EXCHANGES:
        return name, "exchange"
    return name, "issuer" if "treasury" in name else "other"
