"""Alerts into the outbox: each alone for programs that want them all, as events for people.

One transaction takes a batch of alerts in: what is told, and what routing must remember. Killed
before it or behind it, the same alerts come again and give the same notifications, or none.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from schemas.findings import Alert
from schemas.identity import natural_id
from schemas.words import Severity
from sinks.alerts import digest, routing
from sinks.alerts.message import Message, message_of
from sinks.alerts.routing import Notification
from sinks.alerts.rules import Rule, Rules
from sinks.webhooks import pictures
from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.outbox import Outbox
from sinks.webhooks.writing import Writing

#: Whoever is told something there has an incident open: no place for what is told once a day.
_PAGERS = ("pagerduty", "alertmanager")

_DECODER = msgspec.msgpack.Decoder(routing.State)


class Channel(NamedTuple):
    """Endpoints that are told the same, by the same rules, under one memory of what is open."""

    name: str
    rules: list[Rule]
    endpoints: list[Endpoint]


class Notifier:
    """Takes alerts in for `endpoints`, by `rules`; `names` are theirs in the outbox.

    `token` is the board's, for links to its pictures.
    """

    def __init__(
        self, endpoints: Sequence[Endpoint], rules: Rules | None = None, token: str = ""
    ) -> None:
        rules = rules or Rules()
        self.names = frozenset(endpoint.name for endpoint in endpoints)
        self._alone = [e for e in endpoints if e.target == "every"]
        self._channels: dict[str, Channel] = {}
        self._links = (rules.board, rules.picture, token)
        self._draws = rules.pictures
        self._endpoints = tuple(endpoints)
        for endpoint in endpoints:
            if endpoint.target != "every":
                wanted = rules.of(names_of(endpoint))
                name = natural_id(msgspec.json.encode(wanted).decode())
                channel = self._channels.setdefault(name, Channel(name, wanted, []))
                channel.endpoints.append(endpoint)

    def take(self, alerts: Sequence[Alert], outbox: Outbox) -> None:
        """Put what follows from `alerts` into `outbox`, all of it or nothing.

        Alerts that come together, of several workers, are taken in by event time. Raises ValueError
        when an alert's id cannot be a webhook id.
        """
        with outbox.writing() as writing:
            writing.put(alerts, self._alone)
            silences = writing.silences()
            in_event_time = sorted(alerts, key=lambda alert: alert.ts_event)
            fresh = [alert for alert in in_event_time if writing.is_new(alert)]
            heard = []
            for alert in fresh:
                held_by = next((silence for silence in silences if silence.holds(alert)), None)
                if held_by is None:
                    heard.append(alert)
                elif self._channels:
                    writing.hold(alert, held_by)
            for channel in self._channels.values() if heard else ():
                self._route(writing, channel, heard)

    def _route(self, writing: Writing, channel: Channel, alerts: Sequence[Alert]) -> None:
        kept = writing.routing_of(channel.name)
        state = _DECODER.decode(kept) if kept else routing.State()
        for alert in alerts:
            passing = [r for r in channel.rules if not r.digest and r.passes(alert)]
            for notification in digest.notifications(state, channel.rules, alert):
                message = message_of(notification, *self._links)
                later = _later(notification, passing)
                for endpoint in channel.endpoints:
                    if notification.action != "digest" or endpoint.target not in _PAGERS:
                        body = endpoint.body(pictures.words(endpoint, message, self._draws))
                        writing.tell(later, endpoint.name, body, message.title, endpoint.target)
                        pictures.put(writing, endpoint, later, message, self._draws)
                for rule in passing:
                    self._escalate(writing, rule, notification, message)
        writing.keep_routing(channel.name, msgspec.msgpack.encode(state))

    def _escalate(
        self, writing: Writing, rule: Rule, notification: Notification, message: Message
    ) -> None:
        """Let others hear of what nobody took: put off at the trigger, withdrawn at the end."""
        escalated = msgspec.structs.replace(
            notification,
            notification_id=natural_id(notification.notification_id, "escalation"),
        )
        for endpoint in self._endpoints if rule.escalate_to else ():
            if not {*names_of(endpoint)} & {*rule.escalate_to} or endpoint.target == "every":
                continue
            body = endpoint.body(message)
            if notification.action == "trigger" and notification.severity == "critical":
                wait_us = int(rule.escalate_after_min * 60_000_000)
                later = msgspec.structs.replace(escalated, action="reminder", wait_us=wait_us)
                writing.tell(later, endpoint.name, body, message.title, endpoint.target)
            elif notification.action == "resolve" and not writing.withdraw(
                notification.key, endpoint.name
            ):
                writing.tell(escalated, endpoint.name, body, message.title, endpoint.target)


def names_of(endpoint: Endpoint) -> list[str]:
    """Return what rules may call `endpoint`: its form, its host, its name in the outbox."""
    return [endpoint.target, endpoint.name.rpartition("-")[0], endpoint.name]


def _later(notification: Notification, rules: list[Rule]) -> Notification:
    """Return `notification` after the quiet hours, if every rule that lets it pass has such.

    No rule has one that gathers for a day: it knows its hour.
    """
    severity: Severity = notification.severity
    due_us = notification.ts_event + notification.wait_us
    quiet_us = min((rule.wait_us(severity, due_us) for rule in rules), default=0)
    return msgspec.structs.replace(notification, wait_us=notification.wait_us + quiet_us)
