"""What the board answers over HTTP: the page and its files, the events, and data by panel.

/board/                     the page; anybody may load it, it holds no data
/board/events               server-sent events: `whole`, then `changes`, `state` and `beat`
/board/data/now.json?at=    every shared panel as of a moment
/board/data/PANEL.json      one panel; also .csv, and .sql: the statement with its values
/board/picture/EPISODE.png  an episode as a picture, for whoever has the pass that is for it
/board/login                says whether data may be read; takes the token, gives a cookie
"""

import asyncio
import gzip
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from aiohttp import web

from schemas.access import is_allowed, pass_of
from sinks.board import login, panels
from sinks.board.live import Listener, Live, Source
from sinks.board.panels import Ask, BadQuestion
from sinks.board.queries import PANELS
from sinks.board.state import state
from sinks.report.picture import NoPicture, picture
from sinks.sql.protocol import QueryError
from sinks.sql.reader import Cancelled

#: Where the page is.
PAGE = "/board/"
#: Where pictures are, which others' pages may show.
PICTURES = f"{PAGE}picture/"
STATIC = Path(__file__).parent / "static"
#: Listeners at once; one more is told to come back later.
LISTENERS = 64
#: An idle stream says so this often, seconds; one that takes nothing for so long is cut off.
BEAT_S, STALL_S = 5.0, 30.0
#: The same question within this is asked once, seconds; answers kept at most.
SAME_S, KEPT = 2.0, 64
#: A wrong token costs this much time, seconds.
_WRONG_S = 0.5
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_DATA_TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "sql": "text/plain; charset=utf-8",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class _File(NamedTuple):
    packed: bytes
    kind: str
    tag: str


