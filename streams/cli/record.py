"""`undertow record`: raw frames of venues and chains into files."""

from pathlib import Path
from typing import Any

import click

from streams.cli.options import Refused, option, settled, stopping, watched


@click.command(
    epilog="\b\nundertow record frames/ --venues binance,bybit --assets BTC,ETH\n"
    "undertow run --source frames/"
)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@option("venues")
@option("assets")
@option("venue_urls")
@option("data_dir")
@watched
def record(folder: Path, **given: Any) -> None:
    """Hear venues and chains live, and write their raw frames into FOLDER, until Ctrl-C or SIGTERM.

    A file an hour, compressed with zstd in pieces of two seconds: a crash costs the last of them.
    `undertow run --source FOLDER` and `replay` play them through the same parsers, with the
    identities that they had live.
    """
    from streams.feed import recording
    from streams.feed.listing import Nothing
    from streams.feed.status_lines import showing
    from streams.feed.wanted import Unfit
    from streams.process import health
    from streams.process.logs import log_to_stderr

    settings = settled(**given)
    log_to_stderr(settings)
    try:
        with health.serving(settings, "record"), showing() as show:
            recording.run(settings, folder, stopping(), show)
    except (Unfit, Nothing, health.CannotServe) as problem:
        raise Refused(str(problem)) from None
    except OSError as problem:
        raise click.ClickException(f"{folder}: {problem}") from None
