"""Telegram's sendMessage: plain text with entities, so that no character of it is markup.

    {"chat_id": "-100123", "text": "...", "entities": [{"type": "bold", "offset": 0, "length": 21}],
     "disable_notification": false, "link_preview_options": {"is_disabled": true}}

Limits: 4,096 UTF-16 units; entities' offset and length are in those too. A 429 says when to try
again in its JSON: {"ok": false, "error_code": 429, "parameters": {"retry_after": 35}}.
Source: core.telegram.org/bots/api, sendMessage, MessageEntity, ResponseParameters.
"""

import orjson

from sinks.alerts.message import Message
from sinks.alerts.targets.clip import clip, units

TEXT, TITLE = 4_096, 512


def body(message: Message, chat_id: str) -> bytes:
    """Return what is posted."""
    title = clip(message.title, TITLE)
    lines = [*message.lines, *filter(None, (message.query, message.link))]
    return orjson.dumps(
        {
            "chat_id": chat_id,
            "text": clip("\n".join([title, "", *lines]), TEXT),
            "entities": [{"type": "bold", "offset": 0, "length": units(title)}],
            "disable_notification": message.severity != "critical" or message.action == "resolve",
            "link_preview_options": {"is_disabled": True},
        }
    )


def retry_after(answer: bytes) -> str:
    """Return the seconds that a 429 asks to wait for, empty where its JSON names none."""
    try:
        return str(int(orjson.loads(answer)["parameters"]["retry_after"]))
    except (ValueError, TypeError, KeyError):
        return ""
