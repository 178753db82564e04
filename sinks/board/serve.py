"""Where the board's answers come from: the embedded database, or a ClickHouse server."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from clickhouse_connect.driver import exceptions as driver

from schemas.access import is_loopback, why_not_bound
from sinks.board.deliveries import Outbox
from sinks.board.live import Source
from sinks.board.pages import PAGE, PICTURES, Board
from sinks.board.panels import Ask
from sinks.sql import connections
from sinks.sql.endpoint import EndpointError
from sinks.sql.protocol import UNKNOWN, Limits, QueryError
from sinks.sql.reader import Reader

#: An outbox in a data directory.
OUTBOX = "outbox.sqlite"
#: What one question of the board may take of a server.
_LIMITS = {"max_execution_time": 30, "max_memory_usage": 2_000_000_000, "readonly": 2}


class EmbeddedBoard(Board):
    """The board over the embedded database at a path, read beside whoever writes it."""

    def __init__(self, path: Path, token: str, source: Source = Source()) -> None:
        self._reader = Reader(path, Limits(), 2)
        super().__init__(embedded(self._reader), token, source)

    async def _close(self, app: web.Application) -> None:
        self._reader.close()
        await super()._close(app)


def beside(
    data_dir: Path, token: str, has_receivers: bool, run: Callable[[], str] = lambda: ""
) -> Callable[[Path], EmbeddedBoard]:
    """Return what makes the board of an embedded database, served beside its SQL endpoint.

    `run` names the run that is played; with receivers the outbox lies in `data_dir`.
    """
    outbox = data_dir.resolve() / OUTBOX if has_receivers else None
    source = Source(run, Outbox(outbox, "no receiver is set"))
    return lambda path: EmbeddedBoard(path, token, source)


def embedded(reader: Reader) -> Ask:
    """Return what asks a reader of an embedded database."""

    def ask(sql: str, values: Mapping[str, str], fmt: str) -> bytes:
        return reader.run(sql, fmt, values).body

    return ask


def server(client: Any) -> Ask:
    """Return what asks a ClickHouse server through a client of clickhouse-connect."""

    def ask(sql: str, values: Mapping[str, str], fmt: str) -> bytes:
        try:
            answer: bytes = client.raw_query(
                sql, parameters=dict(values), settings=_LIMITS, fmt=fmt
            )
        except driver.Error as problem:
            raise QueryError(UNKNOWN, str(problem)) from problem
        return answer

    return ask


@contextlib.contextmanager
def serving(board: Board, host: str, port: int, token: str) -> Iterator[str]:
    """Serve a board alone, and yield its address; raises EndpointError."""
    if why := why_not_bound(host, token):
        raise EndpointError(host, port, why)
    app = web.Application(client_max_size=10_000)

    def refused(why: str) -> web.Response:
        return web.Response(status=403, text=f"{why}\n")

    connections.guard(app, is_loopback(host), refused, PAGE, PICTURES)
    board.add_to(app)
    served = connections.Threaded(app, host, port, "board")
    try:
        served.start()
    except OSError as problem:
        raise EndpointError(host, port, problem.strerror or str(problem)) from problem
    try:
        yield f"{served.url}{PAGE}"
    finally:
        served.stop()
