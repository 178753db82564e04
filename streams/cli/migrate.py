"""`undertow migrate`: the tables brought up to date."""

from typing import Any

import click

from streams.cli import store
from streams.cli.options import Refused, option, settled


@click.command()
@option("data_dir")
@option("clickhouse_url")
def migrate(**given: Any) -> None:
    """Bring the ClickHouse tables up to date, and print what was applied.

    \b
    undertow migrate --clickhouse-url https://me@clickhouse:8443/undertow
    """
    from sinks.clickhouse import client as clickhouse
    from sinks.clickhouse.migrate import MigrationError
    from sinks.clickhouse.migrate import migrate as apply

    settings = settled(**given)
    try:
        # A migration may copy a whole table within one request.
        client = store.client(settings, timeout_s=24 * 3600)
        for name in apply(client, clickhouse.database_of(settings.clickhouse_url)):
            click.echo(name)
    except (clickhouse.DataDirBusy, MigrationError, ValueError) as problem:
        raise Refused(str(problem)) from None
