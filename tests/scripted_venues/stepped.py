"""Venues and feed in one loop, under a clock that stands while either has work: a day in minutes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from threading import Event as Flag

import aiohttp
import msgspec

from schemas.status import DeadLetter
from schemas.words import SECOND
from scripted_venues import SCRIPTS
from scripted_venues.ears import urls_of
from scripted_venues.server import ScriptedVenue
from streams.core import pipeline
from streams.core.params import Params
from streams.feed.burning import Burning
from streams.feed.connection import Time
from streams.feed.outages import Spoken
from streams.feed.venue_feed import VenueFeed, Wanted
from streams.feed.venues import PROTOCOLS

#: Rounds of the loop after which what was sent on loopback is read and answered.
ROUNDS = 6
#: At once no more passes than this, seconds: each loop of the feed comes round in it.
QUANTUM_S = 0.25


class Stepped:
    """Event time that passes when it is told to; sleepers are woken in their order."""

    def __init__(self, began: int) -> None:
        """`began` in microseconds."""
        self._began = began
        self._now = 0.0
        self._numbers = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def steady(self) -> float:
        return self._now

    def micros(self) -> int:
        return self._began + round(self._now * SECOND)

    async def sleep(self, seconds: float) -> None:
        waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (self._now + seconds, next(self._numbers), waking))
        await waking

    def time(self) -> Time:
        return Time(self.micros, self.steady, self.sleep)

    async def pass_on(self, seconds: float) -> None:
        """Let time pass, and all be done that it brings about."""
        end = self._now + seconds
        while self._now < end:
            self._now = min(end, self._now + QUANTUM_S)
            while self._sleepers and self._sleepers[0][0] <= self._now:
                waking = heappop(self._sleepers)[2]
                if not waking.done():
                    waking.set_result(None)
            await settled()


async def settled() -> None:
    """Let the loop come round until what is on its way has arrived."""
    for _ in range(ROUNDS):
        await asyncio.sleep(0)


class Judged:
    """An outlet that has the detectors judge everything, in the order in which it comes."""

    def __init__(self, params: Params) -> None:
        self.findings: list[msgspec.Struct] = []
        self.letters: list[DeadLetter] = []
        self.said: list[Spoken] = []
        self.refused: list[tuple[str, str]] = []
        self.event_ids: list[str] = []
        self._params = params
        self._state = pipeline.State()

    def records(self, topic: str, records: Sequence[msgspec.Struct]) -> None:
        for record in records:
            self.event_ids.append(record.event_id)  # type: ignore[attr-defined]
            self._judge(topic, record)

    def say(self, spoken: Spoken) -> None:
        if spoken.status.state != "alive":
            self.said.append(spoken)
        for topic in spoken.topics:
            self._judge(topic, spoken.status)

    def letter(self, letter: DeadLetter) -> None:
        self.letters.append(letter)

    async def room(self) -> None:
        pass

    def _judge(self, topic: str, record: msgspec.Struct) -> None:
        step = pipeline.step(self._params, self._state, topic, record)
        if step.refused:
            self.refused.append((topic, step.refused))
        self.findings += [one for to, one in step.outputs if to == "cascades"]


@asynccontextmanager
async def served(names: Sequence[str]) -> AsyncIterator[dict[str, ScriptedVenue]]:
    """Serve venues in this very loop: commands are the `..._here` ones."""
    loop = asyncio.get_running_loop()
    venues = {name: ScriptedVenue(SCRIPTS[name](), loop) for name in names}
    ready = {name: Flag() for name in names}
    tasks = [loop.create_task(venue.serve(ready[name])) for name, venue in venues.items()]
    while not all(flag.is_set() for flag in ready.values()):
        await asyncio.sleep(0)
    try:
        yield venues
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def judged(
    clock: Stepped, venues: dict[str, ScriptedVenue], params: Params, cache: Path
) -> AsyncIterator[Judged]:
    """Have a feed hear venues, and the detectors judge what it tells."""
    outlet = Judged(params)
    burning = Burning({venue: PROTOCOLS[venue].share for venue in venues})
    feeds = []
    for venue, server in venues.items():
        protocol = replace(PROTOCOLS[venue], urls=urls_of(venue, server))
        wanted = Wanted(producer=venue, assets={"BTC", "ETH"}, cache=cache)
        feeds.append(VenueFeed(protocol, wanted, outlet, clock.time(), burning))
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        tasks = [asyncio.create_task(feed.run(session)) for feed in feeds]
        try:
            yield outlet
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
