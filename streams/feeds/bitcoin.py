"""Bitcoin, as Esplora, mempool servers and bitcoind tell of it: confirmed payments.

Formats: reference/wire-formats.md 3.14. Amounts are satoshis, bitcoind's coins. A transaction
comes from the mempool first and again in its block, and may be replaced before: it is a transfer
once it is in a block.
"""

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from schemas.onchain import WhaleTransfer
from streams.feeds.checks import Seconds, not_ahead
from streams.feeds.frames import (
    NOT_A_FRAME,
    Parsed,
    Refusal,
    UnreadableFrame,
    built,
    control,
    unreadable,
)
from streams.feeds.instruments import Instrument, Instruments, Parser

Items = TypeVar("Items")
Txid = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Where = Annotated[str, Meta(pattern="^[A-Za-z0-9]{8,120}$")]
Sats = Annotated[int, Meta(ge=0, le=2_100_000_000_000_000)]
#: Keys under which a mempool server sends transactions, of those that it watches.
_LISTS = ("block-transactions", "address-transactions")
#: Of what else such a server tells: the mempool, fees, replacements, prices, itself.
_CONTROL = frozenset(
    """
    accelerations backend backendInfo block blocks conversions da fees live-2h-chart
    loadingIndicators mempool-blocks mempoolInfo pong projected-block-transactions rbfInfo rbfLatest
    rbfLatestSummary rbfTransaction stratumJob tomahawk tracked-txs transactions txConfirmed
    txPosition txReplaced utxoSpent vBytesPerSecond
    """.split()  # noqa: SIM905 - many names read better without quotes
)


class _Output(msgspec.Struct, gc=False):
    value: Sats
    scriptpubkey_address: Where | None = None


class _Input(msgspec.Struct, gc=False):
    prevout: _Output | None = None
    is_coinbase: bool = False


class _Status(msgspec.Struct, gc=False):
    confirmed: bool
    block_time: Seconds | None = None


class _Transaction(msgspec.Struct, gc=False):
    txid: Txid
    vin: list[_Input]
    vout: list[_Output]
    status: _Status


class _Script(msgspec.Struct, gc=False):
    address: Where | None = None


class _CoreOutput(msgspec.Struct, gc=False):
    value: Annotated[float, Meta(ge=0, le=21_000_000)]
    scriptPubKey: _Script


class _CoreInput(msgspec.Struct, gc=False):
    prevout: _CoreOutput | None = None
    coinbase: str | None = None


class _CoreTransaction(msgspec.Struct, gc=False):
    txid: Txid
    vin: list[_CoreInput]
    vout: list[_CoreOutput]


class _CoreBlock(msgspec.Struct, gc=False):
    time: Seconds
    tx: list[msgspec.Raw]


class _CoreAnswer(msgspec.Struct, gc=False):
    result: _CoreBlock | None = None
    error: msgspec.Raw = msgspec.Raw()


_CORE_ANSWER = msgspec.json.Decoder(_CoreAnswer)
_CORE_TRANSACTION = msgspec.json.Decoder(_CoreTransaction)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_TRANSACTION = msgspec.json.Decoder(_Transaction)


