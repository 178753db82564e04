"""`undertow sql`: one query, answered by whoever has the database."""

import json
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

from sinks.clickhouse.client import chdb_path, database_of
from sinks.sql.protocol import Limits, QueryError
from sinks.sql.reader import Reader

#: In the data directory: the url at which a running process serves its store.
ENDPOINT_NOTE = "endpoint.json"
#: Seconds; longer than any query may run.
_TIMEOUT_S = Limits().seconds + 30


def query(
    sql: str,
    fmt: str = "PrettyCompact",
    url: str = "chdb",
    data_dir: str | Path = "data",
    *,
    token: str = "",
    tls: Mapping[str, str] | None = None,
    reader: Reader | None = None,
) -> str:
    """Run one query and return its answer as text; arguments and errors as of `answer`."""
    given = answer(sql, fmt, url, data_dir, token=token, tls=tls, reader=reader)
    return given.decode("utf-8", "replace")


def answer(
    sql: str,
    fmt: str,
    url: str = "chdb",
    data_dir: str | Path = "data",
    *,
    token: str = "",
    tls: Mapping[str, str] | None = None,
    reader: Reader | None = None,
) -> bytes:
    """Run one query against the database of `url` and return its answer.

    An embedded database is asked over HTTP while a run serves it (data_dir/endpoint.json),
    and read beside whoever has it open otherwise, by `reader` where one is there already;
    `token` is shown to that run, `tls` names the files for an https server as
    clickhouse-connect does. Raises QueryError (the query, or nothing there yet), OSError (no
    server).
    """
    path = chdb_path(url, data_dir)
    if path is None:
        return _over_http(url, sql, fmt, tls=tls)
    serving = _serving(Path(data_dir)) if url == "chdb" else None
    if serving is not None:
        try:
            return _over_http(serving, sql, fmt, token)
        except OSError:
            pass  # the run ended without removing its note
    if not path.is_dir():
        raise QueryError(81, f"nothing has been stored in {path} yet")
    if reader is not None:
        return bytes(reader.run(sql, fmt).body)
    with closing(Reader(path)) as one:
        return bytes(one.run(sql, fmt).body)


@contextmanager
def asking(
    url: str, data_dir: str | Path, token: str, tls: Mapping[str, str], fmt: str
) -> Iterator[partial[str]]:
    """Yield `query` on one database; one reader of an embedded one serves all that is asked."""
    path = chdb_path(url, data_dir)
    with closing(Reader(path)) if path else nullcontext() as reader:
        yield partial(
            query, fmt=fmt, url=url, data_dir=data_dir, token=token, tls=tls, reader=reader
        )


def _serving(data_dir: Path) -> str | None:
    """Return the url that a run noted in endpoint.json, None without a readable note."""
    try:
        note = json.loads((data_dir / ENDPOINT_NOTE).read_bytes())
        url = str(note["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return url if url.startswith("http://") else None


def _open(request: urllib.request.Request, tls: Mapping[str, str], local: bool) -> Any:
    # A proxy from the environment must not see, or swallow, what stays on this machine.
    handlers: list[Any] = [urllib.request.ProxyHandler({})] if local else []
    if tls:
        context = ssl.create_default_context(cafile=tls.get("ca_cert"))
        if "client_cert" in tls:
            context.load_cert_chain(tls["client_cert"], tls.get("client_cert_key"))
        handlers.append(urllib.request.HTTPSHandler(context=context))
    return urllib.request.build_opener(*handlers).open(request, timeout=_TIMEOUT_S)


def _over_http(
    url: str, sql: str, fmt: str, token: str = "", tls: Mapping[str, str] | None = None
) -> bytes:
    """Ask a ClickHouse HTTP interface; raises QueryError for its errors, OSError for none."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    arguments = urlencode({"default_format": fmt, "database": database_of(url)})
    request = urllib.request.Request(
        f"{parts.scheme}://{host}/?{arguments}", data=sql.encode(), method="POST"
    )
    if parts.username:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", "Basic " + b64encode(secret.encode()).decode())
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        local = bool(token) or host.startswith("127.")
        with _open(request, tls or {}, local) as response:
            body: bytes = response.read()
            return body
    except urllib.error.HTTPError as problem:
        code = problem.headers.get("X-ClickHouse-Exception-Code") or "0"
        text = problem.read().decode("utf-8", "replace").strip()
        raise QueryError(int(code), text or str(problem)) from None
