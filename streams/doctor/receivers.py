"""Who is told of alerts: can each be reached, does anything wait or lie dead for them."""

import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from yarl import URL

from sinks.alerts.rules import BEGINNINGS, ENDINGS, Rule, RulesError, load_rules
from sinks.report.picture import why_not_drawn
from sinks.webhooks.endpoints import Endpoint, parse_endpoints
from sinks.webhooks.guard import refusal
from sinks.webhooks.notifier import names_of
from sinks.webhooks.outbox import Outbox
from streams.doctor.verdict import Verdict, broken, look, well
from streams.process.settings import Settings

WITHIN_S = 5.0


def checks(settings: Settings) -> Iterator[Verdict]:
    """Yield what each receiver is like. Nothing is sent: `undertow alerts test` does that."""
    allowed = settings.webhook_allow_private.replace(",", " ").split()
    try:
        endpoints = parse_endpoints(settings.webhook_urls, allowed)
    except ValueError as problem:
        yield broken("receivers", str(problem), "mend that entry of WEBHOOK_URLS")
        return
    yield from rules(settings, endpoints)
    if not endpoints:
        yield look("receivers", "nobody is told of alerts", "set WEBHOOK_URLS (sinks/README.md)")
    for endpoint in endpoints:
        yield reached(endpoint)
    yield from outbox(settings, endpoints)


def rules(settings: Settings, endpoints: list[Endpoint]) -> Iterator[Verdict]:
    """Yield what of the rules cannot be used, or is for nobody."""
    try:
        loaded = load_rules(settings.alert_rules)
    except RulesError as problem:
        yield broken("rules", str(problem), "mend the file, or unset UNDERTOW_ALERT_RULES")
        return
    if loaded.pictures and (why := why_not_drawn()):
        yield broken(
            "rules", f"they ask for pictures, but {why}", "install it, or pictures = false"
        )
    for number, rule in enumerate(loaded.rule, 1):
        yield from untold(number, rule)
    names = {name for endpoint in endpoints for name in names_of(endpoint)}
    meant = {name for rule in loaded.rule for name in (*rule.to, *rule.escalate_to)}
    if strangers := sorted(meant - names):
        known = ", ".join(sorted(names)) or "none"
        what = f"rules are for {', '.join(strangers)}, and no receiver is called so"
        yield broken("rules", what, f"name one of: {known}")


def untold(number: int, rule: Rule) -> Iterator[Verdict]:
    """Yield what of a rule no alert will ever be; it may be meant, for who is told nothing."""
    kinds = (*BEGINNINGS, *ENDINGS)
    strange = [begin for begin in rule.kinds if not any(kind.startswith(begin) for kind in kinds)]
    if strange:
        what = f"rule {number}: no alert is of a kind that begins with {', '.join(strange)}"
        yield look("rules", what, f"the kinds are {', '.join(kinds)}")
    elif rule.kinds and not any(kind.startswith(tuple(rule.kinds)) for kind in BEGINNINGS):
        what = f"rule {number} lets ends pass alone, and what has no beginning is not told"
        yield look("rules", what, f"add what begins to its kinds: {', '.join(BEGINNINGS)}")
    if small := [asset for asset in rule.assets if asset.islower()]:
        what = f"rule {number}: no asset is called {', '.join(small)}"
        yield look("rules", what, f"write {', '.join(asset.upper() for asset in small)}")


def reached(endpoint: Endpoint) -> Verdict:
    """Say whether a connection to the receiver can be opened; it is closed at once."""
    url = URL(endpoint.url)
    port = url.port or {"smtps": 465, "smtp": 587}.get(url.scheme, 443)
    host = url.host or ""
    check = f"receiver {endpoint.name}"
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4]
        if reason := refusal(str(address[0]), endpoint.allow_private):
            next_step = f"if it is yours: UNDERTOW_WEBHOOK_ALLOW_PRIVATE={host}"
            return broken(check, reason, next_step)
        socket.create_connection((str(address[0]), port), timeout=WITHIN_S).close()
    except OSError as problem:
        what = f"{host}:{port} cannot be reached: {problem.strerror or problem}"
        return broken(check, what, "mend its name in WEBHOOK_URLS, or the way there")
    return well(check, f"{endpoint.target}, can be reached; `undertow alerts test` sends to it")


def outbox(settings: Settings, endpoints: list[Endpoint]) -> Iterator[Verdict]:
    """Yield what waits in the outbox for nobody, lies dead, or may not be sent."""
    path = Path(settings.data_dir) / "outbox.sqlite"
    if not path.exists():
        return
    try:
        with Outbox(path) as kept:
            disabled, counts = kept.disabled(), kept.counts()
    except (ValueError, sqlite3.Error) as problem:
        yield broken("outbox", str(problem), "`undertow webhooks rescue`")
        return
    for name, why in disabled.items():
        next_step = f"`undertow webhooks retry --endpoint {name}` lets it in again"
        yield broken("outbox", f"{name} is {why}", next_step)
    dead = sum(number for (_, state), number in counts.items() if state == "dead")
    if dead and not disabled:
        what = f"{dead} deliveries were given up"
        yield look("outbox", what, "`undertow webhooks list --state dead`, then `retry --all-dead`")
    names = {endpoint.name for endpoint in endpoints}
    lost = [name for (name, state) in counts if state == "pending" and name not in names]
    for name in lost:
        what = f"{counts[name, 'pending']} deliveries wait for {name}, which is not configured"
        yield look("outbox", what, "put it back into WEBHOOK_URLS; else they go after a month")
    if not dead and not lost:
        waiting = sum(number for (_, state), number in counts.items() if state == "pending")
        yield well("outbox", f"{waiting} deliveries wait")
