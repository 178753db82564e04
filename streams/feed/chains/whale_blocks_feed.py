"""Whale Alert's REST v2: chains followed block by block, which no hourly cap cuts.

GET /{chain}/status -> end_height;  GET /{chain}/transactions?start_height=N -> rows, and `next`.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from schemas.identity import natural_id
from schemas.status import letter
from schemas.words import SECOND
from streams.feed.chains.blocks import Unanswered, asked
from streams.feed.connection import KeepFrame, LinkStatus, Time, keep_none
from streams.feed.outages import Outages, Spoken
from streams.feed.outlet import Outlet
from streams.feed.recent import Recent
from streams.feeds import deposits, registry
from streams.feeds.deposits import Owners
from streams.feeds.labels import Labels

log = logging.getLogger("undertow.feed")
TOPIC = "whale_transfers"
#: A chain is asked so often once everything is read, seconds.
POLL_S = 3.0
LAG = SECOND


class _Status(msgspec.Struct):
    end_height: int


class _Page(msgspec.Struct):
    next: str = ""


class Asking(msgspec.Struct, frozen=True):
    """What is asked for: chains in a url, with a key; whose addresses are; what is large."""

    url: str
    key: str
    labels: Labels
    least_usd: float


class WhaleBlocksFeed:
    """The chains that a url names (https://host/ethereum,bitcoin), until `run` is cancelled."""

    def __init__(
        self,
        asking: Asking,
        producer: str,
        outlet: Outlet,
        at: Time,
        keep_frame: KeepFrame = keep_none,
    ) -> None:
        parts = urlsplit(asking.url)
        self._host = f"{parts.scheme}://{parts.netloc}"
        self._chains = [name for name in parts.path.strip("/").split(",") if name]
        self._asking = asking
        self._outlet = outlet
        self._at = at
        self._keep_frame = keep_frame
        self._owners = Owners()
        self._recent = Recent()
        self._statuses = {chain: LinkStatus(f"whale_alert/{chain}") for chain in self._chains}
        links = {status.name for status in self._statuses.values()}
        self._outages = Outages(producer, {TOPIC: links}, ())

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Follow the chains."""
        for status in self._statuses.values():
            self._outages.lost(status.name, self._at.micros(), "started")
        async with asyncio.TaskGroup() as tasks:
            for chain in self._chains:
                tasks.create_task(self._follow(session, chain))
            tasks.create_task(self._speak())

    def end(self) -> None:
        """Say that we stop."""
        self._say(self._outages.end(self._at.micros()))

    def statuses(self) -> Iterator[LinkStatus]:
        """Yield what each chain's link is doing."""
        yield from self._statuses.values()

    async def _follow(self, session: aiohttp.ClientSession, chain: str) -> None:
        page = ""
        while True:
            try:
                page = page or await self._first(session, chain)
                after = await self._read(session, chain, page)
                self._back(chain)
            except Unanswered as problem:
                self._lost(chain, str(problem))
                after = page
            if after == page or not after:
                await self._at.sleep(POLL_S)
            page = after or page

    async def _first(self, session: aiohttp.ClientSession, chain: str) -> str:
        """Return the address of the first page: the chain as it stands now."""
        answer = await self._get(session, f"/{chain}/status")
        try:
            height = msgspec.json.decode(answer, type=_Status).end_height
        except msgspec.DecodeError as problem:
            raise Unanswered(f"status: {problem}") from None
        return f"/{chain}/transactions?start_height={height}"

    async def _read(self, session: aiohttp.ClientSession, chain: str, page: str) -> str:
        """Hand on a page's transfers; return the address of the next, as the answer says it."""
        answer = await self._get(session, page)
        status, now = self._statuses[chain], self._at.micros()
        known = registry.bundled("whale_alert").of_connection()
        channel = known.channels[-1] = f"transactions_v2:{chain}"
        self._keep_frame("whale_alert/rest", answer, now, channel)
        parsed = registry.parse("whale_alert", "transactions_v2", answer, known, now)
        status.frames += 1
        status.ts_frame = now
        await self._emit(status, parsed.records)
        for refusal in parsed.refusals:
            place = int(natural_id(chain, refusal.field, answer.hex())[:13], 16)
            made = letter((status.name, 0, place), refusal.field, refusal.reason, answer, now)
            self._outlet.letter(made)
        try:
            return msgspec.json.decode(answer, type=_Page).next
        except msgspec.DecodeError as problem:
            raise Unanswered(f"transactions: {problem}") from None

    async def _get(self, session: aiohttp.ClientSession, path: str) -> bytes:
        url = path if path.startswith(self._host) else f"{self._host}/{path.lstrip('/')}"
        joined = "&" if "?" in url else "?"
        return await asked(session, "GET", f"{url}{joined}api_key={self._asking.key}", None)

    async def _emit(self, status: LinkStatus, transfers: Sequence[Any]) -> None:
        new = []
        for transfer in transfers:
            large = transfer.notional_usd is None or transfer.notional_usd >= self._asking.least_usd
            if large and self._recent.is_new(transfer.event_id):
                new += deposits.step(self._owners, self._asking.labels, transfer)
        if new:
            self._outlet.records(TOPIC, new)
            status.records += len(new)
            status.ts_records = self._at.micros()
        await self._outlet.room()

    def _lost(self, chain: str, reason: str) -> None:
        status = self._statuses[chain]
        if status.state == "live":
            log.warning("%s lost: %s", status.name, reason)
            self._outages.lost(status.name, status.ts_frame, reason)
        status.state, status.reason = "lost", reason

    def _back(self, chain: str) -> None:
        status, now = self._statuses[chain], self._at.micros()
        if status.state != "live":
            status.state, status.reason = "live", ""
            status.connects += 1
            self._outages.back(status.name, now)
            self._outages.connected(status.name, now, "REST v2")
        # It goes on behind the last page that was read, so that nothing of an outage is missing.
        if self._outages.outage(status.name, TOPIC) is not None:
            self._outages.close(status.name, TOPIC, "", now)

    async def _speak(self) -> None:
        while True:
            self._say(self._outages.words_at(self._at.micros(), LAG))
            await self._at.sleep(1.0)

    def _say(self, words: Iterator[Spoken]) -> None:
        for spoken in words:
            self._outlet.say(spoken)
