"""What settings ask a feed for: venues, coins, endpoints."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from streams.feed.connection import Time
from streams.feed.outlet import Outlet
from streams.feed.protocol import Protocol
from streams.feed.venue_feed import VenueFeed, Wanted
from streams.feed.venues import PROTOCOLS
from streams.process.settings import Settings


class Unfit(Exception):
    """What is asked for cannot be fed; the message is one clear line."""


def feeds_of(
    settings: Settings, outlet: Outlet, at: Time, places: Callable[[str], dict[str, int]]
) -> list[VenueFeed]:
    """Return the venues that settings name, unconnected; `places` as in Wanted. Raises Unfit."""
    assets = None if settings.assets == "all" else frozenset(_names(settings.assets))
    feeds = []
    for protocol in protocols(settings):
        venue = protocol.venue
        producer = f"{settings.feed_name}-{venue}" if settings.feed_name else venue
        wanted = Wanted(
            producer=producer,
            assets=assets,
            places=places(producer),
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
