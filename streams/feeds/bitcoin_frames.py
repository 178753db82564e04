"""What nodes of Bitcoin say beside payments: heads by REST and RPC, blocks lost by ZMQ. Pure."""

from typing import Any

import msgspec

from streams.feeds.reorg import Head

#: Transactions of a page of an Esplora server.
PAGE = 25


class EsploraHead(msgspec.Struct):
    """A block as GET /block/HASH of an Esplora server describes it."""

    id: str
    height: int
    timestamp: int
    tx_count: int
    previousblockhash: str = ""


class _CoreHead(msgspec.Struct):
    hash: str
    height: int
    time: int
    previousblockhash: str = ""


class _CoreAnswer(msgspec.Struct):
    result: _CoreHead | None = None
    error: Any = None


def esplora_described(frame: bytes) -> EsploraHead:
    """Return a block's description. Raises msgspec.DecodeError."""
    return msgspec.json.decode(frame, type=EsploraHead)


def esplora_head(frame: bytes) -> Head:
    """Return a block's head. Raises msgspec.DecodeError."""
    said = esplora_described(frame)
    return Head(said.height, said.id, said.previousblockhash, said.timestamp * 1_000_000)


def core_head(frame: bytes) -> Head:
    """Return the head that getblockheader is answered with. Raises ValueError."""
    answer = msgspec.json.decode(frame, type=_CoreAnswer)
    if answer.error or answer.result is None:
        raise ValueError(f"getblockheader: {answer.error}"[:200])
    said = answer.result
    return Head(said.height, said.hash, said.previousblockhash, said.time * 1_000_000)


def to_frame(parts: list[bytes]) -> bytes:
    """Return a ZMQ message of several parts as one frame: their hex, as JSON."""
    return msgspec.json.encode([part.hex() for part in parts])


def of_frame(frame: bytes) -> list[bytes]:
    """Return the parts of a ZMQ message that `to_frame` made a frame of. Raises ValueError."""
    return [bytes.fromhex(part) for part in msgspec.json.decode(frame, type=list[str])]


def woken(parts: list[bytes], counters: dict[bytes, int]) -> list[str]:
    """Return whom a ZMQ message wakes: "" for a new block, the hash of one disconnected.

    `counters` are the last by topic; a message lost wakes too. Nothing for the mempool's.
    """
    if len(parts) != 3 or len(parts[2]) != 4:
        return []
    topic, body, counter = parts[0], parts[1], int.from_bytes(parts[2], "little")
    before = counters.get(topic)
    counters[topic] = counter
    lost = before is not None and counter != (before + 1) % 2**32
    wakes = [""] if lost or topic == b"hashblock" else []
    if topic == b"sequence" and len(body) >= 33 and body[32:33] in (b"C", b"D"):
        # Hashes stand in the order in which people write them.
        wakes = [body[:32].hex() if body[32:33] == b"D" else ""]
    return wakes
