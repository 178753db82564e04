"""Whale Alert: labelled on-chain transfers, as their websocket and REST's v1 tell them.

Format: reference/wire-formats.md 3.13. Alerts are capped per hour, so this feed drops
transfers exactly when there are many; a deposit into an exchange is not a sale.
"""

from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta

from schemas.identity import natural_id
from schemas.onchain import WhaleTransfer
from schemas.words import TransferKind, grid_usd
from streams.feeds.checks import SizeIn, Word, checked
from streams.feeds.frames import (
    NOT_A_FRAME,
    Kind,
    Parsed,
    Refusal,
    UnreadableFrame,
    built,
    control,
    unreadable,
)
from streams.feeds.instruments import Instrument, Instruments, Parser
from streams.feeds.whale_alert_blocks import parse_blocks
from streams.feeds.whale_alert_owners import PROVIDER, Party, address_of, owner_of, owner_slug

_TYPES_OF_REPLY = frozenset(
    {"subscribed_alerts", "unsubscribed_alerts", "subscribed_socials", "subscriptions", "pong"}
)

Seconds = Annotated[int, Meta(ge=1_420_070_400, le=4_102_444_800)]


Items = TypeVar("Items")


class _Amount(msgspec.Struct):
    symbol: Word
    amount: SizeIn
    value_usd: Annotated[float, Meta(ge=0, le=1e10)] | None = None


class _SubTransaction(msgspec.Struct):
    symbol: str | None = None
    inputs: list[Party] | None = None
    outputs: list[Party] | None = None


class _Transaction(msgspec.Struct):
    hash: Word
    sub_transactions: list[_SubTransaction] | None = None


class _Type(msgspec.Struct):
    type: str = ""
    result: str = ""
    error: str = ""


class _Alert(msgspec.Struct, Generic[Items]):
    timestamp: Seconds
    blockchain: Word
    transaction_type: TransferKind
    amounts: Items
    transaction: _Transaction
    from_: str | None = msgspec.field(name="from", default=None)
    to: str | None = None


class _Row(msgspec.Struct):
    blockchain: Word
    symbol: Word
    transaction_type: TransferKind
    hash: Word
    timestamp: Seconds
    amount: SizeIn
    to: Party
    from_: Party = msgspec.field(name="from")
    amount_usd: Annotated[float, Meta(ge=0, le=1e10)] | None = None


class _Answer(msgspec.Struct, Generic[Items]):
    result: str
    transactions: Items | None = None
    message: str = ""


_TYPE = msgspec.json.Decoder(_Type)
_ROWS = Kind(_Answer, _Row, "transactions")
_ALERT = Kind(_Alert, _Amount, "amounts")


