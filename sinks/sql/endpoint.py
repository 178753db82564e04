"""ClickHouse's HTTP interface, reading only, over the embedded database of this process.

One process owns the embedded database; clickhouse-connect, curl and Grafana ask it here.
Settings in a request count where they are the caller's to change (`sinks.sql.settings`);
others are ignored, and named in `X-Undertow-Ignored`. Beyond loopback every request must
show the token of `schemas.access`. Queries run in processes of their own, two at once
beside one that takes long.
"""

import asyncio
import io
import json
import logging
import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from aiohttp import web

from schemas.access import is_allowed, is_loopback, why_not_bound
from sinks.clickhouse.client import DATABASE
from sinks.sql import compression, connections
from sinks.sql.protocol import Head, Limits, QueryError, Question, failure, refuse
from sinks.sql.reader import Cancelled, Reader

log = logging.getLogger(__name__)

#: Queries at once that have not taken long, each in a process of its own; and a long one.
SHORT = 2
#: Queries that may wait or run; one more is told to come back later (code 202).
MAX_QUERIES = 32
MAX_SQL_BYTES = 1_000_000
#: A request's body must be here within this, seconds.
_BODY_S = 30.0
#: An answer must be taken within this and its size at this rate, seconds and bytes a second.
_TAKE_S = 30.0
_TAKE_BYTES_S = 1_000_000
_PIECE_BYTES = 1 << 18
#: Bytes of answers that clients have not taken; they lie in files without names.
MAX_UNTAKEN_BYTES = 500_000_000

#: HTTP status by ClickHouse code, as a server answers; everything else is 500.
_STATUS = {
    46: 404, 47: 404, 60: 404, 81: 404,  # unknown function, identifier, table, database
    62: 400, 36: 400, 43: 400, 53: 400, 72: 400, 73: 400, 456: 400, 457: 400,
    159: 408, 164: 403, 202: 503, 381: 413, 516: 401,
}  # fmt: skip
_NO_TOKEN = (
    "Code: 516. DB::Exception: The token is missing or wrong: send it as a bearer token or as"
    " the password of any user. (AUTHENTICATION_FAILED)"
)
#: Arguments of the HTTP interface itself; of the rest, what is not param_* is a setting.
_TRANSPORT = frozenset(
    {"query", "database", "default_format", "user", "password", "quota_key", "query_id", "role"}
    | {"session_id", "session_timeout", "session_check", "compress", "decompress", "buffer_size"}
    | {"wait_end_of_query", "stacktrace", "client_protocol_version", "enable_http_compression"}
    | {"send_progress_in_http_headers", "http_headers_progress_interval_ms"}
)
_CONTENT_TYPES = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
}


