"""Where alerts are sent: the endpoints, and their one-line form in WEBHOOK_URLS."""

import re
from collections.abc import Collection
from typing import Any, Literal, cast, get_args

import msgspec
from yarl import URL

from schemas.identity import natural_id
from schemas.redact import keep_login, keep_path, keep_secret
from sinks.alerts import targets
from sinks.alerts.message import Message
from sinks.webhooks.guard import check_url
from sinks.webhooks.signing import secret_key
from sinks.webhooks.smtp import addresses, check_smtp_url

#: `webhook` and those below it are told of events; `every` gets each alert alone.
Target = Literal[
    "webhook",
    "every",
    "cloudevents",
    "slack",
    "discord",
    "telegram",
    "pagerduty",
    "alertmanager",
    "email",
]
_TARGETS = get_args(Target)
#: Receivers that verify nothing, so that a secret is not asked for.
UNSIGNED = frozenset({"slack", "discord", "telegram", "pagerduty", "alertmanager", "email"})
#: Hosts that say what they take.
_OF_HOST: dict[str, Target] = {
    "hooks.slack.com": "slack",
    "discord.com": "discord",
    "discordapp.com": "discord",
    "api.telegram.org": "telegram",
    "events.pagerduty.com": "pagerduty",
}
#: What an endpoint's query must hold: it goes into the body.
_NEEDS = {"telegram": "chat_id", "pagerduty": "routing_key"}


class Endpoint(msgspec.Struct, frozen=True):
    """One receiver; `allow_private` lets it be a private or loopback host, and http.

    `target` is the form it takes. Construction raises ValueError for a URL or secret that could
    not be used.
    """

    url: str
    secret: str
    allow_private: bool = False
    target: Target = "webhook"

    def __post_init__(self) -> None:
        keep_login(self.url)
        keep_secret(self.secret)
        if self.target == "email":
            check_smtp_url(self.url, self.allow_private)
        else:
            keep_path(self.url)
            check_url(self.url, self.allow_private)
        if self.secret or self.target not in UNSIGNED:
            secret_key(self.secret)
        needed = _NEEDS.get(self.target)
        if needed and not self.parameter:
            raise ValueError(f"{self.target}: the URL needs ?{needed}=...")

    @property
    def parameter(self) -> str:
        """What goes from the URL's query into the body: a chat, a routing key, mail addresses."""
        if self.target == "email":
            sender, receivers = addresses(self.url)
            return " ".join([sender, *receivers])
        return URL(self.url).query.get(_NEEDS.get(self.target, ""), "")

    def body(self, message: Message) -> bytes:
        """Return what is kept of `message` until it is sent: without what is secret in it."""
        if self.target == "email":
            return targets.body(self.target, message, self.parameter)
        return targets.body(self.target, message)

    def filled(self, body: bytes) -> bytes:
        """Return a kept body as it is sent."""
        return targets.filled(body, self.parameter) if self.target in _NEEDS else body

    @property
    def post_url(self) -> str:
        """The URL without what goes into the body."""
        return str(URL(self.url).without_query_params(_NEEDS.get(self.target, "")))

    @property
    def upload_url(self) -> str:
        """The URL that pictures are uploaded to."""
        url = URL(self.post_url)
        return (
            str(url.with_name("sendPhoto").with_query(url.query))
            if self.target == "telegram"
            else str(url)
        )

    @property
    def name(self) -> str:
        """Its name in the outbox and in logs: the host, and a hash instead of the path."""
        return f"{URL(self.url).host}-{natural_id(self.url)[:8]}"

    def __repr__(self) -> str:
        return f"Endpoint({self.name}, secret=***, allow_private={self.allow_private})"

    # rich prints fields through this, and would print the secret.
    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("name", self.name), ("secret", "***"), ("allow_private", self.allow_private)]


def parse_endpoints(text: str, allow_private: Collection[str] = ()) -> list[Endpoint]:
    """Read `https://host/path#whsec_...`, separated by commas or space.

    `slack+https://...` names the form that a receiver takes, where its host does not;
    `every+https://...` gets each alert alone, and mail goes to
    `email+smtps://user:password@host/?from=a@b.c&to=d@e.f`. `allow_private` names the hosts that
    may be private, loopback or without TLS. A comma inside a URL is written %2C. Raises
    ValueError, which counts from 1 and quotes neither secrets nor paths.
    """
    named = {host.strip("[]").lower() for host in allow_private}
    endpoints: list[Endpoint] = []
    for position, entry in enumerate(filter(None, re.split(r"[,\s]+", text)), start=1):
        try:
            endpoint = _endpoint(entry, named)
        except ValueError as problem:
            raise ValueError(f"webhook endpoint {position}: {problem}") from None
        if any(endpoint.url == other.url for other in endpoints):
            raise ValueError(f"webhook endpoint {position}: {endpoint.name} is there twice")
        endpoints.append(endpoint)
    return endpoints


def _endpoint(entry: str, private: Collection[str]) -> Endpoint:
    rest, _, secret = entry.partition("#")
    target, plus, url = rest.partition("+")
    if not plus or "://" in target:
        return Endpoint(rest, secret, _host(rest) in private, _OF_HOST.get(_host(rest), "webhook"))
    return Endpoint(url, secret, _host(url) in private, _target(target))


def _target(name: str) -> Target:
    for target in _TARGETS:
        if target == name:
            return cast(Target, target)
    raise ValueError(f"{name}+ is no form; there are {', '.join(_TARGETS)}")


def _host(url: str) -> str:
    try:
        return URL(url).host or ""
    except ValueError:
        return ""  # check_url says it better
