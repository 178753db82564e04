"""One connection to a venue, on aiohttp: it speaks what is due, listens, and judges itself."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple

import aiohttp
import msgspec
from aiohttp.http import WSMessageNoDecodeText

from schemas.market import Liquidation, OpenInterest, Trade
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
#: So a venue says that an address asked too much; asking on makes it longer. How long it is left
#: alone where it does not say, seconds.
BANNING, BANNED_S = (403, 418, 429), 120.0
#: A venue's clock is not believed to run further ahead of ours, microseconds.
MOST_AHEAD = 60 * SECOND
TICK_S = 0.1
#: Texts come as the bytes that the parsers read.
Socket = aiohttp.ClientWebSocketResponse[Literal[False]]
CLOSE_S = 2.0
MOST_BYTES = 16 * 1024 * 1024


#: Hears raw frames: (socket, frame, ts_recv, channel). A socket is named venue/route#number, and
#: an answer of REST is of venue/rest; the channel is "" where the frame tells it.
KeepFrame = Callable[[str, bytes, int, str], None]


def keep_none(socket: str, frame: bytes, ts_recv: int, channel: str) -> None:
    """Keep no frame."""


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
    #: When the newest print was made that came, by its venue's clock.
    ts_print: int = 0
    #: How far the venue's clock runs ahead of ours, as its trades tell.
    ahead: int = 0
    reason: str = ""


class Listener(NamedTuple):
    """Whom a link tells: each raw frame, what it gave, that it is lost since, that it is back.

    `room` waits, after each frame, until there is room for what the next one gives.
    """

    frame: KeepFrame
    heard: Callable[[str, Heard, bytes, int], None]
    lost: Callable[[str, int, str], None]
    back: Callable[[str, int], None]
    room: Callable[[], Awaitable[None]]


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
                decode_text=False,
                headers=dict(self._where.headers),
                max_msg_size=MOST_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
            ) as ws:
                self._status.connects += 1
                self._socket = f"{self._where.name}#{self._status.connects}"
                await self._converse(ws)
        except aiohttp.WSServerHandshakeError as problem:
            self.reason = f"refused: HTTP {problem.status}"
            asked_s = retry_after_s(problem.headers)
            self.refused_for_s = asked_s or (BANNED_S if problem.status in BANNING else 0.0)
        except (aiohttp.ClientError, OSError, TimeoutError) as problem:
            self.reason = self.reason or f"{type(problem).__name__}: {problem}"[:200]
        except asyncio.CancelledError:
            self._gives_up = True
            raise
        finally:
            if not self._gives_up:  # else it did not die of what was asked for
                self._dialogue.ended()

    async def _converse(self, ws: Socket) -> None:
        speaking = asyncio.create_task(self._speak(ws))
        room = self._listener.room
        try:
            while True:
                message = await ws.receive()
                kind = message.type
                if kind is aiohttp.WSMsgType.TEXT or kind is aiohttp.WSMsgType.BINARY:
                    reply = self._take(message.data)
                    if reply is not None:
                        await self._send(ws, reply)
                    await room()
                    continue
                if kind is aiohttp.WSMsgType.PING:
                    await ws.pong(message.data)
                elif kind is not aiohttp.WSMsgType.PONG:
                    self.reason = self.reason or _why_ended(ws, message)
                    return
                self._note_frame(self._at.steady(), self._at.micros())
        finally:
            speaking.cancel()
            await asyncio.wait([speaking])  # our own cancellation must pass
            if not speaking.cancelled():
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    speaking.result()

    async def _speak(self, ws: Socket) -> None:
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

    async def _give_up(self, ws: Socket, reason: str) -> None:
        self.reason, self._gives_up = reason, True
        await ws.close()

    def _note_life(self, settled_for_s: float) -> None:
        if self._liveness.delivers:
            self.delivered.set()
        if self.delivered.is_set() or settled_for_s >= DELIVERS_WITHIN_S:
            self.live.set()

    def _note_frame(self, now: float, ts_recv: int) -> None:
        self._liveness.frame(now)
        self._status.ts_frame = ts_recv

    async def _send(self, ws: Socket, text: str | bytes) -> None:
        if isinstance(text, bytes):
            await ws.send_bytes(text)
        elif text:
            seconds = str(self._at.micros() // 1_000_000)
            await ws.send_str(text.replace("$SECONDS", seconds))
        else:
            await ws.ping()

    def _take(self, frame: bytes) -> str | bytes | None:
        """Take in one frame; return what is to be sent back."""
        now, ts_recv = self._at.steady(), self._at.micros()
        status, listener = self._status, self._listener
        status.frames += 1
        heard = self._dialogue.hear(frame, ts_recv, now)
        listener.frame(self._socket, frame, ts_recv, heard.channel)
        if heard.late or heard.missed:
            self._note_missed(heard, ts_recv)
        if heard.leave:
            self.leave(heard.leave)
        self._note_frame(now, ts_recv)
        records = heard.records
        if records and not heard.history:
            status.ts_records = ts_recv
            first = records[0]
            if type(first) is Trade and first.ts_event > ts_recv - RECENT:
                self._liveness.trades(now)
                if first.ts_event > status.ts_print:
                    status.ts_print = first.ts_event
                    ahead = min(first.ts_event - ts_recv, MOST_AHEAD)
                    status.ahead = max(ahead, status.ahead * 99 // 100)  # a lone error fades
            elif type(first) is OpenInterest and not self._where.has_trades:
                self._liveness.reading(now)
            elif type(first) is Liquidation and not self._where.has_trades:
                self._liveness.forced_orders(now)
        if records or heard.refusals:
            status.records += len(records)
            status.refused += len(heard.refusals)
            listener.heard(self._where.name, heard, frame, ts_recv)
        return heard.reply

    def _note_missed(self, heard: Heard, ts_recv: int) -> None:
        name = self._where.name
        for since, reason in ((self._began_at, heard.late), (self._status.ts_frame, heard.missed)):
            if reason:
                self._listener.lost(name, since, reason)
                self._listener.back(name, ts_recv)


def retry_after_s(headers: Mapping[str, str] | None) -> float:
    """Return how long a venue that refuses asks us to stay away, seconds; 0 where it does not."""
    headers = headers or {}
    text = headers.get("Retry-After", "")
    if text.isdecimal():
        return min(float(text), 3600.0)
    try:
        until = parsedate_to_datetime(text)
        # By the venue's own clock, where it tells the time.
        now = parsedate_to_datetime(headers["Date"]) if "Date" in headers else datetime.now(UTC)
        return min(max((until - now).total_seconds(), 0.0), 3600.0)
    except (TypeError, ValueError):
        return 0.0


def _why_ended(ws: Socket, message: WSMessageNoDecodeText) -> str:
    if message.type is aiohttp.WSMsgType.ERROR:
        return f"broken: {message.data}"[:200]
    text = f": {message.extra}" if message.type is aiohttp.WSMsgType.CLOSE and message.extra else ""
    return f"closed by the venue ({ws.close_code}{text})"[:200]
