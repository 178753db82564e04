"""Recorded frames of chains, through the ledgers that heard them live.

What a frame answers stands in its channel: `logs:0x3f…`, `transactions:HASH:25:60` (of 60, from the
25th on). A process that recorded has a ledger a chain, as a process that feeds.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec

from streams.feeds import deposits, registry
from streams.feeds.bitcoin_frames import PAGE, core_head, esplora_head, of_frame, woken
from streams.feeds.deposits import Owners
from streams.feeds.frames import Parsed, Refusal
from streams.feeds.instruments import Instruments
from streams.feeds.labels import Labels
from streams.feeds.ledger import Ledger, Prices
from streams.feeds.node_frames import NodeFrames
from streams.feeds.reorg import Chain
from streams.feeds.tokens import NATIVE

#: Chains that are heard of nodes, and of a provider.
CHAINS = frozenset({*NATIVE, "bitcoin", "whale_alert"})
#: What a frame gives: its records and complaints.
Given = tuple[list[Any], list[Refusal]]
#: Takes in a frame: (connection, channel, frame, ts_recv).
Hear = Callable[[str, str, bytes, int], Given]


class Judging(NamedTuple):
    """What a chain's records are judged by: whose addresses are, blocks to wait, what is large."""

    labels: Labels = Labels()
    confirmations: int = 0
    least_usd: float = 100_000.0


def chain_of(chain: str, judging: Judging, tokens: Instruments, prices: Prices) -> Hear:
    """Return what takes in a chain's frames; `prices` are heard of the venues beside it."""
    if chain == "whale_alert":
        return _WhaleAlert(judging).hear
    ledger = Ledger(Chain(judging.confirmations), judging.labels, prices.of, judging.least_usd)
    return _Bitcoin(ledger).hear if chain == "bitcoin" else _Evm(chain, tokens, ledger).hear


class _Answer(msgspec.Struct):
    id: int


class _Evm:
    def __init__(self, chain: str, tokens: Instruments, ledger: Ledger) -> None:
        self._new = partial(NodeFrames, chain, tokens, True, ledger)
        self._connections: dict[str, NodeFrames] = {}

    def hear(self, connection: str, channel: str, frame: bytes, ts_recv: int) -> Given:
        kind, _, block = channel.partition(":")
        if not block and _is_answer(frame):
            return [], []  # to a subscription, a ping, or one that the node refused
        if connection not in self._connections:
            self._connections[connection] = self._new()
            if len(self._connections) > 2:  # one, and the one that follows it
                del self._connections[next(iter(self._connections))]
        frames = self._connections[connection]
        meaning = (
            frames.answered(kind, block, frame, ts_recv) if block else frames.pushed(frame, ts_recv)
        )
        return list(meaning.records), meaning.refusals


def _is_answer(frame: bytes) -> bool:
    try:
        msgspec.json.decode(frame, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


class _Bitcoin:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known = registry.bundled("bitcoin").of_connection()
        self._known.payer = ledger.labels.payer
        self._pages = Parsed([], [])
        self._counters: dict[bytes, int] = {}

    def hear(self, connection: str, channel: str, frame: bytes, ts_recv: int) -> Given:
        kind, _, rest = channel.partition(":")
        try:
            if kind in ("head", "header"):
                head = esplora_head(frame) if kind == "head" else core_head(frame)
                return self._ledger.head(head, ts_recv)[0], []
            if kind == "zmq":
                lost = filter(None, woken(of_frame(frame), self._counters))
                return [r for one in lost for r in self._ledger.removed(one, ts_recv)[0]], []
            if kind == "transactions":
                block, start, count = rest.split(":")
                return self._page(block, int(start), int(count), (frame, ts_recv))
        except ValueError as problem:
            return [], [Refusal(kind, str(problem)[:200])]
        if kind != "block":  # a server's word that there is a block, which only wakes
            return [], []
        parsed = registry.parse("bitcoin", "block", frame, self._known, ts_recv)
        return ([], []) if parsed.control else self._whole(rest, parsed, ts_recv)

    def _page(self, block: str, start: int, count: int, page: tuple[bytes, int]) -> Given:
        """Take in a page; a block is taken in with its last, as live."""
        frame, ts_recv = page
        whole = self._pages = self._pages if start else Parsed([], [])
        parsed = registry.parse("bitcoin", "transactions", frame, self._known, ts_recv)
        whole.records += parsed.records
        whole.refusals += parsed.refusals
        return self._whole(block, whole, ts_recv) if start + PAGE >= count else ([], [])

    def _whole(self, block: str, parsed: Parsed, ts_recv: int) -> Given:
        records, _ = self._ledger.block(block, parsed.records, True, ts_recv)
        return records, parsed.refusals


class _WhaleAlert:
    def __init__(self, judging: Judging) -> None:
        self._judging = judging
        self._owners = Owners()

    def hear(self, connection: str, channel: str, frame: bytes, ts_recv: int) -> Given:
        known = registry.bundled("whale_alert").of_connection()
        known.channels[-1] = channel
        name = channel.partition(":")[0] or None
        parsed = registry.parse("whale_alert", name, frame, known, ts_recv)
        records: list[Any] = []
        for transfer in parsed.records:
            # Its WebSocket sends what is large; pages have all, and may overlap.
            if name is None or self._is_wanted(transfer):
                records += deposits.step(self._owners, self._judging.labels, transfer)
        return records, parsed.refusals

    def _is_wanted(self, transfer: Any) -> bool:
        worth = transfer.notional_usd
        is_large = worth is None or worth >= self._judging.least_usd
        return is_large and transfer.event_id not in self._owners.versions
