"""A receiver on this machine, to see what one gets: verified, and answered as a receiver should."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from sinks.webhooks.signing import verify

#: Far more than any of ours has.
MAX_BYTES = 1_000_000
Heard = Callable[[str, dict[str, Any]], object]


@contextlib.contextmanager
def receiving(secret: str, port: int, heard: Heard) -> Iterator[str]:
    """Yield the URL of a receiver on 127.0.0.1; `heard` gets the id and body of each webhook.

    What is not signed with `secret` is answered 401, and heard by nobody. Raises OSError.
    """

    class Receiver(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(min(length, MAX_BYTES))
            try:
                webhook_id = verify(secret, dict(self.headers), body, int(time.time()))
                content = orjson.loads(body)
            except ValueError as problem:
                self._answer(401, f"{problem}\n".encode())
                return
            heard(webhook_id, content)
            self._answer(204, b"")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    threading.Thread(target=server.serve_forever, name="receiver", daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
