"""The body that receivers parse."""

import msgspec
import orjson
import pytest
from nights import an_alert

from sinks.webhooks.body import MAX_BYTES, event_type, payload

ALERT = an_alert(
    title="BTC longs are being liquidated", text="$12 M in 30 s", ts_event=1772000000123457
)


def test_the_body_is_type_time_of_the_event_and_every_field_of_the_alert() -> None:
    body = orjson.loads(payload(ALERT))
    assert set(body) == {"type", "timestamp", "data"}
    assert body["type"] == "cascade.onset"
    assert body["timestamp"] == "2026-02-25T06:13:20.123457Z"
    assert body["data"] == msgspec.structs.asdict(ALERT)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("cascade.onset", "cascade.onset"),
        ("whale_selling.no_evidence", "whale_selling.no_evidence"),
        ("Cascade: onset", "cascade.onset"),
        ("..a..b..", "a.b"),
        ("@everyone", "everyone"),
        ("₿", "alert"),
    ],
)
def test_the_type_is_always_a_dotted_name(kind: str, expected: str) -> None:
    assert event_type(kind) == expected


def test_the_same_alert_gives_the_same_bytes() -> None:
    assert payload(ALERT) == payload(msgspec.structs.replace(ALERT))


def test_the_longest_legal_alert_stays_under_20_kb_and_keeps_its_identity() -> None:
    worst = "\x00"  # six bytes in JSON
    long = msgspec.structs.replace(
        ALERT,
        alert_id=worst * 200,
        dedup_key=worst * 200,
        kind="k" * 200,
        finding_id=worst * 200,
        title=worst * 2000,
        text=worst * 2000,
        asset="A" * 50_000,
    )
    body = payload(long)
    assert len(body) <= MAX_BYTES
    data = orjson.loads(body)["data"]
    assert data["dedup_key"] == long.dedup_key
    assert data["text"].endswith("…")
