"""One `notify` dies in the middle of an event; another, with a disk of its own, goes on from there."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer
from stages import ROOT, running, until

sys.path.insert(0, str(Path(__file__).parent))
from test_event_pages import FORMS, Receivers, alert, receiving

from schemas import codec
from schemas.findings import Alert
from schemas.words import SECOND
from sinks.webhooks.turn import FROZEN_US, Turn

ESCALATES = """
[[rule]]
to = ["slack", "webhook"]
escalate_to = ["pagerduty"]
escalate_after_min = 0.3

[[rule]]
to = ["pagerduty"]
kinds = ["nothing"]
"""


def environ_of(kafka: str, receivers: Receivers, folder: Path, name: str) -> dict[str, str]:
    rules = folder / "rules.toml"
    rules.write_text(ESCALATES)
    forms = ("slack", "webhook", "pagerduty")
    return {
        "KAFKA_URL": kafka,
        "UNDERTOW_DATA_DIR": str(folder / name),
        "WEBHOOK_URLS": " ".join(f"{form}+{receivers.url}{FORMS[form]}" for form in forms),
        "UNDERTOW_WEBHOOK_ALLOW_PRIVATE": "127.0.0.1",
        "UNDERTOW_ALERT_RULES": str(rules),
    }


def now(of: Alert) -> Alert:
    """Return the alert as if it were of this moment."""
    moment = time.time_ns() // 1000
    return codec.decode(
        "alerts",
        codec.encode(of).replace(str(of.ts_event).encode(), str(moment).encode()),
    )


def send(kafka: str, of: Alert) -> None:
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce("alerts", codec.encode(now(of)), key=of.asset.encode())
    assert producer.flush(30) == 0


@contextmanager
def dying(environ: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a `notify` that is killed with -9 at the latest at the end."""
    command = [sys.executable, "-m", "streams.cli", "notify"]
    with log.open("wb") as said:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | environ, stdout=said, stderr=said
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def is_copied(outbox: Path, delivered: int) -> bool:
    """Say whether so many deliveries are noted in an outbox, and all of it is in its copy."""
    with closing(sqlite3.connect(outbox, timeout=10)) as db:
        noted = db.execute("SELECT count(*) FROM deliveries WHERE state = 'delivered'").fetchone()
        return noted == (delivered,) and not db.execute("SELECT * FROM changes").fetchall()


def actions(receivers: Receivers, form: str) -> list[str]:
    if form == "pagerduty":
        return [body["event_action"] for body in receivers.bodies(form)]
    return [body["type"].partition(".")[2] for body in receivers.bodies("webhook")]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_another_on_another_disk_pages_nobody_twice_escalates_and_resolves_under_the_key(
    clean_topics: str, tmp_path: Path, how: signal.Signals
) -> None:
    with receiving() as receivers:
        first = environ_of(clean_topics, receivers, tmp_path, "first")
        second = environ_of(clean_topics, receivers, tmp_path, "second")
        with dying(first, tmp_path / "first.log") as active:
            until(lambda: "health" in (tmp_path / "first.log").read_text(), "the first is there")
            send(clean_topics, alert("cascade.onset", "BTC", 0))
            until(lambda: actions(receivers, "webhook") == ["trigger"], "the trigger")
            with running(second, "notify", log=tmp_path / "second.log"):
                said = tmp_path / "second.log"
                until(lambda: "stands by" in said.read_text(), "the second stands by")
                outbox = tmp_path / "first" / "outbox.sqlite"
                until(lambda: is_copied(outbox, delivered=2), "Kafka has what was delivered")
                active.send_signal(how)
                send(clean_topics, alert("cascade.exhausted", "BTC", 0))
                until(lambda: "goes on from what" in said.read_text(), "the second takes over")
                until(lambda: actions(receivers, "pagerduty") == ["trigger"], "the escalation")
                active.send_signal(signal.SIGCONT)
                send(clean_topics, alert("cascade.closed", "BTC", 0))
                until(lambda: "resolve" in actions(receivers, "webhook"), "the end")
                until(lambda: "resolve" in actions(receivers, "pagerduty"), "the end of that")
                if how is signal.SIGSTOP:
                    woken = tmp_path / "first.log"
                    until(lambda: "was frozen" in woken.read_text(), "the first knows it")
                    until(lambda: "stands by" in woken.read_text(), "and stands by")
    assert actions(receivers, "webhook").count("trigger") == 1
    assert actions(receivers, "webhook")[-1] == "resolve"
    assert actions(receivers, "pagerduty") == ["trigger", "resolve"]
    keys = {body["data"]["key"] for body in receivers.bodies("webhook")}
    assert keys == {body["dedup_key"] for body in receivers.bodies("pagerduty")}
    assert len(keys) == 1
    ids = [headers["webhook-id"] for headers, _ in receivers.came["/hook"]]
    assert len(ids) == len(set(ids)) == len(receivers.bodies("slack"))


def test_one_that_was_frozen_sends_nothing_until_it_knows_whose_turn_it_is() -> None:
    clock = [0]
    turn = Turn(lambda: clock[0])
    turn.is_ours = True
    clock[0] += FROZEN_US
    assert turn.may_send()
    clock[0] += FROZEN_US + SECOND
    assert not turn.may_send()
    assert turn.must_leave
    assert not turn.may_send()
