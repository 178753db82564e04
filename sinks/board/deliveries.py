"""What became of each alert: taken by its receivers, waiting, given up, or kept back.

Alerts are told by the event (`sinks.alerts.routing`); which event an alert belongs to follows
from the alerts alone, what each receiver took of it from the outbox, which is only read here.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from schemas.findings import Alert
from sinks.alerts import routing

#: Deliveries looked at, the latest ones.
_MOST = 10_000
_ERROR = 120
Row = Mapping[str, Any]


class Outbox(NamedTuple):
    """The file of an outbox, None where the receivers are another process's to know."""

    path: Path | None
    without: str = "not known here"

    def stamp(self) -> tuple[int, ...]:
        """Return what changes when the file does."""
        if self.path is None:
            return ()
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        return tuple(file.stat().st_mtime_ns for file in files if file.exists())

    def states(self, alerts: Iterable[Row]) -> dict[str, str]:
        """Return in words what became of each alert, by its id."""
        rows = sorted(alerts, key=lambda row: (row["ts_event"], row["ts_detect"], row["alert_id"]))
        if not rows or self.path is None or not self.path.exists():
            return {row["alert_id"]: self.without for row in rows}
        try:
            with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)) as outbox:
                sent, routed = _sent(outbox), _routed(outbox)
        except sqlite3.Error as problem:
            return {row["alert_id"]: f"not known: {problem}" for row in rows}
        events = _events(rows)
        return {
            row["alert_id"]: _in_words(
                sent.get(row["alert_id"], []) + sent.get(events.get(row["alert_id"], ""), []),
                row["alert_id"] in routed,
            )
            for row in rows
        }


def _sent(outbox: sqlite3.Connection) -> dict[str, list[tuple[str, str, int, str]]]:
    """Return deliveries (endpoint, state, attempts, error) by event, or by alert told alone."""
    sent: dict[str, list[tuple[str, str, int, str]]] = defaultdict(list)
    rows = outbox.execute(
        "SELECT iif(event = '', webhook_id, event), endpoint, state, attempts, last_error"
        " FROM deliveries WHERE action <> 'reminder' ORDER BY rowid DESC LIMIT ?",
        (_MOST,),
    )
    for key, *delivery in rows:
        sent[key].append(tuple(delivery))
    return sent


def _routed(outbox: sqlite3.Connection) -> set[str]:
    return {row[0] for row in outbox.execute("SELECT alert_id FROM routed")}


def _events(rows: Iterable[Row]) -> dict[str, str]:
    """Return the key of the event that each alert belongs to, by the alert's id."""
    state, keys = routing.State(), dict[str, str]()
    for row in rows:
        alert = _alert(row)
        notifications = routing.step(state, alert)
        for event in state.events.values():
            if alert.dedup_key in event.members:
                keys[alert.alert_id] = event.key
        for notification in notifications:
            keys |= dict.fromkeys(notification.alert_ids, notification.key)
    return keys


def _alert(row: Row) -> Alert:
    times = {name: _micros(row[name]) for name in ("ts_event", "ts_detect")}
    fields = {f.name: row[f.name] for f in msgspec.structs.fields(Alert) if f.name in row}
    return Alert(**fields | times | {"finding_id": row["alert_id"]})


def _micros(moment: str) -> int:
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    return round(at.timestamp() * 1_000_000)


def _in_words(deliveries: list[tuple[str, str, int, str]], is_routed: bool) -> str:
    if not deliveries:
        return "kept back by rules or a silence" if is_routed else "not taken in yet"
    latest = {delivery[0]: delivery for delivery in reversed(deliveries)}
    parts = []
    for endpoint, state, attempts, error in latest.values():
        if state == "delivered":
            parts.append(f"{endpoint}: delivered")
        elif state == "dead":
            parts.append(f"{endpoint}: given up, {error[:_ERROR]}")
        else:
            tries = f", {attempts} tries: {error[:_ERROR]}" if attempts else ""
            parts.append(f"{endpoint}: waiting{tries}")
    return "; ".join(parts)
