"""What is still to be sent: a SQLite file that outlives the process.

```
put ──> pending ──2xx──────────────────────────────> delivered ──┐
          │  └── failed: later, `attempts` + 1 ──> pending       ├─ forgotten when Kafka
          └── attempts used up, or the endpoint is gone ──> dead ┘  cannot redeliver either
```

A row is (webhook id, endpoint); the webhook id is the alert's own id, so a record that
Kafka delivers twice is one row, and one idempotency key for every receiver.
"""

import sqlite3
import threading
from collections.abc import Iterable
from contextlib import closing
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

from schemas.findings import Alert
from schemas.topics import DAY_MS, TOPICS
from sinks.webhooks.body import payload
from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.signing import check_webhook_id

State = Literal["pending", "delivered", "dead"]

#: Settled rows stay as long as the topic could redeliver their alert, and a day.
KEEP_US = (TOPICS["alerts"].retention_ms + DAY_MS) * 1000

#: How long a write waits for another process's.
BUSY_S = 30.0

_VERSION = 1
_SCHEMA = f"""
BEGIN;
CREATE TABLE deliveries (
    webhook_id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    body BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_us INTEGER NOT NULL,
    changed_us INTEGER NOT NULL,
    last_error TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (webhook_id, endpoint)
);
CREATE INDEX waiting ON deliveries (endpoint, attempts, next_attempt_us) WHERE state = 'pending';
CREATE INDEX settled ON deliveries (changed_us) WHERE state <> 'pending';
CREATE TABLE endpoints (
    endpoint TEXT PRIMARY KEY,
    hold_until_us INTEGER NOT NULL DEFAULT 0,
    disabled TEXT NOT NULL DEFAULT ''
);
PRAGMA user_version = {_VERSION};
COMMIT;
"""

_COLUMNS = "webhook_id, endpoint, body, state, attempts, next_attempt_us, last_error"
_HOLD = "coalesce((SELECT hold_until_us FROM endpoints e WHERE e.endpoint = d.endpoint), 0)"


class Delivery(NamedTuple):
    """One alert on its way to one endpoint; `attempts` have been made so far."""

    webhook_id: str
    endpoint: str
    body: bytes
    state: State
    attempts: int
    next_attempt_us: int
    last_error: str


