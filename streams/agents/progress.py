"""How far an agent has come: nothing skipped, and commits only behind stored effects.

Faust's own commit stops for good at a transaction's marker, so agents never ack; they
commit here what is done.
"""

import asyncio
import time
from contextlib import suppress
from typing import Any

COMMIT_EVERY_S = 1.0
COMMIT_WITHIN_S = 5.0


class Hole(Exception):
    """A fetched record never reached the agent; only a restart reads it again."""


class Progress:
    """The last offset taken, and the last one done, of each partition in this generation."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._generation = -1
        self._taken: dict[Any, int] = {}
        self._done: dict[Any, int] = {}
        self._committed_at = 0.0

    async def own(self, batch: list[Any]) -> tuple[int, list[Any]]:
        """Wait out a rebalance; return the generation and the events that belong to it.

        What was fetched under an older one may not be ours, and is read again in any case.
        """
        while self._app.rebalancing:
            await asyncio.sleep(0.01)
        generation = self._app.consumer_generation_id
        if generation != self._generation:
            self._generation, self._taken, self._done = generation, {}, {}
        return generation, [e for e in batch if e.message.generation_id == generation]

    def still(self, generation: int) -> bool:
        """Return whether that generation is still in force."""
        return not self._app.rebalancing and self._app.consumer_generation_id == generation

    def take(self, message: Any) -> None:
        """Note a message as taken; raises Hole when one fetched before it was not."""
        last = self._taken.get(message.tp)
        before = -1 if last is None else last
        skipped = message.previous is not None and (last is None or message.previous > before)
        if message.offset > before and skipped:
            raise Hole(
                f"{message.topic}[{message.partition}]: {message.offset} came after {last},"
                f" but {message.previous} was fetched"
            )
        self._taken[message.tp] = max(message.offset, before)

    async def done(self, generation: int) -> None:
        """Everything taken so far has its effects stored: commit it, now and then."""
        if self.still(generation):
            self._done = dict(self._taken)
            if time.monotonic() - self._committed_at > COMMIT_EVERY_S:
                await self.commit()

    async def commit(self) -> None:
        """Commit what is done, unless it belongs to a generation that has passed."""
        if self._done and self.still(self._generation):
            done, self._done = self._done, {}
            self._committed_at = time.monotonic()
            offsets = {tp: last + 1 for tp, last in done.items()}
            # A commit that meets a rebalance may never answer; what it would have told is
            # told again by the next one.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._app.consumer._commit(offsets), COMMIT_WITHIN_S)
