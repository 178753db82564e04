"""ClickHouse's HTTP interface, reading only, over the embedded database of this process.

One process owns the embedded database; clickhouse-connect, curl and Grafana ask it here.
Settings in a request are ignored (named in `X-Undertow-Ignored`): limits are not the
caller's to lift. Beyond loopback every request must show the token of `schemas.access`.
"""

import asyncio
import json
import logging
import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiohttp import web

from schemas.access import is_allowed, is_loopback, why_not_bound
from sinks.clickhouse.client import DATABASE
from sinks.sql.reader import Answer, Limits, QueryError, Reader, refuse

log = logging.getLogger(__name__)

THREADS = 2
#: Queries that may wait or run; one more is told to come back later (code 202).
MAX_QUERIES = 32
MAX_SQL_BYTES = 1_000_000

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


class Endpoint:
    """A running endpoint: `host`, `port`, `url`; `stop` it when done."""

    def __init__(self, host: str, port: int, reader: Reader, token: str) -> None:
        self.host = host
        self.port = port
        self._app = _Application(reader, is_loopback(host), token)
        self._reader = reader
        self._loop = asyncio.new_event_loop()
        self._runner: web.AppRunner | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="sql", daemon=True)

    @property
    def url(self) -> str:
        """Where clients find it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def start(self) -> None:
        """Listen from a thread of its own; raises EndpointError."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        except OSError as problem:
            self.stop()
            reason = problem.strerror or str(problem)
            raise EndpointError(self.host, self.port, reason) from problem

    def stop(self) -> None:
        """Stop listening, wait for the queries that run, let go of the database."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._app.threads.shutdown(wait=True, cancel_futures=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._reader.close()

    async def _listen(self) -> None:
        app = web.Application(client_max_size=MAX_SQL_BYTES)
        app.router.add_get("/ping", _ping)
        app.router.add_route("*", "/", self._app.handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]

    async def _close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()


def serve(
    path: str | Path,
    host: str = "127.0.0.1",
    port: int = 0,
    limits: Limits | None = None,
    token: str = "",
) -> Endpoint:
    """Serve the embedded database at `path` (its own folder) on `host`:`port` (0 picks one).

    The process may have the database open already; with a `token`, requests must show it.
    Raises EndpointError when the port is taken or the host needs a token, DataDirBusy when
    another process owns the database.
    """
    if problem := why_not_bound(host, token):
        raise EndpointError(host, port, problem)
    endpoint = Endpoint(host, port, Reader(path, limits), token)
    endpoint.start()
    return endpoint


async def _ping(_: web.Request) -> web.Response:
    return web.Response(text="Ok.\n")


class _Application:
    """The handler and the threads that queries run in."""

    def __init__(self, reader: Reader, loopback: bool, token: str) -> None:
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="sql-query")
        self._reader = reader
        self._loopback = loopback
        self._token = token
        self._running = 0

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request on /."""
        query_id = request.query.get("query_id") or str(uuid.uuid4())
        headers = {"X-ClickHouse-Query-Id": _header(query_id), "X-ClickHouse-Timezone": "UTC"}
        try:
            self._check_host(request)
            if not is_allowed(self._token, request.headers):
                raise QueryError(516, _NO_TOKEN)
            arguments = await _arguments(request)
            if not arguments.get("query", "").strip():
                return web.Response(text="Ok.\n", headers=headers)
            answer = await self._run(request, arguments)
        except QueryError as problem:
            return _failure(problem, headers)
        ignored = sorted(k for k in arguments if k not in _TRANSPORT and k[:6] != "param_")
        if ignored:
            headers["X-Undertow-Ignored"] = _header(",".join(ignored))
        return _success(answer, headers)

    def _check_host(self, request: web.Request) -> None:
        # A web page whose name is re-bound to 127.0.0.1 sends its own name as Host.
        if self._loopback and not is_loopback(_hostname(request.headers.get("Host", ""))):
            raise refuse(f"Host {request.headers.get('Host', '')!r} is not this machine")

    async def _run(self, request: web.Request, arguments: Mapping[str, str]) -> Answer:
        if self._running >= MAX_QUERIES:
            text = "Code: 202. DB::Exception: Too many queries, come back later."
            raise QueryError(202, text + " (TOO_MANY_SIMULTANEOUS_QUERIES)")
        asked = request.headers
        fmt = arguments.get("default_format") or asked.get("X-ClickHouse-Format") or "TabSeparated"
        database = arguments.get("database") or asked.get("X-ClickHouse-Database") or DATABASE
        # Clients that were told no database say `default`, and mean the one there is.
        database = DATABASE if database == "default" else database
        params = {k[6:]: v for k, v in arguments.items() if k.startswith("param_")}
        self._running += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self.threads,
                lambda: self._reader.run(arguments["query"], fmt, params, database),
            )
        finally:
            self._running -= 1


async def _arguments(request: web.Request) -> dict[str, str]:
    """Collect the query's arguments from the URL, a form, and the body; raises QueryError."""
    if request.method not in ("GET", "POST"):
        raise refuse(f"{request.method} is refused")
    arguments = dict(request.query)
    if request.method == "GET":
        return arguments
    try:
        if request.content_type == "multipart/form-data":
            form = await request.post()
            body = str(form.get("query", "")).encode()
            arguments |= {k: v for k, v in form.items() if isinstance(v, str) and k != "query"}
        else:
            raw = await request.read()
            body = _unpacked(raw, request.headers.get("Content-Encoding", ""))
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
        from lz4.frame import LZ4FrameDecompressor  # comes with clickhouse-connect

        frame = LZ4FrameDecompressor()
        plain: bytes = frame.decompress(body, MAX_SQL_BYTES + 1)
        if not frame.eof and len(plain) <= MAX_SQL_BYTES:
            raise ValueError("the frame has no end")
    except Exception as problem:
        raise QueryError(432, f"Code: 432. DB::Exception: {encoding}: {problem}") from problem
    if len(plain) > MAX_SQL_BYTES:
        raise _too_large()
    return plain


def _too_large() -> QueryError:
    text = f"Code: 381. DB::Exception: The query is larger than {MAX_SQL_BYTES} bytes."
    return QueryError(381, text + " (QUERY_IS_TOO_LARGE)")


def _first_word(text: str) -> str:
    return (text.split(None, 1) or [""])[0].lower()


def _success(answer: Answer, headers: dict[str, str]) -> web.Response:
    summary = {"read_rows": str(answer.rows), "elapsed_ns": str(answer.elapsed_ns)}
    kind = _CONTENT_TYPES.get(answer.fmt, "application/octet-stream")
    headers |= {
        "X-ClickHouse-Summary": json.dumps(summary),
        "X-ClickHouse-Format": answer.fmt,
        "Content-Type": kind,
    }
    return web.Response(body=answer.body, headers=headers)


def _failure(problem: QueryError, headers: dict[str, str]) -> web.Response:
    headers |= {"X-ClickHouse-Exception-Code": str(problem.code)}
    if problem.code == 516:
        headers["WWW-Authenticate"] = "Bearer"
    text = problem.text.rstrip() + "\n"
    return web.Response(status=_STATUS.get(problem.code, 500), text=text, headers=headers)


def _header(text: str) -> str:
    """Keep what may stand in a header: a caller's line breaks must not."""
    return "".join(c for c in text[:200] if c.isascii() and c.isprintable())


def _hostname(host: str) -> str:
    """Take the port off a Host header."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host
