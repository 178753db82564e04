"""Messages of a partition that wait to be taken: the input that lags goes first.

    liquidations  ██████████████░░░░░░░░  waits: AHEAD_S of event time before the slowest
    bars          █████░░░░░░░░░░░░░░░░░  is taken
    transfers     ████████████░░░░░░░░░░  waits

So few seconds are open at once, however far behind an input lies: after an outage of rollup its
bars lag hours behind liquidations. An input on which every producer is silent is waited for only
while there is more of it to read, one on which nobody says so for as long as `stale_after_s`
without a message.
"""

import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from faust.types import TP

from schemas import metrics
from schemas.words import SECOND
from streams.core.shard import INPUTS, Shard

#: Event seconds before the slowest input at which another waits; below darkness.SKEW_S.
AHEAD_S = 10
#: What waits of one input at most before no more of it is fetched: messages, and bytes.
FULL, FULL_BYTES = 1_000, 1_000_000
#: An input that gives nothing for so long, though it is asked, has nothing more to read.
DRAINED_S = 5.0


class Inputs:
    """What waits of one partition, by topic."""

    def __init__(self) -> None:
        self.waiting: dict[str, deque[Any]] = {name: deque() for name in INPUTS}
        self._bytes = dict.fromkeys(INPUTS, 0)
        self._came_at = dict.fromkeys(INPUTS, time.monotonic())

    def add(self, topic: str, records: Iterable[Any]) -> None:
        """Put Kafka's records behind those of the topic that wait."""
        self._came_at[topic] = time.monotonic()
        for record in records:
            self.waiting[topic].append(record)
            self._bytes[topic] += len(record.value or b"")

    def some(self) -> list[str]:
        """Return the topics of which something waits."""
        return [name for name, records in self.waiting.items() if records]

    def take(self, topic: str) -> Any:
        """Return the next record of a topic that has one."""
        record = self.waiting[topic].popleft()
        self._bytes[topic] -= len(record.value or b"")
        return record

    def idle(self, seconds: float) -> set[str]:
        """Return the inputs of which nothing waits, and nothing came for so many seconds."""
        since = time.monotonic() - seconds
        return {n for n, at in self._came_at.items() if at < since and not self.waiting[n]}

    def full(self) -> set[str]:
        """Return the inputs of which no more need be fetched for now."""
        return {
            name
            for name, records in self.waiting.items()
            if len(records) >= FULL or self._bytes[name] >= FULL_BYTES
        }


def next_input(
    shard: Shard,
    waiting: Iterable[str],
    drained: Iterable[str] = (),
    overdue: Iterable[str] = (),
) -> str | None:
    """Return the input to take from, of those with something waiting; None where all must wait.

    An input that was never heard holds everything back while there may be more of it to read.
    `drained` have no more to read; `overdue` have given nothing for longer than anybody is
    waited for.
    """
    inputs, over = shard.inputs, {*overdue}
    for name in drained:
        clock = inputs[name]
        if clock.heard and clock.dark_since is not None:
            over.add(name)
    slowest = min([clock.now for name, clock in inputs.items() if name not in over], default=0)
    chosen, earliest = None, slowest + AHEAD_S * SECOND
    for name in waiting:
        now = inputs[name].now
        if now < earliest or (chosen is None and now == earliest):
            chosen, earliest = name, now
    return chosen


def hold(unfetched: set[TP], number: int, full: set[str]) -> None:
    """Add to and take from `unfetched`, the partitions not fetched for now, those of one number."""
    for name in INPUTS:
        place = TP(name, number)
        if name not in full:
            unfetched.discard(place)
        elif place not in unfetched:
            unfetched.add(place)
            metrics.PAUSES.labels(name).inc()
