"""A real HTTP server for webhooks, well behaved or not."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

#: Where a manner whose answer never ends finds what notes that it took the alert.
TAKEN: web.RequestKey[Callable[[], None]] = web.RequestKey("taken", Callable[[], None])
SECRET = "whsec_" + "Y2hhb3MgcmVjZWl2ZXJzIGtub3cgdGhpcyBzZWNyZXQ="
#: Answers a request, knowing how often this id has come to this path (1: first).
Manner = Callable[[web.Request, int], Awaitable[web.StreamResponse]]


async def polite(request: web.Request, times: int) -> web.StreamResponse:
    """Take everything."""
    return web.Response(status=204)


class Receiver:
    """Keeps, for each path, how often each id came and which were answered with 2xx."""

    def __init__(self, manners: dict[str, Manner]) -> None:
        self.came: dict[str, Counter[str]] = {path: Counter() for path in manners}
        self.taken: dict[str, Counter[str]] = {path: Counter() for path in manners}
        self.first_at: dict[str, dict[str, float]] = {path: {} for path in manners}
        self.forged = 0
        self.strays: list[str] = []
        self.port = 0
        self._manners = manners
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="receiver", daemon=True)
        self._thread.start()
        assert self._ready.wait(10), "the receiver starts"

    @property
    def urls(self) -> str:
        """What WEBHOOK_URLS should say."""
        base = f"every+http://127.0.0.1:{self.port}"
        return " ".join(f"{base}{path}#{SECRET}" for path in self._manners)

    def stop(self) -> None:
        """End the server, whatever hangs in it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path not in self._manners or request.method != "POST":
            self.strays.append(f"{request.method} {path}")
            return web.Response(status=404)
        body = await request.read()
        try:
            Webhook(SECRET).verify(body, {k.lower(): v for k, v in request.headers.items()})
        except WebhookVerificationError as problem:
            # Signed by a clock that is set wrong: whoever verifies refuses it, and it comes again.
            if "timestamp" in str(problem):
                return web.Response(status=401)
            self.forged += 1
        webhook_id = request.headers.get("webhook-id", "")
        self.came[path][webhook_id] += 1
        self.first_at[path].setdefault(webhook_id, time.monotonic())
        # For a manner whose answer begins long before it ends.
        request[TAKEN] = lambda: self.taken[path].update([webhook_id])
        answer = await self._manners[path](request, self.came[path][webhook_id])
        if 200 <= answer.status < 300 and not answer.prepared:
            self.taken[path][webhook_id] += 1
        return answer

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)

        async def start() -> None:
            app = web.Application()
            app.router.add_route("*", "/{tail:.*}", self._take)
            runner = web.AppRunner(app, shutdown_timeout=1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.port = runner.addresses[0][1]
            self._ready.set()

        self._loop.run_until_complete(start())
        self._loop.run_forever()
