"""`undertow notify`: alerts to webhooks."""

import sqlite3
from pathlib import Path
from typing import Any

import click

from streams.cli.options import Refused, option, stopping, watched
from streams.cli.stage import stage


@click.command()
@option("kafka_url")
@option("data_dir")
@option("webhook_urls")
@option("webhook_allow_private")
@watched
def notify(**given: Any) -> None:
    """Send alerts to webhooks, signed, retried until they are taken."""
    from sinks.webhooks import notify as notifying
    from sinks.webhooks.endpoints import parse_endpoints
    from sinks.webhooks.outbox import Outbox
    from streams.kafka import clients, lag, worker_names

    with stage(given) as settings:
        allowed = settings.webhook_allow_private.replace(",", " ").split()
        try:
            endpoints = parse_endpoints(settings.webhook_urls, allowed)
        except ValueError as problem:
            raise Refused(str(problem)) from None
        Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
        with Outbox(Path(settings.data_dir) / "outbox.sqlite") as outbox:
            worker = worker_names.claim(settings.data_dir, "notify")
            conf = clients.consumer_conf(settings, "notify", worker)
            try:
                notifying.run(conf, endpoints, outbox, stopping(), lag.each_round)
            except sqlite3.OperationalError as problem:
                raise click.ClickException(f"outbox in {settings.data_dir}: {problem}") from problem