class EndpointError(Exception):
    """The endpoint cannot listen: `host`, `port`, `reason`."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot serve SQL on {host}:{port}: {reason}")
        self.host = host
        self.port = port
        self.reason = reason


class Pages(Protocol):
    """Pages that are served beside the endpoint; a link of another's may open `address`.

    Other pages may show what lies below `shown`.
    """

    address: str
    shown: str

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""


class Endpoint:
    """A running endpoint: `host`, `port`, `url`; `stop` it when done."""

    def __init__(
        self, host: str, port: int, reader: Reader, token: str, pages: Pages | None
    ) -> None:
        self._handlers = _Handlers(reader, token)
        self._reader = reader
        app = web.Application(client_max_size=MAX_SQL_BYTES)
        open_to_others = (pages.address, pages.shown) if pages else ()
        connections.guard(
            app, is_loopback(host), lambda why: _failure(refuse(why), {}), *open_to_others
        )
        app.router.add_get("/ping", _ping)
        app.router.add_route("*", "/", self._handlers.handle)
        if pages:
            pages.add_to(app)
        self._served = connections.Threaded(app, host, port, "sql")

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._served.host

    @property
    def port(self) -> int:
        """Its port."""
        return self._served.port

    @property
    def url(self) -> str:
        """Where clients find it."""
        return self._served.url

    def start(self) -> None:
        """Listen from a thread of its own; raises EndpointError."""
        try:
            self._served.start()
        except OSError as problem:
            self._handlers.threads.shutdown(wait=False)
            reason = problem.strerror or str(problem)
            raise EndpointError(self.host, self.port, reason) from problem

    def stop(self) -> None:
        """Stop listening, and end whatever runs."""
        self._reader.close()
        self._served.stop()
        self._handlers.threads.shutdown(wait=True, cancel_futures=True)


def serve(
    path: str | Path,
    host: str = "127.0.0.1",
    port: int = 0,
    limits: Limits | None = None,
    token: str = "",
    pages: Pages | None = None,
) -> Endpoint:
    """Serve the embedded database at `path` (its own folder) on `host`:`port` (0 picks one).

    Whoever has the database open is not disturbed; with a `token`, requests must show it.
    `pages` answer beside it.
    Raises EndpointError when the port is taken or the host needs a token.
    """
    if problem := why_not_bound(host, token):
        raise EndpointError(host, port, problem)
    endpoint = Endpoint(host, port, Reader(path, limits, SHORT), token, pages)
    endpoint.start()
    return endpoint


async def _ping(_: web.Request) -> web.Response:
    return web.Response(text="Ok.\n")


class _Handlers:
    """What answers on /, and the threads that wait for the readers."""

    def __init__(self, reader: Reader, token: str) -> None:
        self.threads = ThreadPoolExecutor(MAX_QUERIES, thread_name_prefix="sql-query")
        self._reader = reader
        self._token = token
        self._waiting = 0
        #: Answers on their way and their sizes, oldest first.
        self._untaken: dict[web.RequestHandler, int] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request on /."""
        query_id = request.query.get("query_id") or str(uuid.uuid4())
        headers = {"X-ClickHouse-Query-Id": _header(query_id), "X-ClickHouse-Timezone": "UTC"}
        framed = request.query.get("compress") in ("1", "true")
        try:
            if not is_allowed(self._token, request.headers):
                raise QueryError(516, _NO_TOKEN)
            async with asyncio.timeout(_BODY_S):
                arguments = await _arguments(request)
            if not arguments.get("query", "").strip():
                return web.Response(text="Ok.\n", headers=headers)
            return await self._answer(request, _question(request, arguments), headers)
        except QueryError as problem:
            return _failure(problem, headers, framed)
        except TimeoutError:
            why = f"The query was not here within {_BODY_S:g} seconds."
            return _failure(failure(209, "SOCKET_TIMEOUT", why), headers, framed)

    async def _answer(
        self, request: web.Request, question: Question, headers: dict[str, str]
    ) -> web.StreamResponse:
        if self._waiting >= MAX_QUERIES:
            why = "Too many queries, come back later."
            raise failure(202, "TOO_MANY_SIMULTANEOUS_QUERIES", why)
        cancelled = threading.Event()
        self._waiting += 1
        try:
            ask = partial(self._reader.ask, question, cancelled)
            head, body = await asyncio.get_running_loop().run_in_executor(self.threads, ask)
        except Cancelled:
            raise failure(394, "QUERY_WAS_CANCELLED", "Query was cancelled.") from None
        finally:
            cancelled.set()
            self._waiting -= 1
        with body:
            return await self._hand_over(request, head, body, headers)

    async def _hand_over(
        self, request: web.Request, head: Head, body: BinaryIO, headers: dict[str, str]
    ) -> web.StreamResponse:
        """Send an answer as fast as it is taken, within bounds of time and of all answers."""
        response = web.StreamResponse(headers=headers | _answer_headers(head))
        response.content_length = head.size
        self._room_for(request.protocol, head.size)
        try:
            async with asyncio.timeout(_TAKE_S + head.size / _TAKE_BYTES_S):
                await response.prepare(request)
                while request.method != "HEAD" and (piece := body.read(_PIECE_BYTES)):
                    await response.write(piece)
                await response.write_eof()
        except TimeoutError:
            # Its head is with the client: only a torn connection says that the rest is missing.
            log.info("an answer of %d bytes was not taken in time", head.size)
            _cut(request.protocol)
        finally:
            self._untaken.pop(request.protocol, None)
        return response

    def _room_for(self, client: web.RequestHandler, size: int) -> None:
        """Count an answer, and cut the oldest ones off that leave no room for it."""
        self._untaken[client] = size
        while sum(self._untaken.values()) > MAX_UNTAKEN_BYTES and len(self._untaken) > 1:
            oldest = next(iter(self._untaken))
            log.info("an answer of %d bytes made room for others", self._untaken.pop(oldest))
            _cut(oldest)


def _cut(client: web.RequestHandler) -> None:
    if isinstance(client.transport, asyncio.Transport):
        client.transport.abort()


def _question(request: web.Request, arguments: Mapping[str, str]) -> Question:
    asked, version = request.headers, arguments.get("client_protocol_version", "")
    fmt = arguments.get("default_format") or asked.get("X-ClickHouse-Format") or "TabSeparated"
    database = arguments.get("database") or asked.get("X-ClickHouse-Database") or DATABASE
    return Question(
        arguments["query"],
        fmt,
        {k[6:]: v for k, v in arguments.items() if k.startswith("param_")},
        # Clients that were told no database say `default`, and mean the one there is.
        DATABASE if database == "default" else database,
        {k: v for k, v in arguments.items() if k not in _TRANSPORT and k[:6] != "param_"},
        int(version) if version.isdecimal() else 0,
        _encoding(request, arguments),
    )


