"""`undertow export`: tables of the store as Parquet files."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from streams.cli.options import Refused, option, settled
from streams.process.settings import clickhouse_tls


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--table", "tables", multiple=True, help="a table, may be given again [all]")
@click.option("--since", help="event time, 2025-11-21T07:00 or with a zone; UTC without one")
@click.option("--until", help="event time that is no longer in it")
@click.option("--run", "run_name", default="", help="rows of one run alone, run:…")
@option("data_dir")
@option("clickhouse_url")
def export(
    out: Path,
    tables: tuple[str, ...],
    since: str | None,
    until: str | None,
    run_name: str,
    **given: Any,
) -> None:
    """Write tables of the store into OUT as Parquet, a file for each million rows or so.

    Columns are a record's fields; times are microseconds UTC. What was taken in (trades,
    liquidations, open_interest, whale_transfers) can be read back by `undertow run --source OUT`.
    Nothing in OUT is overwritten. Prints each file and its rows.

    \b
    undertow export exported/ --table trades --table liquidations
    undertow export exported/ --since 2025-11-21T07:00 --until 2025-11-21T08:00
    """
    from sinks.sql import export as parquet
    from sinks.sql.protocol import QueryError
    from sinks.sql.query import answer
    from streams.feeds.frames import UnreadableFrame
    from streams.sources.tables import stamp

    settings = settled(**given)
    known = parquet.tables()
    if unknown := [table for table in tables if table not in known]:
        raise Refused(f"{unknown[0]!r} is no table; there are {', '.join(known)}")
    try:
        bounds = [None if text is None else stamp(text) for text in (since, until)]
    except UnreadableFrame as problem:
        raise Refused(problem.reason) from None
    ask = partial(
        answer,
        url=settings.clickhouse_url,
        data_dir=settings.data_dir,
        token=settings.http_token,
        tls=clickhouse_tls(settings),
    )
    span = parquet.Span(bounds[0], bounds[1], run_name)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for table in tables or known:
            for piece in parquet.pieces(ask, table, span):
                with (out / piece.name).open("xb") as file:
                    file.write(piece.content)
                click.echo(f"{out / piece.name}\t{piece.rows}")
    except QueryError as problem:
        raise click.ClickException(str(problem)) from None
    except OSError as problem:
        raise Refused(str(problem)) from None
