"""PagerDuty's Events API v2: an alert is triggered and resolved under one `dedup_key`.

    {"routing_key": "R0...", "event_action": "trigger", "dedup_key": "9f...",
     "payload": {"summary": "...", "source": "undertow", "severity": "critical",
                 "timestamp": "2026-11-27T21:03:12Z", "component": "BTC", "class": "cascade.onset",
                 "custom_details": {...}},
     "links": [{"href": "https://...", "text": "board"}]}

Limits: summary 1,024 characters, dedup_key 255, 512 KB. 202 is taken, 400 must not be sent again.
Source: developer.pagerduty.com, docs/events-api-v2/trigger-events.
"""

from typing import Any

from sinks.alerts.message import Message, utc
from sinks.alerts.targets.clip import clip
from sinks.alerts.targets.standard import fitted

SUMMARY, KEY, SHORT = 1_024, 255, 255
#: Far below what it allows: nobody reads more on a phone.
MAX_BYTES = 100_000


def body(message: Message, routing_key: str) -> bytes:
    """Return what is posted."""
    return fitted(message, lambda data: _event(message, routing_key, data), MAX_BYTES)


def _event(message: Message, routing_key: str, data: dict[str, Any]) -> dict[str, Any]:
    # One that is no https link would have the whole event refused.
    shown = message.picture if message.picture.startswith("https://") else ""
    links = [{"href": message.link, "text": "board"}] if message.link else []
    return {
        "routing_key": routing_key,
        "event_action": "resolve" if message.action == "resolve" else "trigger",
        "dedup_key": message.key[:KEY],
        "payload": {
            "summary": clip(message.title, SUMMARY),
            "source": "undertow",
            "severity": message.severity,
            "timestamp": utc(message.ts_event, "%Y-%m-%dT%H:%M:%SZ"),
            "component": clip(message.asset or "market", SHORT),
            "class": clip(message.kind, SHORT),
            "custom_details": data,
        },
        "links": links,
        "images": [{"src": shown, "alt": "the episode"}] if shown else [],
        "client": "undertow",
    }
