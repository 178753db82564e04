"""Telegram's sendMessage: plain text with entities, so that no character of it is markup.

    {"chat_id": "-100123", "text": "...", "entities": [{"type": "bold", "offset": 0, "length": 21}],
     "disable_notification": false, "link_preview_options": {"is_disabled": true}}

A picture goes to sendPhoto, with the title as its caption.

Limits: 4,096 UTF-16 units, a caption 1,024; entities' offset and length are in those too. A 429
says when to try again in its JSON: {"ok": false, "parameters": {"retry_after": 35}}.
Source: core.telegram.org/bots/api, sendMessage, sendPhoto, MessageEntity, ResponseParameters.
"""

import orjson

from sinks.alerts.message import Message
from sinks.alerts.targets.clip import clip, units
from sinks.alerts.targets.part import PNG, Part

TEXT, TITLE, CAPTION = 4_096, 512, 1_024


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


def picture(message: Message, chat_id: str, png: bytes) -> list[Part]:
    """Return what sendPhoto is given, as the parts of a form; it wakes nobody."""
    return [
        Part("chat_id", chat_id.encode(), "text/plain; charset=utf-8"),
        Part("caption", clip(message.title, CAPTION).encode(), "text/plain; charset=utf-8"),
        Part("disable_notification", b"true", "text/plain; charset=utf-8"),
        Part("photo", png, "image/png", PNG),
    ]


def retry_after(answer: bytes) -> str:
    """Return the seconds that a 429 asks to wait for, empty where its JSON names none."""
    try:
        return str(int(orjson.loads(answer)["parameters"]["retry_after"]))
    except (ValueError, TypeError, KeyError):
        return ""
