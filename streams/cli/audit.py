"""`undertow audit`: does ClickHouse hold what Kafka holds."""

import sys
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from streams.cli.options import Refused, option, settled, with_json, with_kafka
from streams.cli.store import asking


@click.command()
@click.option("--format", "fmt", type=click.Choice(["table", "json"]), default="table")
@with_json
@option("kafka_url")
@option("data_dir")
@option("clickhouse_url")
def audit(fmt: str, as_json: bool, **given: Any) -> None:
    """Compare ClickHouse with Kafka, record by record, up to the sink's committed offsets.

    Exit code 0 when the tables hold each record once and nothing else, 1 when not, 2 when it
    cannot run. What the sink has not taken yet (unread) is no fault; rows older than what
    Kafka still holds are counted and not judged.

    \b
    undertow audit
    undertow audit --json | jq .partitions
    """
    from sinks.kafka import audit as auditing
    from sinks.sql.protocol import QueryError
    from streams.kafka import clients

    settings = with_kafka(settled(**given))
    try:
        with asking(settings) as ask:
            conf = clients.consumer_conf(settings, "sink")
            report = auditing.audit(conf, ask, lambda line: click.echo(line, err=True))
    except (auditing.CannotAudit, QueryError, OSError) as problem:
        raise Refused(str(problem)) from None
    if as_json or fmt == "json":
        click.echo(msgspec.json.encode(report))
    else:
        _show(report, Console(width=None if sys.stdout.isatty() else 130))
    sys.exit(0 if report.clean else 1)


def _show(report: Any, console: Console) -> None:
    from sinks.kafka.audit import totals

    table = Table(box=None, header_style="bold")
    columns = [name for name in report.partitions[0].__struct_fields__ if name != "examples"]
    for name in columns:
        justify: Any = "left" if name == "topic" else "right"
        table.add_column("from" if name == "first" else name, justify=justify)
    for line in report.partitions:
        cells = [getattr(line, name) for name in columns]
        style = None if line.clean else "bold red"
        table.add_row(*(f"{c:,}" if isinstance(c, int) else c for c in cells), style=style)
    console.print(table)
    for line in report.partitions:
        for example in line.examples:
            console.print(f"gap  {line.topic}[{line.partition}] {example}", markup=False)
    for check in report.checks:
        verdict = "agrees" if check.clean else f"DIFFERS: {check.view}, its table {check.table}"
        console.print(f"view {check.what}: {verdict}", markup=False, highlight=False)
    sums = ", ".join(f"{count:,} {name}" for name, count in totals(report.partitions).items())
    console.print(f"{'clean' if report.clean else 'NOT CLEAN'}: {sums}", highlight=False)