class Board:
    """The board's answers over one store; `add_to` puts them into an application."""

    address = PAGE
    shown = PICTURES

    def __init__(self, ask: Ask, token: str, source: Source = Source()) -> None:
        """`token` is asked for unless empty."""
        self._ask = ask
        self._token = token
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="board")
        self._live = Live(ask, self._call, source)
        self._source = source
        self._files = _files()
        self._closing = False
        self._drawing = asyncio.Lock()
        self._answers: dict[tuple[str, ...], tuple[float, asyncio.Task[bytes]]] = {}

    def add_to(self, app: web.Application) -> None:
        """Add the routes, and what ends the streams when the server stops."""
        app.router.add_get("/board", _to_page)
        app.router.add_get("/board/events", self._events)
        app.router.add_get("/board/data/{name}.{form}", self._data)
        app.router.add_get("/board/picture/{episode}.png", self._picture)
        app.router.add_get("/board/login", self._is_in)
        app.router.add_post("/board/login", self._login)
        app.router.add_get("/board/{path:.*}", self._file)
        app.on_shutdown.append(self._close)

    async def _close(self, _: web.Application) -> None:
        self._closing = True
        await self._live.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _call(self, ask: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    def _refusal(self, request: web.Request) -> web.Response | None:
        if login.may_read(self._token, request.headers, request.cookies):
            return None
        return _text(401, "the token is missing or wrong")

    async def _file(self, request: web.Request) -> web.Response:
        file = self._files.get(request.match_info["path"] or "index.html")
        if file is None:
            return _text(404, "there is no such page")
        headers = _HEADERS | {"ETag": file.tag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == file.tag:
            return web.Response(status=304, headers=headers)
        return _sent(request, file.packed, headers | {"Content-Type": file.kind})

    async def _is_in(self, request: web.Request) -> web.Response:
        allowed = login.may_read(self._token, request.headers, request.cookies)
        headers = _HEADERS | {"Cache-Control": "no-store"}
        return web.json_response({"allowed": allowed}, headers=headers)

    async def _login(self, request: web.Request) -> web.Response:
        try:
            sent = orjson.loads(await request.read())
            shown = {"Authorization": f"Bearer {sent['token']}"}
        except (ValueError, TypeError, KeyError):
            return _text(400, "send a JSON object with the token")
        if not is_allowed(self._token, shown):
            await asyncio.sleep(_WRONG_S)
            return _text(401, "the token is wrong")
        response = web.Response(status=204, headers=_HEADERS)
        response.set_cookie(
            login.COOKIE,
            login.cookie(self._token),
            max_age=login.LASTS_S,
            path="/board",
            httponly=True,
            samesite="Strict",
            secure=request.secure,
        )
        return response

    async def _data(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        name, form = request.match_info["name"], request.match_info["form"]
        if form not in _DATA_TYPES or (name not in PANELS and (name, form) != ("now", "json")):
            return _text(404, f"there is no panel {name[:40]!r} as {form[:10]!r}")
        try:
            body = await self._answer(name, form, request.query)
        except BadQuestion as problem:
            return _text(400, str(problem))
        except (QueryError, Cancelled, OSError) as problem:
            return _text(503, f"the store does not answer: {problem}"[:400])
        headers = {"Content-Type": _DATA_TYPES[form], "Cache-Control": "no-store"}
        if form == "csv":
            headers["Content-Disposition"] = f'attachment; filename="undertow-{name}.csv"'
        return _sent(request, body, _HEADERS | headers)

    async def _picture(self, request: web.Request) -> web.Response:
        episode = request.match_info["episode"]
        given = request.query.get("pass", "").encode()
        if not hmac.compare_digest(given, pass_of(self._token, episode).encode()) and (
            refusal := self._refusal(request)
        ):
            return refusal

        def ask(sql: str) -> str:
            return self._ask(sql, {}, "JSONCompact").decode()

        async with self._drawing:  # one at a time: each costs a second of a core
            try:
                png = await self._call(partial(picture, ask, episode))
            except NoPicture as problem:
                return _text(404, str(problem)[:400])
            except Cancelled as problem:
                return _text(503, f"the store does not answer: {problem}"[:400])
        # Others' pages show it: it is for whoever has its address.
        headers = {"Cross-Origin-Resource-Policy": "cross-origin", "Cache-Control": "no-store"}
        return web.Response(body=png, content_type="image/png", headers=_HEADERS | headers)

    async def _answer(self, name: str, form: str, query: Mapping[str, str]) -> bytes:
        """Return a packed answer; the same question at the same time is asked once."""
        now = (
            self._live.at
            or (await self._call(partial(panels.moment, self._ask, self._source.run()))).at
        )
        if name == "now":
            at = panels.moment_of(query.get("at", "")) or now
            key: tuple[str, ...] = (name, at or "")
            ask = partial(self._now, at)
        else:
            values = panels.values_of(name, query, now)
            key = (name, form, *values.values())
            ask = partial(panels.answer, self._ask, name, values, form)
        moment = time.monotonic()
        for old in [k for k, (asked_at, _) in self._answers.items() if asked_at < moment - SAME_S]:
            del self._answers[old]
        if key not in self._answers:
            while len(self._answers) >= KEPT:
                del self._answers[next(iter(self._answers))]
            task = asyncio.ensure_future(self._call(lambda: _packed(ask())))
            self._answers[key] = (moment, task)
        # Whoever goes away does not take the others' answer along.
        return await asyncio.shield(self._answers[key][1])

    def _now(self, at: str | None) -> bytes:
        rows = panels.shared(self._ask, at, self._source.outbox)
        judged = state(at, None, False, rows) | {"at": at, "problem": None}
        return orjson.dumps({"state": judged, "panels": rows})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._refusal(request):
            return refusal
        if len(self._live.listeners) >= LISTENERS:
            return _text(503, f"{LISTENERS} listeners are connected, come back later")
        last_id = request.headers.get("Last-Event-ID") or request.query.get("after", "")
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        headers["X-Accel-Buffering"] = "no"  # a proxy before us would wait for more
        response = web.StreamResponse(headers=_HEADERS | headers)
        await response.prepare(request)
        listener = self._live.join(last_id)
        try:
            await self._tell(listener, response)
        except (TimeoutError, ConnectionError):
            if isinstance(request.transport, asyncio.Transport):
                request.transport.abort()
        finally:
            self._live.leave(listener)
        return response

    async def _tell(self, listener: Listener, response: web.StreamResponse) -> None:
        await response.write(b"retry: 1000\n\n")
        while not self._closing:
            contents = []
            if listener.stale:
                listener.stale = False
                contents.append(self._live.whole().content)
            while listener.waiting:
                contents.append(listener.waiting.popleft().content)
            contents.append(b"event: beat\ndata: %d\n\n" % time.time())
            listener.news.clear()
            async with asyncio.timeout(STALL_S):
                for content in contents:
                    await response.write(content)
            try:
                async with asyncio.timeout(BEAT_S):
                    await listener.news.wait()
            except TimeoutError:
                continue


async def _to_page(_: web.Request) -> web.Response:
    return web.Response(status=308, headers={"Location": PAGE})


def _files() -> dict[str, _File]:
    """Return the page's files, packed, by their path."""
    files = {}
    for path in sorted(STATIC.rglob("*")):
        if kind := _TYPES.get(path.suffix):
            content = path.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            files[path.relative_to(STATIC).as_posix()] = _File(_packed(content), kind, tag)
    return files


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, 5, mtime=0)


def _sent(request: web.Request, packed: bytes, headers: Mapping[str, str]) -> web.Response:
    """Return a packed body as it is to whoever takes it so."""
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        both = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return web.Response(body=packed, headers={**headers, **both})
    return web.Response(
        body=gzip.decompress(packed), headers={**headers, "Vary": "Accept-Encoding"}
    )


def _text(status: int, line: str) -> web.Response:
    return web.Response(status=status, text=f"{line}\n", headers=_HEADERS)
