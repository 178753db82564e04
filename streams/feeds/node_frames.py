"""What frames of an EVM chain's node mean to its ledger, the same heard live and played. Pure."""

import msgspec

from streams.feeds import registry
from streams.feeds.frames import NOT_A_FRAME, Parsed, Refusal
from streams.feeds.instruments import Instruments
from streams.feeds.ledger import Ledger
from streams.feeds.reorg import Ask, Head

#: Blocks of which some answers are in, at most.
MOST_PARTS = 1_000


class Meaning(msgspec.Struct):
    """What follows from a frame: records, complaints, what to ask the node; `is_head` of a push."""

    records: list[msgspec.Struct] = []
    refusals: list[Refusal] = []
    asks: list[Ask] = []
    is_head: bool = False


class _Result(msgspec.Struct):
    number: str = ""
    hash: str = ""
    parentHash: str = ""
    timestamp: str = ""
    blockHash: str = ""
    removed: bool = False


class _Params(msgspec.Struct):
    result: _Result


class _Pushed(msgspec.Struct):
    method: str
    params: _Params


class _Head(msgspec.Struct):
    result: _Result


_PUSHED = msgspec.json.Decoder(_Pushed)
_HEAD = msgspec.json.Decoder(_Head)


class NodeFrames:
    """A connection's frames; the ledger outlives it. `natives`: a block is whole with its coins."""

    def __init__(self, chain: str, tokens: Instruments, natives: bool, ledger: Ledger) -> None:
        self._name = chain
        self._tokens = tokens
        self._natives = natives
        self._ledger = ledger
        self._parts: dict[str, set[str]] = {}

    def pushed(self, frame: bytes, ts_recv: int) -> Meaning:
        """Take in what a subscription gave."""
        try:
            said = _PUSHED.decode(frame).params.result
        except NOT_A_FRAME:
            return self.unread(frame, ts_recv)
        if said.blockHash and said.removed:
            records, asks = self._ledger.removed(said.blockHash.lower(), ts_recv)
            return Meaning(records, asks=asks)
        if said.blockHash:
            return self._block(said.blockHash, self._parse("logs", frame, ts_recv), (), ts_recv)
        meaning = self._head(said, frame, ts_recv)
        meaning.is_head = True
        return meaning

    def answered(self, kind: str, block: str, frame: bytes, ts_recv: int) -> Meaning:
        """Take in an answer: the `head` of a block, its `logs`, or the `block` with its bodies."""
        if kind != "head":
            return self._block(block, self._parse(kind, frame, ts_recv), (kind,), ts_recv)
        try:
            said = _HEAD.decode(frame).result
        except NOT_A_FRAME:
            return self.unread(frame, ts_recv)
        return self._head(said, frame, ts_recv)

    def has(self, kind: str, block: str) -> bool:
        """Say whether an answer of that kind is in for a block that is not whole yet."""
        return kind in self._parts.get(block, ())

    def unread(self, frame: bytes, ts_recv: int) -> Meaning:
        """Return why a frame is none: what the parser says of it."""
        parsed = registry.parse(self._name, None, frame, self._tokens, ts_recv)
        return Meaning(refusals=parsed.refusals)

    def _head(self, said: _Result, frame: bytes, ts_recv: int) -> Meaning:
        try:
            number, seconds = int(said.number, 16), int(said.timestamp, 16)
            head = Head(number, said.hash.lower(), said.parentHash.lower(), seconds * 1_000_000)
        except ValueError:
            return self.unread(frame, ts_recv)
        if not head.hash or not head.parent:
            return self.unread(frame, ts_recv)
        records, asks = self._ledger.head(head, ts_recv)
        return Meaning(records, asks=asks)

    def _block(
        self, block: str, parsed: Parsed, answered: tuple[str, ...], ts_recv: int
    ) -> Meaning:
        """Take in records of a block; `answered` says of what kind these are all."""
        name = block.lower()
        parts = self._parts.setdefault(name, set())
        parts.update(answered)
        is_whole = "logs" in parts and ("block" in parts or not self._natives)
        if is_whole:
            del self._parts[name]
        while len(self._parts) > MOST_PARTS:
            del self._parts[next(iter(self._parts))]
        records, asks = self._ledger.block(name, parsed.records, is_whole, ts_recv)
        return Meaning(records, parsed.refusals, asks)

    def _parse(self, channel: str, frame: bytes, ts_recv: int) -> Parsed:
        return registry.parse(self._name, channel, frame, self._tokens, ts_recv)
