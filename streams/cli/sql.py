"""`undertow sql`: one question to the stored tables."""

import sys
from typing import Any

import click

from streams.cli.options import Refused, option, settled
from streams.process.settings import clickhouse_tls


@click.command()
@click.argument("sql")
@click.option("--format", "fmt", default=None, help="a ClickHouse format [table; TSV in a pipe]")
@option("data_dir")
@option("clickhouse_url")
def sql(sql: str, fmt: str | None, **given: Any) -> None:
    """Ask the stored tables one question: SELECT * FROM board_24h, episodes, inflows_before …

    \b
    undertow sql "SELECT asset, venue, notional_usd FROM board_24h"
    undertow sql "SELECT * FROM episodes" --format JSONEachRow
    """
    from sinks.sql.protocol import QueryError
    from sinks.sql.query import query

    settings = settled(**given)
    shape = fmt or ("PrettyCompact" if sys.stdout.isatty() else "TSVWithNames")
    try:
        answer = query(
            sql,
            shape,
            settings.clickhouse_url,
            settings.data_dir,
            token=settings.http_token,
            tls=clickhouse_tls(settings),
        )
        click.echo(answer, nl=False)
    except QueryError as problem:
        raise click.ClickException(str(problem)) from None
    except OSError as problem:
        raise Refused(str(problem)) from None
