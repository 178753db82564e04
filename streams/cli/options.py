"""What every command shares: options made from settings, refusals, stopping."""

import logging
import os
import signal
from collections.abc import Callable
from typing import Any

import click

from streams.process import settings as settings_module
from streams.process.settings import PREFIX, TABLE, Settings, SettingsError

log = logging.getLogger("undertow")
#: Seconds that a command waits for a cluster which does not answer.
KAFKA_WITHIN_S = 60.0


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


#: Where a person reads a table or lines, a program may have JSON.
with_json = click.option("--json", "as_json", is_flag=True, help="print JSON, for programs")


def watched(command: Any) -> Any:
    """Add the options of every long-running stage: where it answers, how it logs."""
    for name in ("log_format", "log_level", "ops_port", "ops_host"):
        command = option(name)(command)
    return command


def settled(**given: Any) -> Settings:
    """Return the settings, or refuse with one line; a scanner that is off, is off from here."""
    try:
        settings = settings_module.load(given)
    except SettingsError as problem:
        raise Refused(str(problem)) from None
    if settings.trade_scanner == "off":
        from schemas.scan import trades

        trades.SCANNER.on = False
    return settings


def with_kafka(settings: Settings) -> Settings:
    """Return settings whose cluster answers, or refuse with one line."""
    from streams.kafka import clients, topics_admin

    if not settings.kafka_url:
        raise Refused("no Kafka: set KAFKA_URL or --kafka-url, or start one with `undertow stack`")
    try:
        # Asked before anything else: each client would find out in its own time and words.
        conf = clients.connection(settings)
        topics_admin.wait_ready(settings.kafka_url, KAFKA_WITHIN_S, conf, log.warning)
    except topics_admin.NotReady as problem:
        raise click.ClickException(str(problem)) from None
    return settings


def stopping() -> Callable[[], bool]:
    """Return what says whether SIGINT or SIGTERM has come; a second one ends at once."""
    heard = signal_heard()
    return lambda: heard() is not None


def signal_heard() -> Callable[[], int | None]:
    """Return what says which of SIGINT and SIGTERM has come; a second one ends at once."""
    heard: int | None = None

    def hear(number: int, _: object) -> None:
        nonlocal heard
        if heard is not None:
            os._exit(128 + number)
        heard = number

    signal.signal(signal.SIGINT, hear)
    signal.signal(signal.SIGTERM, hear)
    return lambda: heard


def say(line: str) -> None:
    """Tell a person, on stderr."""
    click.echo(line, err=True)
