"""`undertow settings`: every setting and the value in force."""

import click

from streams.cli.options import settled
from streams.process.settings import PREFIX, TABLE, masked


@click.command()
def settings() -> None:
    """List every setting, its meaning and the value in force (secrets masked)."""
    shown = masked(settled())
    for name, meaning in TABLE.items():
        click.echo(f"{PREFIX}{name.upper():<22} {shown[name]!r:<28} {meaning}")
