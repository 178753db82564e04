"""The loop of `undertow feed`: venues connected, their records in Kafka, until a signal."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import aiohttp

from schemas import metrics
from streams.feed.connection import LinkStatus, Time
from streams.feed.kafka_outlet import KafkaOutlet
from streams.feed.places import Places
from streams.feed.wanted import Feed, feeds_of
from streams.process import health
from streams.process.settings import Settings

log = logging.getLogger("undertow.feed")
LOOK_S = 0.2
Show = Callable[[list[LinkStatus], int], None]


def run(settings: Settings, stopping: Callable[[], bool], show: Show) -> None:
    """Feed Kafka until `stopping()`; `show` hears each second how the links do.

    Raises wanted.Unfit, listing.Nothing, and kafka_outlet.NotDelivered.
    """
    name = settings.feed_name or "feed"
    places = Places(Path(settings.data_dir) / "feed" / f"{name}.json")
    outlet = KafkaOutlet(settings, places)
    feeds = feeds_of(settings, outlet, Time(), places.of)
    asyncio.run(_run(feeds, outlet, places, stopping, show))


async def _run(
    feeds: list[Feed],
    outlet: KafkaOutlet,
    places: Places,
    stopping: Callable[[], bool],
    show: Show,
) -> None:
    async with aiohttp.ClientSession() as session:
        tasks = [asyncio.create_task(feed.run(session)) for feed in feeds]
        tasks.append(asyncio.create_task(outlet.keep_flushing()))
        rounds = 0
        try:
            while not stopping():
                for task in tasks:
                    if task.done():
                        task.result()
                statuses = [status for feed in feeds for status in feed.statuses()]
                health.come_round(ready=any(one.state == "live" for one in statuses))
                if rounds % 5 == 0:
                    places.save()
                    show(statuses, Time().micros())
                rounds += 1
                await asyncio.sleep(LOOK_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    for feed in feeds:
        feed.end()
    try:
        outlet.close()
    finally:
        places.save()
        metrics.READY.set(False)
