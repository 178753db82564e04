"""The form in which each kind of channel takes a message: pure functions, one file a target."""

import orjson

from sinks.alerts.message import Message
from sinks.alerts.targets import (
    alertmanager,
    discord,
    mail,
    pagerduty,
    slack,
    standard,
    telegram,
)
from sinks.alerts.targets.part import Part

#: What `body` makes.
FORMS = (
    "webhook", "cloudevents", "slack", "discord", "telegram", "pagerduty", "alertmanager", "email",
)  # fmt: skip
#: What a receiver answers for good: the same body would be refused again.
PERMANENT: dict[str, frozenset[int]] = {
    "pagerduty": frozenset({400}),
    "slack": frozenset({400, 403, 404}),
    "discord": frozenset({400, 401, 403, 404}),
    "telegram": frozenset({400, 401, 403, 404}),
    "alertmanager": frozenset({400}),
    "email": frozenset(range(500, 600)),
}
#: What takes a picture in a message of its own: drawn and uploaded, or by a link to it.
UPLOADED = frozenset({"discord", "telegram", "email"})
LINKED = frozenset({"slack"})
#: Characters of a link to a picture at most, as Slack has it.
LINK = 3_000
#: The media type of what is posted, JSON where none is named.
CONTENT_TYPE = {"cloudevents": "application/cloudevents+json"}


#: Stands for a routing key or a chat in what is kept on disk, where no secret belongs.
PLACEHOLDER = "undertow-fills-this-in"


def filled(body: bytes, parameter: str) -> bytes:
    """Return a kept body with `parameter` where its placeholder stands first."""
    return body.replace(orjson.dumps(PLACEHOLDER), orjson.dumps(parameter), 1)


def body(target: str, message: Message, parameter: str = PLACEHOLDER) -> bytes:
    """Return what is posted to a receiver that takes `target`.

    `parameter` is what its URL gives for the body: a chat's id, a routing key, of mail the sender
    and then the receivers, with spaces between.
    """
    if target == "telegram":
        return telegram.body(message, parameter)
    if target == "pagerduty":
        return pagerduty.body(message, parameter)
    if target == "email":
        sender, *receivers = parameter.split()
        return mail.body(message, sender, receivers)
    return _BODIES[target](message)


def picture(target: str, message: Message, parameter: str, png: bytes) -> bytes | list[Part]:
    """Return what shows `png` to a receiver that takes uploads: a form's parts, or a whole mail."""
    if target == "telegram":
        return telegram.picture(message, parameter, png)
    if target == "email":
        sender, *receivers = parameter.split()
        return mail.picture(message, sender, receivers, png)
    return discord.picture(message, png)


_BODIES = {
    "webhook": standard.webhook,
    "cloudevents": standard.cloudevent,
    "slack": slack.body,
    "discord": discord.body,
    "alertmanager": alertmanager.body,
}
