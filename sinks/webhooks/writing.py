"""What is put into the outbox, within one transaction of its file."""

import sqlite3
from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from schemas import codec
from schemas.findings import MOST, Alert
from schemas.identity import natural_id
from schemas.notifications import NotificationStep
from schemas.texts import plain
from sinks.alerts.routing import Notification
from sinks.webhooks.body import payload
from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.signing import check_webhook_id

State = Literal["pending", "delivered", "dead"]


def note(db: sqlite3.Connection, step: NotificationStep) -> None:
    """Keep a step of a notification, within the transaction of what it tells."""
    db.execute("INSERT INTO steps (record) VALUES (?)", (codec.encode(step),))


def decided(notification: Notification, wall_us: int) -> NotificationStep:
    """Return the step at which `notification` was decided, for a receiver yet to be named."""
    return NotificationStep(
        notification_id=notification.notification_id,
        endpoint="",
        state="waiting",
        ts_noted=wall_us,
        ts_due=wall_us + notification.wait_us,
        key=notification.key,
        action=notification.action,
        why=notification.why,
        severity=notification.severity,
        alert_ids=notification.alert_ids[-MOST:],
        episodes=notification.open_members,
        ts_event=notification.ts_event,
    )


class Silence(NamedTuple):
    """Alerts of `asset` and of kinds that begin with `kind` (empty: any) are told to nobody."""

    silence: str
    asset: str
    kind: str
    until_us: int

    def holds(self, alert: Alert) -> bool:
        """Say whether it keeps `alert` back."""
        return self.asset in ("", alert.asset) and alert.kind.startswith(self.kind)


