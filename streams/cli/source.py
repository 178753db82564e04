"""What the commands that read a source share: its argument's help, the generated night, opening."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.options import say
from streams.sources.open import SUPPORTED

if TYPE_CHECKING:
    from streams.process.settings import Settings

FORMS = "\b\nSOURCE may be a file or a folder of:\n" + SUPPORTED


def night_options(command: Any) -> Any:
    """Add the options of the generated night, which stands in where no source is named."""
    for name, default, text in (
        ("--hours", 24.0, "hours of it, at most 24"),
        ("--seed", 20251121, "seed of the generated night"),
    ):
        command = click.option(name, default=default, show_default=True, help=text)(command)
    return command


def repeats_option(command: Any) -> Any:
    """Add the option of what equal rows of a recording mean."""
    return click.option(
        "--keep-repeats/--repeats-once",
        default=None,
        help="whether equal rows are as many orders [once, where the form cannot hold two]",
    )(command)


def open_named(
    source: Path | None,
    seed: int,
    hours: float,
    by_the_run: bool = False,
    keep_repeats: bool | None = None,
    settings: "Settings | None" = None,
) -> Any:
    """Open the source, or the generated night; raises SourceError, and ValueError for hours.

    Raw frames are read by what was learnt of their venues, and those of chains by the labels, that
    the settings' data_dir has.
    """
    from functools import partial

    from streams.process import label_file, learnt_file
    from streams.sources.chain_frames import Judging
    from streams.sources.generated import generated_source
    from streams.sources.open import open_source
    from streams.sources.raw_frames import Reading

    if source is None:
        return generated_source(seed, hours)
    if settings is None:
        return open_source(source, by_the_run, keep_repeats, say)
    learnt = learnt_file.load(learnt_file.file_of(settings.data_dir))
    labels = label_file.load(label_file.file_of(settings.data_dir))
    judging = Judging(labels, settings.confirmations, settings.transfer_least_usd)
    reading = Reading(partial(learnt_file.apply, learnt), judging)
    return open_source(source, by_the_run, keep_repeats, say, reading)