class Outbox:
    """The durable queue; every method is one transaction, on disk when it returns.

    Safe to share between threads, so that a blocking Kafka consumer can put. One process
    delivers from a file: two would send everything twice. Others may list and revive.
    """

    def __init__(self, path: str | Path) -> None:
        """Open or create the file; raises sqlite3.Error, or ValueError for a newer one."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False)
        try:
            self._prepare(path)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, path: str | Path) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        # NORMAL may lose the last commits with the power, and the Kafka offset behind
        # them is already committed.
        self._db.execute("PRAGMA synchronous = FULL")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._db.executescript(_SCHEMA)
        elif version != _VERSION:
            raise ValueError(f"{path} is an outbox of version {version}, this is {_VERSION}")

    def put(self, alert: Alert, endpoints: Iterable[Endpoint], now_us: int) -> int:
        """Add `alert` for each endpoint, once however often it is put; return the new rows.

        For a disabled endpoint the row is dead from the start, so it is still listed.
        Raises ValueError when the alert's id cannot be a webhook id.
        """
        return self.put_many([alert], endpoints, now_us)

    def put_many(self, alerts: Iterable[Alert], endpoints: Iterable[Endpoint], now_us: int) -> int:
        """Add all `alerts` as `put` does, in one transaction: all are in or none is."""
        bodies = [(check_webhook_id(alert.alert_id), payload(alert)) for alert in alerts]
        names = [endpoint.name for endpoint in endpoints]
        with self._lock, self._db:
            disabled = self._disabled()
            rows = []
            for (webhook_id, body), name in product(bodies, names):
                why = disabled.get(name, "")
                state: State = "dead" if why else "pending"
                rows.append((webhook_id, name, body, state, now_us, now_us, why))
            return self._db.executemany(
                "INSERT OR IGNORE INTO deliveries (webhook_id, endpoint, body, state, "
                "next_attempt_us, changed_us, last_error) VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            ).rowcount

    def due(self, endpoint: str, now_us: int) -> Delivery | None:
        """Return the next delivery due to `endpoint` (its name), new alerts before retries."""
        found = self._select(
            f"SELECT {_COLUMNS} FROM deliveries d WHERE endpoint = ? AND state = 'pending' "
            f"AND next_attempt_us <= ? AND {_HOLD} <= ? "
            "ORDER BY attempts, next_attempt_us, rowid LIMIT 1",
            (endpoint, now_us, now_us),
        )
        return found[0] if found else None

    def next_due_us(self, endpoint: str) -> int | None:
        """Return when the next delivery to `endpoint` falls due; None when none waits."""
        with self._lock:
            (earliest,) = self._db.execute(
                f"SELECT min(max(next_attempt_us, {_HOLD})) FROM deliveries d "
                "WHERE endpoint = ? AND state = 'pending'",
                (endpoint,),
            ).fetchone()
        return None if earliest is None else int(earliest)

    def mark_delivered(self, delivery: Delivery, now_us: int) -> None:
        """Settle `delivery` as received, and forget what was settled KEEP_US ago."""
        with self._lock, self._db:
            self._mark(delivery, "delivered", now_us, now_us, "")
            self._db.execute(
                "DELETE FROM deliveries WHERE state <> 'pending' AND changed_us < ?",
                (now_us - KEEP_US,),
            )

    def mark_retry(self, delivery: Delivery, now_us: int, next_us: int, error: str) -> None:
        """Count a failed attempt and wait until `next_us`."""
        with self._lock, self._db:
            self._mark(delivery, "pending", now_us, next_us, error)

    def mark_dead(self, delivery: Delivery, now_us: int, error: str) -> None:
        """Count a failed attempt, the last."""
        with self._lock, self._db:
            self._mark(delivery, "dead", now_us, now_us, error)

    def hold(self, endpoint: str, until_us: int) -> None:
        """Send nothing to `endpoint` before `until_us`: it asked for less."""
        with self._lock, self._db:
            self._db.execute(
                "INSERT INTO endpoints (endpoint, hold_until_us) VALUES (?, ?) ON CONFLICT "
                "(endpoint) DO UPDATE SET hold_until_us = excluded.hold_until_us",
                (endpoint, until_us),
            )

    def disable(self, endpoint: str, now_us: int, reason: str) -> None:
        """Send nothing more to `endpoint`, over restarts too; what waits for it is dead."""
        with self._lock, self._db:
            self._db.execute(
                "INSERT INTO endpoints (endpoint, disabled) VALUES (?, ?) "
                "ON CONFLICT (endpoint) DO UPDATE SET disabled = excluded.disabled",
                (endpoint, reason),
            )
            self._db.execute(
                "UPDATE deliveries SET state = 'dead', changed_us = ?, last_error = ? "
                "WHERE endpoint = ? AND state = 'pending'",
                (now_us, reason, endpoint),
            )

    def enable(self, endpoint: str) -> None:
        """Let new alerts go to `endpoint` again, at once; what died meanwhile stays dead."""
        with self._lock, self._db:
            self._db.execute("DELETE FROM endpoints WHERE endpoint = ?", (endpoint,))

    def revive(self, now_us: int, webhook_id: str = "", endpoint: str = "") -> int:
        """Make dead deliveries due now, as if never tried, and return how many.

        Of one `webhook_id`, of one `endpoint` (its name), or of all; those of a disabled
        endpoint stay dead.
        """
        with self._lock, self._db:
            return self._db.execute(
                "UPDATE deliveries SET state = 'pending', attempts = 0, next_attempt_us = ?, "
                "changed_us = ? WHERE state = 'dead' AND ? IN ('', webhook_id) "
                "AND ? IN ('', endpoint) AND endpoint NOT IN "
                "(SELECT endpoint FROM endpoints WHERE disabled <> '')",
                (now_us, now_us, webhook_id, endpoint),
            ).rowcount

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

    def _mark(
        self, delivery: Delivery, state: State, now_us: int, next_us: int, error: str
    ) -> None:
        self._db.execute(
            "UPDATE deliveries SET state = ?, attempts = ?, next_attempt_us = ?, changed_us = ?, "
            "last_error = ? WHERE webhook_id = ? AND endpoint = ?",
            (state, delivery.attempts + 1, next_us, now_us, error, *delivery[:2]),
        )
