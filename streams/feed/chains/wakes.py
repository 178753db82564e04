"""What says that a chain has a new block: a mempool server's WebSocket, or bitcoind's ZMQ.

Neither is believed but for the moment: which blocks there are, the node is asked.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import aiohttp

from streams.feed.connection import Time

log = logging.getLogger("undertow.feed")
#: Between two attempts to reach it again, seconds.
AGAIN_S = 5.0
_WANT = '{"action":"want","data":["blocks"]}'

#: Called at a new block; the argument is the hash of one that was disconnected, "" otherwise.
Wake = Callable[[str], None]


async def websocket(session: aiohttp.ClientSession, url: str, wake: Wake, at: Time) -> None:
    """Wake at each block that a mempool server tells of, until cancelled."""
    while True:
        try:
            async with session.ws_connect(url, compress=0, heartbeat=30) as ws:
                await ws.send_str(_WANT)
                async for message in ws:
                    if message.type is aiohttp.WSMsgType.TEXT and '"block' in message.data:
                        wake("")
        except (aiohttp.ClientError, OSError, TimeoutError) as problem:
            log.warning("bitcoin websocket: %s", problem)
        await at.sleep(AGAIN_S)


async def zmq(url: str, wake: Wake) -> None:
    """Wake at each block that bitcoind tells of by ZMQ, until cancelled.

    Its counters tell of messages that were lost; as the node is asked, they cost nothing. Raises
    ModuleNotFoundError without the extra `bitcoin`.
    """
    import zmq as library
    from zmq.asyncio import Context

    context: Any = Context()
    socket = context.socket(library.SUB)
    try:
        for topic in ("hashblock", "sequence"):
            socket.setsockopt_string(library.SUBSCRIBE, topic)
        socket.connect(url)
        counters: dict[bytes, int] = {}
        while True:
            parts = await socket.recv_multipart()
            for disconnected in heard(parts, counters):
                wake(disconnected)
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            socket.close(linger=0)
            context.term()


def heard(parts: list[bytes], counters: dict[bytes, int]) -> list[str]:
    """Return whom a message wakes: "" for a new block, the hash of one disconnected. Pure.

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
