"""Whale Alert's REST v2: transactions of a chain as its blocks hold them, owners beside addresses.

Format: whale-alert's own example client (developer.whale-alert.io), not run against their service.
The answer does not name the chain, which stands in the address that was asked:
`instruments.channels[-1]` says it, `transactions_v2:ethereum`.
"""

from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from schemas.identity import natural_id
from schemas.onchain import WhaleTransfer
from schemas.words import OwnerKind, TransferKind, grid_usd
from streams.feeds.checks import Seconds, Word, checked
from streams.feeds.frames import Kind, Parsed, UnreadableFrame, built
from streams.feeds.instruments import Instruments, asked
from streams.feeds.whale_alert_owners import PROVIDER, Party, address_of, owner_of, owner_slug

Items = TypeVar("Items")
Amount = Annotated[float, Meta(ge=0, le=1e15)]


class _Party(Party):
    amount: Amount = 0.0


class _Moved(msgspec.Struct):
    symbol: Word
    transaction_type: TransferKind = "transfer"
    unit_price_usd: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    inputs: list[_Party] = []
    outputs: list[_Party] = []


class _Transaction(msgspec.Struct):
    hash: Word
    timestamp: Seconds
    sub_transactions: list[_Moved]


class _Answer(msgspec.Struct, Generic[Items]):
    transactions: Items


_ANSWER = Kind(_Answer, _Transaction, "transactions")


# {"transactions":[{"height":22000000,"index_in_block":3,"timestamp":1786582731,"hash":"0xab…",
#  "fee":"0.001","fee_symbol":"eth","sub_transactions":[{"symbol":"usdt","transaction_type":
#  "transfer","unit_price_usd":1.0,"inputs":[{"address":"0x1…","amount":"5000000","owner":"",
#  "owner_type":"unknown"}],"outputs":[{"address":"0x2…","amount":"5000000","owner":"binance",
#  "owner_type":"exchange"}]}]}],"next":"/ethereum/transactions?…"}
def parse_blocks(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read each movement of each transaction into a transfer; what goes back to a payer is change.

    Several owners at one end are told as such, and no address then. Raises UnreadableFrame.
    """
    chain = owner_slug(asked(instruments, "whale_alert"))
    answer, refusals = _ANSWER.read(frame)

    def build(transaction: _Transaction) -> list[WhaleTransfer]:
        moved = enumerate(transaction.sub_transactions)
        transfers = (_transfer(chain, transaction, leg, one, ts_recv) for leg, one in moved)
        return [transfer for transfer in transfers if transfer is not None]

    parsed = built(answer.transactions, build, refusals, "transactions")
    parsed.history = True
    return parsed


def _transfer(
    chain: str, transaction: _Transaction, leg: int, moved: _Moved, ts_recv: int
) -> WhaleTransfer | None:
    payers = {party.address for party in moved.inputs if party.address}
    paid = [party for party in moved.outputs if party.address not in payers]
    quantity = sum(party.amount for party in paid)
    if moved.transaction_type == "burn" and not moved.outputs:
        quantity = sum(party.amount for party in moved.inputs)
    if quantity == 0:  # freezing moves nothing, and a payment to oneself nothing away
        return None
    if quantity > 1e15:
        raise UnreadableFrame("amount", f"{quantity!r} is above 1e15")
    worth = None if moved.unit_price_usd is None else quantity * moved.unit_price_usd
    from_owner, from_kind = _owner(moved.inputs)
    to_owner, to_kind = _owner(paid)
    transfer = WhaleTransfer(
        event_id=natural_id(PROVIDER, chain, transaction.hash, leg),
        provider=PROVIDER,
        chain=chain,
        asset=moved.symbol.upper(),
        transfer_kind=moved.transaction_type,
        tx_hash=transaction.hash,
        leg=leg,
        from_owner=from_owner,
        from_kind=from_kind,
        to_owner=to_owner,
        to_kind=to_kind,
        quantity=quantity,
        notional_usd=grid_usd(worth) if worth is not None and 0 < worth <= 1e10 else None,
        ts_event=transaction.timestamp * 1_000_000,
        ts_recv=ts_recv,
        from_address=address_of(from_owner, list(moved.inputs)),
        to_address=address_of(to_owner, list(paid)),
    )
    return checked(lambda: transfer)


def _owner(parties: list[_Party]) -> tuple[str, OwnerKind]:
    """Return the one owner of an end, or that there are several."""
    owners = {owner_of(party.owner, [party]) for party in parties}
    if len(owners) == 1:
        return owners.pop()
    return ("multiple-addresses", "unknown") if owners else ("unknown", "unknown")
