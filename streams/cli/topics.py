"""`undertow topics`: the topics that are missing, created."""

from typing import Any

import click

from streams.cli.options import Refused, option, settled, with_kafka


@click.command()
@option("kafka_url")
@option("partitions")
@option("data_dir")
def topics(**given: Any) -> None:
    """Create the topics that are missing, and print them.

    \b
    undertow topics --kafka-url broker1:9092,broker2:9092 --partitions 8
    """
    from streams.kafka import clients, topics_admin

    settings = with_kafka(settled(**given))
    conf = clients.connection(settings)
    try:
        for name in topics_admin.create_topics(settings.kafka_url, settings.partitions, conf):
            click.echo(name)
    except topics_admin.TopicMismatch as problem:
        raise Refused(str(problem)) from None
