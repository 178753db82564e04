"""Blocks of Bitcoin asked for: of an Esplora server by REST, or of bitcoind by RPC."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import aiohttp
import msgspec

from streams.feed.connection import Time
from streams.feeds import registry
from streams.feeds.bitcoin_frames import (
    PAGE,
    EsploraHead,
    core_head,
    esplora_described,
    esplora_head,
)
from streams.feeds.frames import Parsed
from streams.feeds.instruments import Instruments
from streams.feeds.reorg import Head

#: Bytes of a block as bitcoind tells it, at most.
MOST_BYTES = 64 << 20
ANSWERED_WITHIN_S = 60.0


#: Hears raw frames: (frame, ts_recv, channel).
Keep = Callable[[bytes, int, str], None]


T = TypeVar("T")


class Unanswered(Exception):
    """The node did not answer, or not with what was asked; the message is one line."""


class Blocks(Protocol):
    """What is asked of a node; each raises Unanswered."""

    async def tip(self) -> str:
        """Return the hash of the highest block."""

    async def head(self, block: str) -> Head:
        """Return the head of a block."""

    async def records(self, block: str) -> Parsed:
        """Return all that a block holds."""


class Esplora:
    """An Esplora or mempool server: GET /blocks/tip/hash, /block/H, /block/H/txs/N."""

    def __init__(
        self, url: str, session: aiohttp.ClientSession, at: Time, known: Instruments, keep: Keep
    ) -> None:
        self._known = known
        self._keep = keep
        self._url = url.rstrip("/")
        self._session = session
        self._at = at

    async def tip(self) -> str:
        """Return the hash of the highest block."""
        return (await self._get("/blocks/tip/hash")).decode(errors="replace").strip()

    async def head(self, block: str) -> Head:
        """Return the head of a block."""
        frame = await self._get(f"/block/{block}")
        self._keep(frame, self._at.micros(), f"head:{block}")
        return _made(esplora_head, frame)

    async def records(self, block: str) -> Parsed:
        """Return all payments of a block, page after page."""
        whole = Parsed([], [])
        count = (await self._described(block)).tx_count
        for start in range(0, count, PAGE):
            page = await self._get(f"/block/{block}/txs/{start}")
            now = self._at.micros()
            self._keep(page, now, f"transactions:{block}:{start}:{count}")
            parsed = registry.parse("bitcoin", "transactions", page, self._known, now)
            whole.records += parsed.records
            whole.refusals += parsed.refusals
        return whole

    async def _described(self, block: str) -> EsploraHead:
        return _made(esplora_described, await self._get(f"/block/{block}"))

    async def _get(self, path: str) -> bytes:
        return await asked(self._session, "GET", self._url + path, None)


class _CoreAnswer(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw()
    error: Any = None


class Core:
    """bitcoind: getbestblockhash, getblockheader, and getblock with what inputs spent."""

    def __init__(
        self, url: str, session: aiohttp.ClientSession, at: Time, known: Instruments, keep: Keep
    ) -> None:
        self._known = known
        self._keep = keep
        self._url = url
        self._session = session
        self._at = at

    async def tip(self) -> str:
        """Return the hash of the highest block."""
        answer = await self._call("getbestblockhash")
        return _made(lambda raw: msgspec.json.decode(raw, type=str), answer)

    async def head(self, block: str) -> Head:
        """Return the head of a block."""
        frame = await self._post("getblockheader", block)
        self._keep(frame, self._at.micros(), f"header:{block}")
        return _made(core_head, frame)

    async def records(self, block: str) -> Parsed:
        """Return all payments of a block."""
        frame = await self._post("getblock", block, 3)
        now = self._at.micros()
        self._keep(frame, now, f"block:{block}")
        parsed = registry.parse("bitcoin", "block", frame, self._known, now)
        if parsed.control:
            raise Unanswered(f"getblock: {parsed.refusals[0].reason}")
        return parsed

    async def _call(self, method: str, *params: object) -> bytes:
        try:
            answer = msgspec.json.decode(await self._post(method, *params), type=_CoreAnswer)
        except msgspec.DecodeError as problem:
            raise Unanswered(f"{method}: {problem}") from None
        if answer.error:
            raise Unanswered(f"{method}: {answer.error}"[:200])
        return bytes(answer.result)

    async def _post(self, method: str, *params: object) -> bytes:
        call = {"jsonrpc": "1.0", "id": "b", "method": method, "params": params}
        return await asked(self._session, "POST", self._url, msgspec.json.encode(call))


def _made(make: Callable[[bytes], T], answer: bytes) -> T:
    try:
        return make(answer)
    except ValueError as problem:  # msgspec's are such
        raise Unanswered(str(problem)) from None


async def asked(session: aiohttp.ClientSession, method: str, url: str, body: bytes | None) -> bytes:
    """Return what an HTTP request is answered with. Raises Unanswered."""
    timeout = aiohttp.ClientTimeout(total=ANSWERED_WITHIN_S)
    try:
        async with session.request(method, url, data=body, timeout=timeout) as response:
            # bitcoind tells its own errors with status 500, in the answer.
            if response.status != 200 and not (body and response.status == 500):
                raise Unanswered(f"HTTP {response.status}")
            answer = await response.content.read(MOST_BYTES)
            while chunk := await response.content.read(MOST_BYTES):
                answer += chunk
                if len(answer) > MOST_BYTES:
                    raise Unanswered("an answer larger than any block's")
            return answer
    except (aiohttp.ClientError, OSError, TimeoutError) as problem:
        raise Unanswered(f"{type(problem).__name__}: {problem}"[:200]) from None
