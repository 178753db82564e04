"""The loop of `undertow feed`: venues connected, their records in Kafka, until a signal."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import aiohttp

from schemas import metrics
from streams.feed.connection import LinkStatus, Time
from streams.feed.kafka_outlet import KafkaOutlet
from streams.feed.outlet import Outlet
from streams.feed.places import Places
from streams.feed.protocol import Protocol
from streams.feed.venue_feed import VenueFeed, Wanted
from streams.feed.venues import PROTOCOLS
from streams.process import health
from streams.process.settings import Settings

log = logging.getLogger("undertow.feed")
LOOK_S = 0.2
Show = Callable[[list[LinkStatus], int], None]


class Unfit(Exception):
    """What is asked for cannot be fed; the message is one clear line."""


def run(settings: Settings, stopping: Callable[[], bool], show: Show) -> None:
    """Feed Kafka until `stopping()`; `show` hears each second how the links do.

    Raises Unfit, listing.Nothing, and kafka_outlet.NotDelivered.
    """
    name = settings.feed_name or "feed"
    places = Places(Path(settings.data_dir) / "feed" / f"{name}.json")
    outlet = KafkaOutlet(settings, places)
    feeds = feeds_of(settings, outlet, Time(), places)
    asyncio.run(_run(feeds, outlet, places, stopping, show))


def feeds_of(
    settings: Settings, outlet: Outlet, at: Time, places: Places | None = None
) -> list[VenueFeed]:
    """Return the venues that settings name, unconnected. Raises Unfit."""
    assets = None if settings.assets == "all" else frozenset(_names(settings.assets))
    feeds = []
    for protocol in protocols(settings):
        venue = protocol.venue
        producer = f"{settings.feed_name}-{venue}" if settings.feed_name else venue
        wanted = Wanted(
            producer=producer,
            assets=assets,
            places=places.of(producer) if places else {},
            cache=Path(settings.data_dir) / "instruments",
        )
        feeds.append(VenueFeed(protocol, wanted, outlet, at))
    return feeds


def protocols(settings: Settings) -> list[Protocol]:
    """Return the protocols of the venues that settings name, with their urls. Raises Unfit."""
    venues = _names(settings.venues)
    unknown = sorted(set(venues) - PROTOCOLS.keys())
    if unknown or not venues:
        raise Unfit(f"--venues: no venue {', '.join(unknown)}; known: {', '.join(PROTOCOLS)}")
    urls = dict(_urls(settings))
    if strange := sorted(name for name in urls if not _is_url_of(name)):
        raise Unfit(f"venue_urls: no url is called {', '.join(strange)}")
    return [_at_urls(PROTOCOLS[venue], urls) for venue in dict.fromkeys(venues)]


def _at_urls(protocol: Protocol, urls: dict[str, str]) -> Protocol:
    mine = {name: urls.get(f"{protocol.venue}.{name}", url) for name, url in protocol.urls.items()}
    return replace(protocol, urls=mine)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _urls(settings: Settings) -> Iterator[tuple[str, str]]:
    for pair in settings.venue_urls.split():
        name, equals, url = pair.partition("=")
        if not equals:
            raise Unfit(f"venue_urls: {pair!r} is not venue.name=url")
        yield name, url


def _is_url_of(name: str) -> bool:
    venue, _, url = name.partition(".")
    return venue in PROTOCOLS and url in PROTOCOLS[venue].urls


async def _run(
    feeds: list[VenueFeed],
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
