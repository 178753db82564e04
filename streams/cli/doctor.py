"""`undertow doctor`: what is wrong here, and the next step."""

import sys
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.text import Text

from streams.cli.options import option, with_json

_STYLE = {"well": "green", "look": "yellow", "broken": "bold red"}


@click.command(
    epilog="\b\nundertow doctor\nundertow doctor --json | jq '.[] | select(.state == \"broken\")'"
)
@with_json
@option("data_dir")
@option("kafka_url")
@option("partitions")
@option("params")
@option("clickhouse_url")
@option("webhook_urls")
@option("webhook_allow_private")
@option("alert_rules")
def doctor(as_json: bool, **given: Any) -> None:
    """Look at everything that the settings name, and say what to do next.

    Java, disk, Kafka with its topics and stages, feeds' words, clocks, ClickHouse, receivers, and
    why nothing is concluded. Nothing is changed, nothing is sent.

    Exit code 1 when something cannot work.
    """
    from streams.cli.store import asking
    from streams.doctor.examine import examine
    from streams.doctor.verdict import Verdict, broken
    from streams.process import clock
    from streams.process.settings import SettingsError, load

    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    verdicts: list[Verdict] = []

    def say(verdict: Verdict) -> None:
        verdicts.append(verdict)
        if as_json:
            return
        line = Text(f"{verdict.state:<7}", style=_STYLE[verdict.state])
        line.append(f" {verdict.check}: {verdict.what}", style="default")
        console.print(line, soft_wrap=True)
        if verdict.next_step:
            console.print(Text(f"        -> {verdict.next_step}"), soft_wrap=True)

    try:
        settings = load(given)
    except SettingsError as problem:
        say(broken("settings", str(problem), "`undertow settings --help` lists them"))
    else:
        with asking(settings) as ask:
            for verdict in examine(settings, ask, clock.now_us):
                say(verdict)
    if as_json:
        click.echo(msgspec.json.encode(verdicts))
    sys.exit(any(verdict.state == "broken" for verdict in verdicts))
