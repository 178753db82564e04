"""Sends what the outbox holds: at least once, one request at a time to each endpoint.

A process that dies between a receiver's 2xx and the note of it sends again, with the same
`webhook-id`; that is what the id is for.
"""

import asyncio
import calendar
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver

from schemas import metrics
from schemas.redact import redacted
from sinks.webhooks.body import probe_payload
from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.guard import connector
from sinks.webhooks.outbox import Delivery, Outbox
from sinks.webhooks.signing import sign

log = logging.getLogger(__name__)

SECOND_US = 1_000_000
#: Waits after the first, second, ... failed attempt: ten attempts over 75 h 35 min.
#: Source: Standard Webhooks 1.0.0, "Deliverability and reliability".
RETRY_WAITS_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: A receiver that asks for a longer pause than this is asked again after it.
MAX_RETRY_AFTER_US = 24 * 3600 * SECOND_US
TIMEOUT_S = 15.0
#: How long a new alert may lie before the deliverer looks.
POLL_S = 0.05

#: Characters of an error that are kept.
ERROR_KEPT = 300

_GONE = 410
_THROTTLING = frozenset({429, 502, 503, 504})


class Answer(NamedTuple):
    """What came of one attempt: a status, or `error` when there was none."""

    status: int = 0
    retry_after: str = ""
    error: str = ""

    def __str__(self) -> str:
        return self.error or f"HTTP {self.status}"

    @property
    def taken(self) -> bool:
        """Whether the receiver has it."""
        return 200 <= self.status < 300


def clock_us() -> int:
    """Return the time now, microseconds UTC."""
    return time.time_ns() // 1000


def jitter() -> float:
    """Return a factor from 1 to 1.2, so that endpoints that failed together come back apart."""
    return random.uniform(1.0, 1.2)


def retry_after_us(header: str, now_us: int) -> int:
    """Return the moment that a Retry-After header names (seconds or a date), at most a day on.

    0 when it is absent or cannot be read. Source: RFC 9110, 10.2.3.
    """
    text = header.strip()
    latest = now_us + MAX_RETRY_AFTER_US
    if re.fullmatch(r"[0-9]{1,4000}", text):
        return min(now_us + int(text) * SECOND_US, latest)
    try:
        seconds = calendar.timegm(parsedate_to_datetime(text).utctimetuple())
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0
    return max(0, min(seconds * SECOND_US, latest))


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
        headers={"user-agent": "undertow-webhooks/1", "content-type": "application/json"},
    )


async def post(
    endpoint: Endpoint, session: aiohttp.ClientSession, webhook_id: str, body: bytes, ts_unix: int
) -> Answer:
    """Make one attempt, signed at `ts_unix` (seconds UTC)."""
    headers = sign(endpoint.secret, webhook_id, ts_unix, body)
    try:
        # The answer's body is never read: it is the receiver's to make endless.
        async with session.post(
            endpoint.url, data=body, headers=headers, allow_redirects=False
        ) as response:
            return Answer(response.status, response.headers.get("retry-after", ""))
    except (aiohttp.ClientError, OSError, UnicodeError) as problem:
        # OSError is also asyncio's TimeoutError; UnicodeError is a name DNS cannot hold.
        # An error of aiohttp quotes the whole URL, and what the receiver said.
        said = redacted(f"{type(problem).__name__}: {problem}")
        return Answer(error=said.rstrip(": ")[:ERROR_KEPT])


async def probe(endpoint: Endpoint) -> Answer:
    """Send `endpoint` one signed test event now, past the outbox."""
    now_us = clock_us()
    async with open_session(endpoint) as session:
        return await post(
            endpoint, session, f"test-{now_us}", probe_payload(now_us), now_us // SECOND_US
        )


def _count(delivery: Delivery, outcome: str) -> None:
    metrics.WEBHOOKS.labels(delivery.endpoint, outcome).inc()


def _note_delay(delivery: Delivery, now_us: int) -> None:
    detected = orjson.loads(delivery.body)["data"]["ts_detect"]
    metrics.DELAY.labels("delivered").observe(max(0.0, (now_us - detected) / SECOND_US))