# {"block-transactions":[{"txid":"f4184f…","vin":[{"txid":"0437…","vout":0,"prevout":
#  {"scriptpubkey_address":"12cb…","value":5000000000}}],"vout":[{"scriptpubkey_address":"1Q2T…",
#  "value":1000000000},…],"status":{"confirmed":true,"block_height":170,"block_time":1231731025}}]}
def parse_transactions(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read each confirmed transaction into a transfer for each output that is no change.

    What goes back to an address that paid is change. A bare transaction or an array of them,
    as Esplora's REST gives, is read alike. Raises UnreadableFrame. Microseconds.
    """
    transactions = _opened(frame)
    if isinstance(transactions, Parsed):
        return transactions
    parsed = Parsed([], [])
    for place, raw in enumerate(transactions):
        try:
            parsed.records += _transfers(_TRANSACTION.decode(raw), ts_recv, instruments)
        except (ValueError, OverflowError, *NOT_A_FRAME) as problem:
            why = problem if isinstance(problem, UnreadableFrame) else unreadable(problem)
            parsed.refusals.append(Refusal(f"[{place}].{why.field}", why.reason))
    return parsed


# {"result":{"hash":"0000…","height":170,"previousblockhash":"0000…","time":1231731025,"tx":[
#  {"txid":"f418…","vin":[{"txid":"0437…","vout":0,"prevout":{"value":50.0,"scriptPubKey":
#  {"address":"12cb…"}}}],"vout":[{"value":10.0,"n":0,"scriptPubKey":{"address":"1Q2T…"}}]}]}}
def parse_block(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read bitcoind's answer to getblock with verbosity 3, which says what inputs spent.

    Raises UnreadableFrame. Source: Bitcoin Core's RPC getblock; microseconds.
    """
    try:
        answer = _CORE_ANSWER.decode(frame)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    if answer.result is None:
        text = bytes(answer.error).decode(errors="replace")
        return control(Refusal("error", f"refused: {text[:200]}"))
    block = answer.result

    def build(raw: msgspec.Raw) -> list[WhaleTransfer]:
        transaction = _of_core(_CORE_TRANSACTION.decode(raw), block.time)
        return _transfers(transaction, ts_recv, instruments)

    parsed = built(block.tx, build, path="result.tx")
    return parsed


def _of_core(transaction: _CoreTransaction, block_time: int) -> _Transaction:
    """Return a transaction of bitcoind's in Esplora's form."""
    spent = []
    for place, one in enumerate(transaction.vin):
        if one.prevout is None and one.coinbase is None:
            raise UnreadableFrame(f"vin[{place}].prevout", "missing: ask with verbosity 3")
        prevout = None if one.prevout is None else _in_sats(one.prevout)
        spent.append(_Input(prevout, one.coinbase is not None))
    outputs = [_in_sats(output) for output in transaction.vout]
    return _Transaction(transaction.txid, spent, outputs, _Status(True, block_time))


def _in_sats(output: _CoreOutput) -> _Output:
    return _Output(round(output.value * 1e8), output.scriptPubKey.address)


def by_name(symbol: str) -> Instrument:
    """Raise UnreadableFrame: a payment names no instrument."""
    raise UnreadableFrame("symbol", f"{symbol[:60]!r}: payments name no instruments")


def of_metadata(symbol: str, row: dict[str, Any]) -> Instrument:
    """Raise UnreadableFrame: a payment needs no metadata."""
    return by_name(symbol)


def route(frame: bytes) -> str:
    """Return `transactions` or `block`, "" for control. Raises UnreadableFrame."""
    if b'"scriptPubKey"' in frame and b'"result"' in frame:
        return "block"
    return "" if isinstance(_opened(frame), Parsed) else "transactions"


CHANNELS: dict[str, Parser] = {"transactions": parse_transactions, "block": parse_block}


def _opened(frame: bytes) -> list[msgspec.Raw] | Parsed:
    """Return a frame's transactions, or what it means where it holds none."""
    try:
        if frame.lstrip()[:1] == b"[":
            return _LIST.decode(frame)
        members = _OBJECT.decode(frame)
        if "txid" in members:
            return [msgspec.Raw(frame)]
        if "tx" in members:  # of a transaction that is watched
            return [members["tx"]]
        lists_of = [_LIST.decode(members[name]) for name in _LISTS if name in members]
        by_address = members.get("multi-address-transactions")
        if by_address is not None:
            for lists in _OBJECT.decode(by_address).values():
                lists_of += [_LIST.decode(_OBJECT.decode(lists).get("confirmed", b"[]"))]
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    if lists_of or by_address is not None:
        return [raw for part in lists_of for raw in part]
    if members.keys() & _CONTROL:
        return control()
    raise UnreadableFrame("", "neither transactions nor a word of control")


def _transfers(
    transaction: _Transaction, ts_recv: int, instruments: Instruments
) -> list[WhaleTransfer]:
    if not transaction.status.confirmed:
        return []
    if transaction.status.block_time is None:
        raise UnreadableFrame("status.block_time", "missing from a confirmed transaction")
    payers = {
        spent.prevout.scriptpubkey_address
        for spent in transaction.vin
        if spent.prevout is not None and spent.prevout.scriptpubkey_address
    }
    payer = next(iter(payers)) if len(payers) == 1 else None
    if len(payers) > 1 and instruments.payer is not None:
        payer = instruments.payer(frozenset(payers))
    for place, spent in enumerate(transaction.vin):
        if spent.prevout is None and not spent.is_coinbase:
            raise UnreadableFrame(f"vin[{place}].prevout", "missing: what is change, it says")
    ts_event = transaction.status.block_time * 1_000_000
    if ts_event > ts_recv:
        not_ahead(ts_event, ts_recv)
    mined = any(spent.is_coinbase for spent in transaction.vin)
    return [
        WhaleTransfer(
            event_id=f"bitcoin:{transaction.txid}:{leg}",
            provider="node",
            chain="bitcoin",
            asset="BTC",
            transfer_kind="mint" if mined else "transfer",
            tx_hash=transaction.txid,
            leg=leg,
            from_owner="unknown",
            from_kind="unknown",
            to_owner="unknown",
            to_kind="unknown",
            quantity=output.value / 1e8,
            quantity_raw=str(output.value),
            notional_usd=None,
            ts_event=ts_event,
            ts_recv=ts_recv,
            from_address=payer,
            to_address=output.scriptpubkey_address,
        )
        for leg, output in enumerate(transaction.vout)
        if output.value
        and output.scriptpubkey_address
        and output.scriptpubkey_address not in payers
    ]
