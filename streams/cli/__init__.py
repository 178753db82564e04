"""The command line, one file a command: stdout is data, stderr diagnostics; exit codes 0, 1, 2."""

from typing import Any

import click

from streams.cli import (
    alerts,
    audit,
    board,
    bridge,
    calibrate,
    completion,
    detect,
    doctor,
    evaluate,
    export,
    feed,
    feeds,
    labels,
    migrate,
    notify,
    parse,
    picture,
    record,
    replay,
    report,
    rollup,
    run,
    settings,
    simulate,
    sink,
    sql,
    stack,
    topics,
    webhooks,
)
from streams.process.logs import mask_stderr

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Masked(click.Group):
    def main(self, *args: Any, **extra: Any) -> Any:
        # Before the first word is read: a refused command line is printed too.
        mask_stderr()
        return super().main(*args, **extra)


@click.group(cls=_Masked, context_settings=_CONTEXT, epilog="Every setting: `undertow settings`.")
@click.version_option(package_name="undertow")
def main() -> None:
    """Detect liquidation cascades while they start.

    `undertow run` is all of it in one process; `undertow stack` is the same on a local
    Apache Kafka; topics, migrate, feed, rollup, detect, sink and notify are its stages, each of
    which may run many times over on a cluster (KAFKA_URL, CLICKHOUSE_URL).
    """


for command in (
    run.run,
    replay.replay,
    picture.picture,
    report.report,
    sql.sql,
    board.board,
    export.export,
    stack.stack,
    feed.feed,
    record.record,
    feeds.feeds,
    bridge.bridge,
    topics.topics,
    migrate.migrate,
    rollup.rollup,
    detect.detect,
    sink.sink,
    notify.notify,
    settings.settings,
    completion.completion,
    doctor.doctor,
    audit.audit,
    webhooks.webhooks,
    alerts.alerts,
    simulate.simulate,
    evaluate.evaluate,
    calibrate.calibrate,
    parse.parse,
    labels.labels,
):
    main.add_command(command)
