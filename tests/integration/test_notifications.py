"""What people were told is in a table: to whom, why, of which alerts, when it came, what was kept back."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, Producer
from nights import an_alert
from runs import OFTEN, run, start, write_recording
from stages import ROOT, rows, running, until

sys.path.insert(0, str(Path(__file__).parent))
from test_event_pages import BTC, FORMS, Live, alert, receiving

from schemas import codec
from schemas.notifications import NotificationStep
from schemas.words import SECOND
from streams.cli import main


def steps_of(live: Live) -> list[NotificationStep]:
    return [codec.decode("notifications", raw) for _, raw in live.outbox.steps(0, 1_000)]


def test_each_step_of_a_notification_is_noted_with_what_it_tells(tmp_path: Path) -> None:
    with receiving() as receivers:
        receivers.answers["/services/T0/B0/abcdefgh"] = []
        live = Live(tmp_path / "outbox.sqlite", receivers.endpoints("slack"))
        live.hear(*BTC)
        live.wait_until(BTC[-1].ts_event + 60 * SECOND)
    steps = [step for step in steps_of(live) if step.action != "reminder"]
    waiting = [step for step in steps if step.state == "waiting"]
    assert [step.why for step in waiting] == ["begins", "calmed", "over"]
    assert [step.alert_ids for step in waiting] == [[one.alert_id] for one in BTC]
    assert {step.key for step in waiting} == {"cascade-BTC"}
    assert {step.target for step in waiting} == {"slack"}
    assert waiting[0].title == "BTC longs liquidated"
    delivered = [step for step in steps if step.state == "delivered"]
    assert [d.notification_id for d in delivered] == [w.notification_id for w in waiting]
    assert all(d.ts_noted >= w.ts_noted for d, w in zip(delivered, waiting, strict=True))


def test_what_a_silence_keeps_back_and_what_a_receiver_refuses_is_noted(tmp_path: Path) -> None:
    with receiving() as receivers:
        receivers.answers["/v2/enqueue"] = [(400, b"")]
        live = Live(tmp_path / "outbox.sqlite", receivers.endpoints("pagerduty"))
        with live.outbox.writing() as writing:
            silence = writing.silence("BTC", "", 3_600 * SECOND)
        live.hear(BTC[0], alert("cascade.onset", "ETH", 400))
    kept_back = [step for step in steps_of(live) if step.state == "held"]
    assert [(one.alert_ids, one.why) for one in kept_back] == [
        ([BTC[0].alert_id], f"silence {silence.silence}")
    ]
    [dead] = [step for step in steps_of(live) if step.state == "dead"]
    assert (dead.error, dead.attempts) == ("HTTP 400", 1)


def test_a_run_stores_what_it_told_and_a_view_has_a_row_for_each(tmp_path: Path) -> None:
    with receiving() as receivers:
        urls = " ".join(f"{form}+{receivers.url}{FORMS[form]}" for form in ("slack", "webhook"))
        environ = OFTEN | {
            "WEBHOOK_URLS": urls,
            "UNDERTOW_WEBHOOK_ALLOW_PRIVATE": "127.0.0.1",
            "UNDERTOW_ALERT_MAX_AGE_S": "0",
        }
        code, said = run(tmp_path, environ, "--no-serve", "--hours", "8")
        assert code == 0, said
        ids = {headers["webhook-id"] for headers, _ in receivers.came["/hook"]}
    query = (
        "SELECT notification_id, target, action, why, title, length(alert_ids) AS alerts,"
        " ts_delivered >= ts_decided AS came FROM deliveries WHERE state = 'delivered'"
    )
    asked = CliRunner().invoke(
        main, ["sql", query, "--format", "JSONEachRow", "--data-dir", str(tmp_path)]
    )
    shown = [json.loads(line) for line in asked.stdout.splitlines()]
    assert {row["notification_id"] for row in shown if row["target"] == "webhook"} == ids
    assert {row["target"] for row in shown} == {"slack", "webhook"}
    assert all(row["came"] in (1, True) and row["title"] and row["why"] for row in shown)
    assert sum(row["alerts"] for row in shown if row["action"] == "trigger") >= 2


def test_what_was_told_can_be_asked_for_while_the_night_is_still_played(tmp_path: Path) -> None:
    environ = write_recording(tmp_path / "night")
    with receiving() as receivers:
        environ |= {
            "WEBHOOK_URLS": f"slack+{receivers.url}{FORMS['slack']}",
            "UNDERTOW_WEBHOOK_ALLOW_PRIVATE": "127.0.0.1",
            "UNDERTOW_ALERT_MAX_AGE_S": "0",
        }
        data_dir = tmp_path / "data"
        source = ("--source", str(tmp_path / "night"), "--speed", "60")
        process = start(data_dir, environ, *source)
        try:
            until(lambda: receivers.bodies("slack"), "somebody is told", 120)
            until(lambda: (data_dir / "endpoint.json").exists(), "the endpoint")
            query = "SELECT title FROM deliveries WHERE state = 'delivered'"
            until(lambda: rows(data_dir, query), "it is in the table", 30)
            assert process.poll() is None, "and the night still goes on"
        finally:
            process.kill()
            process.communicate()


def test_notify_tells_kafka_what_it_told(clean_topics: str, tmp_path: Path) -> None:
    onset = an_alert(
        alert_id="a1", dedup_key="e1", kind="cascade.onset", severity="critical", asset="BTC"
    )
    producer = Producer({"bootstrap.servers": clean_topics})
    with receiving() as receivers:
        environ = {
            "KAFKA_URL": clean_topics,
            "UNDERTOW_DATA_DIR": str(tmp_path / "data"),
            "WEBHOOK_URLS": f"slack+{receivers.url}{FORMS['slack']}",
            "UNDERTOW_WEBHOOK_ALLOW_PRIVATE": "127.0.0.1",
        }
        with running(environ, "notify", log=tmp_path / "log"):
            producer.produce("alerts", codec.encode(onset), key=b"BTC")
            producer.flush(30)
            reader = Consumer(
                {
                    "bootstrap.servers": clean_topics,
                    "group.id": "t",
                    "auto.offset.reset": "earliest",
                }
            )
            reader.subscribe(["notifications"])
            steps: list[NotificationStep] = []

            def delivered() -> bool:
                message = reader.poll(0.5)
                if message is not None and not message.error():
                    steps.append(codec.decode("notifications", message.value()))
                return any(step.state == "delivered" for step in steps)

            until(delivered, "the step of its delivery")
            reader.close()
    [begun] = [step for step in steps if step.action == "trigger"]
    assert begun.alert_ids == ["a1"]
    [taken] = [step for step in steps if step.state == "delivered"]
    assert taken.notification_id == begun.notification_id
    assert taken.endpoint.startswith("127.0.0.1-")


#: Sends, is killed before the outbox has it that this came; then another goes on.
KILLED = """
import asyncio, os, signal, sys
from sinks.webhooks.delivery import Deliverer
from sinks.webhooks.endpoints import parse_endpoints
from sinks.webhooks.outbox import Outbox
outbox = Outbox(sys.argv[1])
if sys.argv[3] == "killed":
    outbox.mark_delivered = lambda _: os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(Deliverer(parse_endpoints(sys.argv[2], ["127.0.0.1"]), outbox).drain())
"""


@pytest.mark.parametrize("form", ["webhook", "pagerduty"])
def test_killed_between_sending_and_noting_the_same_id_and_body_come_again(
    tmp_path: Path, form: str
) -> None:
    with receiving() as receivers:
        live = Live(tmp_path / "outbox.sqlite", receivers.endpoints(form))
        live.deliver = lambda: None  # type: ignore[method-assign]
        live.hear(BTC[0])
        live.outbox.close()
        url = f"{form}+{receivers.url}{FORMS[form]}"
        for name, ended in (("killed", -signal.SIGKILL), ("next", 0)):
            command = [sys.executable, "-c", KILLED, str(tmp_path / "outbox.sqlite"), url, name]
            assert subprocess.run(command, cwd=ROOT, env=os.environ).returncode == ended
        path = FORMS[form].partition("#")[0].partition("?")[0]
        # Its clock went on for a year meanwhile: reminders follow.
        first, second, *reminders = receivers.came[path]
        assert len({body for _, body in reminders} - {first[1]}) == len(reminders)
    assert first[1] == second[1]
    assert first[0].get("webhook-id") == second[0].get("webhook-id")
