"""One route kept connected: backoff, and overlap where it can be.

    connection 1   connecting ── live ──────────── leaves (24 h, notice, stale) ── closed
    connection 2                              connecting ── live ──────────────────────────
    connection 1   connecting ── live ── dies                                       (no overlap)
    connection 2                            backoff ── connecting ── live

The old connection is let go when the new one delivers, so that there are never more than two.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from streams.feed.connection import Connection, LinkStatus, Listener, Time, Where
from streams.feed.dialogue import Dialogue

log = logging.getLogger("undertow.feed")
#: Backoff between these, doubled each time, with jitter; after stale data it may grow longer.
LEAST_S, MOST_S, MOST_STALE_S = 0.5, 30.0, 300.0
#: A connection that ends sooner was no good; after so many in a row the next has to prove itself.
SHORT_S, SHORT_LIVES = 60.0, 5


class Connects:
    """How often a venue may be connected to: so many in any minute."""

    def __init__(self, a_minute: int, at: Time) -> None:
        self._made: deque[float] = deque(maxlen=a_minute)
        self._at = at

    async def turn(self) -> None:
        """Wait for a turn."""
        while len(self._made) == self._made.maxlen:
            left_s = self._made[0] + 60.0 - self._at.steady()
            if left_s <= 0:
                break
            await self._at.sleep(left_s)
        self._made.append(self._at.steady())


class Link:
    """A route that is kept connected until its task is cancelled."""

    def __init__(
        self,
        where: Where,
        dialogue: Callable[[], Dialogue],
        listener: Listener,
        connects: Connects,
        at: Time,
    ) -> None:
        self.where = where
        self.status = LinkStatus(where.name)
        self._dialogue = dialogue
        self._listener = listener
        self._connects = connects
        self._at = at
        self._delivering: set[Connection] = set()
        self._current: Connection | None = None
        self._short_lives = 0
        self._backoff_s = LEAST_S

    async def keep(self, session: aiohttp.ClientSession) -> None:
        """Keep a connection live, and hand over to the next where the venue lets us."""
        old: tuple[Connection, asyncio.Task[None]] | None = None
        try:
            while True:
                await self._connects.turn()
                connection = self._connection()
                task = asyncio.create_task(self._run(connection, session))
                try:
                    await _first(task, connection.live.wait())
                    is_better = connection.delivered.is_set() or old is None or old[1].done()
                    if not task.done() and (is_better or (old is not None and old[0].is_stale)):
                        if connection.delivered.is_set() and self._short_lives < SHORT_LIVES:
                            self._delivers(connection)  # before the old one ends: nothing is lost
                        if old is not None:
                            await _end(old[1])
                        old = connection, task
                        self._current = connection
                        await self._live_on(connection, task)
                finally:
                    if old is None or old[1] is not task:
                        await _end(task)
                await self._rest(connection, task.done() or connection.is_stale)
        finally:
            if old is not None:
                self._delivering.clear()
                await _end(old[1])

    def renew(self, reason: str) -> None:
        """Have the connection followed by another, as what it gives is not whole."""
        if self._current is not None:
            self._current.leave(reason)

    def _connection(self) -> Connection:
        dialogue = self._dialogue()
        return Connection(self.where, dialogue, self._listener, self.status, self._at)

    async def _run(self, connection: Connection, session: aiohttp.ClientSession) -> None:
        began = self._at.steady()
        try:
            await connection.run(session)
        finally:
            lived_s = self._at.steady() - began
            self._short_lives = 0 if lived_s >= SHORT_S else self._short_lives + 1
            self._ended(connection)

    async def _live_on(self, connection: Connection, task: asyncio.Task[None]) -> None:
        """Return when the connection ended, or is to be followed by another."""
        self.status.reason = ""
        await _first(task, connection.leaves.wait(), connection.delivered.wait())
        if connection.delivered.is_set() and not connection.leaves.is_set() and not task.done():
            if self._short_lives >= SHORT_LIVES:
                await _first(task, connection.leaves.wait(), self._at.sleep(SHORT_S))
            if not task.done():
                self._delivers(connection)
                self._backoff_s = LEAST_S
                await _first(task, connection.leaves.wait())
        if connection.is_stale:
            self._ended(connection)

    async def _rest(self, connection: Connection, failed: bool) -> None:
        self.status.reason = connection.reason
        log.warning("%s: %s", self.where.name, connection.reason or "handed over")
        if not failed:
            return
        most_s = MOST_STALE_S if connection.is_stale else MOST_S
        jitter = random.uniform(0.5, 1.0)
        await self._at.sleep(max(connection.refused_for_s, self._backoff_s * jitter))
        self._backoff_s = min(2 * self._backoff_s, most_s)

    def _delivers(self, connection: Connection) -> None:
        was_lost = not self._delivering
        self._delivering.add(connection)
        self.status.state = "live"
        if was_lost:
            self._listener.back(self.where.name, connection.settled_at)

    def _ended(self, connection: Connection) -> None:
        if connection in self._delivering:
            self._delivering.discard(connection)
            if not self._delivering:
                self.status.state = "lost"
                # What was missed before it stood was another's, and is told.
                since = max(missed_since(self.status, self.where.has_trades), connection.settled_at)
                reason = connection.reason or "ended"
                if not self.where.has_trades:
                    reason += "; nothing was printed before: a calm, or lost"
                self._listener.lost(self.where.name, since, reason)


def missed_since(status: LinkStatus, has_trades: bool) -> int:
    """Return since when a link that ended may have missed what was printed, microseconds.

    Pings may be answered though nothing is pushed any more, and what was on its way when a
    connection was cut is gone: so trades tell, and the venue's time of the newest. Without trades
    it is since the last record of any kind; 0 where none ever came.
    """
    if has_trades and status.ts_records:
        return min(status.ts_records, status.ts_print or status.ts_records)
    # Forced orders alone may be rare, and what was lost looks like a calm.
    return status.ts_records


async def _first(task: asyncio.Task[Any], *others: Awaitable[Any]) -> None:
    """Wait until the first of them is done; the others than `task` are dropped."""
    waiting = [asyncio.ensure_future(other) for other in others]
    try:
        await asyncio.wait([task, *waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for other in waiting:
            other.cancel()


async def _end(task: asyncio.Task[None]) -> None:
    """End a task. Waited for, not awaited: its cancellation is no news, and ours must pass."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
