"""Sends what the outbox holds: at least once, one request at a time to each endpoint.

A process that dies between a receiver's 2xx and the note of it sends again, with the same
`webhook-id`; that is what the id is for.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

import aiohttp
import msgspec
import orjson
from aiohttp.abc import AbstractResolver

from schemas import metrics
from schemas.redact import redacted
from sinks.alerts import targets
from sinks.alerts.targets import CONTENT_TYPE, PERMANENT, telegram
from sinks.alerts.targets.part import Part
from sinks.webhooks import pictures, smtp
from sinks.webhooks.body import probe_message, probe_payload
from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.guard import connector
from sinks.webhooks.outbox import Delivery, Outbox
from sinks.webhooks.outbox_file import OutboxFull
from sinks.webhooks.outbox_time import wall_us
from sinks.webhooks.receiver_time import behind_s, pause_us
from sinks.webhooks.signing import sign

log = logging.getLogger(__name__)

SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
#: Waits after the first, second, ... failed attempt: ten attempts over 75 h 35 min.
#: Source: Standard Webhooks 1.0.0, "Deliverability and reliability".
RETRY_WAITS_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
TIMEOUT_S = 15.0
#: How long what falls due, or what another process puts in, may lie before the deliverer looks.
POLL_S = 0.25
#: The same of a picture.
SHOW_S = 0.5
#: How long it waits before it looks again whether a full disk has room.
FULL_S = 1.0

#: Bytes of an answer that are read, where any are.
BODY_READ = 4_096
#: Characters of an error that are kept.
ERROR_KEPT = 300

_GONE = 410
_THROTTLING = frozenset({429, 502, 503, 504})


class Answer(NamedTuple):
    """What came of one attempt: a status and the pause it asks for, or `error` without one.

    `behind_s`: it was refused, and by that many seconds our clock is behind the receiver's.
    """

    status: int = 0
    pause_us: int = 0
    error: str = ""
    behind_s: int = 0

    def __str__(self) -> str:
        return self.error or f"HTTP {self.status}"

    @property
    def taken(self) -> bool:
        """Whether the receiver has it."""
        return 200 <= self.status < 300


def jitter() -> float:
    """Return a factor from 1 to 1.2, so that endpoints that failed together come back apart."""
    return random.uniform(1.0, 1.2)


def open_session(
    endpoint: Endpoint, timeout_s: float = TIMEOUT_S, resolver: AbstractResolver | None = None
) -> aiohttp.ClientSession:
    """Return a session for `endpoint` alone: what its sockets may reach is its own."""
    # No proxy from the environment: it would be the address checked, and connect for us.
    return aiohttp.ClientSession(
        connector=connector(endpoint.allow_private, resolver),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        trust_env=False,
        headers={
            "user-agent": "undertow-webhooks/1",
            "content-type": CONTENT_TYPE.get(endpoint.target, "application/json"),
        },
    )


async def post(
    endpoint: Endpoint, session: aiohttp.ClientSession, webhook_id: str, body: bytes, ts_unix: int
) -> Answer:
    """Make one attempt, signed at `ts_unix` (seconds UTC)."""
    body = endpoint.filled(body)
    headers = sign(endpoint.secret, webhook_id, ts_unix, body) if endpoint.secret else {}
    return await _sent(endpoint, session, body, headers, ts_unix)


async def post_picture(
    endpoint: Endpoint, session: aiohttp.ClientSession, content: bytes | list[Part], ts_unix: int
) -> Answer:
    """Make one attempt to show a picture."""
    if isinstance(content, bytes):
        return await _sent(endpoint, session, content, {}, ts_unix)
    form = pictures.form(content)
    return await _sent(endpoint, session, form, {"content-type": form.content_type}, ts_unix)


async def _sent(
    endpoint: Endpoint,
    session: aiohttp.ClientSession,
    body: bytes | aiohttp.MultipartWriter,
    headers: dict[str, str],
    ts_unix: int,
) -> Answer:
    url = endpoint.post_url if isinstance(body, bytes) else endpoint.upload_url
    try:
        if endpoint.target == "email":
            assert isinstance(body, bytes)
            return await _mail(endpoint, body)
        # The answer's body is the receiver's to make endless: but for a piece of Telegram's, which
        # says there when to come again, it is never read.
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            asked, date = (response.headers.get(name, "") for name in ("retry-after", "date"))
            if endpoint.target == "telegram" and response.status == 429:
                asked = telegram.retry_after(await response.content.read(BODY_READ)) or asked
            behind = behind_s(response.status, date, ts_unix) if endpoint.secret else 0
            return Answer(response.status, pause_us(asked, date, ts_unix), behind_s=behind)
    except (aiohttp.ClientError, OSError, UnicodeError) as problem:
        # OSError is also asyncio's TimeoutError; UnicodeError is a name DNS cannot hold.
        # An error of aiohttp quotes the whole URL, and what the receiver said.
        error = redacted(f"{type(problem).__name__}: {problem}")
        return Answer(error=error.rstrip(": ")[:ERROR_KEPT])


async def _mail(endpoint: Endpoint, body: bytes) -> Answer:
    code, answer = await asyncio.to_thread(smtp.send, endpoint.url, endpoint.allow_private, body)
    if 200 <= code < 300:
        return Answer(code)
    return Answer(code, error=redacted(f"SMTP {code}: {answer}")[:ERROR_KEPT])


async def probe(endpoint: Endpoint) -> Answer:
    """Send `endpoint` one signed test event now, past the outbox."""
    now_us = wall_us()
    if endpoint.target in ("webhook", "every"):
        body = probe_payload(now_us)
    else:
        body = endpoint.body(probe_message(now_us))
    async with open_session(endpoint) as session:
        return await post(endpoint, session, f"test-{now_us}", body, now_us // SECOND_US)


def _count(delivery: Delivery, outcome: str) -> None:
    metrics.WEBHOOKS.labels(delivery.endpoint, outcome).inc()


def _note_delay(delivery: Delivery, now_us: int) -> None:
    # Only programs' bodies say it; people's channels are as late as those.
    try:
        body = orjson.loads(delivery.body)
    except orjson.JSONDecodeError:
        return
    data = body.get("data") if isinstance(body, dict) else None
    if detected := (data or {}).get("ts_detect"):
        metrics.DELAY.labels("delivered").observe(max(0.0, (now_us - detected) / SECOND_US))


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """Have a loop call it soon, from any thread; not at all once the loop has ended."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call)