class Deliverer:
    """Posts due deliveries until told to stop, signed anew for each attempt.

    `retry_waits_s`, `clock`, `sleep`, `jitter` and `resolver` are open to tests.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        outbox: Outbox,
        *,
        retry_waits_s: Sequence[float] = RETRY_WAITS_S,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], int] = clock_us,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = jitter,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._endpoints = tuple(endpoints)
        self._outbox = outbox
        self._waits = tuple(retry_waits_s)
        self._timeout_s = timeout_s
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._resolver = resolver

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; a request under way ends first (or cancel this task).

        Raises ExceptionGroup of whatever is not a failed attempt, such as sqlite3.Error.
        """
        self._warn_of_strays()
        async with asyncio.TaskGroup() as tasks:
            for endpoint in self._endpoints:
                tasks.create_task(self._serve(endpoint, stop), name=f"webhook {endpoint.name}")
            await stop.wait()

    async def drain(self, until_idle: bool = False) -> None:
        """Deliver what is due now and return; with `until_idle`, wait for the retries too."""
        async with asyncio.TaskGroup() as tasks:
            for endpoint in self._endpoints:
                tasks.create_task(self._drain(endpoint, until_idle))

    async def _serve(self, endpoint: Endpoint, stop: asyncio.Event) -> None:
        async with open_session(endpoint, self._timeout_s, self._resolver) as session:
            while not stop.is_set():
                if not await self._deliver_next(endpoint, session):
                    await self._sleep(POLL_S)

    async def _drain(self, endpoint: Endpoint, until_idle: bool) -> None:
        async with open_session(endpoint, self._timeout_s, self._resolver) as session:
            while True:
                if await self._deliver_next(endpoint, session):
                    continue
                due_us = self._outbox.next_due_us(endpoint.name)
                if due_us is None or not until_idle:
                    return
                await self._sleep(max(due_us - self._clock(), 0) / SECOND_US)

    async def _deliver_next(self, endpoint: Endpoint, session: aiohttp.ClientSession) -> bool:
        delivery = self._outbox.due(endpoint.name, self._clock())
        if delivery is None:
            return False
        ts_unix = self._clock() // SECOND_US
        answer = await post(endpoint, session, delivery.webhook_id, delivery.body, ts_unix)
        self._settle(delivery, answer, self._clock())
        return True

    def _settle(self, delivery: Delivery, answer: Answer, now_us: int) -> None:
        if answer.taken:
            self._outbox.mark_delivered(delivery, now_us)
            _count(delivery, "delivered")
            _note_delay(delivery, now_us)
        elif answer.status == _GONE:
            _count(delivery, "dead")
            self._outbox.mark_dead(delivery, now_us, str(answer))
            self._outbox.disable(delivery.endpoint, now_us, "disabled: it answered 410 Gone")
            log.error("%s answered 410 Gone and is disabled", delivery.endpoint)
        else:
            self._postpone(delivery, answer, now_us)

    def _postpone(self, delivery: Delivery, answer: Answer, now_us: int) -> None:
        asked_us = 0
        if answer.status in _THROTTLING:
            asked_us = retry_after_us(answer.retry_after, now_us)
        if asked_us > now_us:
            self._outbox.hold(delivery.endpoint, asked_us)
        if delivery.attempts >= len(self._waits):
            self._outbox.mark_dead(delivery, now_us, str(answer))
            _count(delivery, "dead")
            log.error("gave up %s to %s: %s", delivery.webhook_id, delivery.endpoint, answer)
            return
        _count(delivery, "failed")
        metrics.RETRIES.labels("webhook").inc()
        wait_us = int(self._waits[delivery.attempts] * self._jitter() * SECOND_US)
        next_us = max(now_us + wait_us, asked_us)
        self._outbox.mark_retry(delivery, now_us, next_us, str(answer))
        pause_s = (next_us - now_us) // SECOND_US
        log.warning("%s failed (%s), again in %d s", delivery.endpoint, answer, pause_s)

    def _warn_of_strays(self) -> None:
        known = {endpoint.name for endpoint in self._endpoints}
        for (name, state), number in self._outbox.counts().items():
            if state == "pending" and name not in known:
                log.warning("%d deliveries wait for %s, no longer configured", number, name)
