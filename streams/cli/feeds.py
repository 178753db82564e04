"""`undertow feeds`: who speaks on which input, how far, and who is waited for."""

import sys
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from schemas.words import SECOND
from streams.cli.options import Refused, option, settled, with_json, with_kafka
from streams.core.attendance import Attendance, InputPartition
from streams.process.params_file import load_params
from streams.process.settings import Settings


class Feeds(msgspec.Struct, kw_only=True):
    """All of it; `behind_s` is that of the partition that is furthest behind."""

    source: str
    feeds: list[Attendance]
    partitions: list[InputPartition] = []
    behind_s: float | None = None


@click.command()
@with_json
@click.option("--lateness", is_flag=True, help="how late records come, and what grace covers")
@option("kafka_url")
@option("data_dir")
@option("clickhouse_url")
@option("params")
def feeds(as_json: bool, lateness: bool, **given: Any) -> None:
    """Tell who speaks on each input, how far each has come, and who is waited for.

    With Kafka (KAFKA_URL or --kafka-url): as `rollup` and `detect` have stored it, beside what lies
    on the topics. Else of the `undertow run` in DATA_DIR, at its last checkpoint or its end.

    Exit code 1 where somebody is waited for, or nobody speaks on an input.

    \b
    undertow feeds --data-dir data
    undertow feeds --lateness
    undertow feeds --kafka-url 127.0.0.1:9092 --json | jq '.feeds[] | select(.holds_back != [])'
    """
    settings = settled(**given)
    if lateness:
        _tell_lateness(settings, as_json)
        return
    seen = _of_kafka(with_kafka(settings)) if settings.kafka_url else _of_run(settings)
    if as_json:
        click.echo(msgspec.json.encode(seen))
    else:
        _show(seen, Console(width=None if sys.stdout.isatty() else 130))
    sys.exit(1 if any(f.holds_back or f.standing == "never" for f in seen.feeds) else 0)


def _tell_lateness(settings: Settings, as_json: bool) -> None:
    from sinks.sql.lateness import grace_ms
    from sinks.sql.lateness import lateness as by_venue
    from sinks.sql.protocol import QueryError
    from streams.cli.store import asking
    from streams.sources.pace import LAG

    try:
        with asking(settings) as ask:
            rows = by_venue(ask)
    except QueryError as problem:
        raise click.ClickException(str(problem)) from None
    except OSError as problem:
        raise Refused(str(problem)) from None
    wanted, now = grace_ms(rows, LAG / 1_000), load_params(settings.params).grace_ms
    if as_json:
        answer = {"venues": rows, "recommended_grace_ms": wanted, "grace_ms": now}
        click.echo(msgspec.json.encode(answer))
        return
    table = Table(box=None, header_style="bold")
    for name in ("topic", "venue", "records", "median", "99 %", "99.9 %", "most"):
        table.add_column(name, justify="left" if name in ("topic", "venue") else "right")
    for row in rows:
        times = (row.p50_ms, row.p99_ms, row.p999_ms, row.most_ms)
        table.add_row(row.topic, row.venue, f"{row.records:,}", *(f"{t:,.0f} ms" for t in times))
    Console(width=None if sys.stdout.isatty() else 110).print(table)
    click.echo(
        "too few records to recommend a grace"
        if wanted is None
        else f"grace_ms {wanted} covers 99.9 % of any venue, words being {LAG / SECOND:g} s behind"
        f" receipt; it is {now} (UNDERTOW_PARAMS)"
    )


def _of_run(settings: Settings) -> Feeds:
    from streams.run.stored_feeds import NoRun, stored_feeds

    try:
        source, rows = stored_feeds(settings, load_params(settings.params))
    except NoRun as problem:
        raise Refused(str(problem)) from None
    return Feeds(source=source, feeds=rows)


def _of_kafka(settings: Settings) -> Feeds:
    from streams.doctor.kafka_feeds import NoTopic, inputs
    from streams.kafka.tails import NoAnswer

    try:
        rows, partitions = inputs(settings, load_params(settings.params))
    except NoTopic as problem:
        raise Refused(str(problem)) from None
    except NoAnswer as problem:
        raise click.ClickException(f"Kafka does not tell {problem}") from None
    waits = [p.behind_s for p in partitions if p.behind_s is not None]
    source = f"Kafka at {settings.kafka_url}, group {settings.group}"
    return Feeds(source=source, feeds=rows, partitions=partitions, behind_s=max(waits, default=0.0))


def _show(seen: Feeds, console: Console) -> None:
    console.print(seen.source, highlight=False, soft_wrap=True)
    console.print(_feeds_table(seen))
    if seen.partitions:
        console.print(_partitions_table(seen))


def _feeds_table(seen: Feeds) -> Table:
    table = Table(box=None, header_style="bold")
    columns = ("topic", "partition", "producer", "standing", "last word", "behind", "on Kafka")
    for name in (*columns, "holds back"):
        table.add_column(name, justify="right" if name in ("partition", "behind") else "left")
    for f in seen.feeds:
        note = "left out: gone on without" if f.left_out else ", ".join(f.holds_back)
        if f.ts_doubted is not None:
            note = f"{note}; doubted: {_utc(f.ts_doubted)}".removeprefix("; ")
        table.add_row(
            f.topic,
            str(f.partition),
            f.producer,
            f.standing,
            _utc(f.ts_last),
            "" if f.behind_s is None else f"{f.behind_s:,.1f} s",
            _utc(f.ts_written),
            note,
            style=None if f.standing in ("alive", "unread") and not f.holds_back else "bold red",
        )
    return table


def _partitions_table(seen: Feeds) -> Table:
    table = Table(box=None, header_style="bold")
    for name in ("topic", "partition", "taken by", "lag", "behind", "judged until"):
        table.add_column(
            name, justify="right" if name in ("partition", "lag", "behind") else "left"
        )
    for p in seen.partitions:
        behind = "" if p.behind_s is None else f"{p.behind_s:,.0f} s"
        until = _utc(p.judged_until)
        table.add_row(p.topic, str(p.partition), p.stage, f"{p.lag:,}", behind, until)
    return table


def _utc(micros: int | None) -> str:
    from streams.process.progress import moment

    return "" if micros is None else moment(micros)
