"""`undertow migrate`: the tables brought up to date."""

from typing import Any

import click

from streams.cli import store
from streams.cli.options import Refused, option, settled


@click.command()
@option("data_dir")
@option("clickhouse_url")
@option("clickhouse_cluster")
@option("retention")
def migrate(**given: Any) -> None:
    """Bring the ClickHouse tables up to date, and print what was applied.

    It also sets how long rows are kept (`--retention`; findings are kept for ever), and makes
    the tables replicated and sharded where a cluster is named.

    \b
    undertow migrate --clickhouse-url https://me@clickhouse:8443/undertow
    undertow migrate --retention trades=30,bars=400
    """
    from sinks.clickhouse import client as clickhouse
    from sinks.clickhouse import retention
    from sinks.clickhouse.migrate import MigrationError
    from sinks.clickhouse.migrate import migrate as apply

    settings = settled(**given)
    try:
        days = retention.days_of(settings.retention)
        # A migration may copy a whole table within one request.
        client = store.client(settings, timeout_s=24 * 3600)
        database = clickhouse.database_of(settings.clickhouse_url)
        for name in apply(client, database, days, settings.clickhouse_cluster):
            click.echo(name)
    except (clickhouse.DataDirBusy, MigrationError, ValueError) as problem:
        raise Refused(str(problem)) from None