class Deliverer:
    """Posts due deliveries until told to stop, signed anew for each attempt.

    Nothing is sent while not `may_send()`: the outbox may be another's turn. `clock` tells the time
    of day, which a signature carries; waits are the outbox's. It, `retry_waits_s`, `sleep`,
    `jitter` and `resolver` are open to tests.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        outbox: Outbox,
        *,
        retry_waits_s: Sequence[float] = RETRY_WAITS_S,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], int] = wall_us,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = jitter,
        resolver: AbstractResolver | None = None,
        may_send: Callable[[], bool] = lambda: True,
        draw: pictures.Draw | None = None,
    ) -> None:
        self._endpoints = tuple(endpoints)
        self._outbox = outbox
        self._waits = tuple(retry_waits_s)
        self._timeout_s = timeout_s
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._resolver = resolver
        self._may_send = may_send
        self._drawing = pictures.Drawing(draw)
        self._forgot_us: int | None = None
        self._stop: asyncio.Event | None = None
        self._arrivals: list[asyncio.Event] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; a request under way ends first (or cancel this task).

        Raises ExceptionGroup of whatever is not a failed attempt, such as sqlite3.Error.
        """
        self._stop = stop
        self._warn_of_strays()
        self._forget_hourly()
        loop = asyncio.get_running_loop()
        self._outbox.on_put = partial(_call_in, loop, self._look_at_once)
        async with asyncio.TaskGroup() as tasks:
            for endpoint in self._endpoints:
                tasks.create_task(self._serve(endpoint, stop), name=f"webhook {endpoint.name}")
                if endpoint.target in targets.UPLOADED | targets.LINKED:
                    tasks.create_task(self._show(endpoint, stop), name=f"shows {endpoint.name}")
            await stop.wait()
            self._look_at_once()
        self._stop = None

    def _look_at_once(self) -> None:
        for arrival in self._arrivals:
            arrival.set()

    async def drain(self, until_idle: bool = False) -> None:
        """Deliver what is due now and return; with `until_idle`, wait for the retries too."""
        async with asyncio.TaskGroup() as tasks:
            for endpoint in self._endpoints:
                tasks.create_task(self._drain(endpoint, until_idle))

    async def _serve(self, endpoint: Endpoint, stop: asyncio.Event) -> None:
        arrival = asyncio.Event()
        self._arrivals.append(arrival)
        async with open_session(endpoint, self._timeout_s, self._resolver) as session:
            while not stop.is_set():
                arrival.clear()
                if not (self._is_ready() and await self._deliver_next(endpoint, session)):
                    self._forget_hourly()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(arrival.wait(), POLL_S)

    async def _show(self, endpoint: Endpoint, stop: asyncio.Event) -> None:
        """Send pictures beside the words, which so wait for none."""
        async with open_session(endpoint, self._timeout_s, self._resolver) as session:
            while not stop.is_set():
                if not (self._is_ready() and await self._show_next(endpoint, session)):
                    await self._sleep(SHOW_S)

    async def _drain(self, endpoint: Endpoint, until_idle: bool) -> None:
        async with open_session(endpoint, self._timeout_s, self._resolver) as session:
            while True:
                if await self._deliver_next(endpoint, session):
                    continue
                if await self._show_next(endpoint, session):
                    continue
                wait_us = self._outbox.wait_us(endpoint.name)
                if wait_us is None or not until_idle:
                    return
                await self._sleep(wait_us / SECOND_US)

    def _is_ready(self) -> bool:
        """Say whether anything may be sent: not what there is no room to note."""
        return self._may_send() and not (self._outbox.is_full and not self._outbox.has_room())

    async def _deliver_next(self, endpoint: Endpoint, session: aiohttp.ClientSession) -> bool:
        delivery = self._outbox.due(endpoint.name)
        if delivery is None:
            return False
        ts_unix = self._clock() // SECOND_US
        answer = await post(endpoint, session, delivery.webhook_id, delivery.body, ts_unix)
        if answer.behind_s:
            # A verifier refuses what was signed at another time than its own.
            log.warning("our clock is %+d s from that of %s", -answer.behind_s, endpoint.name)
            ts_unix += answer.behind_s
            answer = await post(endpoint, session, delivery.webhook_id, delivery.body, ts_unix)
        await self._note(delivery, answer)
        return True

    async def _show_next(self, endpoint: Endpoint, session: aiohttp.ClientSession) -> bool:
        delivery = self._outbox.due(endpoint.name, pictures=True)
        if delivery is None:
            return False
        try:
            content = await self._drawing.content(endpoint, delivery.body)
        except (pictures.NotDrawn, msgspec.MsgspecError) as problem:
            await self._note(delivery, Answer(error=redacted(str(problem))[:ERROR_KEPT]))
            return True
        answer = await post_picture(endpoint, session, content, self._clock() // SECOND_US)
        await self._note(delivery, answer)
        return True

    async def _note(self, delivery: Delivery, answer: Answer) -> None:
        """Note what came of an attempt, waiting while the disk is full.

        Told to stop meanwhile, it is not noted: the next process sends it again, under its id.
        """
        while True:
            try:
                self._settle(delivery, answer)
                return
            except OutboxFull:
                if self._stop is None:
                    raise
                if self._stop.is_set():
                    return
            await self._sleep(FULL_S)

    def _settle(self, delivery: Delivery, answer: Answer) -> None:
        if answer.taken:
            self._outbox.mark_delivered(delivery)
            _count(delivery, "delivered")
            _note_delay(delivery, self._clock())
        elif answer.status == _GONE:
            self._outbox.mark_dead(delivery, str(answer))
            _count(delivery, "dead")
            self._outbox.disable(delivery.endpoint, "disabled: it answered 410 Gone")
            log.error("%s answered 410 Gone and is disabled", delivery.endpoint)
        else:
            self._postpone(delivery, answer)

    def _postpone(self, delivery: Delivery, answer: Answer) -> None:
        asked_us = answer.pause_us if answer.status in _THROTTLING else 0
        if asked_us:
            self._outbox.hold(delivery.endpoint, asked_us)
        waits = pictures.RETRY_WAITS_S if delivery.action == "picture" else self._waits
        if delivery.attempts >= len(waits) or self._is_permanent(delivery, answer):
            self._outbox.mark_dead(delivery, str(answer))
            _count(delivery, "dead")
            log.error("gave up %s to %s: %s", delivery.webhook_id, delivery.endpoint, answer)
            return
        planned_us = int(waits[delivery.attempts] * self._jitter() * SECOND_US)
        wait_us = max(planned_us, asked_us)
        self._outbox.mark_retry(delivery, wait_us, str(answer))
        _count(delivery, "failed")
        metrics.RETRIES.labels("webhook").inc()
        pause_s = wait_us // SECOND_US
        log.warning("%s failed (%s), again in %d s", delivery.endpoint, answer, pause_s)

    def _is_permanent(self, delivery: Delivery, answer: Answer) -> bool:
        targets = {endpoint.name: endpoint.target for endpoint in self._endpoints}
        return answer.status in PERMANENT.get(targets.get(delivery.endpoint, ""), ())

    def _forget_hourly(self) -> None:
        now_us = self._outbox.now_us()
        if self._forgot_us is not None and now_us - self._forgot_us < HOUR_US:
            return
        try:
            gone = self._outbox.forget({endpoint.name for endpoint in self._endpoints})
        except OutboxFull:
            return  # at its next look
        self._forgot_us = now_us
        for (name, state), number in gone.items():
            metrics.FORGOTTEN.labels(name, state).inc(number)
            if state != "delivered":
                log.warning("%d alerts for %s, %s for long, are forgotten", number, name, state)

    def _warn_of_strays(self) -> None:
        known = {endpoint.name for endpoint in self._endpoints}
        for (name, state), number in self._outbox.counts().items():
            if state == "pending" and name not in known:
                log.warning("%d deliveries wait for %s, no longer configured", number, name)
