"""Which chains settings ask for, and how each is heard."""

from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec

from schemas.market import Trade
from streams.feed.chains.bitcoin_feed import BitcoinFeed
from streams.feed.chains.chain_feed import ChainFeed, Source
from streams.feed.chains.evm import EvmDialogue
from streams.feed.chains.whale import WhaleAlertDialogue
from streams.feed.chains.whale_blocks_feed import Asking, WhaleBlocksFeed
from streams.feed.connection import KeepFrame, Time, keep_none
from streams.feed.outlet import Outlet
from streams.feeds import registry
from streams.feeds.deposits import Owners
from streams.feeds.instruments import Instruments
from streams.feeds.labels import Labels
from streams.feeds.ledger import Ledger, Prices, coin_of
from streams.feeds.reorg import Chain
from streams.feeds.tokens import NATIVE, pools_of
from streams.process import label_file
from streams.process.settings import Settings

#: Every chain, and the names of its urls.
CHAINS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(NATIVE, ("node",)),
    "bitcoin": ("esplora", "rpc", "ws", "zmq"),
    "whale_alert": ("ws", "rest"),
}
_WHALE_ALERT = "wss://leviathan.whale-alert.io/ws"


class NoEndpoint(ValueError):
    """A chain without a node to ask; the message says which setting is missing."""


def chain_feed(
    settings: Settings,
    chain: str,
    urls: Mapping[str, str],
    outlet: Outlet,
    at: Time,
    prices: Prices,
    keep_frame: KeepFrame = keep_none,
) -> ChainFeed | BitcoinFeed | WhaleBlocksFeed:
    """Return a chain's feed, unconnected; `urls` are by the names in CHAINS.

    Raises NoEndpoint, and label_file.LabelsUnreadable.
    """
    labels = label_file.load(label_file.file_of(settings.data_dir))
    producer = f"{settings.feed_name}-{chain}" if settings.feed_name else chain
    if chain == "whale_alert" and settings.whale_alert_key and urls.get("rest"):
        least_usd = settings.transfer_least_usd
        asking = Asking(urls["rest"], settings.whale_alert_key, labels, least_usd)
        return WhaleBlocksFeed(asking, producer, outlet, at, keep_frame)
    if chain == "whale_alert":
        source = _whale_alert(settings, urls.get("ws") or _WHALE_ALERT, labels)
        return ChainFeed(source, producer, outlet, at, keep_frame)
    ledger = Ledger(Chain(settings.confirmations), labels, prices.of, settings.transfer_least_usd)
    needed = ("esplora", "rpc") if chain == "bitcoin" else ("node",)
    if not any(urls.get(name) for name in needed):
        names = " or ".join(f"{chain}.{name}=URL" for name in needed)
        raise NoEndpoint(f"has no endpoint of its own: set venue_urls to {names}")
    if chain == "bitcoin":
        if urls.get("zmq") and find_spec("zmq") is None:
            raise NoEndpoint("zmq needs the extra: pip install undertow[bitcoin]")
        return BitcoinFeed(dict(urls), ledger, producer, outlet, at, keep_frame)
    tokens = _tokens(settings, chain)
    pools = pools_of(chain, tokens)
    source = Source(
        chain, urls["node"], lambda: EvmDialogue(chain, tokens, pools, True, ledger), ledger
    )
    return ChainFeed(source, producer, outlet, at, keep_frame)


def _whale_alert(settings: Settings, url: str, labels: Labels) -> Source:
    if not settings.whale_alert_key:
        raise NoEndpoint("needs a key of its API: set whale_alert_key")
    owners, least_usd = Owners(), settings.transfer_least_usd
    keyed = f"{url}?api_key={settings.whale_alert_key}"
    return Source("whale_alert", keyed, lambda: WhaleAlertDialogue(labels, owners, least_usd))


def _tokens(settings: Settings, chain: str) -> Instruments:
    """Return the tokens that are read: DATA_DIR/instruments/CHAIN.json, else the bundled ones."""
    listed = Path(settings.data_dir) / "instruments" / f"{chain}.json"
    if not listed.exists():
        return registry.bundled(chain)
    document = msgspec.json.decode(listed.read_bytes())
    return registry.instruments_of(chain, document, str(listed))


class Only:
    """An outlet that passes on what is of some coins, wrapped or not."""

    def __init__(self, outlet: Outlet, assets: Collection[str]) -> None:
        self.say = outlet.say
        self.letter = outlet.letter
        self.room = outlet.room
        self._pass_on = outlet.records
        self._assets = assets

    def records(self, topic: str, records: Sequence[msgspec.Struct]) -> None:
        """Take records of a topic."""
        wanted = [one for one in records if coin_of(one.asset) in self._assets]  # type: ignore[attr-defined]
        if wanted:
            self._pass_on(topic, wanted)


class Overhearing:
    """An outlet that passes everything on, and takes note of what coins cost on venues."""

    def __init__(self, outlet: Outlet, prices: Prices) -> None:
        self.say = outlet.say
        self.letter = outlet.letter
        self.room = outlet.room
        self._pass_on = outlet.records
        self._prices = prices

    def records(self, topic: str, records: Sequence[msgspec.Struct]) -> None:
        """Take records of a topic."""
        if topic == "trades":
            for trade in records:
                if isinstance(trade, Trade) and trade.notional_usd is not None:
                    self._prices.hear(trade.asset, trade.price, trade.ts_event)
        self._pass_on(topic, records)
