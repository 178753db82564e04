"""`undertow picture`: an episode drawn as it was judged."""

from pathlib import Path
from typing import Any

import click

from streams.cli.options import Refused, option, settled
from streams.cli.source import FORMS, night_options, open_named
from streams.core.params import ParamsError
from streams.process import clock
from streams.process.params_file import load_params
from streams.sources.open import SourceError
from streams.sources.pace import paced


@click.command(epilog=FORMS)
@click.argument("source", required=False, type=click.Path(path_type=Path))
@click.option("--asset", default="BTC", show_default=True, help="whose largest cascade is drawn")
@click.option(
    "--out",
    default="picture.svg",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="the file to write",
)
@night_options
@option("params")
def picture(
    source: Path | None, asset: str, out: Path, seed: int, hours: float, **given: Any
) -> None:
    """Draw the largest cascade of an asset: price, forced dollars, score against threshold.

    SOURCE is a recording; without it a night is generated. The same source gives the same
    picture, byte for byte with the same matplotlib. Needs matplotlib (`make evaluate` brings it).

    \b
    undertow picture --hours 8 --asset BTC --out night.svg
    undertow picture my-recording/ --asset ETH
    """
    try:
        from streams.evaluate import plots
    except ImportError as problem:
        raise Refused(f"{problem}: `make evaluate` brings it, or pip install matplotlib") from None
    from streams.evaluate.picture import largest, of_asset

    try:
        items = paced(open_named(source, seed, hours), clock.not_after())
        drawn = of_asset(load_params(settled(**given).params), items, asset)
        out.write_text(plots.night(drawn, largest(drawn)))
    except (SourceError, ParamsError, ValueError) as problem:
        raise Refused(str(problem)) from None
    click.echo(out)
