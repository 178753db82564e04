"""Ethereum and its like, by any node's JSON-RPC: token and native transfers, Aave v3 liquidations.

Formats: reference/wire-formats.md 3.12. Amounts are integers in each token's own decimals; only
listed tokens are read, as anyone may emit a counterfeit `Transfer`. Owners have no labels here.
"""

from binascii import unhexlify
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta

from schemas.market import Liquidation
from schemas.onchain import WhaleTransfer
from schemas.words import MAX_MICROS, MIN_MICROS, OrderSide, TransferKind, check_words
from streams.feeds.checks import not_ahead
from streams.feeds.frames import (
    NOT_A_FRAME,
    Kind,
    Parsed,
    Refusal,
    UnreadableFrame,
    built,
    control,
    one_by_one,
    unreadable,
)
from streams.feeds.instruments import Instruments, Parser
from streams.feeds.tokens import NATIVE, Token, is_pool
from streams.feeds.tokens import by_name as by_name
from streams.feeds.tokens import of_metadata as of_metadata

#: keccak256 of Transfer(address,address,uint256) and of Aave's LiquidationCall(…).
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
LIQUIDATION_CALL = "0xe413a321e8681d831f4dbccbca790d2952b56f977908e45be37335533e005286"
_NOBODY = "0x" + "0" * 40
_COIN_DECIMALS = 18

Items = TypeVar("Items")
# By length here, by their digits in `_hex`: a pattern costs more than all the rest.
Word32 = Annotated[str, Meta(min_length=66, max_length=66)]
Address = Annotated[str, Meta(min_length=42, max_length=42)]
Hex = Annotated[str, Meta(min_length=3, max_length=66)]
Bytes = Annotated[str, Meta(min_length=2, max_length=2002)]


class _Log(msgspec.Struct, gc=False):
    address: Address
    topics: list[Word32]
    data: Bytes
    blockHash: Word32
    transactionHash: Word32
    logIndex: Hex
    removed: bool = False
    blockTimestamp: Hex | None = None


class _Logs(msgspec.Struct, Generic[Items], gc=False):
    result: Items


class _Transaction(msgspec.Struct, rename={"sender": "from"}, gc=False):
    hash: Word32
    sender: Address
    value: Hex
    transactionIndex: Hex
    to: Address | None = None


class _Block(msgspec.Struct, Generic[Items], gc=False):
    transactions: Items
    hash: Word32
    timestamp: Hex


class _BlockAnswer(msgspec.Struct, Generic[Items], gc=False):
    result: _Block[Items]


class _Params(msgspec.Struct, gc=False):
    result: msgspec.Raw


class _Message(msgspec.Struct, gc=False):
    params: _Logs[_Log] | None = None
    result: list[_Log] | None = None
    method: str = ""
    id: int | str | None = None
    error: Any = None


class _Routed(msgspec.Struct, gc=False):
    method: str = ""
    id: int | str | None = None
    params: _Params | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class _Shape(msgspec.Struct, gc=False):
    topics: msgspec.Raw = msgspec.Raw()
    parentHash: str = ""
    transactions: msgspec.Raw = msgspec.Raw()


_MESSAGE = msgspec.json.Decoder(_Message).decode
_ROUTED = msgspec.json.Decoder(_Routed)
_SHAPE = msgspec.json.Decoder(_Shape)
_LOGS = Kind(_Logs, _Log, "result")
_BLOCK = Kind(_BlockAnswer, _Transaction, "result.transactions")
_NOTHING = (b"", b"null")
_NO = bytes(32)
#: How many of its smallest units a coin of so many decimals has.
_UNITS = tuple(10**decimals for decimals in range(37))


