"""The durable queue, and when the next attempt is."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from nights import an_alert

from schemas.findings import Alert
from sinks.webhooks.body import payload
from sinks.webhooks.delivery import RETRY_WAITS_S, jitter
from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.outbox import DAY_US, KEEP_UNSENT_US, KEEP_US, Outbox
from sinks.webhooks.receiver_time import MAX_PAUSE_US, pause_us
from sinks.webhooks.signing import new_secret

ALERT = an_alert()
A = Endpoint("https://a.example/x", new_secret())
B = Endpoint("https://b.example/x", new_secret())
NOW = 1_772_000_002_000_000


def alert(alert_id: str) -> Alert:
    return msgspec.structs.replace(ALERT, alert_id=alert_id)


class Machine:
    """The clocks of one machine: `wall` can be set, `steady` cannot; time passes on both."""

    def __init__(self) -> None:
        self.wall_us = NOW
        self.steady_us = 5_000

    def pass_us(self, micros: int) -> None:
        self.wall_us += micros
        self.steady_us += micros

    def open(self, path: Path) -> Outbox:
        return Outbox(path, wall=lambda: self.wall_us, steady=lambda: self.steady_us)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def outbox(tmp_path: Path, machine: Machine) -> Iterator[Outbox]:
    with machine.open(tmp_path / "new folder" / "outbox.db") as opened:
        yield opened


def test_an_alert_put_twice_is_one_delivery_for_each_endpoint(outbox: Outbox) -> None:
    assert outbox.put(ALERT, [A, B]) == 2
    assert outbox.put(ALERT, [A, B]) == 0
    assert {(d.webhook_id, d.endpoint) for d in outbox.listed("pending")} == {
        ("a1", A.name),
        ("a1", B.name),
    }


def test_a_delivered_alert_put_again_is_not_sent_again(outbox: Outbox) -> None:
    outbox.put(ALERT, [A])
    outbox.mark_delivered(outbox.listed("pending")[0])
    assert outbox.put(ALERT, [A]) == 0
    assert outbox.due(A.name) is None


def test_deliveries_survive_the_process(tmp_path: Path, machine: Machine) -> None:
    with machine.open(tmp_path / "o.db") as first:
        first.put(ALERT, [A])
        first.mark_retry(first.listed("pending")[0], 5, "HTTP 500")
    machine.pass_us(4)
    with machine.open(tmp_path / "o.db") as second:
        assert second.due(A.name) is None
        machine.pass_us(1)
        delivery = second.due(A.name)
        assert delivery is not None
        assert (delivery.attempts, delivery.last_error) == (1, "HTTP 500")
        assert delivery.body == payload(ALERT)


def test_what_was_put_is_on_disk_before_put_returns(tmp_path: Path, outbox: Outbox) -> None:
    outbox.put(ALERT, [A])
    other = sqlite3.connect(tmp_path / "new folder" / "outbox.db")
    assert other.execute("SELECT count(*) FROM deliveries").fetchone() == (1,)
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


def test_new_alerts_go_before_retries(outbox: Outbox, machine: Machine) -> None:
    outbox.put(alert("old"), [A])
    outbox.mark_retry(outbox.listed("pending")[0], 1, "HTTP 500")
    machine.pass_us(2)
    outbox.put(alert("new"), [A])
    first = outbox.due(A.name)
    assert first is not None
    assert first.webhook_id == "new"


def test_a_held_endpoint_gets_nothing_and_the_others_do(outbox: Outbox, machine: Machine) -> None:
    outbox.put(ALERT, [A, B])
    outbox.hold(A.name, 60)
    machine.pass_us(59)
    assert outbox.due(A.name) is None
    assert outbox.wait_us(A.name) == 1
    assert outbox.due(B.name) is not None
    machine.pass_us(1)
    assert outbox.due(A.name) is not None


def test_a_disabled_endpoint_stays_disabled_over_restarts(tmp_path: Path) -> None:
    with Outbox(tmp_path / "o.db") as first:
        first.put(alert("before"), [A])
        first.disable(A.name, "410 Gone")
    with Outbox(tmp_path / "o.db") as second:
        second.put(alert("after"), [A])
        assert [d.last_error for d in second.listed("dead")] == ["410 Gone", "410 Gone"]
        assert second.wait_us(A.name) is None
        second.enable(A.name)
        second.put(alert("again"), [A])
        assert second.wait_us(A.name) == 0


def test_delivered_rows_stay_while_kafka_may_redeliver_and_their_bodies_do_not(
    outbox: Outbox, machine: Machine
) -> None:
    outbox.put(ALERT, [A])
    outbox.mark_delivered(outbox.listed("pending")[0])
    assert [d.body for d in outbox.listed("delivered")] == [b""]
    machine.pass_us(KEEP_US)
    assert outbox.forget({A.name}) == {}
    machine.pass_us(1)
    assert outbox.forget({A.name}) == {(A.name, "delivered"): 1}
    assert outbox.counts() == {}


def test_what_nobody_tries_any_more_stays_for_a_month_and_is_counted(
    outbox: Outbox, machine: Machine
) -> None:
    outbox.put(ALERT, [A, B])
    outbox.mark_dead(outbox.listed("pending")[0], "HTTP 500")
    machine.pass_us(KEEP_UNSENT_US)
    assert outbox.forget(set()) == {}
    machine.pass_us(1)
    assert outbox.forget({A.name, B.name}) == {(A.name, "dead"): 1}
    assert outbox.pending() == {B.name: 1}, "a configured endpoint's wait is not cut short"
    assert outbox.forget({A.name}) == {(B.name, "pending"): 1}


def test_a_dead_endpoints_rows_are_bounded_and_the_oldest_go_first(
    outbox: Outbox, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.webhooks.outbox.MOST_UNSENT", 3)
    outbox.disable(A.name, "disabled: it answered 410 Gone")
    for number in range(5):
        outbox.put(alert(f"a{number}"), [A, B])
        machine.pass_us(1)
    assert outbox.forget({A.name, B.name}) == {(A.name, "dead"): 2}
    assert [d.webhook_id for d in outbox.listed("dead")] == ["a2", "a3", "a4"]
    assert outbox.pending() == {B.name: 5}


@pytest.mark.parametrize("jump_us", [-365 * DAY_US, -1, 365 * DAY_US])
def test_a_wall_clock_that_jumps_neither_shortens_nor_lengthens_a_wait(
    outbox: Outbox, machine: Machine, jump_us: int
) -> None:
    outbox.put_many([alert("a"), alert("b")], [A])
    outbox.mark_retry(outbox.listed("pending")[0], 300, "HTTP 500")
    outbox.hold(A.name, 60)
    machine.wall_us += jump_us
    assert outbox.due(A.name) is None
    machine.pass_us(60)
    assert [outbox.due(A.name).webhook_id] == ["b"]
    machine.wall_us -= jump_us
    outbox.put(alert("c"), [A])
    assert outbox.wait_us(A.name) == 0
    machine.pass_us(240)
    assert outbox.forget({A.name}) == {}
    assert {d.webhook_id for d in outbox.listed("pending")} == {"a", "b", "c"}
    for _ in range(3):
        outbox.mark_delivered(outbox.due(A.name))


@pytest.mark.parametrize("jump_us", [-365 * DAY_US, 365 * DAY_US])
def test_a_clock_set_while_nobody_had_the_file_forgets_nothing_and_silences_nobody(
    tmp_path: Path, machine: Machine, jump_us: int
) -> None:
    machine.wall_us += jump_us
    with machine.open(tmp_path / "o.db") as first:
        first.put_many([alert("a"), alert("b"), alert("c")], [A])
        first.mark_delivered(first.due(A.name))
        first.mark_dead(first.due(A.name), "HTTP 500")
        first.mark_retry(first.due(A.name), 3600, "HTTP 500")
        first.hold(A.name, 3600)
    machine.wall_us -= jump_us
    with machine.open(tmp_path / "o.db") as second:
        assert second.forget({A.name}) == {}
        machine.pass_us(3600)
        assert second.due(A.name) is not None
        assert second.counts() == {
            (A.name, "dead"): 1,
            (A.name, "delivered"): 1,
            (A.name, "pending"): 1,
        }


def test_time_passes_while_no_process_has_the_file(tmp_path: Path, machine: Machine) -> None:
    with machine.open(tmp_path / "o.db") as first:
        first.put(ALERT, [A])
        first.mark_retry(first.due(A.name), 24 * 3600 * 1_000_000, "HTTP 500")
    machine.pass_us(24 * 3600 * 1_000_000)
    machine.steady_us = 17  # the machine was started again
    with machine.open(tmp_path / "o.db") as second:
        assert second.due(A.name) is not None


def test_counts_are_by_endpoint_and_state(outbox: Outbox) -> None:
    outbox.put(ALERT, [A, B])
    outbox.mark_dead(outbox.listed("pending")[0], "HTTP 500")
    assert outbox.counts() == {(A.name, "dead"): 1, (B.name, "pending"): 1}


def test_an_alert_whose_id_cannot_be_a_webhook_id_is_refused_at_the_door(outbox: Outbox) -> None:
    with pytest.raises(ValueError, match="webhook id"):
        outbox.put(alert("a.b"), [A])
    assert outbox.counts() == {}


SENT = "Wed, 25 Feb 2026 06:13:20 GMT"
TS_UNIX = 1_772_000_000  # SENT
S = 1_000_000


@pytest.mark.parametrize(
    ("header", "date", "expected"),
    [
        ("120", "", 120 * S),
        (" 0 ", "", 0),
        ("Wed, 25 Feb 2026 06:15:00 GMT", "", 100 * S),
        ("Wed, 25 Feb 2026 06:15:00 -0000", "", 100 * S),
        # A receiver's own clock, or ours, may be wrong: its two dates agree.
        ("Mon, 25 Feb 2030 06:15:00 GMT", "Mon, 25 Feb 2030 06:14:00 GMT", 60 * S),
        ("Wed, 25 Feb 2026 06:15:00 GMT", "yesterday", 100 * S),
        ("Wed, 25 Feb 2026 06:10:00 GMT", "", 0),
        ("9" * 3000, "", MAX_PAUSE_US),
        ("Fri, 31 Dec 9999 23:59:59 GMT", SENT, MAX_PAUSE_US),
        ("Fri, 31 Dec 9999 23:59:59 -1400", "", 0),
        ("", SENT, 0),
        ("soon", "", 0),
        ("-5", "", 0),
        ("²", "", 0),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date_and_capped(
    header: str, date: str, expected: int
) -> None:
    assert pause_us(header, date, TS_UNIX) == expected


def test_the_schedule_is_the_recommended_one_and_jitter_never_shortens_it() -> None:
    assert sum(RETRY_WAITS_S) == 75 * 3600 + 35 * 60 + 5
    assert all(1.0 <= jitter() <= 1.2 for _ in range(100))


def test_alerts_put_together_are_all_in_or_none(outbox: Outbox) -> None:
    assert outbox.put_many([alert("a"), alert("b"), alert("a")], [A, B]) == 4
    with pytest.raises(ValueError, match="webhook id"):
        outbox.put_many([alert("c"), alert("not.an.id")], [A])
    assert outbox.pending() == {A.name: 2, B.name: 2}


def test_a_revived_delivery_is_due_at_once_with_all_its_attempts(outbox: Outbox) -> None:
    outbox.put_many([alert("a"), alert("b")], [A])
    for delivery in outbox.listed("pending"):
        outbox.mark_dead(delivery, "HTTP 500")
    assert outbox.revive("a") == 1
    due = outbox.due(A.name)
    assert due is not None
    assert (due.webhook_id, due.attempts) == ("a", 0)
    assert outbox.revive() == 1


def test_what_died_with_a_disabled_endpoint_is_revived_only_once_it_is_enabled(
    outbox: Outbox,
) -> None:
    outbox.put_many([alert("a")], [A])
    outbox.disable(A.name, "disabled: it answered 410 Gone")
    assert outbox.disabled() == {A.name: "disabled: it answered 410 Gone"}
    assert outbox.revive() == 0
    outbox.enable(A.name)
    assert outbox.revive(endpoint=A.name) == 1
