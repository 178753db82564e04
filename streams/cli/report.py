"""`undertow report`: a night on one page, for people who were not there."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from streams.cli import store
from streams.cli.options import Refused, option, settled


@click.command()
@click.argument("episode", required=False, default="")
@click.option("--from", "since", default="", help="begin, e.g. 2025-11-21T07:00 (UTC)")
@click.option("--to", "until", default="", help="end [the last order stored]")
@click.option(
    "--out",
    default="report",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="the folder to write to",
)
@option("data_dir")
@option("clickhouse_url")
def report(episode: str, since: str, until: str, out: Path, **given: Any) -> None:
    """Write what happened as one HTML page and its pictures, from the stored tables.

    EPISODE is an id from the view `episodes`: the time around it. Without one it is the window,
    or the last 24 h of the data. The same night gives the same bytes, with the same matplotlib.
    Needs matplotlib (`make evaluate` brings it).

    \b
    undertow report
    undertow report --from 2025-11-21T07:00 --to 2025-11-21T09:00 --out tonight
    """
    try:
        from sinks.report import charts, page
    except ImportError as problem:
        raise Refused(f"{problem}: `make evaluate` brings it, or pip install matplotlib") from None
    from sinks.report.night import NothingThere, read
    from sinks.sql.protocol import QueryError

    if episode and (since or until):
        raise Refused("an episode says its own time: leave --from and --to out")
    try:
        with store.asking(settled(**given)) as query:
            night = read(partial(query, fmt="JSONCompact"), since, until, episode)
    except QueryError as problem:
        raise click.ClickException(str(problem)) from None
    except (NothingThere, ValueError, OSError) as problem:
        raise Refused(str(problem)) from None
    pictures = charts.charts(night)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in pictures.items():
        (out / name).write_bytes(content)
    written = out / "report.html"
    written.write_text(page.page(night, pictures), "utf-8")
    click.echo(written)
