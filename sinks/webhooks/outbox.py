"""What is still to be sent: a SQLite file that outlives the process.

```
put ──> pending ──2xx──────────────────────────────> delivered ──> forgotten when Kafka cannot
          │  └── failed: later, `attempts` + 1 ──> pending         redeliver it either
          └── attempts used up, or the endpoint is gone ──> dead ──> forgotten after a month, as
                                        is what waits for an endpoint that nobody configures
```

A row is (webhook id, endpoint); the webhook id is the alert's own id, so a record that
Kafka delivers twice is one row, and one idempotency key for every receiver.
"""

import json
import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from schemas.findings import Alert
from schemas.notifications import NotificationStep
from schemas.texts import plain
from schemas.topics import DAY_MS, TOPICS
from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.outbox_file import OutboxFull, explained, has_room, lacks_room, open_file
from sinks.webhooks.outbox_time import resumed_us, steady_us, wall_us
from sinks.webhooks.writing import State, Writing, note

log = logging.getLogger(__name__)
DAY_US = DAY_MS * 1000
#: Delivered rows stay as long as the topic could redeliver their alert, and a day.
KEEP_US = TOPICS["alerts"].retention_ms * 1000 + DAY_US
#: How long what was not delivered stays, once nobody tries any more.
KEEP_UNSENT_US = 30 * DAY_US
#: Of those, and of the delivered, this many stay for each endpoint.
MOST_UNSENT = 10_000
MOST_DELIVERED = 100_000
#: Steps of notifications that wait for Kafka or the store.
MOST_STEPS = 100_000

_COLUMNS = "webhook_id, endpoint, body, state, attempts, next_attempt_us, last_error, action"
_HOLD = "coalesce((SELECT hold_until_us FROM endpoints e WHERE e.endpoint = d.endpoint), 0)"
# Nobody tries these any more: dead, or waiting for an endpoint that is not configured.
_UNSENT = (
    "(state = 'dead'"
    " OR state = 'pending' AND endpoint NOT IN (SELECT value FROM json_each(:names)))"
)


class Delivery(NamedTuple):
    """One alert on its way to one endpoint; `attempts` have been made so far."""

    webhook_id: str
    endpoint: str
    body: bytes
    state: State
    attempts: int
    next_attempt_us: int
    last_error: str
    action: str = ""


