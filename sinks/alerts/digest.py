"""What is told once a day: a pure function on event time, as routing is.

alert ──> digest, due at 08:00 ──> replaced by what comes until then ──> told at 08:00
"""

from collections.abc import Sequence

from schemas.findings import Alert
from schemas.identity import natural_id
from schemas.words import SECOND
from sinks.alerts import routing
from sinks.alerts.routing import Digest, Notification, State
from sinks.alerts.rules import Rule

DAY_US = 86_400 * SECOND
#: Episodes that are kept with their numbers, the largest.
MOST = 20


def notifications(state: State, rules: Sequence[Rule], alert: Alert) -> list[Notification]:
    """Return what follows from `alert` for a channel of `rules`, changing `state`.

    Nothing where no rule lets it pass; the day's digest where all that do gather for one.
    """
    passing = [rule for rule in rules if rule.passes(alert)]
    if not passing:
        return []
    if (at_min := passing[0].digest_min) is not None and all(r.digest for r in passing):
        return [step(state.digest, alert, at_min)]
    return routing.step(state, alert)


def step(digest: Digest, alert: Alert, at_min: int) -> Notification:
    """Take in one alert, change `digest`, return what is told at `at_min`, minutes of the UTC day.

    It has the id of what was told for that day before, and takes its place.
    """
    since_us = (alert.ts_event - at_min * 60 * SECOND) % DAY_US
    due = alert.ts_event - since_us + DAY_US
    if due > digest.ts_due:
        digest.ts_due, digest.ts_first = due, alert.ts_event
        digest.keys, digest.alert_ids, digest.largest = [], [], {}
    if alert.dedup_key not in digest.keys:
        digest.keys = [*digest.keys, alert.dedup_key]
    digest.alert_ids = [*digest.alert_ids, alert.alert_id]
    digest.largest = _largest(digest.largest | {alert.dedup_key: alert})
    key = f"digest-{digest.ts_due}"
    return Notification(
        notification_id=natural_id("notification", key),
        key=key,
        action="digest",
        severity="info",
        why="daily",
        wait_us=max(0, digest.ts_due - alert.ts_event),
        ts_first=digest.ts_first,
        ts_event=alert.ts_event,
        ts_detect=alert.ts_detect,
        alert_ids=digest.alert_ids,
        members=list(digest.largest.values()),
        open_members=len(digest.keys),
    )


def _largest(alerts: dict[str, Alert]) -> dict[str, Alert]:
    ordered = sorted(alerts.items(), key=lambda item: (-(item[1].notional_usd or 0.0), item[0]))
    return dict(ordered[:MOST])
