"""`undertow rollup`: trades into bars."""

from typing import Any

import click

from streams.cli.options import option, stopping, watched
from streams.cli.stage import stage
from streams.process.params_file import load_params


@click.command()
@option("kafka_url")
@option("data_dir")
@option("flush_s")
@option("params")
@watched
def rollup(**given: Any) -> None:
    """Fold trades into bars, in Kafka transactions. Run as many as there are partitions.

    \b
    undertow rollup --kafka-url broker1:9092 --ops-port 8125
    """
    from streams.rollup import worker

    with stage(given) as settings:
        worker.run(settings, load_params(settings.params), stopping())
