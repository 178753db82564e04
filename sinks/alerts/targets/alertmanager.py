"""Alertmanager's API v2: an alert by its labels, which hold nothing that changes.

    [{"labels": {"alertname": "undertow", "event": "9f...", "severity": "critical"},
      "annotations": {"summary": "...", "description": "..."},
      "startsAt": "2026-11-27T21:03:12Z", "endsAt": "2026-11-28T21:03:12Z",
      "generatorURL": "https://..."}]

`endsAt` of one that is open lies a day ahead, as far as an event of which nothing is heard stays
open: without it Alertmanager would resolve it after five minutes.
Source: github.com/prometheus/alertmanager, api/v2/openapi.yaml, postableAlert.
"""

import orjson

from sinks.alerts.message import Message, utc
from sinks.alerts.routing import FORGOTTEN_US
from sinks.alerts.targets.clip import clip

ANNOTATION = 4_096
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def body(message: Message) -> bytes:
    """Return what is posted."""
    is_over = message.action == "resolve"
    alert = {
        "labels": {
            "alertname": "undertow",
            "event": message.key,
            "severity": message.severity,
        },
        "annotations": {
            "summary": clip(message.title, ANNOTATION),
            "description": clip("\n".join(message.lines), ANNOTATION),
            "query": clip(message.query, ANNOTATION),
        },
        "startsAt": utc(message.ts_first, _TIME),
        "endsAt": utc(message.ts_event + (0 if is_over else FORGOTTEN_US), _TIME),
    }
    if message.link:
        alert["generatorURL"] = message.link
    return orjson.dumps([alert])
