"""`undertow sink`: every topic into its table."""

import contextlib
from typing import Any

import click

from streams.cli import store
from streams.cli.options import option, stopping, watched
from streams.cli.stage import stage


@click.command()
@option("kafka_url")
@option("data_dir")
@option("clickhouse_url")
@option("flush_s")
@option("batch_rows")
@watched
def sink(**given: Any) -> None:
    """Move every topic into its ClickHouse table, committing offsets behind the writes.

    \b
    undertow sink --kafka-url broker1:9092 --ops-port 8125
    """
    from sinks.clickhouse.retry import SinkError
    from sinks.kafka.membership import Stopped
    from streams.stack import processes as running

    with stage(given) as settings, contextlib.suppress(Stopped):
        stop = stopping()
        try:
            running.run_sink(settings, store.client_when_there(settings, stop), stop)
        except SinkError as problem:
            raise click.ClickException(str(problem)) from None
