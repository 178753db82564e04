"""The durable queue, and when the next attempt is."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from schemas.findings import Alert
from sinks.webhooks.body import payload
from sinks.webhooks.delivery import MAX_RETRY_AFTER_US, RETRY_WAITS_S, jitter, retry_after_us
from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.outbox import KEEP_US, Outbox
from sinks.webhooks.signing import new_secret

ALERT = Alert(
    alert_id="a1",
    dedup_key="episode-1",
    kind="cascade.onset",
    tier="cascade",
    severity="critical",
    asset="BTC",
    title="t",
    text="x",
    finding_id="f1",
    ts_event=1_772_000_000_000_000,
    ts_detect=1_772_000_001_000_000,
)
A = Endpoint("https://a.example/x", new_secret())
B = Endpoint("https://b.example/x", new_secret())
NOW = 1_772_000_002_000_000


def alert(alert_id: str) -> Alert:
    return msgspec.structs.replace(ALERT, alert_id=alert_id)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "new folder" / "outbox.db") as opened:
        yield opened


def test_an_alert_put_twice_is_one_delivery_for_each_endpoint(outbox: Outbox) -> None:
    assert outbox.put(ALERT, [A, B], NOW) == 2
    assert outbox.put(ALERT, [A, B], NOW + 1) == 0
    assert {(d.webhook_id, d.endpoint) for d in outbox.listed("pending")} == {
        ("a1", A.name),
        ("a1", B.name),
    }


def test_a_delivered_alert_put_again_is_not_sent_again(outbox: Outbox) -> None:
    outbox.put(ALERT, [A], NOW)
    outbox.mark_delivered(outbox.listed("pending")[0], NOW)
    assert outbox.put(ALERT, [A], NOW) == 0
    assert outbox.due(A.name, NOW) is None


def test_deliveries_survive_the_process(tmp_path: Path) -> None:
    with Outbox(tmp_path / "o.db") as first:
        first.put(ALERT, [A], NOW)
        first.mark_retry(first.listed("pending")[0], NOW, NOW + 5, "HTTP 500")
    with Outbox(tmp_path / "o.db") as second:
        assert second.due(A.name, NOW + 4) is None
        delivery = second.due(A.name, NOW + 5)
        assert delivery is not None
        assert (delivery.attempts, delivery.last_error) == (1, "HTTP 500")
        assert delivery.body == payload(ALERT)


def test_what_was_put_is_on_disk_before_put_returns(tmp_path: Path, outbox: Outbox) -> None:
    outbox.put(ALERT, [A], NOW)
    other = sqlite3.connect(tmp_path / "new folder" / "outbox.db")
    assert other.execute("SELECT count(*) FROM deliveries").fetchone() == (1,)
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


def test_new_alerts_go_before_retries(outbox: Outbox) -> None:
    outbox.put(alert("old"), [A], NOW)
    outbox.mark_retry(outbox.listed("pending")[0], NOW, NOW + 1, "HTTP 500")
    outbox.put(alert("new"), [A], NOW + 2)
    first = outbox.due(A.name, NOW + 3)
    assert first is not None
    assert first.webhook_id == "new"


def test_a_held_endpoint_gets_nothing_and_the_others_do(outbox: Outbox) -> None:
    outbox.put(ALERT, [A, B], NOW)
    outbox.hold(A.name, NOW + 60)
    assert outbox.due(A.name, NOW + 59) is None
    assert outbox.next_due_us(A.name) == NOW + 60
    assert outbox.due(A.name, NOW + 60) is not None
    assert outbox.due(B.name, NOW) is not None


def test_a_disabled_endpoint_stays_disabled_over_restarts(tmp_path: Path) -> None:
    with Outbox(tmp_path / "o.db") as first:
        first.put(alert("before"), [A], NOW)
        first.disable(A.name, NOW, "410 Gone")
    with Outbox(tmp_path / "o.db") as second:
        second.put(alert("after"), [A], NOW)
        assert [d.last_error for d in second.listed("dead")] == ["410 Gone", "410 Gone"]
        assert second.next_due_us(A.name) is None
        second.enable(A.name)
        second.put(alert("again"), [A], NOW)
        assert second.next_due_us(A.name) == NOW


def test_settled_rows_are_kept_while_kafka_may_redeliver(outbox: Outbox) -> None:
    outbox.put(alert("first"), [A], NOW)
    outbox.mark_delivered(outbox.listed("pending")[0], NOW)
    for later in (NOW + KEEP_US, NOW + KEEP_US + 1):
        outbox.put(alert(f"at-{later}"), [A], later)
        outbox.mark_delivered(outbox.listed("pending")[0], later)
        kept = "first" in {d.webhook_id for d in outbox.listed("delivered")}
        assert kept == (later == NOW + KEEP_US)


def test_counts_are_by_endpoint_and_state(outbox: Outbox) -> None:
    outbox.put(ALERT, [A, B], NOW)
    outbox.mark_dead(outbox.listed("pending")[0], NOW, "HTTP 500")
    assert outbox.counts() == {(A.name, "dead"): 1, (B.name, "pending"): 1}


def test_an_alert_whose_id_cannot_be_a_webhook_id_is_refused_at_the_door(outbox: Outbox) -> None:
    with pytest.raises(ValueError, match="webhook id"):
        outbox.put(alert("a.b"), [A], NOW)
    assert outbox.counts() == {}


def test_a_newer_file_is_not_touched(tmp_path: Path) -> None:
    newer = sqlite3.connect(tmp_path / "o.db")
    newer.execute("PRAGMA user_version = 2")
    newer.close()
    with pytest.raises(ValueError, match="version 2"):
        Outbox(tmp_path / "o.db")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("120", NOW + 120_000_000),
        (" 0 ", NOW),
        ("Wed, 25 Feb 2026 06:15:00 GMT", 1_772_000_100_000_000),
        ("Wed, 25 Feb 2026 06:15:00 -0000", 1_772_000_100_000_000),
        ("9" * 3000, NOW + MAX_RETRY_AFTER_US),
        ("Fri, 31 Dec 9999 23:59:59 GMT", NOW + MAX_RETRY_AFTER_US),
        ("Fri, 31 Dec 9999 23:59:59 -1400", 0),
        ("", 0),
        ("soon", 0),
        ("-5", 0),
        ("²", 0),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date_and_capped(header: str, expected: int) -> None:
    assert retry_after_us(header, NOW) == expected


def test_the_schedule_is_the_recommended_one_and_jitter_never_shortens_it() -> None:
    assert sum(RETRY_WAITS_S) == 75 * 3600 + 35 * 60 + 5
    assert all(1.0 <= jitter() <= 1.2 for _ in range(100))


def test_alerts_put_together_are_all_in_or_none(outbox: Outbox) -> None:
    assert outbox.put_many([alert("a"), alert("b"), alert("a")], [A, B], NOW) == 4
    with pytest.raises(ValueError, match="webhook id"):
        outbox.put_many([alert("c"), alert("not.an.id")], [A], NOW)
    assert outbox.pending() == {A.name: 2, B.name: 2}


def test_a_revived_delivery_is_due_at_once_with_all_its_attempts(outbox: Outbox) -> None:
    outbox.put_many([alert("a"), alert("b")], [A], NOW)
    for delivery in outbox.listed("pending"):
        outbox.mark_dead(delivery, NOW, "HTTP 500")
    assert outbox.revive(NOW + 5, "a") == 1
    due = outbox.due(A.name, NOW + 5)
    assert due is not None
    assert (due.webhook_id, due.attempts) == ("a", 0)
    assert outbox.revive(NOW + 5) == 1


def test_what_died_with_a_disabled_endpoint_is_revived_only_once_it_is_enabled(
    outbox: Outbox,
) -> None:
    outbox.put_many([alert("a")], [A], NOW)
    outbox.disable(A.name, NOW, "disabled: it answered 410 Gone")
    assert outbox.disabled() == {A.name: "disabled: it answered 410 Gone"}
    assert outbox.revive(NOW) == 0
    outbox.enable(A.name)
    assert outbox.revive(NOW, endpoint=A.name) == 1
