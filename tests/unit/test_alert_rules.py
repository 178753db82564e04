"""Who is told what: how sure an alert must be, what waits for the day's digest, whose picture."""

import json
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest
from nights import an_alert

from schemas.findings import Alert, FeedFinding
from schemas.words import SECOND, StressPhase
from sinks.alerts import digest, routing, rules, targets
from sinks.alerts.message import message_of
from sinks.webhooks.endpoints import parse_endpoints
from sinks.webhooks.notifier import Notifier
from sinks.webhooks.outbox import Outbox
from streams.core import alerts

#: 00:00 UTC.
T = 1_763_683_200 * SECOND
HOUR = 3_600 * SECOND


def alert(name: str, hours: float = 1, usd: float = 1e6, **changes: object) -> Alert:
    at = T + int(hours * HOUR)
    made = an_alert(
        alert_id=f"a-{name}-{hours}".replace(".", "-"), dedup_key=f"e-{name}", kind="cascade.onset", tier="cascade",
        severity="critical", asset=name, ts_event=at, ts_detect=at + 4 * SECOND,
    )  # fmt: skip
    sized = msgspec.structs.replace(made, notional_usd=usd, position_side="long", coverage="full")
    fitted = {"threshold_is_default": False}
    return msgspec.structs.replace(sized, **(fitted | changes))


@pytest.mark.parametrize(
    ("changes", "sure"),
    [
        ({}, "high"),
        ({"threshold_is_default": True}, "medium"),
        ({"coverage": "latest_per_second"}, "medium"),
        ({"coverage": "unknown", "threshold_is_default": True}, "low"),
        ({"kind": "feed.silent", "coverage": None, "threshold_is_default": None}, "high"),
    ],
)
def test_how_sure_an_alert_is_comes_of_its_threshold_and_its_coverage(changes, sure):
    assert rules.confidence(alert("BTC", **changes)) == sure
    for least in ("low", "medium", "high"):
        order = ["low", "medium", "high"]
        passes = rules.Rule(least_confidence=least).passes(alert("BTC", **changes))
        assert passes == (order.index(sure) >= order.index(least))


def test_every_kind_of_alert_is_one_that_begins_or_one_that_needs_a_beginning():
    feeds = get_args(get_type_hints(FeedFinding)["state"])
    kinds = [f"cascade.{phase}" for phase in alerts._SEVERITY]
    kinds += [f"stress.{phase}" for phase in get_args(StressPhase)]
    kinds += [f"feed.{state}" for state in feeds]
    kinds += ["market.onset", "market.closed", "whale.consistent_with_selling", "whale.retracted"]
    assert sorted(kinds) == sorted(rules.BEGINNINGS + rules.ENDINGS)
    for kind in kinds:
        opens = bool(routing.step(routing.State(), alert("BTC", kind=kind)))
        assert opens == (kind in rules.BEGINNINGS), kind


def test_an_end_passes_however_unsure_it_is():
    end = alert("BTC", kind="cascade.closed", coverage="unknown", threshold_is_default=True)
    assert rules.Rule(least_confidence="high").passes(end)


