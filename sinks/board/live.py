"""One poller for all listeners: what changed since the last poll, to whoever listens.

    poll ──> panels ──> what differs ──> ring of the last events ──> a bounded queue a listener
                                            └── Last-Event-ID: what was missed, or all anew

Nobody looking, nothing is asked. A listener that does not keep up loses its queue and is given
everything anew; it holds up nobody.
"""

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from sinks.board.deliveries import Outbox
from sinks.board.panels import Ask, Moment, age_s, epoch_s, moment, shared
from sinks.board.queries import SHARED
from sinks.board.state import MOVING_S, state
from sinks.sql.protocol import QueryError
from sinks.sql.reader import Cancelled

log = logging.getLogger("undertow.board")

#: A poll begins at most so often, seconds; and waits this many times what the last one took, but
#: no longer than that.
EVERY_S, REST, LATEST_S = 1.0, 2.0, 5.0
#: A panel is asked again when its tables changed, or the data went on so far, seconds.
AGED_S = 60.0
#: Events kept for listeners that come back, and at most so many bytes of them.
KEPT, KEPT_BYTES = 600, 16_000_000
#: ClickHouse's codes for a table or a column that is not there.
_NO_SUCH = (47, 60)
#: Events that wait for one listener.
QUEUED = 256

Rows = list[dict[str, Any]]
Panels = dict[str, Rows]
Call = Callable[[Callable[[], Any]], Awaitable[Any]]


class Event:
    """One event as it is sent; `number` is 0 for what carries no data of its own."""

    __slots__ = ("content", "number")

    def __init__(self, kind: str, payload: Any, number: int, life: str) -> None:
        self.number = number
        name = f"id: {life}-{number}\n" if number else ""
        self.content = f"event: {kind}\n{name}data: ".encode() + orjson.dumps(payload) + b"\n\n"


class Source(NamedTuple):
    """What is told beside the store: the run that is played, and what became of alerts."""

    run: Callable[[], str] = lambda: ""
    outbox: Outbox = Outbox(None)


class Listener:
    """Somebody who listens: events that wait, or `stale` when everything is to be sent anew."""

    def __init__(self) -> None:
        self.waiting: deque[Event] = deque()
        self.stale = False
        self.news = asyncio.Event()

    def put(self, event: Event) -> None:
        """Add an event; one too many, and all are dropped for a fresh start."""
        if len(self.waiting) >= QUEUED:
            self.restart()
        if not self.stale:
            self.waiting.append(event)
        self.news.set()

    def restart(self) -> None:
        """Drop what waits: everything is to be sent anew."""
        self.waiting.clear()
        self.stale = True
        self.news.set()


