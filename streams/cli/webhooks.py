"""`undertow webhooks`: the alerts that wait for their receivers, and those receivers tried."""

import asyncio
import fcntl
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.redact import redacted
from streams.cli.open_outbox import open_outbox, outbox_path
from streams.cli.options import Refused, option, settled, with_json
from streams.cli.receive import receive


@click.group()
def webhooks() -> None:
    """Look at the alerts that wait for their receivers, and try those receivers."""


@webhooks.command(name="list")
@click.option("--state", type=click.Choice(["pending", "delivered", "dead"]), help="only these")
@with_json
@option("data_dir")
def list_deliveries(state: str | None, as_json: bool, **given: Any) -> None:
    """List deliveries, oldest first; times are UTC.

    \b
    undertow webhooks list --state dead
    undertow webhooks list --json
    """
    states = (state,) if state else ("pending", "delivered", "dead")
    with open_outbox(settled(**given)) as outbox:
        now_us = outbox.now_us()
        rows = [_shown(one, now_us) for each in states for one in outbox.listed(each)]
        disabled = outbox.disabled()
    if as_json:
        click.echo(msgspec.json.encode(rows))
    else:
        _print_table(rows)
    for endpoint, why in disabled.items():
        click.echo(f"{endpoint} is {why}; `webhooks retry --endpoint` lets it in again", err=True)


def _shown(delivery: Any, now_us: int) -> dict[str, Any]:
    waits = delivery.state == "pending"
    return {
        "id": delivery.webhook_id,
        "endpoint": delivery.endpoint,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "next_attempt": _moment(delivery.next_attempt_us - now_us) if waits else "",
        "last_error": redacted(delivery.last_error),  # an older version kept it as it came
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, header_style="bold")
    for name in ("id", "endpoint", "state", "attempts", "next attempt", "last error"):
        table.add_column(name, overflow="fold", justify="right" if name == "attempts" else "left")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _moment(wait_us: int) -> str:
    moment = datetime.now(UTC) + timedelta(microseconds=max(0, wait_us))
    return f"{moment:%Y-%m-%d %H:%M:%S}"


@webhooks.command()
@click.argument("webhook_id", metavar="[ID]", default="")
@click.option("--all-dead", is_flag=True, help="every dead delivery")
@click.option("--endpoint", default="", help="those of this endpoint, enabled again if it was not")
@option("data_dir")
def retry(webhook_id: str, all_dead: bool, endpoint: str, **given: Any) -> None:
    """Make dead deliveries due now: the one of ID, or all with --all-dead or --endpoint.

    Works while notify runs, which then sends them. A disabled endpoint stays so unless named.

    \b
    undertow webhooks retry --all-dead
    undertow webhooks retry --endpoint hooks.slack.com-1f2e3d4c
    """
    if bool(webhook_id) == all_dead and not (endpoint and not webhook_id):
        raise Refused("say which: an ID, or --all-dead, or --endpoint")
    with open_outbox(settled(**given)) as outbox:
        if endpoint:
            known = {name for name, _ in outbox.counts()} | outbox.disabled().keys()
            if endpoint not in known:
                raise Refused(f"no endpoint {endpoint}; there are {', '.join(sorted(known))}")
            outbox.enable(endpoint)
        revived = outbox.revive(webhook_id, endpoint)
    click.echo(f"{revived} due now")
    if webhook_id and not revived:
        raise click.ClickException(f"{webhook_id} has no dead delivery to an enabled endpoint")


@webhooks.command()
@option("data_dir")
def rescue(**given: Any) -> None:
    """Move a damaged outbox aside, whole, and begin a new one with what can be read of it.

    Stop `undertow notify` and `run` first. Alerts that could not be read are not sent.

    \b
    undertow webhooks rescue --data-dir data
    """
    from sinks.webhooks import outbox_file
    from streams.kafka import worker_names

    settings = settled(**given)
    path = outbox_path(settings)
    if not worker_names.claim(settings.data_dir, "notify").endswith("-0"):
        raise Refused(f"`undertow notify` works with {path}: stop it first")
    with open(path.parent / "lock", "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            aside, kept = outbox_file.rescue(path)
        except BlockingIOError:
            raise Refused(f"`undertow run` works with {path}: stop it first") from None
        except outbox_file.OutboxUnusable as problem:
            raise Refused(str(problem)) from None
    click.echo(f"{kept} deliveries kept in {path}; what was there is {aside}")


@webhooks.command(name="test")
@with_json
@option("webhook_urls")
@option("webhook_allow_private")
@option("data_dir")
def try_endpoints(as_json: bool, **given: Any) -> None:
    """Send each endpoint a test now, in the form that it takes, and print the answers.

    A Standard Webhook is of type undertow.test; PagerDuty opens nothing for it.

    \b
    undertow alerts test
    undertow webhooks test --webhook-urls "slack+https://host/path"
    """
    from sinks.webhooks.delivery import probe
    from streams.run.webhooks import receivers

    try:
        endpoints, _ = receivers(settled(**given))
    except ValueError as problem:
        raise Refused(str(problem)) from None
    if not endpoints:
        raise Refused("no endpoints: set WEBHOOK_URLS or --webhook-urls")

    async def ask_all() -> list[Any]:
        return await asyncio.gather(*map(probe, endpoints))

    answers = asyncio.run(ask_all())
    rows = [
        {"endpoint": endpoint.name, "ok": answer.taken, "answer": str(answer)}
        for endpoint, answer in zip(endpoints, answers, strict=True)
    ]
    if as_json:
        click.echo(msgspec.json.encode(rows))
    for row in () if as_json else rows:
        click.echo(f"{row['endpoint']}\t{'ok' if row['ok'] else 'failed'}\t{row['answer']}")
    sys.exit(0 if all(answer.taken for answer in answers) else 1)


webhooks.add_command(receive)


@webhooks.command()
def secret() -> None:
    """Print a new secret: one for each endpoint, after the # of its entry in WEBHOOK_URLS.

    \b
    export WEBHOOK_URLS="https://host/path#$(undertow webhooks secret)"
    """
    from sinks.webhooks.signing import new_secret

    click.echo(new_secret())
