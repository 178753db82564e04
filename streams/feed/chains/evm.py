"""A node of an EVM chain over JSON-RPC and WebSocket: venue-protocols.md 13. Pure.

    eth_subscribe newHeads, logs ──> heads and logs as the node tells them, in any order
    eth_getLogs by blockHash     ──> all logs of a block: what is told of it is then whole
    eth_getBlockByHash           ──> a head that was missed; with bodies, transfers of the coin

Logs of the subscription come first, and are only a beginning: nodes forget some. What a block holds
is what the answers about it say.
"""

from collections import deque

import msgspec

from streams.feed.dialogue import Heard
from streams.feeds.ethereum import LIQUIDATION_CALL, TRANSFER
from streams.feeds.frames import NOT_A_FRAME
from streams.feeds.instruments import Instruments
from streams.feeds.ledger import Ledger
from streams.feeds.node_frames import Meaning, NodeFrames
from streams.feeds.tokens import Token

#: Requests under way at once, and how long one may take before it is sent again, seconds.
AT_ONCE, ANSWERED_WITHIN_S = 8, 10.0
#: Hosted nodes cut who says nothing for so long, seconds.
PING_EVERY_S = 25.0
#: A chain that gives no head for so long is not heard, whatever the pings say, seconds.
HEADS_WITHIN_S = 90.0
_HEADS, _LOGS, _PING, _FIRST = 1, 2, 3, 10


class _Answer(msgspec.Struct):
    id: int
    result: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class _Question(msgspec.Struct):
    """A request under way: what it asks, `logs` or `block` of which block, and since when."""

    kind: str
    block: str
    since: float


_ANSWER = msgspec.json.Decoder(_Answer)
_NOTHING = (b"", b"null")


class EvmDialogue:
    """One connection's side; the ledger outlives it."""

    def __init__(
        self, chain: str, tokens: Instruments, pools: tuple[str, ...], natives: bool, ledger: Ledger
    ) -> None:
        """`pools` are contracts whose liquidations are read, `natives` whether coins are."""
        self._frames = NodeFrames(chain, tokens, natives, ledger)
        self._addresses = [*pools, *(a for a, token in tokens.items() if isinstance(token, Token))]
        self._natives = natives
        self._greeting = deque([self._subscribe(_HEADS), self._subscribe(_LOGS)])
        self._confirmed: set[int] = set()
        self._waiting: deque[tuple[str, str]] = deque()
        self._asking: dict[int, _Question] = {}
        self._number = _FIRST
        self._pinged = float("-inf")
        self._heard_head: float | None = None

    def due(self, now: float) -> list[str | bytes]:
        """Return what is to be sent now."""
        sends: list[str | bytes] = []
        while self._greeting:
            sends.append(self._greeting.popleft())
            self._pinged = now
        for number, question in list(self._asking.items()):
            if now - question.since >= ANSWERED_WITHIN_S:
                del self._asking[number]
                self._want(question.kind, question.block)
        while self._waiting and len(self._asking) < AT_ONCE and len(self._confirmed) == 2:
            kind, block = self._waiting.popleft()
            self._number += 1
            self._asking[self._number] = _Question(kind, block, now)
            sends.append(self._question(self._number, kind, block))
        if now - self._pinged >= PING_EVERY_S:
            self._pinged = now
            sends.append(_request(_PING, "eth_blockNumber", []))
        return sends

    def hear(self, frame: bytes, ts_recv: int, now: float) -> Heard:
        """Take in one frame; whatever its bytes, nothing is raised."""
        heard = self._hear(frame, ts_recv, now)
        if self._heard_head is None:
            self._heard_head = now
        elif now - self._heard_head > HEADS_WITHIN_S:
            heard.leave = f"no head for {now - self._heard_head:.0f} s"
        return heard

    def _hear(self, frame: bytes, ts_recv: int, now: float) -> Heard:
        try:
            answer = _ANSWER.decode(frame)
        except NOT_A_FRAME:
            pass
        else:
            return self._answer(answer, frame, ts_recv)
        meaning = self._frames.pushed(frame, ts_recv)
        if meaning.is_head:
            self._heard_head = now
        return self._heard(meaning)

    def is_settled(self) -> bool:
        """Say whether both subscriptions were confirmed."""
        return len(self._confirmed) == 2

    def ended(self) -> None:
        """Take in that the connection is gone: what was asked is asked again by the next."""
        self._asking.clear()

    def _answer(self, answer: _Answer, frame: bytes, ts_recv: int) -> Heard:
        if answer.id in (_HEADS, _LOGS):
            if bytes(answer.error) in _NOTHING:
                self._confirmed.add(answer.id)
                return Heard()
            return self._heard(self._frames.unread(frame, ts_recv))
        question = self._asking.pop(answer.id, None)
        if question is None or bytes(answer.error) not in _NOTHING:
            return Heard()  # refused: asked again with the next head
        if bytes(answer.result) in _NOTHING:
            return Heard()  # a block that the node no longer knows
        heard = self._heard(self._frames.answered(question.kind, question.block, frame, ts_recv))
        heard.channel = f"{question.kind}:{question.block}"
        return heard

    def _heard(self, meaning: Meaning) -> Heard:
        for ask in meaning.asks:
            if ask.what == "head":
                self._want("head", ask.hash)
            else:
                self._want("logs", ask.hash)
                if self._natives:
                    self._want("block", ask.hash)
        return Heard(meaning.records, meaning.refusals)

    def _want(self, kind: str, block: str) -> None:
        under_way = any((q.kind, q.block) == (kind, block) for q in self._asking.values())
        if (
            (kind, block) not in self._waiting
            and not under_way
            and not self._frames.has(kind, block)
        ):
            self._waiting.append((kind, block))

    def _subscribe(self, number: int) -> str:
        if number == _HEADS:
            return _request(number, "eth_subscribe", ["newHeads"])
        return _request(number, "eth_subscribe", ["logs", self._filter()])

    def _question(self, number: int, kind: str, block: str) -> str:
        if kind == "logs":
            return _request(number, "eth_getLogs", [{"blockHash": block, **self._filter()}])
        return _request(number, "eth_getBlockByHash", [block, kind == "block"])

    def _filter(self) -> dict[str, object]:
        return {"address": self._addresses, "topics": [[TRANSFER, LIQUIDATION_CALL]]}


def _request(number: int, method: str, params: list[object]) -> str:
    request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return msgspec.json.encode(request).decode()