def _encoding(request: web.Request, arguments: Mapping[str, str]) -> str:
    if arguments.get("compress") in ("1", "true"):
        return compression.FRAMES
    if arguments.get("enable_http_compression") in ("0", "false"):
        return ""
    return compression.accepted(request.headers.get("Accept-Encoding", ""))


async def _arguments(request: web.Request) -> dict[str, str]:
    """Collect the query's arguments from the URL, a form, and the body; raises QueryError."""
    if request.method not in ("GET", "HEAD", "POST"):
        raise refuse(f"{request.method} is refused")
    arguments = dict(request.query)
    if request.method != "POST":
        return arguments
    try:
        if request.content_type == "multipart/form-data":
            form = await request.post()
            body = str(form.get("query", "")).encode()
            arguments |= {k: v for k, v in form.items() if isinstance(v, str) and k != "query"}
        else:
            body = _unpacked(await request.read(), request.headers.get("Content-Encoding", ""))
            if arguments.get("decompress") in ("1", "true"):
                body = _unframed(body)
    except web.HTTPRequestEntityTooLarge:
        raise _too_large() from None
    if _first_word(arguments.get("query", "") or body[:64].decode("ascii", "replace")) == "insert":
        raise refuse("INSERT is refused")  # before its binary rows are taken for text
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise QueryError(62, "Code: 62. DB::Exception: The query is not UTF-8 text.") from None
    # As a server: the URL's query continues in the body.
    arguments["query"] = "\n".join(filter(None, (arguments.get("query", ""), text)))
    return arguments


def _unpacked(body: bytes, encoding: str) -> bytes:
    """Undo lz4, up to MAX_SQL_BYTES; what aiohttp knows it has undone, within the same bound."""
    if encoding in ("", "identity", "gzip", "deflate", "br", "zstd"):
        return body
    if encoding != "lz4":
        raise refuse(f"Content-Encoding {encoding!r} is not known")
    try:
        import lz4.frame  # comes with clickhouse-connect

        # Clients compress what they send block by block: one frame behind another.
        with lz4.frame.open(io.BytesIO(body)) as frames:
            plain: bytes = frames.read(MAX_SQL_BYTES + 1)
    except Exception as problem:
        raise QueryError(432, f"Code: 432. DB::Exception: {encoding}: {problem}") from problem
    if len(plain) > MAX_SQL_BYTES:
        raise _too_large()
    return plain


def _unframed(body: bytes) -> bytes:
    """Undo ClickHouse's own frames, up to MAX_SQL_BYTES."""
    try:
        plain = compression.plain_from_frames(body, MAX_SQL_BYTES)
    except compression.Torn as problem:
        raise failure(40, "CHECKSUM_DOESNT_MATCH", f"{problem}.") from None
    if len(plain) > MAX_SQL_BYTES:
        raise _too_large()
    return plain


def _too_large() -> QueryError:
    text = f"Code: 381. DB::Exception: The query is larger than {MAX_SQL_BYTES} bytes."
    return QueryError(381, text + " (QUERY_IS_TOO_LARGE)")


def _first_word(text: str) -> str:
    return (text.split(None, 1) or [""])[0].lower()


def _answer_headers(head: Head) -> dict[str, str]:
    summary = {
        "read_rows": str(head.read_rows),
        "read_bytes": str(head.read_bytes),
        "result_rows": str(head.rows),
        "result_bytes": str(head.size),
        "elapsed_ns": str(head.elapsed_ns),
    }
    headers = {
        "X-ClickHouse-Summary": json.dumps(summary),
        "X-ClickHouse-Format": head.fmt,
        "Content-Type": _CONTENT_TYPES.get(head.fmt, "application/octet-stream"),
    }
    if head.encoding and head.encoding != compression.FRAMES:
        headers |= {"Content-Encoding": head.encoding, "Vary": "Accept-Encoding"}
    if head.ignored:
        headers["X-Undertow-Ignored"] = _header(",".join(head.ignored))
    return headers


def _failure(problem: QueryError, headers: dict[str, str], framed: bool = False) -> web.Response:
    headers |= {"X-ClickHouse-Exception-Code": str(problem.code)}
    if problem.code == 516:
        headers["WWW-Authenticate"] = "Bearer"
    body = problem.text.rstrip().encode() + b"\n"
    if framed:  # a client that asked for frames undoes them before it looks at the status
        body = compression.compressed(body, compression.FRAMES)
    headers["Content-Type"] = "text/plain; charset=UTF-8"
    return web.Response(status=_STATUS.get(problem.code, 500), body=body, headers=headers)


def _header(text: str) -> str:
    """Keep what may stand in a header: a caller's line breaks must not."""
    return "".join(c for c in text[:200] if c.isascii() and c.isprintable())