def test_a_digest_is_one_message_a_day_that_later_alerts_go_into():
    state = routing.Digest()
    day = [alert("BTC", 9, 4e6), alert("ETH", 10, 9e6), alert("BTC", 11, 5e6), alert("SOL", 31.9)]
    made = [digest.step(state, one, 8 * 60) for one in day]
    assert len({one.notification_id for one in made}) == 1
    assert {(one.ts_event + one.wait_us - T) // HOUR for one in made} == {32}
    assert made[-1].alert_ids == [one.alert_id for one in day]
    message = message_of(made[-1])
    assert message.title == "The last day: 3 events, the largest ETH $9.0M"
    assert [line.split(":")[0] for line in message.lines] == ["ETH", "BTC", "SOL"]
    assert message.data["episodes"] == 3
    [next_day] = [digest.step(state, alert("BTC", 32), 8 * 60)]
    assert next_day.notification_id != made[0].notification_id
    assert next_day.open_members == 1


def test_numbers_of_a_while_ago_are_told_with_their_time_while_they_may_grow():
    state = routing.State()
    for one in (alert("BTC", 1), alert("ETH", 1.001, 1e5), alert("SOL", 1.002, 1e5)):
        routing.step(state, one)
    last = msgspec.structs.replace(alert("XRP", 1.003, 1e5), ts_event=T + HOUR + 60 * SECOND)
    [grown, *_] = routing.step(state, last)
    assert message_of(grown).lines[0].endswith("That was at 01:00:00 UTC; it may have grown since.")
    [spent, *_] = routing.step(routing.State(), alert("BTC", 1))
    assert "That was" not in message_of(spent).lines[0]


def test_a_digest_of_a_bad_night_stays_small_and_counts_all_of_it():
    state = routing.Digest()
    for number in range(300):
        made = digest.step(state, alert(f"A{number}", 1, 1e5 + number), 0)
    message = message_of(made)
    assert message.title.startswith("The last day: 300 events, the largest A299")
    assert message.lines[-1] == "And 292 smaller."
    assert len(msgspec.msgpack.encode(state)) < 100_000
    for form in targets.FORMS:
        assert len(targets.body(form, message, "a b")) < 100_000


def outbox_of(tmp_path: Path, loaded: rules.Rules, *alerts: Alert) -> list[tuple[str, str, str]]:
    """What waits for whom: the receiver's form, the action, the title."""
    urls = (
        "slack+https://a.example/x pagerduty+https://b.example/x?routing_key=R0123456789"
        " discord+https://c.example/x"
    )
    endpoints = parse_endpoints(urls)
    forms = {endpoint.name: endpoint.target for endpoint in endpoints}
    with Outbox(tmp_path / "outbox.sqlite") as outbox:
        Notifier(endpoints, loaded).take(alerts, outbox)
        return sorted(
            (forms[one.endpoint], json.loads(one.body).get("text", ""), one.webhook_id)
            for one in outbox.listed("pending")
        )


def test_what_another_rule_tells_at_once_is_in_no_digest_and_a_pager_gets_none(tmp_path):
    loaded = rules.Rules(
        rule=[rules.Rule(digest="08:00 UTC"), rules.Rule(to=["discord"], least_usd=5e6)]
    )
    waiting = outbox_of(tmp_path, loaded, alert("BTC", 1, 9e6), alert("ETH", 2, 1e6))
    assert [form for form, _, _ in waiting if form == "pagerduty"] == []
    [slack] = [text for form, text, _ in waiting if form == "slack"]
    assert slack == "🔵 The last day: 2 events, the largest BTC $9.0M"
    assert len([form for form, _, _ in waiting if form == "discord"]) >= 2


def test_a_picture_goes_where_a_channel_takes_one_and_is_of_a_cascade_alone():
    [notification, *_] = routing.step(routing.State(), alert("BTC"))
    message = message_of(notification, picture="https://board.example/{episode}.png")
    assert message.picture == "https://board.example/e-BTC.png"
    assert message.picture not in targets.body("slack", message).decode()
    [image] = json.loads(targets.slack.picture(message))["blocks"]
    assert (image["image_url"], image["alt_text"]) == (message.picture, message.title)
    discord = json.loads(targets.body("discord", message))
    assert discord["embeds"][0]["image"] == {"url": message.picture}
    assert json.loads(targets.body("pagerduty", message))["images"][0]["src"] == message.picture
    unsafe = message_of(notification, picture="http://board.example/{episode}.png")
    assert json.loads(targets.body("pagerduty", unsafe))["images"] == []
    [silent, *_] = routing.step(routing.State(), alert("", kind="feed.silent"))
    assert message_of(silent, picture="https://board.example/{episode}.png").picture == ""


@pytest.mark.parametrize("line", ['digest = "8 o\'clock"', 'least_confidence = "sure"'])
def test_a_rule_that_cannot_be_is_refused_with_its_key(tmp_path, line):
    path = tmp_path / "rules.toml"
    path.write_text(f"[[rule]]\n{line}\n")
    with pytest.raises(rules.RulesError, match=line.split(" ")[0]):
        rules.load_rules(str(path))
