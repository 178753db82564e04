"""Ethereum and its like, by any node's JSON-RPC: token and native transfers, Aave v3 liquidations.

Formats: reference/wire-formats.md 3.12. Amounts are integers in each token's own decimals; only
listed tokens are read, as anyone may emit a counterfeit `Transfer`. Owners have no labels here.
"""

import re
from binascii import unhexlify
from functools import lru_cache, partial
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
    unreadable,
)
from streams.feeds.instruments import Instruments, Parser
from streams.feeds.tokens import NATIVE, Token
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


_MESSAGE = msgspec.json.Decoder(_Message)
_ROUTED = msgspec.json.Decoder(_Routed)
_SHAPE = msgspec.json.Decoder(_Shape)
_LOGS = Kind(_Logs, _Log, "result")
_BLOCK = Kind(_BlockAnswer, _Transaction, "result.transactions")
_NOTHING = (b"", b"null")
#: An address and words of 32 bytes, one behind the other.
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{40}(?:0x[0-9a-fA-F]{64})+").fullmatch


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
    build = partial(_of_log, instruments, ts_recv)
    try:
        message = _MESSAGE.decode(frame)
        if message.params and message.method == "eth_subscription":
            return built((message.params.result,), build, path="result")
        if (
            message.result
            and message.id is not None
            and not message.params
            and message.error is None
        ):
            return built(message.result, build, path="result")
    except NOT_A_FRAME:
        pass  # another kind, or told below with the field that is wrong
    kind, result, reply = _opened(frame)
    if reply is not None:
        return reply
    if kind != "logs":
        raise UnreadableFrame("result", f"{kind} are no logs")
    many = result if result[:1] == b"[" else b"[" + result + b"]"
    answer, refusals = _LOGS.read(b'{"result":' + many + b"}")
    return built(answer.result, build, refusals, "result")


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
    at = _micros(block.timestamp)
    _hex(block.hash)

    def build(item: _Transaction) -> WhaleTransfer | None:
        value, index = _hex(item.value), _hex(item.transactionIndex)
        if value == 0 or item.to is None:
            return None
        for digits in (item.hash, item.sender, item.to):
            _hex(digits)
        return _transfer(
            f"{chain}:{block.hash.lower()}:tx:{index}", NATIVE[chain], value, _COIN_DECIMALS,
            (item.sender.lower(), item.to.lower()), (item.hash.lower(), index), (at, ts_recv),
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
    if bytes(shape.transactions)[:2] == b"[{":
        return "block", result, None
    return "heads", result, None


def _of_log(tokens: Instruments, ts_recv: int, log: _Log) -> WhaleTransfer | Liquidation | None:
    kind = log.topics[0].lower() if log.topics else ""
    if not _HEXADECIMAL(f"{log.address}{log.blockHash}{log.transactionHash}{''.join(log.topics)}"):
        for digits in (log.address, log.blockHash, log.transactionHash, *log.topics):
            _hex(digits)
    at = _micros(log.blockTimestamp) if log.blockTimestamp else ts_recv
    if kind == LIQUIDATION_CALL:
        return _liquidation(log, tokens, at, ts_recv)
    # An NFT's Transfer has the same first topic, and four of them.
    if kind != TRANSFER or len(log.topics) != 3:
        return None
    token = tokens.get(log.address.lower())
    if not isinstance(token, Token):
        return None
    value, index = int(_words(log, 1), 16), _hex(log.logIndex)
    if value == 0:
        return None
    transfer = _transfer(
        _identity(log, tokens.chain), token.asset, value, token.decimals,
        (_address(log.topics[1]), _address(log.topics[2])),
        (log.transactionHash.lower(), index), (at, ts_recv),
    )  # fmt: skip
    return msgspec.structs.replace(transfer, version=2, removed=True) if log.removed else transfer


def _liquidation(log: _Log, tokens: Instruments, ts_event: int, ts_recv: int) -> Liquidation:
    """Build the Liquidation of one LiquidationCall: long the collateral, short the debt.

    There is no price in it. With receiveAToken the collateral is not sold now.
    """
    if len(log.topics) != 4:
        raise UnreadableFrame("topics", f"{len(log.topics)} of them, not 4")
    words = _words(log, 4)
    seized, keeps = int(words[64:128], 16), int(words[192:], 16)
    _, of, against, _ = log.topics
    collateral, debt = _token(tokens, _address(of)), _token(tokens, _address(against))
    quantity = seized / 10**collateral.decimals
    if not 0.0 < quantity <= 1e15:
        raise UnreadableFrame("data", f"{quantity!r} coins are not in (0, 1e15]")
    instrument, symbol = _pair(collateral, debt)
    if ts_event > ts_recv:
        not_ahead(ts_event, ts_recv)
    order: OrderSide | None = None if keeps else "sell"
    return Liquidation(
        _identity(log, tokens.chain), "aave", instrument, symbol, collateral.coin, "long", order,
        None, None, quantity, None, "full", "LiquidationCall", ts_event, ts_recv, 1,
        2 if log.removed else 1, log.removed,
    )  # fmt: skip


@lru_cache(maxsize=4_096)
def _pair(collateral: Token, debt: Token) -> tuple[str, str]:
    """Return the instrument and the symbol of a loan. Raises ValueError."""
    instrument = f"{collateral.coin}-{debt.coin}-SPOT"
    check_words("aave", collateral.coin, instrument)
    return instrument, f"{collateral.asset}/{debt.asset}"


def _transfer(
    event_id: str,
    asset: str,
    value: int,
    decimals: int,
    parties: tuple[str, str],
    place: tuple[str, int],
    times: tuple[int, int],
) -> WhaleTransfer:
    """Build a transfer of `value` smallest units; `place` is the transaction and the leg in it."""
    sender, receiver = parties
    kind: TransferKind = "transfer"
    if sender == _NOBODY or receiver == _NOBODY:
        kind = "mint" if sender == _NOBODY else "burn"
    quantity = value / 10**decimals
    if not 0.0 < quantity <= 1e15:
        raise UnreadableFrame("quantity", f"{quantity!r} is not in (0, 1e15]")
    if place[1] > 100_000:
        raise UnreadableFrame("leg", f"{place[1]} is above 100,000")
    if times[0] > times[1]:
        not_ahead(*times)
    return WhaleTransfer(
        event_id=event_id,
        provider="node",
        chain=event_id.partition(":")[0],
        asset=asset,
        transfer_kind=kind,
        tx_hash=place[0],
        leg=place[1],
        from_owner="unknown",
        from_kind="unknown",
        to_owner="unknown",
        to_kind="unknown",
        quantity=quantity,
        quantity_raw=str(value),
        notional_usd=None,
        ts_event=times[0],
        ts_recv=times[1],
        from_address=None if sender == _NOBODY else sender,
        to_address=None if receiver == _NOBODY else receiver,
    )


def _micros(seconds: str) -> int:
    at = _hex(seconds) * 1_000_000
    if not MIN_MICROS <= at <= MAX_MICROS:
        raise UnreadableFrame("timestamp", f"{seconds} is not a second after 2015")
    return at


def _token(tokens: Instruments, address: str) -> Token:
    token = tokens[address]  # raises where it is not listed
    assert isinstance(token, Token)
    return token


def _identity(log: _Log, chain: str) -> str:
    return f"{chain}:{log.blockHash.lower()}:{_hex(log.logIndex)}"


def _address(topic: str) -> str:
    return "0x" + topic[-40:].lower()


def _words(log: _Log, count: int) -> str:
    """Return the hexadecimal digits of a log's data, `count` words of 32 bytes."""
    data = log.data
    if len(data) != 2 + 64 * count:
        raise UnreadableFrame("data", f"{(len(data) - 2) // 2} bytes, not {32 * count}")
    try:
        if data.startswith("0x"):
            unhexlify(data[2:])
            return data[2:]
    except ValueError:
        pass
    raise UnreadableFrame("data", "not written in hexadecimal")


def _hex(digits: str) -> int:
    """Return the number that 0x and hexadecimal digits write. Raises UnreadableFrame."""
    if digits.startswith("0x") and digits.isascii() and digits.isalnum():
        try:
            return int(digits, 16)
        except ValueError:
            pass
    raise UnreadableFrame("", f"{digits[:70]!r} is not written in hexadecimal")
