"""A feed of scripted venues inside the test's own process, its records kept in lists."""

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp

from schemas.status import DeadLetter, FeedStatus
from scripted_venues.server import Event, ScriptedVenue
from streams.feed.burning import Burning
from streams.feed.connection import KeepFrame, LinkStatus, Time, keep_none
from streams.feed.outages import Spoken
from streams.feed.venue_feed import VenueFeed, Wanted
from streams.feed.venues import PROTOCOLS


class Kept:
    """An outlet that keeps everything."""

    def __init__(self) -> None:
        self.records_of: dict[str, list] = {}
        self.letters: list[DeadLetter] = []
        self.said: list[Spoken] = []
        self.links: list[LinkStatus] = []

    def records(self, topic, records) -> None:
        self.records_of.setdefault(topic, []).extend(records)

    def say(self, spoken: Spoken) -> None:
        self.said.append(spoken)

    def letter(self, letter: DeadLetter) -> None:
        self.letters.append(letter)

    async def room(self) -> None:
        pass

    def ids(self, topic: str) -> list[str]:
        return [record.event_id for record in self.records_of.get(topic, [])]

    def states(self, state: str) -> list[FeedStatus]:
        return [s.status for s in list(self.said) if s.status.state == state]

    def alive(self, topic: str) -> list[int]:
        return [
            s.status.ts_event for s in list(self.said)
            if s.status.state == "alive" and topic in s.topics
        ]  # fmt: skip


class Fast:
    """A clock that runs `speed` times as fast as the machine's, for feed and venue alike."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began = time.monotonic()
        self._micros = time.time_ns() // 1000

    def steady(self) -> float:
        return (time.monotonic() - self._began) * self._speed

    def micros(self) -> int:
        return self._micros + int(self.steady() * 1e6)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)

    def time(self) -> Time:
        return Time(self.micros, self.steady, self.sleep)

    def event(self, kind: str, symbol: str, number: int, side: str = "sell") -> Event:
        return Event(kind, symbol, number, side, 90_000.0 + number, 0.25, self.micros() // 1000)


@contextmanager
def hearing(
    clock: Fast,
    tmp_path: Path,
    *venues: tuple[str, ScriptedVenue],
    places: dict[str, int] | None = None,
    assets: set[str] | None = None,
    life_s: float | None = None,
    keep_frame: KeepFrame = keep_none,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Kept]:
    """Run feeds of scripted venues in a thread, and end them; `tls` is whom they trust."""
    kept = Kept()
    feeds = []
    burning = Burning({venue: PROTOCOLS[venue].share for venue, _ in venues})
    for venue, server in venues:
        protocol = replace(PROTOCOLS[venue], urls=urls_of(venue, server))
        protocol = replace(protocol, life_s=life_s or protocol.life_s)
        wanted = Wanted(
            producer=venue,
            assets=assets or {"BTC", "ETH"},
            places=places or {},
            cache=tmp_path / "instruments",
            keep_frame=keep_frame,
        )
        feeds.append(VenueFeed(protocol, wanted, kept, clock.time(), burning))
    stop = threading.Event()
    problems: list[BaseException] = []

    async def live() -> None:
        connector = aiohttp.TCPConnector(ssl=tls if tls is not None else True)
        async with aiohttp.ClientSession(connector=connector) as session:
            tasks = [asyncio.create_task(feed.run(session)) for feed in feeds]
            while not stop.is_set() and not any(task.done() for task in tasks):
                await asyncio.sleep(0.02)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            problems.extend(r for r in results if isinstance(r, Exception))
        for feed in feeds:
            kept.links += feed.statuses()
            feed.end()

    thread = threading.Thread(target=asyncio.run, args=(live(),), daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()
        assert problems == [], problems


def until(true: Callable[[], object], what: str, seconds: float = 20) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def urls_of(venue: str, server: ScriptedVenue) -> dict[str, str]:
    """Return the urls of a venue's protocol, all of which lead to a scripted one."""
    return {
        name: server.rest_url
        if name.startswith("rest")
        else server.url(server.script.path_of[name])
        for name in PROTOCOLS[venue].urls
    }


def process_urls(**servers: ScriptedVenue) -> str:
    """Return UNDERTOW_VENUE_URLS that lead each venue to its scripted server."""
    return " ".join(
        f"{venue}.{name}={url}"
        for venue, server in servers.items()
        for name, url in urls_of(venue, server).items()
    )
