"""On-chain transfers large enough to matter to a market."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.words import (
    Asset,
    Identity,
    Micros,
    Name,
    NotionalUsd,
    OwnerKind,
    Quantity,
    TransferKind,
    check_times,
    check_words,
)


class WhaleTransfer(msgspec.Struct, frozen=True, kw_only=True, tag="whale_transfer"):
    """One leg of an on-chain transfer, with the labels its provider gave.

    Owners are labels, not addresses; a deposit into an exchange is not a sale.
    `quantity_raw` keeps the integer base units as text where the provider has them;
    `version` rises when a correction or a reorg replaces an earlier telling.
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
    quantity_raw: str | None = None
    notional_usd: NotionalUsd | None
    ts_event: Micros
    ts_recv: Micros
    version: Annotated[int, Meta(ge=1, le=1_000_000)] = 1

    def __post_init__(self) -> None:
        check_times(self.ts_event, self.ts_recv)
        check_words(self.provider, self.asset, None)
