"""`undertow run`: a source through everything, in one process."""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from streams.cli.explain import explain
from streams.cli.options import Refused, option, say, settled, signal_heard, with_json
from streams.cli.source import FORMS, night_options, open_named, repeats_option
from streams.core.params import ParamsError
from streams.process.params_file import load_params
from streams.sources.open import SourceError


@click.command(epilog=FORMS)
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    help="a recording, or live:binance,bybit; without it a night is generated",
)
@night_options
@click.option("--speed", default="max", show_default=True, help="max, or times real time: 60")
@click.option("--serve/--no-serve", default=None, help="serve SQL afterwards [on a terminal]")
@click.option("--fresh", is_flag=True, help="start anew where a stopped run would go on")
@click.option("--strict", is_flag=True, help="refuse a source of which a file cannot be read whole")
@repeats_option
@click.option(
    "--explain",
    "only_explain",
    is_flag=True,
    help="only say of each file what it is taken for, what it holds and what is not used",
)
@with_json
@option("assets")
@option("venue_urls")
@option("data_dir")
@option("params")
@option("sql_host")
@option("sql_port")
@option("ops_host")
@option("ops_port")
@option("webhook_urls")
@option("webhook_allow_private")
@option("alert_rules")
def run(
    source: Path | None,
    seed: int,
    hours: float,
    speed: str,
    serve: bool | None,
    fresh: bool,
    strict: bool,
    keep_repeats: bool | None,
    only_explain: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Run a source through everything, in one process, and print what it found.

    Results stay in DATA_DIR (run.json, and tables for `undertow sql`) between runs. While it
    runs, and after it with --serve, the live board is at http://127.0.0.1:8124/board/, and any
    ClickHouse client can query http://127.0.0.1:8124.

    Stopped by SIGTERM (exit code 0), Ctrl-C (130), a full disk (1) or a kill, the same
    command goes on from the last checkpoint in DATA_DIR and ends as if nothing had been.

    Exit code 3: read, with losses. A file of the source was not read, or breaks off, or rows of
    it could not be used.

    \b
    undertow run --hours 8
    undertow run --source my-recording/ --no-serve
    undertow run --source live:binance,bybit --assets BTC,ETH
    undertow run --source my-recording/ --explain
    undertow run --json --no-serve | jq .cascades
    """
    from sinks.clickhouse.retry import SinkError
    from streams.cli.report_tables import show
    from streams.feed.listing import Nothing
    from streams.feed.wanted import Unfit
    from streams.process import health
    from streams.process.progress import telling
    from streams.run.live import live_source
    from streams.run.loop import Ears
    from streams.run.shell import CannotRun, Embedded, NoSpace, Stopped
    from streams.run.webhooks import receivers

    if only_explain:
        _explain(source, as_json, strict)
        return
    live, _, venues = str(source or "").partition(":")
    settings = settled(**given | ({"venues": venues} if live == "live" else {}))
    rate = _speed(speed)
    try:
        params = load_params(settings.params)
        # Before anything is opened: a receiver that cannot be one is no news for later.
        receivers(settings)
        opened = (
            live_source(settings, lambda: heard())
            if live == "live"
            else open_named(source, seed, hours, True, keep_repeats, settings)
        )
        if strict and opened.unread:
            raise Refused(f"--strict: not read: {', '.join(opened.unread)}")
        with health.serving(settings, "run") as ops_url, Embedded(settings, params) as shell:
            heard = signal_heard()
            if shell.url:
                served = f"board on {shell.board}, sql on {shell.url}, health on {ops_url}"
                click.echo(f"{served} while this runs", err=True)
            with telling(opened.name, opened.span) as tell:
                report = shell.play(opened, rate, fresh, Ears(tell, say, heard))
            console = Console(width=None if sys.stdout.isatty() else 120)
            stays = serve or (serve is None and sys.stdout.isatty())
            if as_json:
                click.echo((Path(settings.data_dir) / "run.json").read_bytes())
            else:
                show(report, console, settings.data_dir, shell.url if stays else None)
            _tell_losses(report)
            if settings.webhook_urls and report["replayed_alerts"]:
                say(
                    f"{report['replayed_alerts']} alerts are of more than"
                    f" {settings.alert_max_age_s / 60:g} min ago: only receivers whose rule says"
                    " `replayed = true`, and every+ ones, are told (UNDERTOW_ALERT_MAX_AGE_S)"
                )
            if stays:
                click.echo(f"serving the board on {shell.board}; Ctrl-C ends it", err=True)
                _until(heard)
    except (
        CannotRun, SourceError, ParamsError, health.CannotServe, Unfit, Nothing, ValueError
    ) as problem:  # fmt: skip
        raise Refused(str(problem)) from None
    except (SinkError, NoSpace) as problem:
        raise click.ClickException(str(problem)) from problem
    except Stopped as where:
        say(str(where))
        sys.exit(130 if heard() == signal.SIGINT else 0)
    if report["not_read"] or report["broken_off"] or report["rows_not_read"]:
        sys.exit(2 if strict else 3)


def _explain(source: Path | None, as_json: bool, strict: bool) -> None:
    if source is None:
        raise Refused("--explain says what a --source is read as: name one")
    try:
        lost = explain(source, as_json)
    except SourceError as problem:
        raise Refused(str(problem)) from None
    if lost:
        sys.exit(2 if strict else 3)


def _tell_losses(report: dict[str, Any]) -> None:
    if report["repeats"]:
        say(f"{report['repeats']:,} records stood there more than once and count once")
    if report["not_read"]:
        say(f"not read: {', '.join(report['not_read'])}")
    if lost := report["rows_not_read"]:
        rows = "1 row" if lost == 1 else f"{lost:,} rows"
        say(f"{rows} could not be used: the table dead_letters says line and reason")
    if report["broken_off"]:
        say(f"read only up to where they break off: {', '.join(report['broken_off'])}")


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
