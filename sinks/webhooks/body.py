"""The JSON body of an alert: `{type, timestamp, data}`, the Standard Webhooks shape."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import orjson

from schemas.findings import Alert
from sinks.alerts.message import Message

#: The spec recommends less than 20 kB.
MAX_BYTES = 19_999

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_A_WORD = re.compile(r"[^a-z0-9_]+")
# Fields for people, which may be shortened; identities never are.
_PROSE = ("text", "title", "asset")


def event_type(kind: str) -> str:
    """Return `kind` as a dotted name: `Cascade: onset` becomes `cascade.onset`."""
    return _NOT_A_WORD.sub(".", kind.lower()).strip(".") or "alert"


def iso_utc(micros: int) -> str:
    """Return microseconds UTC as ISO-8601 with all six decimals and a Z."""
    # Not fromtimestamp(micros / 1e6): the float would move the last digit.
    moment = _EPOCH + timedelta(microseconds=micros)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def payload(alert: Alert) -> bytes:
    """Return the body of `alert`, under 20 kB: prose is shortened where it must be."""
    data = msgspec.structs.asdict(alert)
    body = _dumps(alert, data)
    # Ids hold 200 characters and JSON needs at most 6 bytes for each, so 100 always fits.
    for length in (1000, 100):
        if len(body) <= MAX_BYTES:
            break
        for field in _PROSE:
            if len(data[field]) > length:
                data[field] = data[field][: length - 1] + "…"
        body = _dumps(alert, data)
    return body


def probe_payload(now_us: int) -> bytes:
    """Return the body of a test event, which no alert's type can be."""
    data = {"text": "A test from undertow: alerts will arrive here, signed like this."}
    return orjson.dumps({"type": "undertow.test", "timestamp": iso_utc(now_us), "data": data})


def probe_message(now_us: int) -> Message:
    """Return a test for people. It is an end, so that nobody is woken and nothing is opened."""
    return Message(
        notification_id=f"test-{now_us}",
        key="undertow-test",
        action="resolve",
        severity="info",
        title="A test from undertow: alerts will arrive here",
        lines=["Nothing has happened. What comes here will say what, how big and how sure."],
        query="",
        link="",
        ts_first=now_us,
        ts_event=now_us,
        asset="",
        kind="undertow.test",
        data={"alert_ids": [], "members": [], "joined": []},
    )


def _dumps(alert: Alert, data: dict[str, Any]) -> bytes:
    return orjson.dumps(
        {"type": event_type(alert.kind), "timestamp": iso_utc(alert.ts_event), "data": data}
    )