class Writing:
    """A transaction under way, at `now_us` of outbox time; `Outbox.writing` makes it."""

    def __init__(
        self, db: sqlite3.Connection, now_us: int, wall_us: int, disabled: dict[str, str]
    ) -> None:
        self._db = db
        self._now_us = now_us
        self._wall_us = wall_us
        self._disabled = disabled

    def note(self, step: NotificationStep) -> None:
        """Keep a step until it is in Kafka or the store (`Outbox.steps`)."""
        note(self._db, step)

    def put(self, alerts: Iterable[Alert], endpoints: Iterable[Endpoint]) -> int:
        """Add each alert alone for each endpoint, once however often it is put; return new rows.

        For a disabled endpoint the row is dead from the start, so it is still listed. Raises
        ValueError when an alert's id cannot be a webhook id.
        """
        bodies = [(check_webhook_id(alert.alert_id), payload(alert)) for alert in alerts]
        rows = []
        for endpoint in endpoints:
            state, why = self._state_of(endpoint.name)
            for webhook_id, body in bodies:
                rows.append((webhook_id, endpoint.name, body, state, *[self._now_us] * 2, why))
        return self._db.executemany(
            "INSERT OR IGNORE INTO deliveries (webhook_id, endpoint, body, state, "
            "next_attempt_us, changed_us, last_error) VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows,
        ).rowcount

    def tell(
        self,
        notification: Notification,
        endpoint: str,
        body: bytes,
        title: str = "",
        target: str = "",
    ) -> None:
        """Add what `endpoint` (its name) is told, in the place of what still waits under its id.

        What waits of the same event is due no later, so that it goes before; at the end of an event
        nobody is reminded of it, nor shown how it began.
        """
        state, error = self._state_of(endpoint)
        if notification.action == "reminder" and self._is_taken(notification.key):
            return
        due_us = self._now_us + notification.wait_us
        if notification.action not in ("reminder", "picture"):
            self._hasten(notification, endpoint, due_us)
        of_event = (notification.key, notification.action, notification.why)
        values = (body, state, due_us, self._now_us, error, *of_event)
        webhook_id = notification.notification_id
        while not self._upsert(webhook_id, endpoint, values):
            # What it should have replaced is on its way: what is new is told after it, at once
            # with all that comes until then.
            webhook_id = natural_id(webhook_id, "again")
        step = decided(notification, self._wall_us)
        named = {"notification_id": webhook_id, "endpoint": endpoint, "target": target}
        self.note(msgspec.structs.replace(step, title=plain(title, 300), **named))

    def _upsert(self, webhook_id: str, endpoint: str, values: tuple[object, ...]) -> bool:
        return bool(
            self._db.execute(
                "INSERT INTO deliveries (webhook_id, endpoint, body, state, next_attempt_us, "
                "changed_us, last_error, event, action, why) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (webhook_id, endpoint) DO UPDATE SET body = excluded.body, "
                "next_attempt_us = excluded.next_attempt_us, changed_us = excluded.changed_us, "
                "state = excluded.state, last_error = excluded.last_error, "
                "action = excluded.action, why = excluded.why "
                # Not one that is due: it may be on its way, unless nothing is sent there.
                "WHERE attempts = 0 AND (state = 'dead' OR state = 'pending' "
                "AND next_attempt_us > ?)",
                (webhook_id, endpoint, *values, self._now_us),
            ).rowcount
        )

    def _hasten(self, notification: Notification, endpoint: str, due_us: int) -> None:
        of_event = "endpoint = ? AND event = ? AND state = 'pending'"
        self._db.execute(
            f"UPDATE deliveries SET next_attempt_us = ? WHERE {of_event} AND attempts = 0 "
            "AND action NOT IN ('reminder', 'picture') AND webhook_id <> ? AND next_attempt_us > ?",
            (due_us, endpoint, notification.key, notification.notification_id, due_us),
        )
        if notification.action == "resolve":
            self._db.execute(
                f"DELETE FROM deliveries WHERE {of_event} AND action IN ('reminder', 'picture')",
                (endpoint, notification.key),
            )
            self._db.execute("DELETE FROM taken WHERE event = ?", (notification.key,))

    def hold(self, alert: Alert, silence: Silence) -> None:
        """Note that nobody is told of `alert`."""
        self.note(
            NotificationStep(
                notification_id=alert.alert_id,
                endpoint="",
                state="held",
                ts_noted=self._wall_us,
                key=alert.dedup_key,
                why=f"silence {silence.silence}",
                severity=alert.severity,
                title=alert.title,
                alert_ids=[alert.alert_id],
                ts_event=alert.ts_event,
            )
        )

    def is_new(self, alert: Alert) -> bool:
        """Say whether `alert` is routed for the first time, and note that it is."""
        inserted = self._db.execute(
            "INSERT OR IGNORE INTO routed (alert_id, outbox_us) VALUES (?, ?)",
            (alert.alert_id, self._now_us),
        )
        return bool(inserted.rowcount)

    def routing_of(self, channel: str) -> bytes | None:
        """Return the state of routing that was kept for `channel`."""
        kept = self._db.execute("SELECT state FROM routing WHERE channel = ?", (channel,))
        row = kept.fetchone()
        return row[0] if row else None

    def keep_routing(self, channel: str, state: bytes) -> None:
        """Keep the state of routing for `channel`."""
        self._db.execute(
            "INSERT OR REPLACE INTO routing (channel, state) VALUES (?, ?)", (channel, state)
        )

    def take(self, event: str) -> int:
        """Note that somebody sees to `event`; return how many reminders are not sent for it."""
        self._db.execute(
            "INSERT OR REPLACE INTO taken (event, outbox_us) VALUES (?, ?)", (event, self._now_us)
        )
        return self._db.execute(
            "DELETE FROM deliveries WHERE event = ? AND action = 'reminder' AND state = 'pending'",
            (event,),
        ).rowcount

    def withdraw(self, event: str, endpoint: str) -> bool:
        """Take back what is to remind `endpoint` of `event`; say whether it never heard of it."""
        of_event = "endpoint = ? AND event = ? AND action = 'reminder'"
        self._db.execute(
            f"DELETE FROM deliveries WHERE {of_event} AND state = 'pending' AND attempts = 0 "
            "AND next_attempt_us > ?",
            (endpoint, event, self._now_us),
        )
        left = self._db.execute(f"SELECT 1 FROM deliveries WHERE {of_event}", (endpoint, event))
        return left.fetchone() is None

    def silence(self, asset: str, kind: str, for_us: int) -> Silence:
        """Keep back alerts of `asset` and `kind` for `for_us`, and return the silence."""
        made = Silence(
            natural_id(asset, kind, self._now_us)[:8], asset, kind, self._now_us + for_us
        )
        self._db.execute("INSERT OR REPLACE INTO silences VALUES (?, ?, ?, ?)", made)
        return made

    def silences(self) -> list[Silence]:
        """Return the silences that hold now."""
        kept = self._db.execute(
            "SELECT silence, asset, kind, until_us FROM silences WHERE until_us > ?",
            (self._now_us,),
        )
        return [Silence(*row) for row in kept]

    def end_silence(self, silence: str) -> bool:
        """End one silence; say whether there was such a one."""
        ended = self._db.execute("DELETE FROM silences WHERE silence = ?", (silence,))
        return bool(ended.rowcount)

    def _is_taken(self, event: str) -> bool:
        return bool(self._db.execute("SELECT 1 FROM taken WHERE event = ?", (event,)).fetchone())

    def _state_of(self, endpoint: str) -> tuple[State, str]:
        why = self._disabled.get(endpoint, "")
        return ("dead", why) if why else ("pending", "")
