"""On-chain transfers large enough to matter to a market."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.words import (
    Asset,
    Digits,
    Identity,
    Micros,
    Name,
    NotionalUsd,
    OwnerKind,
    Probability,
    Quantity,
    TransferKind,
    Version,
    check_times,
    check_version,
    check_words,
)


class WhaleTransfer(msgspec.Struct, frozen=True, gc=False, tag="whale_transfer"):
    """One leg of an on-chain transfer, with the labels its provider gave.

    Owners are labels, not addresses; a deposit into an exchange is not a sale.
    `quantity_raw` keeps the integer base units as text where the provider has them;
    an address is given where there is just one, of the owner it stands beside.
    `from_confidence` and `to_confidence` say how sure an end's label is, None where the
    provider does not. A higher `version` supersedes the lower, `removed` takes the transfer
    back (a reorg); either keeps event_id, chain and asset, and brings its own ts_recv.
    """

    event_id: Identity
    provider: Name
    chain: Name
    asset: Asset
    transfer_kind: TransferKind
    tx_hash: Identity
    leg: Annotated[int, Meta(ge=0, le=100_000)]
    from_owner: Identity
    from_kind: OwnerKind
    to_owner: Identity
    to_kind: OwnerKind
    quantity: Quantity
    notional_usd: NotionalUsd | None
    ts_event: Micros
    ts_recv: Micros
    quantity_raw: Digits | None = None
    version: Version = 1
    removed: bool = False
    from_address: Identity | None = None
    to_address: Identity | None = None
    from_confidence: Probability | None = None
    to_confidence: Probability | None = None

    def check(self) -> None:
        """Raise ValueError where the fields contradict each other."""
        check_times(self.ts_event, self.ts_recv)
        check_version(self.version, self.removed)
        check_words(self.provider, self.asset, None)
