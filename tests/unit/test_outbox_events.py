"""What is told of an event, as the outbox holds it: replaced while it waits, in order, never lost."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from schemas.findings import Alert
from sinks.alerts.routing import Notification
from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.notifier import Notifier
from sinks.webhooks.outbox import Outbox
from sinks.webhooks.signing import new_secret

NOW = 1_772_000_002_000_000
A = Endpoint("https://a.example/x", new_secret())
SLACK = Endpoint("https://hooks.slack.com/services/T0/B0/abcdefgh", "", target="slack")
TRIGGER = Notification(
    notification_id="n1", key="event", action="trigger", severity="critical", why="begins", wait_us=0, ts_first=NOW,
    ts_event=NOW, ts_detect=NOW, alert_ids=["a1"], members=[], open_members=1,
)  # fmt: skip
UPDATE = msgspec.structs.replace(
    TRIGGER, notification_id="n2", action="update", wait_us=60, alert_ids=["a2"]
)
RESOLVE = msgspec.structs.replace(TRIGGER, notification_id="n3", action="resolve", alert_ids=["a4"])
REMINDER = msgspec.structs.replace(
    TRIGGER, notification_id="r1", action="reminder", wait_us=1_000, alert_ids=[]
)


class Clock:
    def __init__(self) -> None:
        self.now_us = NOW

    def __call__(self) -> int:
        return self.now_us


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(tmp_path: Path, clock: Clock) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.sqlite", wall=clock, steady=clock) as opened:
        yield opened


def tell(outbox: Outbox, notification: Notification, body: bytes = b"{}") -> None:
    with outbox.writing() as writing:
        writing.tell(notification, A.name, body)


def delivered(outbox: Outbox) -> list[tuple[str, bytes]]:
    """Deliver what is due, in its order."""
    sent = []
    while (delivery := outbox.due(A.name)) is not None:
        sent.append((delivery.webhook_id, delivery.body))
        outbox.mark_delivered(delivery)
    return sent


def test_what_waits_is_replaced_under_its_id_and_sent_once(outbox: Outbox, clock: Clock) -> None:
    tell(outbox, UPDATE, b"first")
    clock.now_us += 30
    tell(outbox, msgspec.structs.replace(UPDATE, wait_us=30), b"later")
    assert delivered(outbox) == []
    clock.now_us += 30
    assert delivered(outbox) == [("n2", b"later")]


def test_what_may_be_on_its_way_is_not_changed_and_what_is_new_follows_it(
    outbox: Outbox, clock: Clock
) -> None:
    tell(outbox, UPDATE, b"first")
    clock.now_us += 60
    under_way = outbox.due(A.name)
    assert under_way is not None
    tell(outbox, msgspec.structs.replace(UPDATE, wait_us=0, alert_ids=["a2", "a3"]), b"later")
    assert under_way.body == b"first"
    outbox.mark_delivered(under_way)
    [(webhook_id, body)] = delivered(outbox)
    assert (webhook_id != "n2", body) == (True, b"later")


def test_what_comes_too_late_for_an_update_that_was_sent_is_one_message_after_it(
    outbox: Outbox, clock: Clock
) -> None:
    tell(outbox, UPDATE, b"first")
    clock.now_us += 60
    sent = [body for _, body in delivered(outbox)]
    for late in range(3):
        ids = ["a2", *(f"late{n}" for n in range(late + 1))]
        again = msgspec.structs.replace(UPDATE, wait_us=5, alert_ids=ids)
        tell(outbox, again, f"late {late}".encode())
    clock.now_us += 5
    assert sent + [body for _, body in delivered(outbox)] == [b"first", b"late 2"]


def test_what_is_told_later_leaves_what_waits_before_it_at_its_time(
    outbox: Outbox, clock: Clock
) -> None:
    tell(outbox, UPDATE, b"sooner")
    tell(outbox, msgspec.structs.replace(UPDATE, notification_id="n4", wait_us=240), b"later")
    assert delivered(outbox) == []
    clock.now_us += 60
    assert delivered(outbox) == [("n2", b"sooner")]
    clock.now_us += 180
    assert delivered(outbox) == [("n4", b"later")]


def test_an_end_sends_what_waits_first_and_reminds_nobody(outbox: Outbox, clock: Clock) -> None:
    for each in (TRIGGER, UPDATE, REMINDER, RESOLVE):
        tell(outbox, each)
    assert [webhook_id for webhook_id, _ in delivered(outbox)] == ["n1", "n2", "n3"]
    clock.now_us += 2_000
    assert delivered(outbox) == []
    assert outbox.events() == []


def test_nothing_of_an_event_overtakes_what_failed_and_other_events_do(
    outbox: Outbox, clock: Clock
) -> None:
    tell(outbox, TRIGGER)
    outbox.mark_retry(outbox.due(A.name), 500, "HTTP 500")
    tell(outbox, RESOLVE)
    tell(outbox, msgspec.structs.replace(TRIGGER, notification_id="other", key="another"))
    assert [webhook_id for webhook_id, _ in delivered(outbox)] == ["other"]
    clock.now_us += 500
    assert [webhook_id for webhook_id, _ in delivered(outbox)] == ["n1", "n3"]


def test_an_event_that_somebody_took_is_not_reminded_of_until_it_begins_anew(
    outbox: Outbox, clock: Clock
) -> None:
    tell(outbox, REMINDER)
    with outbox.writing() as writing:
        assert writing.take("event") == 1
    tell(outbox, REMINDER)
    assert outbox.events() == []
    tell(outbox, RESOLVE)
    tell(outbox, REMINDER)
    assert outbox.events() == ["event"]


def test_an_alert_is_told_once_however_often_and_to_whom_it_comes(outbox: Outbox) -> None:
    alert = Alert(
        alert_id="a1", dedup_key="e", kind="cascade.onset", tier="cascade", severity="critical", asset="BTC", title="t",
        text="t", finding_id="f", ts_event=NOW, ts_detect=NOW,
    )  # fmt: skip
    alone = msgspec.structs.replace(A, target="every")
    for _ in range(3):
        Notifier([alone, SLACK]).take([alert, alert], outbox)
    triggers = [d for d in outbox.listed("pending") if d.webhook_id not in outbox.events()]
    assert outbox.pending() == {A.name: 1, SLACK.name: 3}, "a trigger and two reminders"
    assert len(triggers) == 4


def test_an_update_for_a_disabled_endpoint_stays_one_row_and_is_sent_once_it_is_let_in(
    outbox: Outbox, clock: Clock
) -> None:
    outbox.disable(A.name, "disabled: it answered 410 Gone")
    for number in range(3):
        tell(outbox, UPDATE, f"{number}".encode())
    assert [row.webhook_id for row in outbox.listed("dead")] == ["n2"]
    outbox.enable(A.name)
    tell(outbox, UPDATE, b"3")
    clock.now_us += 60
    assert [body for _, body in delivered(outbox)] == [b"3"]


def test_what_a_disabled_endpoint_would_have_been_told_is_listed_as_dead(outbox: Outbox) -> None:
    outbox.disable(A.name, "disabled: it answered 410 Gone")
    tell(outbox, TRIGGER)
    assert [(d.webhook_id, d.last_error) for d in outbox.listed("dead")] == [
        ("n1", "disabled: it answered 410 Gone")
    ]
