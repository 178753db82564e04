"""Venues' REST answers: within their limits, waiting where they ask us to."""

import aiohttp

from streams.feed.connection import BANNED_S, BANNING, KeepFrame, Time, keep_none, retry_after_s
from streams.feed.protocol import Get, Protocol

TIMEOUT_S = 10.0
ATTEMPTS = 4
AT_ONCE = 10
#: A venue that asks for a longer rest is not waited for, seconds.
MOST_REST_S = 60.0
MOST_BYTES = 64 * 1024 * 1024


class NoAnswer(Exception):
    """The venue did not answer; the message is one clear line."""


class Rest:
    """One venue's REST hosts, asked at its pace by all that need them."""

    def __init__(
        self,
        protocol: Protocol,
        session: aiohttp.ClientSession,
        at: Time,
        keep_frame: KeepFrame = keep_none,
    ) -> None:
        self.protocol = protocol
        self._keep_frame = keep_frame
        self._session = session
        self._at = at
        self._next = 0.0
        self._banned_until = 0.0

    async def ask(self, get: Get) -> bytes:
        """Return the body of an answer; raises NoAnswer."""
        url = self.protocol.urls[get.host] + get.target
        reason = ""
        for attempt in range(ATTEMPTS):
            await self._turn()
            left_s = self._banned_until - self._at.steady()
            if left_s > MOST_REST_S:
                raise NoAnswer(f"{get.path}: we are to stay away for {left_s:.0f} s")
            await self._at.sleep(max(0.0, left_s))
            try:
                method = "GET" if get.body is None else "POST"
                headers = {"Content-Type": "application/json"} if get.body is not None else {}
                timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
                async with self._session.request(
                    method, url, data=get.body, headers=headers, timeout=timeout
                ) as response:
                    if response.status == 200:
                        return await _whole(response)
                    reason = f"HTTP {response.status}"
                    rest_s = retry_after_s(response.headers) or 2.0**attempt
                    self._heed(response, rest_s)
                    if response.status in (403, 404, 418, 451) or rest_s > MOST_REST_S:
                        break
            except (aiohttp.ClientError, TimeoutError, OSError) as problem:
                reason, rest_s = f"{type(problem).__name__} {problem}".strip(), 2.0**attempt
            await self._at.sleep(rest_s)
        raise NoAnswer(f"{get.path}: {reason}"[:200])

    def keep(self, get: Get, answer: bytes, ts_recv: int, span: tuple[int, int] | None) -> None:
        """Have an answer kept as a raw frame; of history, with the span that was asked for."""
        socket = f"{self.protocol.venue}/rest" + (f":{span[0]}-{span[1]}" if span else "")
        self._keep_frame(socket, answer, ts_recv, get.channel)

    def _heed(self, response: aiohttp.ClientResponse, rest_s: float) -> None:
        """Have all wait where one was told that they are too many, and give up at a ban."""
        now = self._at.steady()
        if response.status == 429:
            self._next = max(self._next, now + min(rest_s, MOST_REST_S))
        if response.status == 418 or (response.status in BANNING and rest_s > MOST_REST_S):
            self._banned_until = now + max(rest_s, retry_after_s(response.headers) or BANNED_S)

    async def _turn(self) -> None:
        """Wait for our turn: a few at once, then spread over the minute."""
        now, every_s = self._at.steady(), 60.0 / self.protocol.requests_a_minute
        turn = max(self._next, now - AT_ONCE * every_s)
        self._next = turn + every_s
        if turn > now:
            await self._at.sleep(turn - now)


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """Return a body, which comes in pieces. Raises NoAnswer where it is beyond all measure."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MOST_BYTES:
            raise NoAnswer(f"{response.url.path}: more than {MOST_BYTES >> 20} MB")
    return bytes(body)
