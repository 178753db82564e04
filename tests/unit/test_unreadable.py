"""A finding that nobody could read neither ends a shell nor vanishes: shortened, told, counted."""

from collections import Counter

import faust
import msgspec
from nights import PARAMS, START, an_alert
from prometheus_client import REGISTRY

from schemas import codec
from schemas.findings import Alert
from schemas.status import DeadLetter, FeedStatus
from schemas.words import SECOND
from streams.core import pipeline
from streams.detect.agent import Outgoing
from streams.run import loop
from streams.run.checkpoint import Checkpoint

ALERT = an_alert(
    alert_id="a",
    dedup_key="d",
    text="x" * 9000,
    ts_event=START * SECOND,
    ts_detect=START * SECOND,
)
WORD = FeedStatus(producer="feed", state="alive", ts_event=START * SECOND)


def counted() -> float:
    return REGISTRY.get_sample_value("undertow_unreadable_total", {"topic": "alerts"}) or 0.0


def check(sent: list[msgspec.Struct]) -> None:
    shortened, letter = sent
    assert isinstance(shortened, Alert)
    assert shortened.text == "x" * 1_999 + "…"
    assert msgspec.structs.replace(shortened, text=ALERT.text) == ALERT
    assert isinstance(letter, DeadLetter)
    assert (letter.topic, letter.field) == ("alerts", "text")
    for topic, record in (("alerts", shortened), ("dead_letters", letter)):
        assert codec.decode(topic, codec.encode(record)) == record


class Rows(list[msgspec.Struct]):
    put = list.append


def test_the_embedded_shell_stores_it_shortened_and_tells_people(monkeypatch) -> None:
    monkeypatch.setattr(pipeline, "step", lambda *_: pipeline.Step([("alerts", ALERT)]))
    rows, alerts, counts = Rows(), list[Alert](), Counter[tuple[str, ...]]()
    run, before = Checkpoint("s", "s", PARAMS.version), counted()
    outlets = loop.Outlets(rows, alerts.append, lambda: None, 0)  # type: ignore[arg-type]
    loop._take(PARAMS, run, ("liquidations", WORD), outlets, counts)
    check(rows)
    assert alerts == rows[:1]
    assert (counts["found", "alerts"], counts["letters", "alerts"]) == (1, 1)
    assert counted() == before + 1


def test_an_agent_queues_it_shortened_and_its_letter() -> None:
    outgoing = Outgoing(faust.App("unreadable", broker="kafka://127.0.0.1:1"), 0)
    outgoing.add("alerts", ALERT)
    check([codec.decode(message.topic, message.value) for message in outgoing._waiting])
    assert [message.key for message in outgoing._waiting] == [b"BTC", b"alerts"]
