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
_SECTIONS: dict[str, dict[click.Command, str]] = {
    "Begin here": {
        run.run: "a generated night, a recording or live venues, all in one process",
        doctor.doctor: "what is wrong here, why nothing is concluded, what to do next",
        settings.settings: "every setting, its meaning and the value in force",
        completion.completion: "what your shell needs to complete our commands",
    },
    "See what happened": {
        board.board: "the live board, over what is stored",
        sql.sql: "ask the stored tables one question",
        report.report: "a night on one HTML page",
        picture.picture: "the largest cascade of a recording, as one picture",
        export.export: "tables of the store as Parquet",
        feeds.feeds: "who speaks, how far each has come, who is waited for",
    },
    "Tell people": {
        alerts.alerts: "try receivers, see what they are told, take an event over, silence",
        webhooks.webhooks: "what waits for receivers, a receiver of your own, secrets",
    },
    "On a cluster": {
        stack.stack: "a local Kafka and every stage below on it",
        topics.topics: "create the topics that are missing",
        migrate.migrate: "bring the ClickHouse tables up to date",
        feed.feed: "hear venues and chains live, into Kafka",
        replay.replay: "a recording, or a generated night, into Kafka",
        bridge.bridge: "topics of cryptofeed or tardis-machine, into ours",
        rollup.rollup: "stage: trades into bars",
        detect.detect: "stage: the detectors",
        sink.sink: "stage: every topic into its table",
        notify.notify: "stage: alerts to receivers",
        audit.audit: "does ClickHouse hold what Kafka holds, record by record?",
    },
    "Data, and how good it is": {
        record.record: "venues' raw frames into a folder, to be played again",
        parse.parse: "what we make of a venue's raw frames",
        labels.labels: "public sets of labelled addresses, for the owners of transfers",
        calibrate.calibrate: "fit thresholds to your history and a budget of false alarms",
        simulate.simulate: "a simulated market with its truth, as a folder",
        evaluate.evaluate: "detectors and rivals on simulated markets, against bars",
    },
}


class _Masked(click.Group):
    def main(self, *args: Any, **extra: Any) -> Any:
        # Before the first word is read: a refused command line is printed too.
        mask_stderr()
        return super().main(*args, **extra)

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in _SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(one.name or "", what) for one, what in commands.items()])


@click.group(cls=_Masked, context_settings=_CONTEXT, epilog="COMMAND --help has examples.")
@click.version_option(package_name="undertow")
def main() -> None:
    """Detect crypto liquidation cascades while they start.

    \b
    undertow run --hours 8                                    a generated night, as a first look
    undertow run --source live:binance,bybit --assets BTC,ETH
    undertow sql "SELECT sentence FROM press_24h"

    On a cluster (KAFKA_URL, CLICKHOUSE_URL) each stage runs as often as there are partitions.
    """


for _commands in _SECTIONS.values():
    for _command in _commands:
        main.add_command(_command)
