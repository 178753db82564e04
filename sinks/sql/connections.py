"""How many may be connected, and for how long: an HTTP server that idle clients cannot fill.

A connection that has not sent a whole request head within `IDLE_S`, or has been idle for
so long, is closed. One more than fit takes the place of the one that has been idle the
longest; when all are at work it is told so and closed.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from schemas.access import most_connections, why_foreign

#: A head must be here within this, and a kept connection used again, seconds.
IDLE_S = 15.0
#: What runs is given so long at the end, seconds.
_STOP_S = 2.0
#: So many are accepted before they are counted.
_BACKLOG = 32

_log = logging.getLogger("undertow.http")
_log.addFilter(lambda record: not _is_nonsense(record))

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: Makes the answer to a request that is another page's doing.
Refuse = Callable[[str], web.Response]


class Server:
    """An aiohttp application on one address; `port` is known once it listens."""

    def __init__(self, app: web.Application, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._most = most_connections()
        self._at_work: set[asyncio.BaseProtocol] = set()
        app.middlewares.insert(0, self._count)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_log,
            shutdown_timeout=_STOP_S,
            keepalive_timeout=IDLE_S,
            handler_cancellation=True,
        )
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Begin; raises OSError."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._connection, self.host, self.port, backlog=_BACKLOG
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, and end what runs."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    @web.middleware
    async def _count(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        protocol = request.protocol
        self._at_work.add(protocol)
        try:
            return await handler(request)
        finally:
            self._at_work.discard(protocol)

    def _connection(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        assert server is not None
        # One that was closed just now is without a transport, and still listed.
        open_ones = [each for each in server.connections if each.transport is not None]
        if len(open_ones) >= self._most:
            idle = next((each for each in open_ones if each not in self._at_work), None)
            if idle is None:
                return _Full()
            idle.force_close()
        return server()


class Threaded:
    """A server on an event loop and thread of its own: `host`, `port`, `url`."""

    def __init__(self, app: web.Application, host: str, port: int, name: str) -> None:
        self._server = Server(app, host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._server.host

    @property
    def port(self) -> int:
        """Its port."""
        return self._server.port

    @property
    def url(self) -> str:
        """Where clients find it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def start(self) -> None:
        """Listen; raises OSError."""
        self._thread.start()
        try:
            self._on_loop(self._server.listen())
        except OSError:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop listening, and end whatever runs."""
        if self._loop.is_closed():
            return
        self._on_loop(self._server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _on_loop(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


class _Full(asyncio.Protocol):
    """Tells a client that there is no place for it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        body = b"Code: 202. DB::Exception: Too many connections, come back later.\n"
        head = f"Content-Length: {len(body)}\r\nX-ClickHouse-Exception-Code: 202\r\n"
        status = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
        transport.write(f"{status}{head}\r\n".encode() + body)
        transport.close()


def _is_nonsense(record: logging.LogRecord) -> bool:
    """Say whether a client sent what is no HTTP: its fault, and it may hold secrets."""
    problem = record.exc_info[1] if record.exc_info else None
    return isinstance(problem, HttpProcessingError)


def guard(
    app: web.Application, loopback: bool, refuse: Refuse, page: str = "", shown: str = ""
) -> None:
    """Have `app` refuse what other pages send, and keep browsers from guessing what it answers.

    A link of another's may open `page`, which holds no data, and its page may show what lies below
    `shown`, whose addresses nobody guesses.
    """

    @web.middleware
    async def check(request: web.Request, handler: _Handler) -> web.StreamResponse:
        asked = request.headers
        is_shown = bool(shown) and request.method == "GET" and request.path.startswith(shown)
        if is_shown or (request.path == page and _opens(request)):
            problem = why_foreign({"Host": asked.get("Host", "")}, loopback)
        else:
            problem = why_foreign(asked, loopback)
        return refuse(problem) if problem else await handler(request)

    async def label(_: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Content-Type-Options"] = "nosniff"

    app.middlewares.append(check)
    app.on_response_prepare.append(label)


def _opens(request: web.Request) -> bool:
    """Say whether a browser asks for a page of its own, not for a part of another's."""
    asked = request.headers
    whole = asked.get("Sec-Fetch-Mode") == "navigate" and asked.get("Sec-Fetch-Dest") == "document"
    return request.method == "GET" and whole
