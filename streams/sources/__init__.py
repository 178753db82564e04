"""Where records come from: a generated night, or recordings in the forms people own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from schemas.topics import RAW_TOPICS

#: A topic's name and one record of it; unreadable input comes as ("dead_letters", DeadLetter).
Item = tuple[str, msgspec.Struct]


@dataclass(frozen=True)
class Source:
    """A finite stream of records in the order in which they were received.

    `identity` is equal for equal content; `span` the first and last event time where
    known in advance (microseconds, for progress); a silence of every stream longer than
    `gap_after_s` is the recorder's, not the market's; `clocked` are the topics that it
    speaks for (a source of ready bars speaks for `bars` instead of `trades`), `timed` those
    whose records bring words on time of their own; `planted` is the truth of a generated
    source, for scoring only; `unread` names files beside it that hold no known form. `begin` is
    of a live source, which cannot be read again: the items from an event time on, 0 from now.
    """

    name: str
    identity: str
    items: Iterator[Item]
    span: tuple[int, int] | None
    gap_after_s: float
    clocked: tuple[str, ...] = RAW_TOPICS
    timed: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    planted: list[dict[str, Any]] = field(default_factory=list)
    begin: Callable[[int], Iterator[Item]] | None = None

    @property
    def told_on(self) -> str:
        """The topic whose words on time tell how far the source has come."""
        return (*self.clocked, *self.timed)[0]
