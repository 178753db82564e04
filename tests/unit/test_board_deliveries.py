"""What became of each alert, by event and receiver, as the outbox holds it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from nights import an_alert

from schemas.findings import Alert
from sinks.board.deliveries import Outbox as Shown
from sinks.webhooks.endpoints import Endpoint
from sinks.webhooks.notifier import Notifier
from sinks.webhooks.outbox import Outbox
from sinks.webhooks.signing import new_secret

A = Endpoint("https://a.example/x", new_secret())
SLACK = Endpoint("https://hooks.slack.com/services/T0/B0/abcdefgh", "", target="slack")
T = an_alert().ts_event
BTC = an_alert()
ETH = an_alert(alert_id="a2", dedup_key="episode-2", finding_id="f2", asset="ETH", ts_event=T + 9)


def row(alert: Alert) -> dict[str, Any]:
    """An alert as the store tells it."""

    def text(micros: int) -> str:
        return datetime.fromtimestamp(micros / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")

    names = ("alert_id", "dedup_key", "kind", "tier", "severity", "asset", "title", "text")
    times = {"ts_event": text(alert.ts_event), "ts_detect": text(alert.ts_detect)}
    return {name: getattr(alert, name) for name in names} | times


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


def test_an_alert_of_an_event_is_as_far_as_its_event_is_with_each_receiver(path: Path) -> None:
    now_us = [T]
    with Outbox(path, wall=lambda: now_us[0], steady=lambda: now_us[0]) as outbox:
        Notifier([A, SLACK]).take([BTC, ETH], outbox)
        shown = Shown(path)
        before = shown.stamp()
        for waits_us in (0, 90_000_000):  # that ETH joined is told a minute later
            assert shown.states([row(ETH), row(BTC)])["a2"].count("waiting") == 2
            now_us[0] += waits_us
            for name in (A.name, SLACK.name):
                delivery = outbox.due(name)
                assert delivery is not None
                if name == A.name:
                    outbox.mark_delivered(delivery)
                else:
                    outbox.mark_dead(delivery, "404 no_service")
        assert shown.stamp() != before
        states = shown.states([row(BTC), row(ETH)])
        assert states["a1"] == states["a2"]
        assert f"{A.name}: delivered" in states["a1"]
        assert f"{SLACK.name}: given up, 404 no_service" in states["a1"]


def test_an_alert_that_is_told_alone_has_its_own_delivery(path: Path) -> None:
    alone = Endpoint("https://b.example/x", new_secret(), target="every")
    with Outbox(path) as outbox:
        Notifier([alone]).take([BTC], outbox)
        assert f"{alone.name}: waiting" in Shown(path).states([row(BTC)])["a1"]


def test_what_a_silence_kept_back_is_said_to_be_and_what_never_came_too(path: Path) -> None:
    with Outbox(path) as outbox:
        with outbox.writing() as writing:
            writing.silence("BTC", "", 3_600_000_000)
        Notifier([A]).take([BTC], outbox)
        states = Shown(path).states([row(BTC), row(ETH)])
    assert states == {"a1": "kept back by rules or a silence", "a2": "not taken in yet"}


def test_without_an_outbox_it_says_so_and_makes_none(path: Path) -> None:
    assert Shown(path, "no receiver is set").states([row(BTC)]) == {"a1": "no receiver is set"}
    assert Shown(None).states([row(BTC)]) == {"a1": "not known here"}
    assert not path.exists()
    path.write_bytes(b"garbage" * 100)
    assert Shown(path).states([row(BTC)])["a1"].startswith("not known: ")
