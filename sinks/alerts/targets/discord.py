"""Discord's webhooks: one embed that mentions nobody.

    {"embeds": [{"title": "...", "description": "...", "color": 15548997,
                 "timestamp": "2026-11-27T21:03:12Z", "url": "https://..."}],
     "allowed_mentions": {"parse": []}}

Limits: title 256 characters, description 4,096, 6,000 in all embeds.
Source: discord.com/developers/docs, resources/message, "Embed Limits".
"""

import re
from typing import Any

import orjson

from sinks.alerts.message import Message, utc
from sinks.alerts.targets.clip import clip, clip_escaped, units
from sinks.alerts.targets.part import PNG, Part

TITLE, DESCRIPTION, QUERY = 256, 4_096, 500
#: SUPPRESS_NOTIFICATIONS: a picture wakes nobody, the words before it did.
_QUIETLY = 1 << 12
_COLOR = {"critical": 0xED4245, "warning": 0xFAA61A, "info": 0x5865F2}
_RESOLVED = 0x57F287
_SPECIAL = re.compile(r"[\\*_~`|>#\[\]()<@:-]")
_BY = {c: f"\\{c}" for c in "\\*_~`|>#[]()<@:-"}


def body(message: Message) -> bytes:
    """Return what is posted."""
    color = _RESOLVED if message.action == "resolve" else _COLOR[message.severity]
    query = clip(message.query.replace("`", "'"), QUERY)
    code = f"\n```sql\n{query}\n```" if query else ""
    text = clip_escaped("\n".join(message.lines), DESCRIPTION - units(code), _SPECIAL, _BY)
    embed: dict[str, Any] = {
        "title": clip_escaped(message.title, TITLE, _SPECIAL, _BY),
        "description": text + code,
        "color": color,
        "timestamp": utc(message.ts_event, "%Y-%m-%dT%H:%M:%SZ"),
    }
    if message.link:
        embed["url"] = message.link
    if message.picture:
        embed["image"] = {"url": message.picture}
    return orjson.dumps({"embeds": [embed], "allowed_mentions": {"parse": []}})


def picture(message: Message, png: bytes) -> list[Part]:
    """Return what shows a picture, as the parts of a form."""
    embed: dict[str, Any] = {
        "title": clip_escaped(message.title, TITLE, _SPECIAL, _BY),
        "image": {"url": f"attachment://{PNG}"},
    }
    if message.link:
        embed["url"] = message.link
    payload = {"embeds": [embed], "allowed_mentions": {"parse": []}, "flags": _QUIETLY}
    return [
        Part("payload_json", orjson.dumps(payload), "application/json"),
        Part("files[0]", png, "image/png", PNG),
    ]
