"""What settings ask a feed for: venues, coins, endpoints."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from streams.feed.burning import Burning
from streams.feed.chains.bitcoin_feed import BitcoinFeed
from streams.feed.chains.chain_feed import ChainFeed
from streams.feed.chains.chosen import CHAINS, Only, Overhearing, chain_feed
from streams.feed.chains.whale_blocks_feed import WhaleBlocksFeed
from streams.feed.connection import KeepFrame, Time, keep_none
from streams.feed.outlet import Outlet
from streams.feed.protocol import Protocol
from streams.feed.venue_feed import VenueFeed, Wanted
from streams.feed.venues import PROTOCOLS
from streams.feeds.learning import Learnt
from streams.feeds.ledger import Prices
from streams.process import learnt_file
from streams.process.label_file import LabelsUnreadable
from streams.process.settings import Settings

Feed = VenueFeed | ChainFeed | BitcoinFeed | WhaleBlocksFeed


class Unfit(Exception):
    """What is asked for cannot be fed; the message is one clear line."""


def feeds_of(
    settings: Settings,
    outlet: Outlet,
    at: Time,
    places: Callable[[str], dict[str, int]],
    keep_frame: KeepFrame = keep_none,
) -> list[Feed]:
    """Return what settings name, unconnected; `places` and `keep_frame` as in Wanted.

    Raises Unfit.
    """
    assets = None if settings.assets == "all" else frozenset(_names(settings.assets))
    feeds: list[Feed] = []
    described = protocols(settings)
    if chains := _asked(settings)[1]:
        prices = Prices()
        outlet = Overhearing(outlet, prices)
        only = outlet if assets is None else Only(outlet, assets)
        feeds += [_chain(settings, name, only, at, prices, keep_frame) for name in chains]
    burning = Burning({protocol.venue: protocol.share for protocol in described})
    for protocol in described:
        venue = protocol.venue
        producer = f"{settings.feed_name}-{venue}" if settings.feed_name else venue
        wanted = Wanted(
            producer=producer,
            assets=assets,
            places=places(producer),
            cache=Path(settings.data_dir) / "instruments",
            keep_frame=keep_frame,
            learnt=_learnt(settings),
        )
        feeds.append(VenueFeed(protocol, wanted, outlet, at, burning))
    return feeds


def _learnt(settings: Settings) -> Learnt:
    try:
        return learnt_file.load(learnt_file.file_of(settings.data_dir))
    except ValueError as problem:
        raise Unfit(str(problem)) from None


def protocols(settings: Settings) -> list[Protocol]:
    """Return the protocols of the venues that settings name, with their urls. Raises Unfit."""
    venues, _ = _asked(settings)
    urls = dict(_urls(settings))
    if strange := sorted(name for name in urls if not _is_url_of(name)):
        raise Unfit(f"venue_urls: no url is called {', '.join(strange)}")
    return [_at_urls(PROTOCOLS[venue], urls) for venue in venues]


def _asked(settings: Settings) -> tuple[list[str], list[str]]:
    """Return the venues and the chains that settings name. Raises Unfit."""
    names = list(dict.fromkeys(_names(settings.venues)))
    unknown = sorted(set(names) - PROTOCOLS.keys() - CHAINS.keys())
    if unknown or not names:
        known = ", ".join([*PROTOCOLS, *CHAINS])
        raise Unfit(f"--venues: no venue {', '.join(unknown)}; known: {known}")
    return [n for n in names if n in PROTOCOLS], [n for n in names if n in CHAINS]


def _chain(
    settings: Settings,
    chain: str,
    outlet: Outlet,
    at: Time,
    prices: Prices,
    keep_frame: KeepFrame,
) -> Feed:
    given = dict(_urls(settings))
    urls: Mapping[str, str] = {n: given.get(f"{chain}.{n}", "") for n in CHAINS[chain]}
    try:
        return chain_feed(settings, chain, urls, outlet, at, prices, keep_frame)
    except (LabelsUnreadable, ValueError) as problem:
        raise Unfit(f"{chain} {problem}") from None


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
    return url in (PROTOCOLS[venue].urls if venue in PROTOCOLS else CHAINS.get(venue, ()))
