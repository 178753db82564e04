"""`undertow settings`: every setting and the value in force."""

import click
import msgspec

from streams.cli.options import settled, with_json
from streams.process.settings import PREFIX, TABLE, masked


@click.command()
@with_json
def settings(as_json: bool) -> None:
    """List every setting, its meaning and the value in force (secrets masked).

    \b
    undertow settings
    undertow settings --json | jq .kafka_url
    """
    shown = masked(settled())
    if as_json:
        click.echo(msgspec.json.encode(shown))
        return
    for name, meaning in TABLE.items():
        click.echo(f"{PREFIX}{name.upper():<22} {shown[name]!r:<28} {meaning}")
