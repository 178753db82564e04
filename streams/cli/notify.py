"""`undertow notify`: alerts to webhooks."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import click
from confluent_kafka import KafkaException

from streams.cli.options import Refused, option, stopping, watched
from streams.cli.stage import stage


@click.command()
@option("kafka_url")
@option("data_dir")
@option("webhook_urls")
@option("webhook_allow_private")
@option("alert_rules")
@option("clickhouse_url")
@watched
def notify(**given: Any) -> None:
    """Tell receivers of events, signed, retried until they are taken.

    Alerts of one event are told together, so one of these works and others stand by, on this
    machine or another: whose turn it is goes on from what the last one left in Kafka.

    \b
    undertow notify --webhook-urls "https://hooks.slack.com/services/..."
    """
    from sinks.webhooks import notify as notifying
    from sinks.webhooks.outbox_file import explained
    from sinks.webhooks.steps import Steps
    from sinks.webhooks.turn import Turn
    from sinks.webhooks.worker import delivering
    from streams.kafka import clients, lag, worker_names
    from streams.kafka.rejoin import rejoining
    from streams.process import health
    from streams.run.webhooks import drawing, receivers

    with stage(given, before=receivers) as settings:
        path = Path(settings.data_dir) / "outbox.sqlite"
        stop, ours = stopping(), Turn()
        try:
            (endpoints, notifier), draw = receivers(settings), drawing(settings)
            if (file := notifying.opened(path, stop)) is None:
                return
            with (
                file as outbox,
                contextlib.ExitStack() as stack,
                delivering(endpoints, outbox, may_send=ours.may_send, draw=draw) as check,
            ):
                worker = worker_names.claim(settings.data_dir, "notify")
                conf = clients.consumer_conf(settings, "notify", worker)

                steps = stack.enter_context(contextlib.closing(Steps(conf, outbox)))

                def each_round(consumer: Any) -> None:
                    check()
                    if consumer is not None:
                        lag.each_round(consumer)
                    full = f"{path} cannot grow: the disk is full" if outbox.is_full else ""
                    health.note_inputs(full)
                    steps.each_round()

                def session() -> None:
                    notifying.run(conf, notifier, outbox, stop, each_round, ours)

                rejoining("notify", session, stop)
        except ValueError as problem:
            raise Refused(str(problem)) from None
        except sqlite3.Error as problem:
            raise Refused(str(explained(path, problem))) from None
        except KafkaException as problem:
            raise click.ClickException(f"Kafka refuses for good: {problem}") from None
