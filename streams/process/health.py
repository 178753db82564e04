"""What an operator's tools ask a process: is it alive, does it work, what are its numbers.

    /healthz   200 while the loop comes round, else 503 with the reason: start it again
    /readyz    200 while it does its work, 503 while it starts, recovers, waits for a store, or
               nobody speaks on an input that it needs; with how far behind it is, where that is far
    /metrics   schemas.metrics in Prometheus' text form

With http_token set the last asks for it; the first two carry no data. None answers what
another's web page sends here.
"""

import contextlib
import gc
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from time import monotonic as steady
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import msgspec
from prometheus_client import Gauge, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from schemas import metrics
from schemas.access import (
    is_allowed,
    is_loopback,
    most_connections,
    why_foreign,
    why_not_bound,
)
from streams.process.settings import Settings

log = logging.getLogger("undertow.ops")
#: A loop that has not come round for this long is stuck, seconds.
STALE_S = 60.0
#: Behind by less a stage is not catching up, seconds.
NEAR_S = 10.0

#: Connections at once; one more takes the place of the oldest.
_MOST = 32
_PAGE_HEADERS = {
    "Host": "HTTP_HOST",
    "Origin": "HTTP_ORIGIN",
    "Sec-Fetch-Site": "HTTP_SEC_FETCH_SITE",
}

_Start = Callable[..., Any]


class _Inputs(msgspec.Struct):
    """What /readyz says of the inputs: why nothing can be concluded, and what is left out."""

    blocked: str = ""
    without: str = ""


_INPUTS = _Inputs()


class CannotServe(Exception):
    """The server cannot listen; the message is one clear line."""


@contextlib.contextmanager
def serving(settings: Settings, who: str) -> Iterator[str]:
    """Answer for `who` in a daemon thread, and yield the url; raises CannotServe."""
    host, token = settings.ops_host, settings.http_token
    try:
        if problem := why_not_bound(host, token):
            raise OSError(problem)
        kind = _Server6 if ":" in host else _Server
        application = _application(token, is_loopback(host))
        server = make_server(host, settings.ops_port, application, kind, _Silent)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise CannotServe(f"cannot serve on {host}:{settings.ops_port}: {reason}") from None
    threading.Thread(target=server.serve_forever, name="ops", daemon=True).start()
    url = f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}"
    log.info("health and metrics of %s on %s", who, url)
    try:
        yield url
    finally:
        server.shutdown()
        server.server_close()


def collect_less() -> None:
    """Have the collector look for cycles less often: records by the thousand hold none.

    Looking took a tenth of rollup's time, and a tenth to a fifth of a recovery's.
    """
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)


def come_round(ready: bool = True) -> None:
    """Tell that a loop without a Kafka consumer came round; others call kafka.each_round."""
    metrics.came_round()
    metrics.READY.set(ready)


def note_inputs(blocked: str, without: str = "") -> None:
    """Say why the stage can conclude nothing, though it runs, and which inputs it goes without.

    Empty when it can, and goes without none.
    """
    _INPUTS.blocked, _INPUTS.without = blocked, without


def _application(token: str, loopback: bool) -> Callable[[dict[str, Any], _Start], Iterable[bytes]]:
    started = steady()
    exposition: Callable[..., list[bytes]] = make_wsgi_app()

    def answer(environ: dict[str, Any], begin: _Start) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return begin(status, [*headers, ("X-Content-Type-Options", "nosniff")], *more)

        path = environ["PATH_INFO"]
        sent = {name: environ.get(key) for name, key in _PAGE_HEADERS.items()}
        if problem := why_foreign({k: v for k, v in sent.items() if v is not None}, loopback):
            return _text("403 Forbidden", problem, start)
        shown = {"Authorization": environ.get("HTTP_AUTHORIZATION", "")}
        if path == "/healthz":
            return _verdict(_why_unhealthy(started), start)
        if path == "/readyz":
            problem = _INPUTS.blocked
            if not _value(metrics.READY):
                problem = f"not at work: {problem}" if problem else "not at work yet"
            return _verdict(problem, start, _progress())
        if not is_allowed(token, shown):
            return _text("401 Unauthorized", "the token is missing or wrong", start)
        if path == "/metrics":
            return exposition(environ, start)
        return _text("404 Not Found", "there are /healthz, /readyz and /metrics", start)

    return answer


def _why_unhealthy(started: float) -> str | None:
    # The first round may take a while: the process is as young as its start.
    silent = steady() - max(_value(metrics.LAST_ROUND_STEADY), started)
    return f"the loop last came round {silent:.0f} s ago" if silent > STALE_S else None


def _value(gauge: Gauge) -> float:
    [family] = gauge.collect()
    return family.samples[0].value


def _progress() -> str:
    behind = _value(metrics.BEHIND)
    text = f"ok, catching up: {behind:,.0f} s behind" if behind >= NEAR_S else "ok"
    return f"{text}, without {_INPUTS.without}" if _INPUTS.without else text


def _verdict(problem: str | None, start: _Start, well: str = "ok") -> list[bytes]:
    return _text("503 Service Unavailable" if problem else "200 OK", problem or well, start)


def _text(status: str, line: str, start: _Start) -> list[bytes]:
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    if status.startswith("401"):
        headers.append(("WWW-Authenticate", "Bearer"))
    start(status, headers)
    return [f"{line}\n".encode()]


class _Server(ThreadingWSGIServer):
    """A thread for each connection, within bounds: callers that say nothing cannot fill it."""

    request_queue_size = _MOST

    def __init__(self, *args: Any) -> None:
        self._most = most_connections(_MOST)
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            oldest = self._open[0] if len(self._open) >= self._most else None
            self._open.append(request)
            if oldest is not None:
                self._open.remove(oldest)
        if oldest is not None:
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)  # its thread then ends
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._open.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a caller went away", exc_info=True)


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Silent(WSGIRequestHandler):
    #: A caller that sends nothing must not hold its thread, seconds.
    timeout = 10

    def log_message(self, format: str, *args: object) -> None:
        pass
