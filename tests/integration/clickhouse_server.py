"""A ClickHouse server for tests: the real engine (chDB) behind its HTTP interface, with faults.

    python tests/integration/clickhouse_server.py --path DIR --port P      # prints its URL

It takes what clickhouse-connect's HTTP client sends, writes included, and runs it on chDB.
`POST /fault {"kind": …, "count": n}` spoils the next n inserts (`"on": "any"`: requests):

    503           refused, nothing is written
    reset_before  the connection is reset, nothing is written
    reset_after   written, then the connection is reset
    timeout_after written, never answered
    down          nobody listens for `"seconds": s`, at once
    none          no fault from here on
"""

import argparse
import asyncio
import contextlib
import io
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aiohttp import web

KINDS = ("503", "reset_before", "reset_after", "timeout_after", "down", "none")
_TRANSPORT = frozenset(
    {"query", "database", "default_format", "user", "password", "quota_key", "query_id", "role"}
    | {"session_id", "session_timeout", "session_check", "compress", "decompress", "buffer_size"}
    | {"wait_end_of_query", "stacktrace", "client_protocol_version", "enable_http_compression"}
    | {"send_progress_in_http_headers", "http_headers_progress_interval_ms"}
)
_INSERT = re.compile(rb"\s*(INSERT\s+INTO\s.{1,8000}?)\s+FORMAT\s+(\w+)\s*?\n", re.I | re.S)
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.I)
_CODE = re.compile(r"Code: (\d+)\.")


class Engine:
    """The database at `path`; each request has a connection of its own, as a server's has."""

    def __init__(self, path: str) -> None:
        import chdb

        self._open = lambda: chdb.connect(path)
        self._keeper = self._open()
        self.threads = ThreadPoolExecutor(4)

    def run(self, arguments: dict[str, str], body: bytes) -> tuple[bytes, int, str]:
        """Return the answer, the rows written and the format; raises RuntimeError."""
        connection = self._open()
        try:
            if database := arguments.get("database"):
                connection.query(f"USE `{database}`")
            for name, value in arguments.items():
                if name not in _TRANSPORT and not name.startswith("param_"):
                    connection.query("SET {} = '{}'".format(name, value.replace("'", "\\'")))
            whole = "\n".join(filter(None, (arguments.get("query", ""),))).encode()
            whole = whole + b"\n" + body if whole else body
            if match := _INSERT.match(whole):
                return b"", _insert(connection, match, whole[match.end() :]), ""
            sql = whole.decode()
            named = _FORMAT.search(sql)
            fmt = named.group(1) if named else arguments.get("default_format", "TabSeparated")
            params = {k[6:]: v for k, v in arguments.items() if k.startswith("param_")}
            return connection.query(sql, fmt, params=params).bytes() or b"", 0, fmt
        finally:
            connection.close()


def _insert(connection: Any, head: Any, rows: bytes) -> int:
    # Not by send_insert, which says nothing of a row that a constraint refuses.
    with tempfile.NamedTemporaryFile(suffix=".insert") as file:
        file.write(rows)
        file.flush()
        statement, fmt = head.group(1).decode(), head.group(2).decode()
        done = connection.query(f"{statement} FROM INFILE '{file.name}' FORMAT {fmt}")
        return int(done.rows_read())


