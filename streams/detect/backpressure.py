"""Inputs that run ahead wait for the slowest, so that few seconds are open at once.

An input on which every producer is silent is waited for only while there is more of it to read,
one on which nobody says so for as long as `stale_after_s` without a message.

After an outage of rollup its bars lag hours behind liquidations. Read as they come, those
would be held (and stored) as thousands of open seconds that nothing can close yet.
"""

from collections.abc import Iterable

from faust.types import TP

from schemas import metrics
from schemas.words import SECOND
from streams.core import engine
from streams.core.detectors.darkness import SKEW_S

#: Event seconds ahead of the slowest at which an input stops, and below which it goes on.
STOP_S = SKEW_S
GO_ON_S = 15


def ahead(
    shard: engine.Shard,
    waiting: Iterable[str],
    drained: Iterable[str] = (),
    overdue: Iterable[str] = (),
) -> set[str]:
    """Return the inputs that should wait, given those that do and those with no more to read.

    An input that was never heard holds everything back while there may be more of it to read.
    `overdue` are those that have given nothing for longer than anybody is waited for.
    """
    silent = {n for n, c in shard.inputs.items() if c.heard and c.dark_since is not None}
    over = silent.intersection(drained).union(overdue)
    slowest = min((c.now for name, c in shard.inputs.items() if name not in over), default=0)
    limits = dict.fromkeys(shard.inputs, STOP_S) | dict.fromkeys(waiting, GO_ON_S)
    return {
        name for name, clock in shard.inputs.items() if clock.now - slowest > limits[name] * SECOND
    }


def hold(
    held: set[TP],
    number: int,
    shard: engine.Shard,
    drained: Iterable[str] = (),
    overdue: Iterable[str] = (),
) -> None:
    """Add to and take from `held`, the partitions not fetched for now, those of one shard."""
    before = {name for name in shard.inputs if TP(name, number) in held}
    now = ahead(shard, before, drained, overdue)
    held -= {TP(name, number) for name in before - now}
    held |= {TP(name, number) for name in now - before}
    for name in now - before:
        metrics.PAUSES.labels(name).inc()