# {"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0xlogs","result":
#  {"address":"0xdac1…","topics":["0xddf2…","0x…from","0x…to"],"data":"0x…","blockHash":"0xab…",
#  "blockNumber":"0x1500000","transactionHash":"0xcd…","logIndex":"0x5","removed":false}}}
# {"jsonrpc":"2.0","id":7,"result":[{log},{log}]}                                  (eth_getLogs)
def parse_logs(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read Transfer and LiquidationCall logs; others, and tokens not listed, tell nothing.

    A log is known by its block's hash and index, never by its transaction. `removed` takes
    back what an earlier block told. Logs mostly have no time: that of receipt is taken.
    Raises UnreadableFrame. Source: wire-formats.md 3.12; microseconds.
    """
    try:
        message = _MESSAGE(frame)
    except NOT_A_FRAME:
        return _exactly(frame, ts_recv, instruments)
    params, logs = message.params, message.result
    if params is not None and message.method == "eth_subscription":
        logs = [params.result]
    elif params is not None or not logs or message.id is None or message.error is not None:
        return _exactly(frame, ts_recv, instruments)
    try:
        return Parsed(_records(logs, instruments, ts_recv), [])
    except (ValueError, OverflowError):
        return one_by_one(logs, _records, (instruments, ts_recv), None, "result")


def _exactly(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read a reply, or logs of which one is no log."""
    kind, result, reply = _opened(frame)
    if reply is not None:
        return reply
    if kind != "logs":
        raise UnreadableFrame("result", f"{kind} are no logs")
    many = result if result[:1] == b"[" else b"[" + result + b"]"
    answer, refusals = _LOGS.read(b'{"result":' + many + b"}")
    return one_by_one(answer.result, _records, (instruments, ts_recv), refusals, "result")


# {"jsonrpc":"2.0","id":9,"result":{"number":"0x1500000","hash":"0xab…","parentHash":"0x9a…",
#  "timestamp":"0x66f0…","transactions":[{"hash":"0xcd…","from":"0x…","to":"0x…",
#  "value":"0xde0b6b3a7640000","transactionIndex":"0x3"}]}}    (eth_getBlockByHash, with bodies)
def parse_block(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read the transactions of one block that move ether; what contracts move inside is not told.

    Raises UnreadableFrame. Source: wire-formats.md 3.12; microseconds.
    """
    kind, _, reply = _opened(frame)
    if reply is not None:
        return reply
    if kind != "block":
        raise UnreadableFrame("result", f"{kind} are no block with its transactions")
    message, refusals = _BLOCK.read(frame)
    block, chain = message.result, instruments.chain
    at, coin = _micros(block.timestamp), NATIVE[chain]
    before = f"{chain}:{_lower(block.hash)}:tx:"

    def build(item: _Transaction) -> WhaleTransfer | None:
        value, index = _hex(item.value), _index(item.transactionIndex)
        if value == 0 or item.to is None:
            return None
        sender, receiver = _lower(item.sender), _lower(item.to)
        if sender == receiver:  # nothing changed hands
            return None
        return _transfer(
            f"{before}{index}", chain, coin, value, value / _UNITS[_COIN_DECIMALS],
            _lower(item.hash), index, sender, receiver, at, ts_recv,
        )  # fmt: skip

    return built(block.transactions, build, refusals, "result.transactions")


def route(frame: bytes) -> str:
    """Return what a frame's shape is of, "" for control. Raises UnreadableFrame."""
    kind, _, reply = _opened(frame)
    return "" if reply is not None else kind


def parse_heads(frame: bytes, ts_recv: int, instruments: Instruments) -> Parsed:
    """Read a new head, which holds no record. Raises UnreadableFrame."""
    kind, _, reply = _opened(frame)
    if reply is not None:
        return reply
    if kind != "heads":
        raise UnreadableFrame("result", f"{kind} are no head")
    return Parsed([], [])


CHANNELS: dict[str, Parser] = {"logs": parse_logs, "block": parse_block, "heads": parse_heads}


def _opened(frame: bytes) -> tuple[str, bytes, Parsed | None]:
    """Return (kind, result, None), or in the last place what a reply means."""
    try:
        routed = _ROUTED.decode(frame)
        result = bytes(routed.params.result if routed.params else routed.result)
        if bytes(routed.error) not in _NOTHING:
            text = bytes(routed.error).decode(errors="replace")
            return "", b"", control(Refusal("error", f"refused: {text[:200]}"))
        if not routed.params and routed.id is None:
            raise UnreadableFrame("method", "neither a subscription's message nor a reply")
        if result[:1] == b"[":
            return "logs", result, None
        if result[:1] != b"{":
            return "", b"", control()
        shape = _SHAPE.decode(result)
    except NOT_A_FRAME as problem:
        raise unreadable(problem) from None
    if bytes(shape.topics):
        return "logs", result, None
    transactions = bytes(shape.transactions)
    if transactions[:2] == b"[{" or transactions == b"[]":
        return "block", result, None
    return "heads", result, None


def _records(
    logs: Sequence[_Log], tokens: Instruments, ts_recv: int
) -> list[WhaleTransfer | Liquidation]:
    """Return what logs tell; one that tells nothing is read no further than to know that."""
    records: list[WhaleTransfer | Liquidation] = []
    for log in logs:
        topics = log.topics
        kind = topics[0] if topics else ""
        if kind != TRANSFER and kind != LIQUIDATION_CALL and kind:
            kind = _lower(kind)
        if kind == LIQUIDATION_CALL:
            records.append(_liquidation(log, tokens, ts_recv))
        elif kind == TRANSFER and len(topics) == 3:  # an NFT's has the same kind, and four
            token = tokens.get(log.address)
            if token is None:  # not listed, or with the capitals of a checksum
                token = tokens.get(_lower(log.address))
            if isinstance(token, Token) and (value := int.from_bytes(_bytes(log.data, 1))):
                chain, leg, at = tokens.chain, _index(log.logIndex), ts_recv
                if log.blockTimestamp is not None:
                    at = _micros(log.blockTimestamp)
                sender, receiver = _account(topics[1]), _account(topics[2])
                if sender == receiver:  # nothing changed hands
                    continue
                records.append(
                    _transfer(
                        f"{chain}:{_lower(log.blockHash)}:{leg}", chain, token.asset,
                        value, value / _UNITS[token.decimals], _lower(log.transactionHash), leg,
                        sender, receiver, at, ts_recv, log.removed,
                    )
                )  # fmt: skip
    return records


def _liquidation(log: _Log, tokens: Instruments, ts_recv: int) -> Liquidation:
    """Build the Liquidation of one LiquidationCall: long the collateral, short the debt.

    There is no price in it. With receiveAToken the collateral is not sold now.
    """
    if len(log.topics) != 4:
        raise UnreadableFrame("topics", f"{len(log.topics)} of them, not 4")
    if not is_pool(address := _lower(log.address), tokens):
        reason = f"{address} is no pool of Aave v3 that is known on {tokens.chain}"
        raise UnreadableFrame("address", f"{reason}; a list of tokens may name it a pool")
    words = _bytes(log.data, 4)
    # Either raises where it is not listed.
    collateral, debt = tokens[_account(log.topics[1])], tokens[_account(log.topics[2])]
    if not isinstance(collateral, Token) or not isinstance(debt, Token):
        raise UnreadableFrame(
            "topics", "collateral and debt are tokens, and one of these is a pool"
        )
    quantity = int.from_bytes(words[32:64]) / _UNITS[collateral.decimals]
    if not 0.0 < quantity <= 1e15:
        raise UnreadableFrame("data", f"{quantity!r} coins are not in (0, 1e15]")
    instrument, symbol = _pair(collateral, debt)
    ts_event = ts_recv if log.blockTimestamp is None else _micros(log.blockTimestamp)
    if ts_event > ts_recv:
        not_ahead(ts_event, ts_recv)
    order: OrderSide | None = "sell" if words[96:] == _NO else None
    return Liquidation(
        f"{tokens.chain}:{_lower(log.blockHash)}:{_index(log.logIndex)}", "aave", instrument,
        symbol, collateral.coin, "long", order, None, None, quantity, None, "full",
        "LiquidationCall", ts_event, ts_recv, 1, 2 if log.removed else 1, log.removed,
    )  # fmt: skip


@lru_cache(maxsize=4_096)
def _pair(collateral: Token, debt: Token) -> tuple[str, str]:
    """Return the instrument and the symbol of a loan. Raises ValueError."""
    instrument = f"{collateral.coin}-{debt.coin}-SPOT"
    check_words("aave", collateral.coin, instrument)
    return instrument, f"{collateral.asset}/{debt.asset}"


def _transfer(
    event_id: str,
    chain: str,
    asset: str,
    value: int,
    quantity: float,
    tx_hash: str,
    leg: int,
    sender: str,
    receiver: str,
    ts_event: int,
    ts_recv: int,
    removed: bool = False,
) -> WhaleTransfer:
    """Build a transfer of `value` smallest units."""
    kind: TransferKind = "transfer"
    if sender == _NOBODY or receiver == _NOBODY:
        kind = "mint" if sender == _NOBODY else "burn"
    if not 0.0 < quantity <= 1e15:
        raise UnreadableFrame("quantity", f"{quantity!r} is not in (0, 1e15]")
    if leg > 100_000:
        raise UnreadableFrame("leg", f"{leg} is above 100,000")
    if ts_event > ts_recv:
        not_ahead(ts_event, ts_recv)
    # By place, in the order of its fields: names would cost six times as much.
    return WhaleTransfer(
        event_id, "node", chain, asset, kind, tx_hash, leg, "unknown", "unknown", "unknown",
        "unknown", quantity, None, ts_event, ts_recv, str(value), 2 if removed else 1, removed,
        None if sender == _NOBODY else sender, None if receiver == _NOBODY else receiver,
    )  # fmt: skip


@lru_cache(maxsize=1_024)
def _micros(seconds: str) -> int:
    at = _hex(seconds) * 1_000_000
    if not MIN_MICROS <= at <= MAX_MICROS:
        raise UnreadableFrame("timestamp", f"{seconds} is not a second after 2015")
    return at


def _bytes(data: str, count: int) -> bytes:
    """Return a log's data, which is to be `count` words of 32 bytes. Raises UnreadableFrame."""
    if len(data) != 2 + 64 * count:
        raise UnreadableFrame("data", f"{(len(data) - 2) // 2} bytes, not {32 * count}")
    try:
        if data[:2] == "0x":
            return unhexlify(data[2:])
    except ValueError:
        pass
    raise UnreadableFrame("data", "not written in hexadecimal")


# Blocks, transactions, accounts and kinds come again in log after log.
@lru_cache(maxsize=32_768)
def _lower(digits: str) -> str:
    """Return a hash or an address in lower case. Raises UnreadableFrame."""
    try:
        if digits.startswith("0x"):
            unhexlify(digits[2:])
            return digits.lower()
    except ValueError:
        pass
    raise _unwritten(digits)


@lru_cache(maxsize=32_768)
def _account(topic: str) -> str:
    """Return the address that a topic's last 20 bytes are. Raises UnreadableFrame."""
    return "0x" + _lower(topic)[-40:]


@lru_cache(maxsize=1_024)
def _index(digits: str) -> int:
    return _hex(digits)


def _hex(digits: str) -> int:
    """Return the number that 0x and hexadecimal digits write. Raises UnreadableFrame."""
    if digits.startswith("0x") and digits.isascii() and digits.isalnum():
        try:
            return int(digits, 16)
        except ValueError:
            pass
    raise _unwritten(digits)


def _unwritten(digits: str) -> UnreadableFrame:
    return UnreadableFrame("", f"{digits[:70]!r} is not written in hexadecimal")
