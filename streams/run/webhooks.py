"""Alerts on their way to webhooks: kept at once, delivered by a thread of its own."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from schemas.findings import Alert
from sinks.alerts.rules import load_rules
from sinks.clickhouse.client import Writer
from sinks.report.picture import picture, why_not_drawn
from sinks.sql.query import asking
from sinks.webhooks import steps
from sinks.webhooks.endpoints import Endpoint, parse_endpoints
from sinks.webhooks.notifier import Notifier
from sinks.webhooks.outbox import Outbox
from sinks.webhooks.outbox_file import explained
from sinks.webhooks.pictures import Draw
from sinks.webhooks.worker import delivering
from streams.process.settings import Settings, clickhouse_tls


def receivers(settings: Settings) -> tuple[list[Endpoint], Notifier]:
    """Return whom the settings name, and what takes alerts in for them.

    Raises ValueError, which names what of the endpoints or rules cannot be used, or drawn.
    """
    allowed = settings.webhook_allow_private.replace(",", " ").split()
    endpoints = parse_endpoints(settings.webhook_urls, allowed)
    rules = load_rules(settings.alert_rules)
    if rules.pictures and (why := why_not_drawn()):
        raise ValueError(f"{settings.alert_rules} asks for pictures, but {why}")
    return endpoints, Notifier(endpoints, rules, settings.http_token)


def drawing(settings: Settings) -> Draw | None:
    """Return what draws an episode from the store, None where the rules ask for no pictures."""
    return partial(_draw, settings) if load_rules(settings.alert_rules).pictures else None


def _draw(settings: Settings, episode_id: str) -> bytes:
    url, token = settings.clickhouse_url, settings.http_token
    with asking(url, settings.data_dir, token, clickhouse_tls(settings), "JSONCompact") as ask:
        return picture(ask, episode_id)


def store_steps(settings: Settings, data_dir: Path, writer: Writer) -> None:
    """Write into the store what people were told; raises as `outgoing` does."""
    path = data_dir / "outbox.sqlite"
    if settings.webhook_urls and path.exists():
        with Outbox(path) as outbox:
            steps.store(outbox, writer)


class Outgoing(NamedTuple):
    """`take` an alert: when it returns, the outbox has it. `store` what people were told so far."""

    take: Callable[[Alert], None]
    store: Callable[[Writer], object]


@contextlib.contextmanager
def outgoing(settings: Settings, data_dir: Path, stop: Callable[[], object]) -> Iterator[Outgoing]:
    """Yield what takes alerts on their way, and tells the store of them.

    At the end what is due is tried once more, unless the run was told to `stop`: the
    outbox keeps it for the next start. Raises OutboxUnusable, and what the delivering thread
    failed with.
    """
    endpoints, notifier = receivers(settings)
    if not endpoints:
        yield Outgoing(lambda alert: None, lambda writer: None)
        return
    path, draw = data_dir / "outbox.sqlite", drawing(settings)
    try:
        with (
            Outbox(path) as outbox,
            delivering(endpoints, outbox, drained=lambda: not stop(), draw=draw) as check,
        ):

            def keep(alert: Alert) -> None:
                check()
                notifier.take([alert], outbox)

            yield Outgoing(keep, lambda writer: steps.store(outbox, writer))
    except sqlite3.OperationalError:
        raise  # a full disk: the run says so itself
    except sqlite3.DatabaseError as problem:
        raise explained(path, problem) from problem