class Live:
    """The poller, what it saw last, and its listeners; all on one event loop."""

    def __init__(self, ask: Ask, call: Call, source: Source = Source()) -> None:
        """`call` runs a function that blocks elsewhere."""
        self._ask = ask
        self._call = call
        self._source = source
        self._life = uuid.uuid4().hex[:8]
        #: Of the last event that changed a panel.
        self._number = 1
        self._ring: deque[Event] = deque()
        self._ring_bytes = 0
        self.listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._moment = Moment(None, {})
        #: What each panel's tables holds when it was asked last, and the data's time.
        self._asked: dict[str, tuple[Any, ...]] = {}
        self._moved_at = -MOVING_S
        self._polled = False
        self.panels: Panels = {name: [] for name in SHARED}
        self._state: dict[str, Any] = {}

    @property
    def at(self) -> str | None:
        """The data's own time at the last poll."""
        return self._moment.at

    def join(self, last_id: str) -> Listener:
        """Add a listener; one that names an event of this process gets what came after it."""
        listener = Listener()
        missed = self._after(last_id)
        if missed is not None:
            for event in missed:
                listener.put(event)
        elif self._polled:
            listener.restart()
        self.listeners.add(listener)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._poll_on())
        return listener

    def leave(self, listener: Listener) -> None:
        """Take a listener out; with the last one polling ends."""
        self.listeners.discard(listener)

    async def close(self) -> None:
        """End polling, and tell every listener's loop to look up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for listener in self.listeners:
            listener.news.set()

    def whole(self) -> Event:
        """Return everything as it is now."""
        payload = {"state": self._state, "panels": self.panels}
        return Event("whole", payload, self._number, self._life)

    def head(self) -> Event:
        """Return the state alone."""
        return Event("state", self._state, 0, self._life)

    async def refresh(self) -> None:
        """Poll once: ask, compare, tell; raises QueryError, Cancelled."""
        run, delivered = self._source.run(), self._source.outbox.stamp()
        seen = await self._call(lambda: moment(self._ask, run))
        first = not self._polled
        due = {
            name: holds
            for name, holds in _holdings(seen, delivered).items()
            if first or self._is_due(name, holds)
        }
        panels = self.panels | await self._call(
            lambda: shared(self._ask, seen.at, self._source.outbox, due)
        )
        # Only now: what could not be asked is due again.
        if not first and seen.at != self._moment.at:
            self._moved_at = time.monotonic()
        self._moment, self._polled = seen, True
        self._asked |= due
        before = self._state
        self._state = self._judged(panels)
        differing = _differing(self.panels, panels)
        self.panels = panels
        if first:
            self._number += 1
            self._ring.clear()
            self._ring_bytes = 0
            for listener in self.listeners:
                listener.restart()
        elif differing:
            self._number += 1
            payload = {"state": self._state, "changes": differing}
            self._tell(Event("changes", payload, self._number, self._life))
        elif self._state != before:
            self._tell(self.head())

    def _is_due(self, name: str, holds: tuple[Any, ...]) -> bool:
        stored, delivered, second = holds
        stored_then, delivered_then, second_then = self._asked[name]
        # A table over shards does not say what it holds.
        if None in stored or (stored, delivered) != (stored_then, delivered_then):
            return True
        return bool(abs(second - second_then) >= AGED_S)

    def _judged(self, panels: Panels) -> dict[str, Any]:
        age = age_s(self._moment.at, datetime.now(UTC))
        moving = time.monotonic() - self._moved_at < MOVING_S
        whole = state(self._moment.at, age, moving, panels)
        return whole | {"at": self._moment.at, "problem": None}

    async def _poll_on(self) -> None:
        while self.listeners:
            began = time.monotonic()
            try:
                await self.refresh()
            except Exception as problem:
                # Whatever it is: listeners are told that nothing is known, and it is tried again.
                self._fail(problem)
            took = time.monotonic() - began
            await asyncio.sleep(max(EVERY_S, min(REST * took, LATEST_S)))
        # Whoever comes next begins with what is then.
        self._polled = False

    def _fail(self, problem: Exception) -> None:
        expected = isinstance(problem, QueryError | Cancelled | OSError)
        log.warning("the board's poll failed: %s", problem, exc_info=not expected)
        behind = isinstance(problem, QueryError) and problem.code in _NO_SUCH
        remedy = "; the tables are of an older version: `undertow migrate`" if behind else ""
        self._state = self._state | {
            "level": "unknown",
            "problem": f"The store does not answer{remedy}: {problem or type(problem).__name__}"[
                :300
            ],
        }
        self._tell(self.head())

    def _tell(self, event: Event) -> None:
        if event.number:
            self._ring.append(event)
            self._ring_bytes += len(event.content)
            while len(self._ring) > KEPT or self._ring_bytes > KEPT_BYTES:
                self._ring_bytes -= len(self._ring.popleft().content)
        for listener in self.listeners:
            listener.put(event)

    def _after(self, last_id: str) -> Iterable[Event] | None:
        """Return the events behind `last_id`, None where they cannot be told."""
        life, _, number = last_id.rpartition("-")
        if life != self._life or not number.isdecimal() or not self._polled:
            return None
        last = int(number)
        kept = [event for event in self._ring if event.number > last]
        whole = last == self._number or (kept and kept[0].number == last + 1)
        return kept if whole else None


def _holdings(seen: Moment, delivered: tuple[int, ...]) -> dict[str, tuple[Any, ...]]:
    """Return what the tables of each panel hold, and the data's time, seconds."""
    second = epoch_s(seen.at) if seen.at else 0.0
    return {
        name: (
            [seen.stored.get(table) for table in panel.tables],
            delivered if name == "alerts" else (),
            second,
        )
        for name, panel in SHARED.items()
    }


def _differing(before: Mapping[str, Rows], after: Mapping[str, Rows]) -> dict[str, Any]:
    """Return by panel the rows that are new or other than they were, and the keys that went."""
    changes: dict[str, Any] = {}
    for name, rows in after.items():
        key = SHARED[name].key
        old = {tuple(row[k] for k in key): row for row in before[name]}
        new = {tuple(row[k] for k in key): row for row in rows}
        put = [row for at, row in new.items() if old.get(at) != row]
        gone = [list(at) for at in old if at not in new]
        if put or gone:
            changes[name] = {"put": put, "gone": gone}
    return changes
