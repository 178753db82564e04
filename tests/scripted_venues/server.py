"""One server for every venue: a WebSocket and REST endpoint that a Script describes.

It runs in a thread with a loop of its own, so that a test may feed a process, or itself. What the
venue printed is its tape: REST serves it, and a test holds what came out against it.
"""

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, NamedTuple, Protocol

from aiohttp import WSCloseCode, WSMsgType, web


class Event(NamedTuple):
    """One print or forced order of a tape: its time in milliseconds, and the venue's number."""

    kind: str
    symbol: str
    number: int
    side: str
    price: float
    quantity: float
    ts: int


class Request(NamedTuple):
    """A client's request to subscribe: its names, and what identifies it in the reply."""

    names: list[str]
    number: Any


class Speaks:
    """What most venues have in common."""

    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")

    def greeting(self) -> list[str]:
        return []

    def wrap(self, text: str) -> str | bytes:
        return text

    def reply(self, message: str) -> str | None:
        return None


class Script(Protocol):
    """How a venue speaks. `path_of` has its WebSocket endpoints, by the names of a Protocol."""

    path_of: dict[str, str]

    def greeting(self) -> list[str]: ...

    def wrap(self, text: str) -> str | bytes:
        """Return a reply as the venue sends it."""

    def request(self, message: str) -> Request | None: ...
    def confirm(self, request: Request) -> list[str]: ...
    def refuse(self, request: Request, names: list[str]) -> tuple[list[str], list[str]]:
        """Return the replies, and the names that are subscribed all the same."""

    def reply(self, message: str) -> str | None:
        """Return what a client's own ping is answered with."""

    def frame(self, event: Event) -> tuple[str, str | bytes]:
        """Return the name of the stream that an event comes on, and its frame."""

    def rest(self, path: str, query: dict[str, str], tape: list[Event]) -> Any:
        """Return what a REST path answers: JSON, or None for 404."""


@dataclass
class Behaviour:
    """What the venue does wrong, until it is told otherwise."""

    refused: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)
    deadly: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    silent_paths: set[str] = field(default_factory=set)
    half_open: bool = False
    mutes_new: bool = False
    most_names: int = 1_000
    away: bool = False
    too_many: int = 0
    copies: int = 1
    retry_after_s: str = "1"
    banned_with: int = 0
    moved: bool = False
    on_subscribe: Callable[[str], list[str | bytes]] | None = None


@dataclass(eq=False)
class Client:
    """One connection of a client: what it subscribed to, by the path it came on."""

    ws: web.WebSocketResponse
    path: str
    names: set[str] = field(default_factory=set)
    is_mute: bool = False


