"""`undertow alerts`: what people are told of events; who sees to one; what nobody is told."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import msgspec

from streams.cli.open_outbox import open_outbox
from streams.cli.options import Refused, option, settled, with_json
from streams.cli.store import asking
from streams.cli.webhooks import try_endpoints
from streams.process.settings import Settings

_UNITS_S = {"m": 60, "h": 3_600, "d": 86_400}


@click.group()
def alerts() -> None:
    """See what receivers are told, try them, take an event over, silence what is known."""


alerts.add_command(try_endpoints, "test")


@alerts.command(epilog="\b\nundertow alerts preview\nundertow alerts preview --form slack --last 1")
@click.option("--form", default="", help="print bodies as this form of receiver takes them: slack")
@click.option("--last", default=20, show_default=True, help="of the latest notifications")
@with_json
@option("data_dir")
@option("clickhouse_url")
@option("alert_rules")
def preview(form: str, last: int, as_json: bool, **given: Any) -> None:
    """Print what a receiver would have been told of the alerts that are stored. Sends nothing.

    By the same rules, in event time, as if each had come in time: a replay of the same alerts is
    told the same.
    """
    from sinks.alerts import digest, routing, rules, targets
    from sinks.alerts.message import message_of, utc

    settings = settled(**given)
    if form and form not in targets.FORMS:
        raise Refused(f"--form {form} is no form; there are {', '.join(targets.FORMS)}")
    try:
        loaded = rules.load_rules(settings.alert_rules)
    except ValueError as problem:
        raise Refused(str(problem)) from None
    passing = loaded.of([form or "webhook"])
    notifications: dict[str, routing.Notification] = {}
    state = routing.State()
    for stored in _stored(settings):
        alert = msgspec.structs.replace(stored, replayed=False)
        for one in digest.notifications(state, passing, alert):
            notifications[one.notification_id] = one
    shown = [n for n in notifications.values() if n.action != "reminder"]
    if as_json:
        messages = [message_of(one, loaded.board, loaded.picture) for one in shown[-last:]]
        click.echo(msgspec.json.encode(messages))
    for one in () if as_json else shown[-last:]:
        message = message_of(one, loaded.board, loaded.picture)
        if form:
            click.echo(targets.body(form, message, "PARAMETER"))
            continue
        due = utc(one.ts_event + one.wait_us, "%Y-%m-%d %H:%M:%S")
        click.echo(f"{due}  {one.action:<8} {one.severity:<9} {message.title}  [{one.key}]")
        for line in message.lines:
            click.echo(f"{'':21}{line}")
    triggers = sum(one.action == "trigger" for one in shown)
    click.echo(f"{_count(len(shown), 'notification')} of {_count(triggers, 'event')}", err=True)


@alerts.command(epilog="\b\nundertow alerts ack 9f31c0")
@click.argument("event")
@option("data_dir")
def ack(event: str, **given: Any) -> None:
    """Say that somebody sees to EVENT (its key, or how that begins): no reminders of it."""
    with open_outbox(settled(**given)) as outbox:
        keys = [key for key in outbox.events() if key.startswith(event)]
        if len(keys) != 1:
            known = ", ".join(outbox.events()) or "none"
            raise Refused(f"{len(keys)} events begin with {event}; there are {known}")
        with outbox.writing() as writing:
            reminders = writing.take(keys[0])
    click.echo(f"{keys[0]} is seen to, {reminders} reminders not sent")


@alerts.command(epilog="\b\nundertow alerts silence --asset BTC --kind cascade. --for 2h")
@click.option("--asset", default="", help="of this asset alone")
@click.option("--kind", default="", help="of kinds that begin so: cascade.watch, feed.")
@click.option("--for", "duration", default="", help="how long: 30m, 2h, 7d")
@click.option("--end", default="", help="end this silence")
@with_json
@option("data_dir")
def silence(asset: str, kind: str, duration: str, end: str, as_json: bool, **given: Any) -> None:
    """Tell nobody of some alerts for a while; without options, list the silences that hold.

    Silenced alerts are stored as ever, and receivers of the form `every` get them.
    """
    with open_outbox(settled(**given)) as outbox:
        now_us = outbox.now_us()
        with outbox.writing() as writing:
            if end and not writing.end_silence(end):
                raise Refused(f"no silence {end} holds")
            if duration:
                if not (asset or kind):
                    raise Refused("say of what: --asset or --kind")
                writing.silence(asset, kind, _micros(duration))
            holding = writing.silences()
    rows = [_silence(one, now_us) for one in holding]
    if as_json:
        click.echo(msgspec.json.encode(rows))
    for row in () if as_json else rows:
        what = f"{row['kind'] or 'all kinds'}\t{row['asset'] or 'all assets'}"
        click.echo(f"{row['silence']}\t{what}\tuntil {row['until']} UTC")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _silence(one: Any, now_us: int) -> dict[str, str]:
    until = datetime.now(UTC) + timedelta(microseconds=one.until_us - now_us)
    return {
        "silence": one.silence,
        "kind": one.kind,
        "asset": one.asset,
        "until": f"{until:%Y-%m-%d %H:%M}",
    }


def _micros(duration: str) -> int:
    form = re.fullmatch(r"([0-9]{1,4})([mhd])", duration)
    if not form:
        raise Refused(f"--for {duration} is not like 30m, 2h or 7d")
    return int(form[1]) * _UNITS_S[form[2]] * 1_000_000


def _stored(settings: Settings) -> list[Any]:
    """Return the alerts in the store, in event time."""
    from schemas.findings import Alert
    from sinks.sql.protocol import QueryError

    names = [field.name for field in msgspec.structs.fields(Alert)]
    columns = [f"toUnixTimestamp64Micro({n})" if n.startswith("ts_") else n for n in names]
    query = f"SELECT {', '.join(columns)} FROM alerts FINAL ORDER BY ts_event, alert_id"
    try:
        with asking(settings) as ask:
            lines = ask(query).splitlines()
    except (QueryError, OSError) as problem:
        raise Refused(str(problem)) from None
    rows = (msgspec.json.decode(line) for line in lines)
    return [
        msgspec.convert(dict(zip(names, row, strict=True)), Alert, strict=False) for row in rows
    ]
