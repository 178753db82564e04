"""How far an agent has come: nothing skipped, and commits only behind stored effects.

Faust's own commit stops for good at a transaction's marker, so agents never ack; they
commit here what is done.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from schemas import metrics
from streams.detect.faust_transport import COMMIT_WITHIN_S

COMMIT_EVERY_S = 1.0
#: Without the broker's word for this long we may have been frozen, and replaced.
LEASE_S = 3.0
#: How often the broker is asked though there is nothing to say, and how long is too long.
ASK_EVERY_S = 10.0
SILENT_S = 30.0


class Hole(Exception):
    """A fetched record never reached the agent; only a restart reads it again."""


class Progress:
    """The last offset handed to us, and the last one done, of each partition and generation."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._generation = -1
        #: The last offset handed to us of each partition.
        self.taken: dict[Any, int] = {}
        self._done: dict[Any, int] = {}
        #: What a commit may say without claiming anything new.
        self._safe: dict[Any, int] = {}
        self._committed_at = 0.0
        self._heard_at = 0.0
        self._moved_at = 0.0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Time what is done with one batch, for `still_s`."""
        self._moved_at = time.monotonic()
        try:
            yield
        finally:
            self._moved_at = 0.0

    def moved(self) -> None:
        """Note that the batch at hand comes along."""
        self._moved_at = time.monotonic()

    def still_s(self) -> float | None:
        """Return for how long the batch at hand has not come along; None between batches."""
        return time.monotonic() - self._moved_at if self._moved_at else None

    async def take_ours(self, batch: list[Any]) -> tuple[int, list[Any]]:
        """Wait out a rebalance; return the generation and the events that belong to it.

        What was fetched under an older one may not be ours, and is read again in any case.
        """
        while self._app.rebalancing:
            await asyncio.sleep(0.01)
        generation = self._app.consumer_generation_id
        if generation != self._generation:
            self._generation = generation
            self.taken, self._done, self._safe = {}, {}, {}
            metrics.REBALANCES.inc()
        return generation, [e for e in batch if e.message.generation_id == generation]

    def still(self, generation: int) -> bool:
        """Return whether that generation is still in force."""
        return not self._app.rebalancing and self._app.consumer_generation_id == generation

    async def confirmed(self, generation: int) -> bool:
        """Return whether that generation is in force by the broker's own, recent word.

        A process that was frozen believes it is, until it asks. Before anything is taken
        there is nothing to ask with, so the answer is no.
        """
        while self._safe and self.still(generation):
            if time.monotonic() - self._heard_at < LEASE_S:
                return True
            if not await self._send(self._safe):
                await asyncio.sleep(0.05)
        return False

    def take(self, message: Any) -> None:
        """Note a run of records as ours; raises Hole when one fetched before it was not."""
        last = self.taken.get(message.tp)
        before = -1 if last is None else last
        skipped = message.previous is not None and (last is None or message.previous > before)
        if message.offset > before and skipped:
            raise Hole(
                f"{message.topic}[{message.partition}]: {message.offset} came after {last},"
                f" but {message.previous} was fetched"
            )
        self._safe.setdefault(message.tp, message.records[0].offset)
        self.taken[message.tp] = max(message.offset, before)

    async def done(self, generation: int, applied: dict[Any, int]) -> None:
        """Everything up to these offsets has its effects stored: commit it, now and then."""
        if self.still(generation):
            self._done |= applied
            if time.monotonic() - self._committed_at > COMMIT_EVERY_S:
                await self.commit()

    def in_touch(self) -> bool:
        """Return whether the broker has answered lately, or there was nothing to ask."""
        return not self._safe or time.monotonic() - self._heard_at < SILENT_S

    async def commit(self) -> None:
        """Commit what is done, unless it belongs to a generation that has passed."""
        quiet = 0 < self._heard_at < time.monotonic() - ASK_EVERY_S
        if (self._done or (self._safe and quiet)) and self.still(self._generation):
            done, self._done = self._done, {}
            self._committed_at = time.monotonic()
            self._safe |= {tp: last + 1 for tp, last in done.items()}
            await self._send(self._safe)

    async def _send(self, offsets: dict[Any, int]) -> bool:
        # A commit that meets a rebalance may never answer; what it would have told is
        # told again by the next one.
        asked_at = time.monotonic()
        ours = self._app.consumer.assignment()
        offsets = {tp: offset for tp, offset in offsets.items() if tp in ours}
        if not offsets:
            return False
        with suppress(TimeoutError):
            if await asyncio.wait_for(self._app.consumer._commit(offsets), COMMIT_WITHIN_S + 1):
                self._heard_at = asked_at
                return True
        return False
