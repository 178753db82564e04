"""The one table of topics: name, key, payload, partitions, retention."""

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

import msgspec

from schemas.bars import Bar
from schemas.findings import (
    Alert,
    AssetPulse,
    CascadeFinding,
    MarketFinding,
    SideScore,
    StressFinding,
    ThresholdFinding,
    WhaleFinding,
)
from schemas.market import Liquidation, OpenInterest, Trade
from schemas.notifications import NotificationStep
from schemas.onchain import WhaleTransfer
from schemas.status import DeadLetter, FeedStatus

DAY_MS = 86_400_000


class Topic(NamedTuple):
    """`key`: the fields that make the message key. `split`: by partition count, or one.

    `many`: a message may be an array of the first payload's records; each counts as if it
    had come alone, and those that cannot be read are named by their place in it.
    """

    name: str
    key: tuple[str, ...]
    payload: tuple[type[msgspec.Struct], ...]
    split: bool
    retention_ms: int
    what: str
    many: bool = False


TOPICS: dict[str, Topic] = {
    t.name: t
    for t in (
        Topic(
            "trades", ("venue", "instrument"), (Trade, FeedStatus), True, DAY_MS,
            "raw prints, one a message, or many in a JSON array", many=True,
        ),
        Topic(
            "liquidations", ("asset",), (Liquidation, OpenInterest, FeedStatus), True, 60 * DAY_MS,
            "forced orders, and what is open",
        ),
        Topic(
            "whale_transfers", ("asset",), (WhaleTransfer, FeedStatus), True, 60 * DAY_MS,
            "large on-chain transfers",
        ),
        Topic(
            "bars", ("asset",), (Bar, FeedStatus), True, 7 * DAY_MS,
            "partial sums over trades, a second wide, from rollup, one a message or many in one",
            many=True,
        ),
        Topic(
            "market_evidence", (), (AssetPulse, FeedStatus), False, 7 * DAY_MS,
            "each asset's forced seconds, for the market-wide detector",
        ),
        Topic(
            "cascades", ("asset",), (CascadeFinding, MarketFinding, StressFinding), True, -1,
            "the life of each liquidation episode; stress, where only minute bars tell",
        ),
        Topic(
            "scores", ("asset",), (SideScore, ThresholdFinding), True, 7 * DAY_MS,
            "each position side's score beside its threshold; thresholds that moved by themselves",
        ),
        Topic(
            "whale_selling", ("asset",), (WhaleFinding,), True, -1,
            "verdicts on transfers into an exchange, and what takes them back",
        ),
        Topic("alerts", ("asset",), (Alert,), True, 60 * DAY_MS, "findings told to people"),
        Topic(
            "notifications", ("notification_id",), (NotificationStep,), True, 60 * DAY_MS,
            "what people were told of alerts: decided, delivered, given up, kept back",
        ),
        Topic(
            "feed_status", ("producer",), (FeedStatus,), True, 60 * DAY_MS,
            "feeds falling silent and coming back",
        ),
        Topic(
            "dead_letters", ("topic",), (DeadLetter,), True, 60 * DAY_MS,
            "what could not be read, and why",
        ),
    )
}  # fmt: skip

#: The topics outsiders write; each carries in-band FeedStatus beside its records.
RAW_TOPICS = ("trades", "liquidations", "whale_transfers")


def key_of(topic: Topic, record: msgspec.Struct) -> bytes:
    """Return the message key of `record` on `topic`; a field that it lacks is empty."""
    if len(topic.key) == 1:  # nearly all, and a bar costs little more than its key
        return str(getattr(record, topic.key[0], "")).encode()
    if not topic.key:
        return b""
    try:
        return ":".join(_getter(topic.key)(record)).encode()
    except AttributeError:
        return ":".join([str(getattr(record, name, "")) for name in topic.key]).encode()


@lru_cache
def _getter(fields: tuple[str, ...]) -> Callable[[msgspec.Struct], tuple[str, ...]]:
    return attrgetter(*fields)
