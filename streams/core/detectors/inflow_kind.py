"""What a transfer is as far as its labels say: a deposit that could be sold, or what else.

What the records cannot show, and so is not told apart here:

- counterfeit tokens: no provider names a contract. A symbol in look-alike letters is refused
  by the schema, and a token without a price has no worth, which is a reason of its own;
- poisoning from a look-alike address: transfers of nothing fit no record, dust is named here;
- change to a new address of the sender: only the same label or the same address is seen;
- how old a label is; and how sure, where the provider does not say: Whale Alert does not.
"""

from typing import Literal

from schemas.onchain import WhaleTransfer
from schemas.words import Asset
from streams.core.params import WhaleParams

InflowKind = Literal[
    "deposit",
    "supply",
    "frozen",
    "change",
    "internal",
    "between_exchanges",
    "swap",
    "elsewhere",
    "unsure",
    "stablecoin",
    "unknown_worth",
    "dust",
    "small",
]
#: Chains whose transactions give change back: an output to an input's owner is no transfer.
UTXO_CHAINS = frozenset({"bitcoin", "bitcoin-cash", "dogecoin", "litecoin", "dash", "zcash"})
#: Names that stand for nobody in particular.
NOBODY = frozenset({"", "unknown", "multiple-addresses", "unnamed"})
#: A label that is less sure than even odds names no destination.
LEAST_CONFIDENCE = 0.5
#: Sent to be seen in a wallet's history, not for its worth.
DUST_USD = 10.0


def inflow_kind(params: WhaleParams, transfer: WhaleTransfer) -> InflowKind:
    """Return "deposit", or the first reason why a transfer is none that could be sold."""
    if transfer.transfer_kind in ("mint", "burn"):
        return "supply"
    if transfer.transfer_kind != "transfer":
        return "frozen"
    if _to_itself(transfer):
        return "change" if transfer.chain in UTXO_CHAINS else "internal"
    if transfer.to_kind == "defi":
        return "swap"
    if transfer.to_kind != "exchange":
        return "elsewhere"
    if transfer.from_kind == "exchange":
        return "between_exchanges"
    if transfer.to_confidence is not None and transfer.to_confidence < LEAST_CONFIDENCE:
        return "unsure"
    return _by_worth(params, transfer.asset, transfer.notional_usd)


def sender(transfer: WhaleTransfer) -> str:
    """Return who sent it: the label, or else the one address; empty where neither is known."""
    if transfer.from_owner not in NOBODY:
        return transfer.from_owner
    return transfer.from_address or ""


def _to_itself(transfer: WhaleTransfer) -> bool:
    if transfer.from_address is not None and transfer.from_address == transfer.to_address:
        return True
    return transfer.from_owner == transfer.to_owner and transfer.from_owner not in NOBODY


def _by_worth(params: WhaleParams, asset: Asset, notional_usd: float | None) -> InflowKind:
    if asset in params.not_sold:
        return "stablecoin"
    if notional_usd is None:
        return "unknown_worth"
    if notional_usd < DUST_USD:
        return "dust"
    return "small" if notional_usd < params.floor(asset) else "deposit"
