"""Who owns an address, as far as somebody says so: labels, which holds, and transfers by them.

A label names its source, how sure it is of that, and the day of its telling. Of several on one
address the surest holds. Where others nearly as sure name somebody else, it holds half as surely.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from schemas.onchain import WhaleTransfer
from schemas.words import Identity, OwnerKind, Probability
from streams.feeds.whale_alert_owners import EXCHANGES, owner_slug

Family = Literal["evm", "bitcoin", "other"]
Day = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]

#: So much less sure a label may be, and still be heard against another.
NEARLY = 0.2
#: A label that is less sure names nobody.
LEAST = 0.5

_EVM = re.compile(r"0x[0-9a-fA-F]{40}")
_BITCOIN = re.compile(r"bc1[02-9ac-hj-np-z]{11,71}|[13][1-9A-HJ-NP-Za-km-z]{25,34}", re.IGNORECASE)
#: Ends of names that number an owner's addresses: Binance 14, Gemini: Cold Wallet.
_ENDING = re.compile(r"(-[0-9]+|-(cold|hot)(-wallet)?|-(wallet|cex|btc|deposit))+$")
_ALSO_EXCHANGES = frozenset({"bitkub", "bitrue", "coinex", "ftx", "cex"})
_UTXO = frozenset({"bitcoin"})


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """Who owns `address`, by `source` on the day `date`; `name` is as the source writes it."""

    family: Family
    address: Identity
    owner: Identity
    kind: OwnerKind
    source: Identity
    confidence: Probability
    date: Day
    name: str = ""


class Owner(msgspec.Struct, frozen=True):
    """Whose an address is, and how sure that is."""

    owner: str
    kind: OwnerKind
    confidence: float


class Labels:
    """Labels by address; a later telling of a source takes the place of its former one."""

    def __init__(self, labels: Iterable[Label] = ()) -> None:
        self._labels: dict[tuple[Family, str], dict[str, Label]] = {}
        for label in labels:
            self.add(label)

    def add(self, label: Label) -> None:
        """Take in a label."""
        self._labels.setdefault((label.family, label.address), {})[label.source] = label

    def all(self) -> list[Label]:
        """Return every label, ordered by address and source."""
        every = [label for by_source in self._labels.values() for label in by_source.values()]
        return sorted(every, key=lambda label: (label.family, label.address, label.source))

    def of(self, address: str) -> list[Label]:
        """Return what is said of an address, the surest first."""
        by_source = self._labels.get((family_of(address), normal(address)), {})
        return sorted(by_source.values(), key=lambda x: (-x.confidence, _newest(x), x.source))

    def payer(self, addresses: Iterable[str]) -> str | None:
        """Return the address that stands for all that paid together: they are one owner's.

        The surest labelled one; None where none is labelled, or they name several owners.
        """
        owners = {address: owner for address in addresses if (owner := self.owner(address))}
        if len({owner.owner for owner in owners.values()}) != 1:
            return None
        return min(owners, key=lambda address: (-owners[address].confidence, address))

    def owner(self, address: str | None) -> Owner | None:
        """Return whose an address is, None where nobody says so surely enough."""
        said = self.of(address) if address else []
        if not said:
            return None
        best, *others = said
        contradicted = any(
            label.owner != best.owner and label.confidence >= best.confidence - NEARLY
            for label in others
        )
        confidence = best.confidence / 2 if contradicted else best.confidence
        return Owner(best.owner, best.kind, confidence) if confidence >= LEAST else None


def classified(transfer: WhaleTransfer, labels: Labels) -> WhaleTransfer:
    """Return a transfer with the owners of its addresses, where its provider names none."""
    changed: dict[str, object] = {}
    for end, owner, address in (
        ("from", transfer.from_owner, transfer.from_address),
        ("to", transfer.to_owner, transfer.to_address),
    ):
        if owner == "unknown" and (whose := labels.owner(address)) is not None:
            changed |= named(end, whose)
    return msgspec.structs.replace(transfer, **changed) if changed else transfer


def named(end: str, owner: Owner) -> dict[str, object]:
    """Return the fields that say whose the `from` or `to` end of a transfer is."""
    return {
        f"{end}_owner": owner.owner,
        f"{end}_kind": owner.kind,
        f"{end}_confidence": owner.confidence,
    }


def family_of(address: str) -> Family:
    """Return the kind of chains that an address is of, by its form."""
    if _EVM.fullmatch(address):
        return "evm"
    return "bitcoin" if _BITCOIN.fullmatch(address) else "other"


def normal(address: str) -> str:
    """Return an address as it is compared: capitals are a checksum in 0x… and bc1…"""
    return address.lower() if address[:2] in ("0x", "0X") or _is_bech32(address) else address


def owner_of(*names: str) -> tuple[str, OwnerKind]:
    """Return the owner whom the first telling of `names` means: "Binance 14" is binance."""
    slugs = [_ENDING.sub("", owner_slug(name.partition(":")[0])) for name in names if name]
    for slug in slugs:
        if is_exchange(slug):
            return owner_slug(slug), "exchange"
    return (slugs[0] if slugs else "unnamed"), "other"


def is_exchange(owner: str) -> bool:
    """Say whether a name is an exchange's."""
    return owner_slug(owner) in EXCHANGES or owner_slug(owner) in _ALSO_EXCHANGES


def _is_bech32(address: str) -> bool:
    return address[:3].lower() == "bc1"


def _newest(label: Label) -> int:
    return -int(label.date.replace("-", ""))
