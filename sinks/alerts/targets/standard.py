"""Programs of one's own: the body of Standard Webhooks, and CloudEvents 1.0 in JSON.

    {"type": "event.trigger", "timestamp": "2026-11-27T21:03:12.000000Z",
     "data": {"title": "...", "text": "...", "key": "9f...", "members": [...], ...}}

    {"specversion": "1.0", "id": "3c...", "source": "/undertow", "type": "undertow.event.trigger",
     "subject": "9f...", "time": "...", "datacontenttype": "application/json", "data": {...}}

Source: standardwebhooks.com, spec; github.com/cloudevents/spec, v1.0.2, formats/json-format.md.
"""

from collections.abc import Callable
from typing import Any

import orjson

from schemas.findings import MOST
from sinks.alerts.message import Message, utc
from sinks.alerts.targets.clip import clip

#: The spec of Standard Webhooks recommends less than 20 kB.
MAX_BYTES = 19_999
#: UTF-16 units of a name among many; an asset that a venue lists has fewer.
NAME = 80
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


def webhook(message: Message) -> bytes:
    """Return the body of a Standard Webhook."""
    return fitted(message, lambda data: _webhook(message, data), MAX_BYTES)


def cloudevent(message: Message) -> bytes:
    """Return a CloudEvent in structured mode."""
    return fitted(message, lambda data: _cloudevent(message, data), MAX_BYTES)


def _webhook(message: Message, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": f"event.{message.action}",
        "timestamp": utc(message.ts_event, _TIME),
        "data": data,
    }


def _cloudevent(message: Message, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": message.notification_id,
        "source": "/undertow",
        "type": f"undertow.event.{message.action}",
        "subject": message.key,
        "time": utc(message.ts_event, _TIME),
        "datacontenttype": "application/json",
        "data": data,
    }


def fitted(message: Message, around: Callable[[dict[str, Any]], Any], most: int) -> bytes:
    """Return `around` the message's data, with as many episodes and ids as `most` bytes hold.

    How many there are stays in `episodes`, and what they are in the store.
    """
    text = "\n".join(message.lines)
    body = b""
    given = len(message.data["members"])
    sizes = ((given, MOST, 4_000), (4, MOST, 2_000), (1, 200, 1_000), (0, 20, 400))
    for members, ids, words in sizes:
        data = {
            "title": clip(message.title, words),
            "text": clip(text, words),
            "query": clip(message.query, words),
            "link": clip(message.link, words),
            **message.data,
            "members": message.data["members"][:members],
            "alert_ids": message.data["alert_ids"][:ids],
            "joined": [clip(name, NAME) for name in message.data["joined"][:ids]],
        }
        body = orjson.dumps(around(data))
        if len(body) <= most:
            break
    return body
