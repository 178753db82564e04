"""Where a feed's records go: Kafka, one process, a file. The interface, and no more."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from schemas.status import DeadLetter
from streams.feed.outages import Spoken


class Outlet(Protocol):
    """Takes records, words and letters in order; `room` waits while it is too full."""

    def records(self, topic: str, records: Sequence[msgspec.Struct]) -> None:
        """Take records of a topic."""

    def say(self, spoken: Spoken) -> None:
        """Take a word, in its order after the records before it."""

    def letter(self, letter: DeadLetter) -> None:
        """Take a dead letter."""

    async def room(self) -> None:
        """Wait until there is room for more."""
