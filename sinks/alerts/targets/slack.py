"""Slack's incoming webhooks: a header, the lines as one section, and the link; then a picture.

    {"text": "BTC longs liquidated",
     "blocks": [{"type": "header", "text": {"type": "plain_text", "text": "BTC longs liquidated"}},
                {"type": "section", "text": {"type": "mrkdwn", "verbatim": true, "text": "..."}}]}

Limits: header 150 characters, section 3,000, `text` 4,000 before it is cut, some 10,000 in all.
Source: docs.slack.dev, reference/block-kit/blocks, "Formatting message text".
"""

import re

import orjson

from sinks.alerts.message import Message
from sinks.alerts.targets.clip import clip, clip_escaped, units

HEADER, SECTION, QUERY = 150, 3_000, 500
_SIGN = {"critical": "🔴", "warning": "🟠", "info": "🔵"}
# & < > make mentions and links; the others bold and the like, which nothing escapes: they are
# kept apart from the word that they would mark.
_SPECIAL = re.compile(r"[&<>*_~`]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_BY = _ENTITIES | {c: f"\u200b{c}\u200b" for c in "*_~`"}
_BY_IN_CODE = _ENTITIES | {c: c for c in "*_~`"}


def body(message: Message) -> bytes:
    """Return what is posted."""
    sign = "🟢" if message.action == "resolve" else _SIGN[message.severity]
    title = f"{sign} {message.title}"
    lines = [*message.lines, message.link] if message.link else message.lines
    query = clip_escaped(message.query.replace("`", "'"), QUERY, _SPECIAL, _BY_IN_CODE)
    code = f"\n```{query}```" if query else ""
    text = clip_escaped("\n".join(lines), SECTION - units(code), _SPECIAL, _BY) + code
    return orjson.dumps(
        {
            # Shown where blocks are not: in notifications.
            "text": clip_escaped(title, HEADER, _SPECIAL, _BY),
            "blocks": [
                {
                    "type": "header",
                    "text": {"type": "plain_text", "emoji": False, "text": clip(title, HEADER)},
                },
                {
                    "type": "section",
                    "text": {"type": "mrkdwn", "verbatim": True, "text": text},
                },
            ],
        }
    )


def picture(message: Message) -> bytes:
    """Return what shows the picture: by itself, as Slack refuses words with a picture it lacks."""
    shown = clip(message.title, HEADER)
    image = {"type": "image", "image_url": message.picture, "alt_text": shown}
    text = clip_escaped(message.title, HEADER, _SPECIAL, _BY)
    return orjson.dumps({"text": text, "blocks": [image]})