class Outbox:
    """The durable queue; every method is one transaction, on disk when it returns.

    Safe to share between threads, so that a blocking Kafka consumer can put. One process
    delivers from a file: two would send everything twice. Others may list and revive.
    What writes raises OutboxFull while the disk `is_full`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        wall: Callable[[], int] = wall_us,
        steady: Callable[[], int] = steady_us,
    ) -> None:
        """Open or create the file; raises OutboxUnusable, which says why it cannot be one."""
        self._lock = threading.Lock()
        self._wall = wall
        self._steady = steady
        self._path = Path(path)
        self.is_full = False
        #: Called behind everything put in, by the thread that put it.
        self.on_put: Callable[[], object] = lambda: None
        self._db = open_file(self._path)
        try:
            self._began_us = resumed_us(self._db, wall())
        except BaseException as problem:
            self._db.close()
            if isinstance(problem, sqlite3.OperationalError):
                raise explained(path, problem) from problem
            raise
        self._began_steady_us = steady()

    def now_us(self) -> int:
        """Return outbox time."""
        return self._began_us + self._steady() - self._began_steady_us

    def put(self, alert: Alert, endpoints: Iterable[Endpoint]) -> int:
        """Add `alert` for each endpoint, once however often it is put; return the new rows.

        For a disabled endpoint the row is dead from the start, so it is still listed.
        Raises ValueError when the alert's id cannot be a webhook id.
        """
        return self.put_many([alert], endpoints)

    def put_many(self, alerts: Iterable[Alert], endpoints: Iterable[Endpoint]) -> int:
        """Add all `alerts` as `put` does, in one transaction: all are in or none is."""
        with self.writing() as writing:
            return writing.put(alerts, endpoints)

    def has_room(self) -> bool:
        """Say whether its disk has room again, by writing something."""
        try:
            with self._transaction():
                self._note_time()
        except OutboxFull:
            return False
        return has_room(self._path)

    def look(self) -> None:
        """Note whether its disk is full, though nothing is to be written."""
        if not has_room(self._path):
            self._note_full()

    def _note_full(self) -> None:
        if not self.is_full:
            log.error("%s cannot grow: the disk is full, waiting for room", self._path)
        self.is_full = True

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._lock, self._db:
                yield
        except sqlite3.OperationalError as problem:
            if not lacks_room(self._path, problem):
                raise
            self._note_full()
            raise OutboxFull(f"the disk is full: {problem}") from problem
        if self.is_full and has_room(self._path):
            log.warning("%s: there is room again", self._path)
            self.is_full = False

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """Yield what writes several things in one transaction: all are in or none is."""
        with self._transaction():
            yield Writing(self._db, self._note_time(), self._wall(), self._disabled())
        self.on_put()

    @contextmanager
    def rows(self) -> Iterator[tuple[sqlite3.Connection, int]]:
        """Yield the file within one transaction, and how far outbox time is ahead of the wall's."""
        with self._transaction():
            yield self._db, self.now_us() - self._wall()

    def due(self, endpoint: str, pictures: bool = False) -> Delivery | None:
        """Return the next delivery due to `endpoint` (its name), new alerts before retries.

        What tells of one event goes in order: nothing before what was put earlier. Words alone, or
        `pictures` alone, for which no words wait.
        """
        now_us = self.now_us()
        rows = self._select(
            f"SELECT {_COLUMNS} FROM deliveries d WHERE endpoint = ? AND state = 'pending' "
            f"AND next_attempt_us <= ? AND {_HOLD} <= ? AND (action = 'picture') = ? "
            "AND NOT EXISTS (SELECT 1 FROM deliveries b WHERE b.endpoint = d.endpoint "
            "AND b.event = d.event AND b.event <> '' AND b.state = 'pending' "
            "AND b.action NOT IN ('reminder', 'picture') AND b.rowid < d.rowid) "
            "ORDER BY attempts, next_attempt_us, rowid LIMIT 1",
            (endpoint, now_us, now_us, pictures),
        )
        return rows[0] if rows else None

    def wait_us(self, endpoint: str) -> int | None:
        """Return how long until a delivery to `endpoint` falls due; None when none waits."""
        with self._lock:
            (earliest,) = self._db.execute(
                f"SELECT min(max(next_attempt_us, {_HOLD})) FROM deliveries d "
                "WHERE endpoint = ? AND state = 'pending'",
                (endpoint,),
            ).fetchone()
        return None if earliest is None else max(0, int(earliest) - self.now_us())

    def mark_delivered(self, delivery: Delivery) -> None:
        """Settle `delivery` as received; its body is not needed again."""
        with self._transaction():
            self._mark(delivery, "delivered", 0, "")
            self._db.execute(
                "UPDATE deliveries SET body = x'' WHERE webhook_id = ? AND endpoint = ?",
                delivery[:2],
            )

    def mark_retry(self, delivery: Delivery, wait_us: int, error: str) -> None:
        """Count a failed attempt and wait for `wait_us`."""
        with self._transaction():
            self._mark(delivery, "pending", wait_us, error)

    def mark_dead(self, delivery: Delivery, error: str) -> None:
        """Count a failed attempt, the last."""
        with self._transaction():
            self._mark(delivery, "dead", 0, error)

    def hold(self, endpoint: str, wait_us: int) -> None:
        """Send nothing to `endpoint` for `wait_us`: it asked for less."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO endpoints (endpoint, hold_until_us) VALUES (?, ?) ON CONFLICT "
                "(endpoint) DO UPDATE SET hold_until_us = excluded.hold_until_us",
                (endpoint, self._note_time() + wait_us),
            )

    def disable(self, endpoint: str, reason: str) -> None:
        """Send nothing more to `endpoint`, over restarts too; what waits for it is dead."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO endpoints (endpoint, disabled) VALUES (?, ?) "
                "ON CONFLICT (endpoint) DO UPDATE SET disabled = excluded.disabled",
                (endpoint, reason),
            )
            self._db.execute(
                "UPDATE deliveries SET state = 'dead', changed_us = ?, last_error = ? "
                "WHERE endpoint = ? AND state = 'pending'",
                (self._note_time(), reason, endpoint),
            )

    def forget(self, endpoints: Collection[str]) -> dict[tuple[str, State], int]:
        """Delete what is old, or too much, and return how many by endpoint name and state.

        `endpoints` are the names that are configured; what still waits for them is not touched.
        """
        names = json.dumps(sorted(endpoints))
        gone: Counter[tuple[str, State]] = Counter()
        with self._transaction():
            now_us = self._note_time()
            for which, keep_us, most in (
                ("state = 'delivered'", KEEP_US, MOST_DELIVERED),
                (_UNSENT, KEEP_UNSENT_US, MOST_UNSENT),
            ):
                rows = self._db.execute(
                    "DELETE FROM deliveries WHERE rowid IN (SELECT rowid FROM (SELECT rowid, "
                    "changed_us, row_number() OVER (PARTITION BY endpoint ORDER BY changed_us DESC,"
                    f" rowid DESC) AS place FROM deliveries WHERE {which}) "
                    "WHERE changed_us < :oldest OR place > :most) RETURNING endpoint, state",
                    {"names": names, "oldest": now_us - keep_us, "most": most},
                )
                gone.update((endpoint, state) for endpoint, state in rows)
            for table in ("routed", "taken"):
                oldest_us = now_us - KEEP_US
                self._db.execute(f"DELETE FROM {table} WHERE outbox_us < ?", (oldest_us,))
            self._db.execute("DELETE FROM silences WHERE until_us < ?", (now_us,))
            self._db.execute(
                "DELETE FROM steps WHERE step <= (SELECT max(step) FROM steps) - ?", (MOST_STEPS,)
            )
        if gone:
            with self._transaction():
                self._db.execute("PRAGMA incremental_vacuum").fetchall()
        return dict(gone)

    def enable(self, endpoint: str) -> None:
        """Let new alerts go to `endpoint` again, at once; what died meanwhile stays dead."""
        with self._transaction():
            self._db.execute("DELETE FROM endpoints WHERE endpoint = ?", (endpoint,))

    def revive(self, webhook_id: str = "", endpoint: str = "") -> int:
        """Make dead deliveries due now, as if never tried, and return how many.

        Of one `webhook_id`, of one `endpoint` (its name), or of all; those of a disabled
        endpoint stay dead.
        """
        with self._transaction():
            # Due at 0: the process that delivers may have another outbox time than we.
            return self._db.execute(
                "UPDATE deliveries SET state = 'pending', attempts = 0, next_attempt_us = 0, "
                "changed_us = ? WHERE state = 'dead' AND ? IN ('', webhook_id) "
                "AND ? IN ('', endpoint) AND endpoint NOT IN "
                "(SELECT endpoint FROM endpoints WHERE disabled <> '')",
                (self.now_us(), webhook_id, endpoint),
            ).rowcount

    def steps(self, after: int, most: int) -> list[tuple[int, bytes]]:
        """Return the number and record of steps of notifications that are still to be stored."""
        with self._lock:
            return self._db.execute(
                "SELECT step, record FROM steps WHERE step > ? ORDER BY step LIMIT ?", (after, most)
            ).fetchall()

    def forget_steps(self, numbers: Iterable[int]) -> None:
        """Delete steps that are stored elsewhere."""
        with self._transaction():
            self._db.executemany("DELETE FROM steps WHERE step = ?", ((n,) for n in numbers))

    def disabled(self) -> dict[str, str]:
        """Return why each disabled endpoint is, by its name."""
        with self._lock:
            return self._disabled()

    def pending(self) -> dict[str, int]:
        """Return how many deliveries wait, by endpoint name."""
        with self._lock:
            return dict(
                self._db.execute(
                    "SELECT endpoint, count(*) FROM deliveries WHERE state = 'pending' "
                    "GROUP BY endpoint"
                )
            )

    def events(self) -> list[str]:
        """Return the keys of the events that somebody would still be reminded of."""
        with self._lock:
            rows = self._db.execute(
                "SELECT DISTINCT event FROM deliveries WHERE state = 'pending' "
                "AND action = 'reminder' ORDER BY event"
            ).fetchall()
        return [event for (event,) in rows]

    def listed(self, state: State) -> list[Delivery]:
        """Return the deliveries in `state`, oldest first; `dead` is the list of failures."""
        return self._select(
            f"SELECT {_COLUMNS} FROM deliveries WHERE state = ? ORDER BY rowid", (state,)
        )

    def counts(self) -> dict[tuple[str, State], int]:
        """Return how many deliveries there are, by endpoint name and state."""
        with self._lock:
            rows = self._db.execute(
                "SELECT endpoint, state, count(*) FROM deliveries GROUP BY endpoint, state"
            ).fetchall()
        return {(endpoint, state): number for endpoint, state, number in rows}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _disabled(self) -> dict[str, str]:
        return dict(
            self._db.execute("SELECT endpoint, disabled FROM endpoints WHERE disabled <> ''")
        )

    def _select(self, query: str, values: tuple[object, ...]) -> list[Delivery]:
        with self._lock, closing(self._db.execute(query, values)) as rows:
            return [Delivery(*row) for row in rows]

    def _mark(self, delivery: Delivery, state: State, wait_us: int, error: str) -> None:
        now_us = self._note_time()
        if state != "pending":
            step = NotificationStep(
                notification_id=delivery.webhook_id,
                endpoint=delivery.endpoint,
                state=state,
                ts_noted=self._wall(),
                attempts=delivery.attempts + 1,
                error=plain(error, 300),
            )
            note(self._db, step)
        self._db.execute(
            "UPDATE deliveries SET state = ?, attempts = ?, next_attempt_us = ?, changed_us = ?, "
            "last_error = ? WHERE webhook_id = ? AND endpoint = ?",
            (state, delivery.attempts + 1, now_us + wait_us, now_us, error, *delivery[:2]),
        )

    def _note_time(self) -> int:
        """Return outbox time, written down so that a restart goes on from here."""
        now_us = self.now_us()
        self._db.execute(
            "INSERT OR REPLACE INTO clock (one, outbox_us, wall_us) VALUES (1, ?, ?)",
            (now_us, self._wall()),
        )
        return now_us