# {"type":"alert","channel_id":"…","timestamp":1686582731,"blockchain":"ethereum",
#  "transaction_type":"transfer","from":"unknown wallet","to":"binance",
#  "amounts":[{"symbol":"USDT","amount":5000000,"value_usd":5001000.1}],"text":"…",
#  "transaction":{"height":1,"index_in_block":1,"timestamp":1686582731,"hash":"…","fee":"…",
#   "sub_transactions":[{"symbol":"USDT","unit_price_usd":"1.0","transaction_type":"transfer",
#    "inputs":[{"amount":"…","owner":"…","owner_type":"unknown","address":"…"}],"outputs":[…]}]}}
def parse_alert(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read one alert into one WhaleTransfer for each asset it moves.

    `timestamp` is in SECONDS; from and to are owner labels, addresses stand in the
    sub-transactions. The key is (blockchain, hash, leg). Raises UnreadableFrame.
    Source: wire-formats.md 3.13.
    """
    if not (channel := route(frame)):
        return _reply(frame)
    if channel != "alert":
        raise UnreadableFrame("type", "an answer of REST is no alert")
    alert, refusals = _ALERT.read(frame)
    if not alert.amounts:
        raise UnreadableFrame("amounts", "nothing was moved")
    subs = alert.transaction.sub_transactions or []
    sources = [party for sub in subs for party in sub.inputs or []]
    targets = [party for sub in subs for party in sub.outputs or []]
    from_owner, from_kind = owner_of(alert.from_, sources)
    to_owner, to_kind = owner_of(alert.to, targets)
    chain, tx_hash = owner_slug(alert.blockchain), alert.transaction.hash

    def leg_of(numbered: tuple[int, _Amount]) -> WhaleTransfer:
        leg, amount = numbered
        symbol = amount.symbol.upper()
        of_asset = [sub for sub in subs if (sub.symbol or symbol).upper() == symbol]
        transfer = WhaleTransfer(
            event_id=natural_id(PROVIDER, chain, tx_hash, leg),
            provider=PROVIDER,
            chain=chain,
            asset=symbol,
            transfer_kind=alert.transaction_type,
            tx_hash=tx_hash,
            leg=leg,
            from_owner=from_owner,
            from_kind=from_kind,
            to_owner=to_owner,
            to_kind=to_kind,
            quantity=amount.amount,
            notional_usd=None if amount.value_usd is None else grid_usd(amount.value_usd),
            ts_event=alert.timestamp * 1_000_000,
            ts_recv=ts_recv,
            from_address=address_of(from_owner, [p for sub in of_asset for p in sub.inputs or []]),
            to_address=address_of(to_owner, [p for sub in of_asset for p in sub.outputs or []]),
        )
        return checked(lambda: transfer)

    legs = [None if amount is None else (leg, amount) for leg, amount in enumerate(alert.amounts)]
    return built(legs, leg_of, refusals, "amounts")


# {"result":"success","cursor":"b9f81e6","count":1,"transactions":[{"blockchain":"bitcoin",
#  "symbol":"btc","id":"194995692","transaction_type":"transfer","hash":"46cfccdc…","from":
#  {"address":"3CkE8…","owner_type":"unknown"},"to":{"address":"1JJ1e…","owner":"bitfinex",
#  "owner_type":"exchange"},"timestamp":1560837132,"amount":122.79,"amount_usd":1118431.4,
#  "transaction_count":1}]}
def parse_transactions(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read an answer of REST's v1: a row for each asset that a transaction moves.

    The n-th row of a transaction is its leg n, as in an alert. Raises UnreadableFrame.
    """
    answer, refusals = _ROWS.read(frame)
    if answer.result != "success":
        return control(Refusal("result", f"refused: {answer.message[:200]}"))
    rows = answer.transactions or []
    seen_rows: dict[tuple[str, str], int] = {}

    def transfer_of(row: _Row) -> WhaleTransfer:
        chain = owner_slug(row.blockchain)
        leg = seen_rows.get((chain, row.hash), 0)
        seen_rows[chain, row.hash] = leg + 1
        from_owner, from_kind = owner_of(row.from_.owner, [row.from_])
        to_owner, to_kind = owner_of(row.to.owner, [row.to])
        transfer = WhaleTransfer(
            event_id=natural_id(PROVIDER, chain, row.hash, leg),
            provider=PROVIDER,
            chain=chain,
            asset=row.symbol.upper(),
            transfer_kind=row.transaction_type,
            tx_hash=row.hash,
            leg=leg,
            from_owner=from_owner,
            from_kind=from_kind,
            to_owner=to_owner,
            to_kind=to_kind,
            quantity=row.amount,
            notional_usd=None if row.amount_usd is None else grid_usd(row.amount_usd),
            ts_event=row.timestamp * 1_000_000,
            ts_recv=ts_recv,
            from_address=address_of(from_owner, [row.from_]),
            to_address=address_of(to_owner, [row.to]),
        )
        return checked(lambda: transfer)

    parsed = built(rows, transfer_of, refusals, "transactions")
    parsed.history = True
    return parsed


def route(frame: bytes) -> str:
    """Return `alert` for an alert, "" for control. Raises UnreadableFrame."""
    said = _type(frame)
    if not said.type and said.result:
        return "transactions"
    if not said.type and b'"sub_transactions"' in frame:
        return "transactions_v2"
    kind = said.type
    if kind in _TYPES_OF_REPLY or kind == "error":
        return ""
    if kind != "alert":
        raise UnreadableFrame("type", f"{kind[:60]!r} is neither an alert nor a reply")
    return kind


def by_name(symbol: str) -> Instrument:
    """Raise UnreadableFrame: an alert names assets, and no instrument."""
    raise UnreadableFrame("symbol", f"{symbol[:60]!r}: alerts name no instruments")


def of_metadata(symbol: str, row: dict[str, Any]) -> Instrument:
    """Raise UnreadableFrame: an alert needs no metadata."""
    return by_name(symbol)


CHANNELS: dict[str, Parser] = {
    "alert": parse_alert,
    "transactions": parse_transactions,
    "transactions_v2": parse_blocks,
}


def _type(frame: bytes) -> _Type:
    try:
        return _TYPE.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None


def _reply(frame: bytes) -> Parsed:
    said = _type(frame)
    return (
        control(Refusal("error", f"refused: {said.error[:200]}"))
        if said.type == "error"
        else control()
    )
