"""Bitcoin's ears: blocks asked for as they come, the ledger, and words on both."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import aiohttp
import msgspec

from schemas.identity import natural_id
from schemas.status import letter
from schemas.words import SECOND
from streams.feed.chains import wakes
from streams.feed.chains.blocks import Blocks, Core, Esplora, Unanswered
from streams.feed.connection import KeepFrame, LinkStatus, Time, keep_none
from streams.feed.outages import Outages, Spoken, moment
from streams.feed.outlet import Outlet
from streams.feed.recent import Recent
from streams.feeds import registry
from streams.feeds.frames import Refusal
from streams.feeds.ledger import Ledger
from streams.feeds.reorg import Ask

log = logging.getLogger("undertow.feed")
TOPIC, LINK = "whale_transfers", "bitcoin/node"
#: The node is asked for its tip so often, whoever tells of blocks or does not, seconds.
POLL_S = 10.0
LAG = SECOND


class BitcoinFeed:
    """Bitcoin followed, until `run` is cancelled. `urls`: esplora or rpc, and ws or zmq beside."""

    def __init__(
        self,
        urls: dict[str, str],
        ledger: Ledger,
        producer: str,
        outlet: Outlet,
        at: Time,
        keep_frame: KeepFrame = keep_none,
    ) -> None:
        self._urls = urls
        self._ledger = ledger
        self._outlet = outlet
        self._at = at
        self._keep_frame = keep_frame
        self._status = LinkStatus(LINK)
        self._outages = Outages(producer, {TOPIC: {LINK}}, ())
        self._recent = Recent()
        self._wake = asyncio.Event()
        self._disconnected: deque[str] = deque()

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Follow the chain."""
        self._outages.lost(LINK, self._at.micros(), "started")
        reader: Callable[..., Blocks] = Core if self._urls.get("rpc") else Esplora
        url = self._urls.get("rpc") or self._urls["esplora"]
        async with asyncio.TaskGroup() as tasks:
            known = registry.bundled("bitcoin").of_connection()
            known.payer = self._ledger.labels.payer
            tasks.create_task(self._follow(reader(url, session, self._at, known, self._keep)))
            tasks.create_task(self._speak())
            if ws := self._urls.get("ws"):
                tasks.create_task(wakes.websocket(session, ws, self._woken, self._at, self._keep))
            if zmq := self._urls.get("zmq"):
                tasks.create_task(wakes.zmq(zmq, self._woken, self._at, self._keep))

    def end(self) -> None:
        """Say that we stop."""
        self._say(self._outages.end(self._at.micros()))

    def statuses(self) -> Iterator[LinkStatus]:
        """Yield what the link is doing."""
        yield self._status

    def _keep(self, frame: bytes, ts_recv: int, channel: str) -> None:
        self._keep_frame("bitcoin/node", frame, ts_recv, channel)

    def _woken(self, disconnected: str) -> None:
        if disconnected:
            self._disconnected.append(disconnected)
        self._wake.set()

    async def _follow(self, blocks: Blocks) -> None:
        while True:
            self._wake.clear()
            try:
                await self._catch_up(blocks)
                self._back()
            except Unanswered as problem:
                self._lost(str(problem))
            sleeping = asyncio.ensure_future(self._at.sleep(POLL_S))
            waking = asyncio.ensure_future(self._wake.wait())
            await asyncio.wait([sleeping, waking], return_when=asyncio.FIRST_COMPLETED)
            sleeping.cancel()
            waking.cancel()

    async def _catch_up(self, blocks: Blocks) -> None:
        """Ask for the tip, and for whatever is missing below it."""
        while self._disconnected:
            records, _ = self._ledger.removed(self._disconnected.popleft(), self._at.micros())
            await self._emit(records)
        waiting = deque([Ask("head", await blocks.tip())])
        asked: set[Ask] = set()
        while waiting:
            ask = waiting.popleft()
            if ask in asked:
                continue
            asked.add(ask)
            if ask.what == "head":
                head = await blocks.head(ask.hash)
                records, asks = self._ledger.head(head, self._at.micros())
            else:
                parsed = await blocks.records(ask.hash)
                now = self._at.micros()
                records, asks = self._ledger.block(ask.hash, parsed.records, True, now)
                self._refuse(ask.hash, parsed.refusals)
            self._status.frames += 1
            self._status.ts_frame = self._at.micros()
            waiting.extend(asks)
            await self._emit(records)

    async def _emit(self, records: Iterable[Any]) -> None:
        new = [one for one in records if self._recent.is_new(f"{one.event_id}#{one.version}")]
        if new:
            self._outlet.records(TOPIC, new)
            self._status.records += len(new)
            self._status.ts_records = self._at.micros()
        await self._outlet.room()

    def _refuse(self, block: str, refusals: list[Refusal]) -> None:
        for refusal in refusals:
            place = int(natural_id(block, refusal.field)[:13], 16)
            now = self._at.micros()
            raw = msgspec.json.encode(block)
            self._outlet.letter(letter((LINK, 0, place), refusal.field, refusal.reason, raw, now))

    def _lost(self, reason: str) -> None:
        if self._status.state == "live":
            log.warning("%s lost: %s", LINK, reason)
            self._outages.lost(LINK, self._status.ts_frame, reason)
        self._status.state, self._status.reason = "lost", reason

    def _back(self) -> None:
        now = self._at.micros()
        if self._status.state != "live":
            self._status.state, self._status.reason = "live", ""
            self._status.connects += 1
            self._outages.back(LINK, now)
            self._outages.connected(LINK, now, "bitcoin")
        gaps, self._ledger.gaps = self._ledger.gaps, []
        spans = ", ".join(f"{moment(gap.since)} to {moment(gap.until)}" for gap in gaps)
        missing = f"blocks from {spans} were not heard" if gaps else ""
        if self._outages.outage(LINK, TOPIC) is not None:
            self._outages.close(LINK, TOPIC, missing, now)

    async def _speak(self) -> None:
        while True:
            self._say(self._outages.words_at(self._at.micros(), LAG))
            await self._at.sleep(1.0)

    def _say(self, words: Iterator[Spoken]) -> None:
        for spoken in words:
            self._outlet.say(spoken)
