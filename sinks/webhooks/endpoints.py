"""Where alerts are sent: the endpoints, and their one-line form in WEBHOOK_URLS."""

import re
from collections.abc import Collection
from typing import Any

import msgspec
from yarl import URL

from schemas.identity import natural_id
from schemas.redact import keep_path, keep_secret
from sinks.webhooks.guard import check_url
from sinks.webhooks.signing import secret_key


class Endpoint(msgspec.Struct, frozen=True):
    """One receiver; `allow_private` lets it be a private or loopback host, and http.

    Construction raises ValueError for a URL or secret that could not be used.
    """

    url: str
    secret: str
    allow_private: bool = False

    def __post_init__(self) -> None:
        keep_path(self.url)
        keep_secret(self.secret)
        check_url(self.url, self.allow_private)
        secret_key(self.secret)

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

    `allow_private` names the hosts that may be private, loopback or plain http. A comma
    inside a URL is written %2C. Raises ValueError, which counts from 1 and quotes neither
    secrets nor paths.
    """
    named = {host.strip("[]").lower() for host in allow_private}
    endpoints: list[Endpoint] = []
    for position, entry in enumerate(filter(None, re.split(r"[,\s]+", text)), start=1):
        url, _, secret = entry.partition("#")
        try:
            endpoint = Endpoint(url, secret, allow_private=_host(url) in named)
        except ValueError as problem:
            raise ValueError(f"webhook endpoint {position}: {problem}") from None
        if any(endpoint.url == other.url for other in endpoints):
            raise ValueError(f"webhook endpoint {position}: {endpoint.name} is there twice")
        endpoints.append(endpoint)
    return endpoints


def _host(url: str) -> str:
    try:
        return URL(url).host or ""
    except ValueError:
        return ""  # check_url says it better