class ScriptedVenue:
    """A running server; commands may be given from any thread."""

    def __init__(
        self, script: Script, loop: asyncio.AbstractEventLoop, tls: ssl.SSLContext | None = None
    ) -> None:
        self.script = script
        self.tls = tls
        self.does = Behaviour()
        self.tape: list[Event] = []
        self.clients: list[Client] = []
        self.most_clients = 0
        self.connects: list[float] = []
        self.requests: list[str] = []
        self.port = 0
        self._loop = loop

    def url(self, path: str = "") -> str:
        return f"ws{'s' if self.tls else ''}://127.0.0.1:{self.port}{path}"

    @property
    def rest_url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def emit(self, *events: Event, to_clients: bool = True) -> None:
        """Print events on the tape, and push them to those who subscribed."""
        self._do(self.emit_here(events, to_clients))

    def send_raw(self, frame: str | bytes) -> None:
        """Push any frame to every client."""
        self._do(self.push_here(None, frame))

    def mute(self) -> None:
        """Send nothing more to those who are connected now; their pings are answered."""
        for client in list(self.clients):
            client.is_mute = True

    def drop(self, path: str = "") -> None:
        """Cut every TCP connection, or those of a path, without a word, nor one of TLS."""
        self._do(self.drop_here([one for one in self.clients if path in ("", one.path)]))

    def close(self, code: int = WSCloseCode.GOING_AWAY) -> None:
        """End every connection with a close frame."""
        self._do(self.close_here(code))

    def subscribed(self, name: str) -> bool:
        return any(name in client.names for client in list(self.clients))

    async def serve(self, ready: threading.Event) -> None:
        app = web.Application()
        for path in set(self.script.path_of.values()):
            app.router.add_get(path, self._websocket)
        app.router.add_route("*", "/{path:.*}", self._rest)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=self.tls)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        ready.set()
        try:
            await asyncio.Event().wait()
        finally:
            await self.drop_here(list(self.clients))
            await runner.cleanup()

    def _do(self, coroutine: Any) -> None:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        future.result(10)

    # What follows is for the server's own loop.

    async def emit_here(self, events: tuple[Event, ...], to_clients: bool = True) -> None:
        """Do as `emit` does."""
        for event in events:
            self.tape.append(event)
            if to_clients:
                name, frame = self.script.frame(event)
                for _ in range(self.does.copies):
                    await self.push_here(name, frame)

    async def push_here(self, name: str | None, frame: str | bytes) -> None:
        """Push a frame of a stream to its subscribers, to every client where None is named."""
        if name in self.does.silent or self.does.half_open:
            return
        for client in list(self.clients):
            if client.path in self.does.silent_paths or client.is_mute or client.ws.closed:
                continue
            if name is None or name in client.names:
                send = client.ws.send_bytes if isinstance(frame, bytes) else client.ws.send_str
                try:
                    await send(frame)  # type: ignore[arg-type]
                except ConnectionError:
                    continue

    async def drop_here(self, clients: list[Client]) -> None:
        """Cut the TCP connections of clients."""
        for client in clients:
            if transport := client.ws._req.transport:  # type: ignore[union-attr]
                transport.abort()

    async def close_here(self, code: int) -> None:
        """Do as `close` does."""
        for client in list(self.clients):
            await client.ws.close(code=code)

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        self.connects.append(time.monotonic())
        if self.does.away:
            return web.Response(status=503)
        if self.does.banned_with:
            return self._banned()
        if self.does.moved and "moved" not in request.query:
            return web.Response(status=302, headers={"Location": f"{request.path}?moved=1"})
        ws = web.WebSocketResponse(autoping=False, compress=False)
        await ws.prepare(request)
        client = Client(ws, request.path, is_mute=self.does.mutes_new)
        self.clients.append(client)
        self.most_clients = max(self.most_clients, len(self.clients))
        try:
            for text in self.script.greeting():
                await self._send(client, text)
            async for message in ws:
                if self.does.half_open:
                    continue
                if message.type is WSMsgType.PING:
                    await ws.pong(message.data)
                elif message.type is WSMsgType.TEXT:
                    await self._hear(client, message.data)
        except ConnectionError:
            pass
        finally:
            self.clients.remove(client)
        return ws

    async def _hear(self, client: Client, message: str) -> None:
        request = self.script.request(message)
        if request is None:
            if (reply := self.script.reply(message)) is not None:
                await self._send(client, reply)
            return
        names = set(request.names)
        if names & self.does.deadly:
            await self.drop_here([client])
            return
        if names & self.does.ignored:
            request = request._replace(
                names=[n for n in request.names if n not in self.does.ignored]
            )
            if not request.names:
                return
        request = request._replace(names=request.names[: self.does.most_names - len(client.names)])
        if not request.names:
            return
        if bad := [name for name in request.names if name in self.does.refused]:
            replies, served = self.script.refuse(request, bad)
        else:
            replies, served = self.script.confirm(request), request.names
        client.names |= set(served)
        for text in replies:
            await self._send(client, text)
        for name in served:
            for frame in self.does.on_subscribe(name) if self.does.on_subscribe else ():
                send = client.ws.send_bytes if isinstance(frame, bytes) else client.ws.send_str
                await send(frame)  # type: ignore[arg-type]

    async def _send(self, client: Client, text: str) -> None:
        message = self.script.wrap(text)
        send = client.ws.send_bytes if isinstance(message, bytes) else client.ws.send_str
        await send(message)  # type: ignore[arg-type]

    def _banned(self) -> web.Response:
        text = self.does.retry_after_s
        if text.startswith("in "):  # as a date
            text = formatdate(time.time() + int(text.removeprefix("in ")), usegmt=True)
        asked = {"Retry-After": text} if text else {}
        return web.Response(status=self.does.banned_with, headers=asked)

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.path}?{request.query_string}")
        if self.does.banned_with:
            return self._banned()
        if self.does.too_many:
            self.does.too_many -= 1
            return web.Response(status=429, headers={"Retry-After": self.does.retry_after_s})
        query = dict(request.query) | (await request.json() if request.can_read_body else {})
        in_order = sorted(self.tape, key=lambda event: event.ts)
        body = self.script.rest(request.path, query, in_order)
        return (
            await _in_pieces(request, json.dumps(body).encode())
            if body is not None
            else web.Response(status=404)
        )


async def _in_pieces(request: web.Request, body: bytes) -> web.StreamResponse:
    """Answer as a network does: not all at once."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for half in (body[: len(body) // 2], body[len(body) // 2 :]):
        await response.write(half)
        await asyncio.sleep(0.001)
    return response


@contextmanager
def serving(
    script: Script, port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[ScriptedVenue]:
    """Run a scripted venue on loopback."""
    loop = asyncio.new_event_loop()
    venue = ScriptedVenue(script, loop, tls)
    venue.port = port
    ready = threading.Event()
    stop: list[asyncio.Task[None]] = []

    def work() -> None:
        asyncio.set_event_loop(loop)
        stop.append(loop.create_task(venue.serve(ready)))
        try:
            loop.run_until_complete(stop[0])
        except asyncio.CancelledError:
            pass
        finally:
            loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(10), "the scripted venue did not start"
    try:
        yield venue
    finally:
        loop.call_soon_threadsafe(stop[0].cancel)
        thread.join(10)
