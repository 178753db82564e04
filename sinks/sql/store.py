"""The store of a process that writes it: opened, brought up to date, and served to others."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from sinks.clickhouse import migrate
from sinks.clickhouse.client import chdb_path, database_of, open_client
from sinks.sql import endpoint
from sinks.sql.query import ENDPOINT_NOTE


class Listen(NamedTuple):
    """Where the SQL endpoint over chDB answers, and the secret that it asks for, if any."""

    host: str
    port: int
    token: str


class Store(NamedTuple):
    """An open `client` of `database`; `url` serves it, None where a server does so itself."""

    client: Any
    database: str
    url: str | None


@contextlib.contextmanager
def opened_store(
    url: str,
    data_dir: Path,
    tls: Mapping[str, str],
    listen: Listen,
    pages: Callable[[Path], endpoint.Pages] | None = None,
) -> Iterator[Store]:
    """Yield the store at `url`; its endpoint is noted in `data_dir` for others to find.

    `pages` makes of the embedded database's path what is served beside the endpoint.

    Raises DataDirBusy, EndpointError, MigrationError, and as `open_client` does.
    """
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(contextlib.closing(open_client(url, data_dir, tls)))
        migrate.migrate(client, database_of(url))
        path = chdb_path(url, data_dir)
        if path is None:
            yield Store(client, database_of(url), None)
            return
        beside = pages(path) if pages else None
        served = endpoint.serve(path, listen.host, listen.port, token=listen.token, pages=beside)
        stack.callback(served.stop)
        note = data_dir / ENDPOINT_NOTE
        note.write_bytes(orjson.dumps({"url": served.url, "pid": os.getpid()}))
        stack.callback(note.unlink, missing_ok=True)
        yield Store(client, database_of(url), served.url)