class Server:
    """The HTTP interface over an engine, and the fault in force."""

    def __init__(self, engine: Engine, port: int) -> None:
        self._engine = engine
        self.port = port
        self._fault: dict[str, Any] = {"kind": "none"}
        self._runner: web.AppRunner | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.inserts = 0

    async def listen(self) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_get("/ping", lambda _: _text("Ok.\n"))
        app.router.add_post("/fault", self._set_fault)
        app.router.add_get("/fault", lambda _: _text(json.dumps(self._fault)))
        app.router.add_route("*", "/", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _set_fault(self, request: web.Request) -> web.Response:
        fault = await request.json()
        if fault.get("kind") not in KINDS:
            return web.Response(status=400, text=f"kind is one of {', '.join(KINDS)}\n")
        if fault["kind"] == "down":
            task = asyncio.create_task(self._go_down(float(fault.get("seconds", 5))))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._fault = {"count": 1} | fault
        return web.json_response(fault)

    async def _go_down(self, seconds: float) -> None:
        await asyncio.sleep(0.05)  # the answer to whoever asked for it goes out first
        await self.close()
        await asyncio.sleep(seconds)
        await self.listen()

    def _fault_for(self, inserting: bool) -> str:
        hit = inserting or self._fault.get("on") == "any"
        if self._fault["kind"] == "none" or not hit:
            return "none"
        kind = str(self._fault["kind"])
        self._fault["count"] -= 1
        if self._fault["count"] <= 0:
            self._fault = {"kind": "none"}
        return kind

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self._fault["kind"] == "reset_before" and self._fault.get("on") == "any":
            self._fault_for(True)
            return _reset(request)
        arguments = dict(request.query)
        raw = await request.read()
        body = _unpacked(raw, request.headers.get("Content-Encoding", ""))
        start = (arguments.get("query", "").encode() + body[:100]).lstrip()[:6].upper()
        fault = self._fault_for(start == b"INSERT")
        if fault == "reset_before":
            return _reset(request)
        if fault == "503":
            return web.Response(status=503, text="Service Unavailable\n")
        answer = await self._answer(arguments, body)
        if fault == "timeout_after":
            await asyncio.sleep(600)
        return _reset(request) if fault == "reset_after" else answer

    async def _answer(self, arguments: dict[str, str], body: bytes) -> web.Response:
        headers = {"X-ClickHouse-Query-Id": "test", "X-ClickHouse-Timezone": "UTC"}
        loop, engine = asyncio.get_running_loop(), self._engine
        try:
            given = loop.run_in_executor(engine.threads, engine.run, arguments, body)
            text, written, fmt = await given
        except Exception as problem:
            words = str(problem)
            words = words[max(words.find("Code: "), 0) :]
            match = _CODE.search(words)
            headers["X-ClickHouse-Exception-Code"] = match.group(1) if match else "1001"
            return web.Response(status=500, text=words + "\n", headers=headers)
        headers["X-ClickHouse-Summary"] = json.dumps({"written_rows": str(written)})
        headers |= {"X-ClickHouse-Format": fmt} if fmt else {}
        return web.Response(body=text, headers=headers)


async def _text(text: str) -> web.Response:
    return web.Response(text=text)


def _reset(request: web.Request) -> web.Response:
    transport = request.transport
    assert transport is not None
    # Closing with linger 0 sends RST, not FIN.
    linger = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
    return web.Response()


def _unpacked(body: bytes, encoding: str) -> bytes:
    if encoding != "lz4":
        return body  # what aiohttp knows it has undone
    import lz4.frame

    # Each block of an insert is a frame of its own, and `decompress` reads the first alone.
    with lz4.frame.open(io.BytesIO(body)) as frames:
        return bytes(frames.read())


async def _serve(path: str, port: int) -> None:
    server = Server(Engine(path), port)
    await server.listen()
    print(f"http://127.0.0.1:{server.port}", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await server.close()


def post_fault(url: str, kind: str, **more: Any) -> None:
    """Set the fault of the server at `url`."""
    body = json.dumps({"kind": kind} | more).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(urllib.request.Request(url + "/fault", data=body), timeout=10).read()


@contextlib.contextmanager
def running(path: Path, port: int = 0) -> Iterator[str]:
    """Run the server as a process of its own and yield its URL."""
    command = [sys.executable, __file__, "--path", str(path), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a ClickHouse server for tests, over chDB")
    parser.add_argument("--path", required=True, help="folder of the database")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    given = parser.parse_args()
    asyncio.run(_serve(given.path, given.port))
