"""What says that a chain has a new block: a mempool server's WebSocket, or bitcoind's ZMQ.

Neither is believed but for the moment: which blocks there are, the node is asked.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import aiohttp

from streams.feed.chains.blocks import Keep
from streams.feed.connection import Time
from streams.feeds.bitcoin_frames import to_frame, woken

log = logging.getLogger("undertow.feed")
#: Between two attempts to reach it again, seconds.
AGAIN_S = 5.0
_WANT = '{"action":"want","data":["blocks"]}'

#: Called at a new block; the argument is the hash of one that was disconnected, "" otherwise.
Wake = Callable[[str], None]


async def websocket(
    session: aiohttp.ClientSession, url: str, wake: Wake, at: Time, keep: Keep
) -> None:
    """Wake at each block that a mempool server tells of, until cancelled."""
    while True:
        try:
            async with session.ws_connect(url, compress=0, heartbeat=30) as ws:
                await ws.send_str(_WANT)
                async for message in ws:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        keep(message.data.encode(), at.micros(), "wake")
                        if '"block' in message.data:
                            wake("")
        except (aiohttp.ClientError, OSError, TimeoutError) as problem:
            log.warning("bitcoin websocket: %s", problem)
        await at.sleep(AGAIN_S)


async def zmq(url: str, wake: Wake, at: Time, keep: Keep) -> None:
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
            keep(to_frame(parts), at.micros(), "zmq")
            for disconnected in woken(parts, counters):
                wake(disconnected)
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            socket.close(linger=0)
            context.term()
