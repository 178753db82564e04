"""One connection to a venue, on aiohttp: it speaks what is due, listens, and judges itself."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import aiohttp
import msgspec

from schemas.market import Trade
from schemas.words import SECOND
from streams.feed.dialogue import Dialogue, Heard
from streams.feed.liveness import Liveness
from streams.process.clock import now_us

#: A venue that closes at an age is left before it, by one to two times this part of that age.
EARLY = 0.02
#: A new connection is given so long to settle before it is given up, seconds.
SETTLES_WITHIN_S = 60.0
#: After settling, the first data is awaited so long before the old one may be let go, seconds.
DELIVERS_WITHIN_S = 5.0
#: Older trades are no sign of life: a subscription may begin with them, microseconds.
RECENT = 60 * SECOND
TICK_S = 0.1
CLOSE_S = 2.0
MOST_BYTES = 16 * 1024 * 1024


class Time(NamedTuple):
    """The clock that a feed lives by; tests run it faster."""

    micros: Callable[[], int] = now_us
    steady: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Where(NamedTuple):
    """What a link connects to; `life_s`: the venue closes a connection of that age."""

    name: str
    url: str
    headers: Mapping[str, str] = {}
    has_trades: bool = True
    life_s: float | None = None


class LinkStatus(msgspec.Struct):
    """What a status line and the metrics show of a link; times in microseconds."""

    name: str
    state: str = "connecting"
    frames: int = 0
    records: int = 0
    refused: int = 0
    connects: int = 0
    ts_frame: int = 0
    ts_records: int = 0
    reason: str = ""


class Listener(NamedTuple):
    """Whom a link tells: each raw frame, what it gave, that it is lost since, that it is back."""

    frame: Callable[[str, bytes, int], None]
    heard: Callable[[str, Heard, bytes, int], Awaitable[None]]
    lost: Callable[[str, int, str], None]
    back: Callable[[str, int], None]


class Connection:
    """One connection; `live`, `delivered` and `leaves` are set as its life goes on."""

    def __init__(
        self, where: Where, dialogue: Dialogue, listener: Listener, status: LinkStatus, at: Time
    ) -> None:
        self.live = asyncio.Event()
        self.delivered = asyncio.Event()
        self.leaves = asyncio.Event()
        self.is_stale = False
        self.reason = ""
        self.refused_for_s = 0.0
        self.settled_at = 0
        self._socket = where.name
        self._where = where
        self._dialogue = dialogue
        self._listener = listener
        self._status = status
        self._at = at
        self._liveness = Liveness(at.steady(), where.has_trades)
        self._gives_up = False
        self._began_at = at.micros()

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Live until either side ends it; `reason` then says why."""
        try:
            async with session.ws_connect(
                self._where.url,
                compress=0,
                autoping=False,
                headers=dict(self._where.headers),
                max_msg_size=MOST_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
            ) as ws:
                self._status.connects += 1
                self._socket = f"{self._where.name}#{self._status.connects}"
                await self._converse(ws)
        except aiohttp.WSServerHandshakeError as problem:
            self.reason = f"refused: HTTP {problem.status}"
            self.refused_for_s = retry_after_s(problem.headers)
        except (aiohttp.ClientError, OSError, TimeoutError) as problem:
            self.reason = self.reason or f"{type(problem).__name__}: {problem}"[:200]
        except asyncio.CancelledError:
            self._gives_up = True
            raise
        finally:
            if not self._gives_up:  # else it did not die of what was asked for
                self._dialogue.ended()

    async def _converse(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        speaking = asyncio.create_task(self._speak(ws))
        try:
            while await self._hear(ws, await ws.receive()):
                pass
        finally:
            speaking.cancel()
            with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError, OSError):
                await speaking

    async def _speak(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        """Send what is due, and watch over the age and the silence of the connection."""
        began = self._at.steady()
        liveness = self._liveness = Liveness(began, self._where.has_trades)
        ends_s = (self._where.life_s or 1e12) * (1 - EARLY * random.uniform(1, 2))
        settled: float | None = None
        while not ws.closed:
            now = self._at.steady()
            for text in self._dialogue.due(now):
                await self._send(ws, text)
            if liveness.wants_ping(now):
                await ws.ping()
            if settled is None and self._dialogue.is_settled():
                settled, self.settled_at = now, self._at.micros()
            if fault := liveness.is_half_open(now):
                await self._give_up(ws, fault)
            elif settled is None and now - began > SETTLES_WITHIN_S:
                await self._give_up(ws, "subscriptions were not answered")
            elif settled is not None and (fault := liveness.is_stale(now)):
                self.is_stale = True
                self.leave(fault)
            if now - began >= ends_s:
                self.leave("its time is nearly over")
            if settled is not None:
                self._note_life(now - settled)
            await self._at.sleep(TICK_S)

    def leave(self, reason: str) -> None:
        """Ask for another connection before this one is let go."""
        if not self.leaves.is_set():
            self.reason = reason
            self.leaves.set()

    async def _give_up(self, ws: aiohttp.ClientWebSocketResponse, reason: str) -> None:
        self.reason, self._gives_up = reason, True
        await ws.close()

    def _note_life(self, settled_for_s: float) -> None:
        if self._liveness.delivers:
            self.delivered.set()
        if self.delivered.is_set() or settled_for_s >= DELIVERS_WITHIN_S:
            self.live.set()

    async def _hear(self, ws: aiohttp.ClientWebSocketResponse, message: aiohttp.WSMessage) -> bool:
        """Take in one message; False where it was the last."""
        kind = message.type
        if kind is aiohttp.WSMsgType.TEXT:
            await self._take(ws, message.data.encode(errors="replace"))
        elif kind is aiohttp.WSMsgType.BINARY:
            await self._take(ws, message.data)
        elif kind is aiohttp.WSMsgType.PING:
            await ws.pong(message.data)
        elif kind is not aiohttp.WSMsgType.PONG:
            self.reason = self.reason or _why_ended(ws, message)
            return False
        self._liveness.frame(self._at.steady())
        self._status.ts_frame = self._at.micros()
        return True

    async def _send(self, ws: aiohttp.ClientWebSocketResponse, text: str | bytes) -> None:
        if isinstance(text, bytes):
            await ws.send_bytes(text)
        elif text:
            seconds = str(self._at.micros() // 1_000_000)
            await ws.send_str(text.replace("$SECONDS", seconds))
        else:
            await ws.ping()

    async def _take(self, ws: aiohttp.ClientWebSocketResponse, frame: bytes) -> None:
        now, ts_recv = self._at.steady(), self._at.micros()
        status, name = self._status, self._where.name
        status.frames += 1
        self._listener.frame(self._socket, frame, ts_recv)
        heard = self._dialogue.hear(frame, ts_recv, now)
        if heard.late:
            self._listener.lost(name, self._began_at, heard.late)
            self._listener.back(name, ts_recv)
        if heard.missed:
            self._listener.lost(name, self._status.ts_frame, heard.missed)
            self._listener.back(name, ts_recv)
        if heard.reply is not None:
            await self._send(ws, heard.reply)
        if heard.leave:
            self.leave(heard.leave)
        first = heard.records[0] if heard.records and not heard.history else None
        if first is not None:
            status.ts_records = ts_recv
            if isinstance(first, Trade) and first.ts_event > ts_recv - RECENT:
                self._liveness.trades(now)
        if heard.records or heard.refusals:
            status.records += len(heard.records)
            status.refused += len(heard.refusals)
            await self._listener.heard(name, heard, frame, ts_recv)


def retry_after_s(headers: Mapping[str, str] | None) -> float:
    """Return how long a venue that refuses asks us to stay away, seconds; 0 where it does not."""
    text = (headers or {}).get("Retry-After", "")
    return min(float(text), 3600.0) if text.isdecimal() else 0.0


def _why_ended(ws: aiohttp.ClientWebSocketResponse, message: aiohttp.WSMessage) -> str:
    if message.type is aiohttp.WSMsgType.ERROR:
        return f"broken: {message.data}"[:200]
    text = f": {message.extra}" if message.type is aiohttp.WSMsgType.CLOSE and message.extra else ""
    return f"closed by the venue ({ws.close_code}{text})"[:200]
