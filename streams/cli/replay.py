"""`undertow replay`: a source into Kafka."""

from pathlib import Path
from typing import Any

import click

from streams.cli.options import Refused, option, settled, with_kafka
from streams.cli.source import FORMS, night_options, open_named, repeats_option
from streams.sources.open import SourceError


@click.command(epilog=FORMS)
@click.argument("source", type=click.Path(path_type=Path), required=False)
@click.option(
    "--kafka", "_kafka", is_flag=True, help="said for clarity: Kafka is where a replay goes"
)
@click.option("--onto-live", is_flag=True, help="though others feed this cluster, and are ahead")
@night_options
@repeats_option
@option("kafka_url")
@option("data_dir")
def replay(
    source: Path | None,
    _kafka: bool,
    onto_live: bool,
    seed: int,
    hours: float,
    keep_repeats: bool | None,
    **given: Any,
) -> None:
    """Feed a source to Kafka: what a night looked like, to the processes that watch it.

    Refused where somebody else feeds the cluster and is past the source's beginning.

    \b
    undertow replay my-recording/ --kafka-url 127.0.0.1:9092
    undertow replay --hours 8
    """
    from streams.kafka.replay import OntoLive, ReplayError
    from streams.kafka.replay import replay as feed
    from streams.process.progress import telling

    settings = with_kafka(settled(**given))
    try:
        opened = open_named(source, seed, hours, keep_repeats=keep_repeats, settings=settings)
        with telling(opened.name, opened.span) as tell:
            sent = feed(settings, opened, tell, onto_live)
    except (SourceError, OntoLive, ValueError) as problem:
        raise Refused(str(problem)) from None
    except ReplayError as problem:
        raise click.ClickException(str(problem)) from None
    for topic, count in sorted(sent.items()):
        click.echo(f"{topic}\t{count}")
