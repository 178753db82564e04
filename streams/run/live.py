"""Venues live, as a source of a run: their records and words in the order in which they came.

thread of the feeds ── records, words ──> queue ──> the run's loop
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator, Sequence

import aiohttp
import msgspec

from schemas.identity import natural_id
from schemas.status import DeadLetter
from schemas.topics import RAW_TOPICS
from streams.feed.connection import Time
from streams.feed.outages import Spoken
from streams.feed.wanted import feeds_of, protocols
from streams.process import health
from streams.process.settings import Settings
from streams.sources import Item, Source

#: So begins a source that is live.
PREFIX = "live:"
#: Items that wait for the loop above which nobody reads on.
MOST_WAITING = 50_000
LOOK_S = 0.1


class Queue:
    """An outlet into the run's loop."""

    def __init__(self) -> None:
        self.items: queue.SimpleQueue[Item] = queue.SimpleQueue()

    def records(self, topic: str, records: Sequence[msgspec.Struct]) -> None:
        """Take records of a topic."""
        for record in records:
            self.items.put((topic, record))

    def say(self, spoken: Spoken) -> None:
        """Take a word, in-band and, unless it is everyday's, for people."""
        if spoken.status.state != "alive" and "trades" not in spoken.topics:
            self.items.put(("feed_status", spoken.status))
        for topic in spoken.topics:
            self.items.put((topic, spoken.status))

    def letter(self, letter: DeadLetter) -> None:
        """Take a dead letter."""
        self.items.put(("dead_letters", letter))

    async def room(self) -> None:
        """Wait while too much waits for the loop."""
        while self.items.qsize() > MOST_WAITING:
            await asyncio.sleep(LOOK_S)


def live_source(settings: Settings, stop: Callable[[], object]) -> Source:
    """Return the venues that settings name as a source; `stop` ends it. Raises wanted.Unfit."""
    protocols(settings)
    names = settings.venues.replace(" ", "")
    return Source(
        name=f"{PREFIX}{names}, {settings.assets}",
        identity=natural_id(PREFIX, names, settings.assets),
        items=iter(()),
        span=None,
        gap_after_s=0.0,
        clocked=(),
        timed=RAW_TOPICS,
        begin=lambda since: _items(settings, since, stop),
    )


def _items(settings: Settings, since: int, stop: Callable[[], object]) -> Iterator[Item]:
    """Yield what comes until `stop()`; what came after `since` (0: never) is asked for."""
    outlet = Queue()
    places = dict.fromkeys(RAW_TOPICS, since) if since else {}
    feeds = feeds_of(settings, outlet, Time(), lambda producer: places)
    problems: list[BaseException] = []
    ended = threading.Event()

    async def hear() -> None:
        async with aiohttp.ClientSession() as session:
            tasks = [asyncio.create_task(feed.run(session)) for feed in feeds]
            try:
                while not ended.is_set() and not any(task.done() for task in tasks):
                    await asyncio.sleep(LOOK_S)
            finally:
                for task in tasks:
                    task.cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                problems.extend(one for one in outcomes if isinstance(one, Exception))

    thread = threading.Thread(target=asyncio.run, args=(hear(),), name="feeds", daemon=True)
    thread.start()
    try:
        while not stop() and thread.is_alive():
            try:
                yield outlet.items.get(timeout=LOOK_S)
            except queue.Empty:
                health.come_round()
    finally:
        ended.set()
        thread.join()
    for problem in problems:
        raise problem
