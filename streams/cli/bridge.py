"""`undertow bridge`: topics that others wrote, as ours."""

from typing import Any

import click

from streams.bridge import cryptofeed, tardis_machine
from streams.cli.options import option, stopping, watched
from streams.cli.stage import stage

_SOURCES = ("cryptofeed", "tardis-machine")


@click.command(
    epilog="\b\nundertow bridge cryptofeed --lost\n"
    "undertow bridge cryptofeed --kafka-url broker1:9092\n"
    "undertow bridge tardis-machine --topics '^normalised$'"
)
@click.argument("source", type=click.Choice(_SOURCES))
@click.option(
    "--topics",
    multiple=True,
    help="topics to read, as names or ^patterns "
    f"[{cryptofeed.TOPICS} of cryptofeed, {tardis_machine.TOPICS} of tardis-machine]",
)
@click.option("--lost", is_flag=True, help="say what SOURCE lost of what venues told, and end")
@option("kafka_url")
@option("group")
@watched
def bridge(source: str, topics: tuple[str, ...], lost: bool, **given: Any) -> None:
    """Read topics that cryptofeed's Kafka backend or tardis-machine wrote, and write ours.

    Sides, contracts and kinds of price are put right where that can be; what is lost for good,
    --lost tells. Run it beside no feed of the same venue.
    """
    lines = _lost(source)
    if lost:
        click.echo("\n".join(lines))
        return
    from streams.bridge import worker

    with stage(given) as settings:
        for line in lines:
            click.echo(line, err=True)
        try:
            chosen = list(topics) or [worker.DEFAULT_TOPICS[source]]
            worker.run(settings, source, chosen, stopping())
        except worker.Failed as problem:
            raise click.ClickException(str(problem)) from None


def _lost(source: str) -> list[str]:
    if source == "tardis-machine":
        return list(tardis_machine.ALWAYS)
    venues = [f"{name}: {one.lost}" for name, one in cryptofeed.EXCHANGES.items()]
    return [*cryptofeed.ALWAYS, *venues]
