"""Whatever names hold, each form of receiver gets a message within its limits and without markup of theirs."""

import json
import re
from email import message_from_bytes, policy

import jsonschema_rs
import msgspec
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from schemas.findings import Alert
from sinks.alerts import routing, targets
from sinks.alerts.message import Message, message_of
from sinks.alerts.targets import discord, pagerduty, slack, standard, telegram
from sinks.alerts.targets.clip import units
from sinks.webhooks.body import probe_message

#: To shrink such texts takes minutes, and says no more.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
T = 1_763_683_200_000_000
NASTY = [
    "@everyone <!channel> <@U123> <https://x|y>", "*b* _i_ ~s~ `c` ```", "[a](http://b) # > -", "&amp; < > \" '",
    "\u202eright to left", "👩‍👩‍👧‍👦🔥" * 50, "x" * 10_000, "🔥" * 5_000, "*_`~<>&" * 1_500, "\x00\x1b[31m\u2028", "",
]  # fmt: skip
TEXT = st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
KEY = TEXT.map(lambda text: text[:200] or "k")
#: As many as there are characters in 10 kB, drawn once: it is the size that matters.
LISTED = st.lists(TEXT, max_size=2) | st.just(["long name " * 20] * 30)
USD = st.none() | st.floats(0, 1e12)
MEMBER = st.builds(
    Alert,
    alert_id=st.uuids().map(str), dedup_key=KEY, tier=st.just("cascade"),
    kind=st.sampled_from(["cascade.onset", "cascade.exhausted", "cascade.closed", "market.onset", "feed.silent", "whale.retracted"]),
    severity=st.sampled_from(["info", "warning", "critical"]), asset=TEXT, title=TEXT, text=TEXT, finding_id=st.just("f"),
    ts_event=st.integers(T, T + 10**9), ts_detect=st.integers(T, T + 10**9), ts_onset=st.none() | st.just(T),
    position_side=st.none() | st.sampled_from(["long", "short", "unknown"]), venues=LISTED,
    assets=LISTED, coverage=st.none() | st.sampled_from(["full", "latest_per_second", "unknown"]),
    silent=LISTED, threshold_is_default=st.none() | st.booleans(), orders=st.none() | st.integers(0, 10**9),
    notional_usd=USD, estimate_usd=USD, estimate_low_usd=USD, estimate_high_usd=USD, pace_usd_per_min=USD,
    usual_usd_per_min=USD, price_before=st.none() | st.floats(1e-9, 1e9), price_worst=st.none() | st.floats(1e-9, 1e9),
    drawdown_bps=st.none(), reignition_probability=st.none() | st.floats(0, 1), excess_selling_usd=st.none(),
    p_value=st.none() | st.floats(0, 1), posterior=st.none(),
)  # fmt: skip
NOTIFICATION = st.builds(
    routing.Notification,
    notification_id=st.uuids().map(str), key=KEY, action=st.sampled_from(["trigger", "update", "resolve", "reminder"]),
    severity=st.sampled_from(["info", "warning", "critical"]), wait_us=st.just(0), ts_first=st.just(T), ts_event=st.just(T),
    why=st.sampled_from(["begins", "worse", "market-wide", "grown", "calmed", "flares up", "goes on", "over", "unheard"]),
    ts_detect=st.just(T), alert_ids=st.lists(st.uuids().map(str), max_size=40),
    members=st.lists(MEMBER, min_size=1, max_size=3) | MEMBER.map(lambda member: [member] * 12), open_members=st.integers(0, 12),
    joined=LISTED,
)  # fmt: skip
MESSAGES = st.builds(
    message_of,
    NOTIFICATION,
    st.sampled_from(["", "https://board.example/{episode}?at={time}&a={asset}"]),
)


def made(form: str, message: Message) -> dict:
    return json.loads(targets.body(form, message, "PARAMETER"))


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(MESSAGES)
def test_slack_gets_text_within_its_limits_and_no_mention_or_markup_of_a_name(message):
    body = made("slack", message)
    header, section = body["blocks"]
    assert 0 < units(header["text"]["text"]) <= slack.HEADER
    assert header["text"]["type"] == "plain_text"
    assert 0 < units(section["text"]["text"]) <= slack.SECTION
    words = section["text"]["text"].partition("\n```")[0]
    for text in (words, body["text"]):
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", text)
        assert not re.search(r"[*_~`](?!\u200b)", text), "a mark is kept apart from its word"
    assert units(json.dumps(body, ensure_ascii=False)) < 10_000


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(MESSAGES)
def test_discord_gets_one_embed_within_its_limits_that_mentions_nobody(message):
    body = made("discord", message)
    [embed] = body["embeds"]
    assert body["allowed_mentions"] == {"parse": []}
    assert 0 < units(embed["title"]) <= discord.TITLE
    assert units(embed["description"]) <= discord.DESCRIPTION
    assert units(embed["title"]) + units(embed["description"]) <= 6_000
    words = embed["description"].partition("\n```sql")[0]
    for text in (words, embed["title"]):
        assert not re.search(r"(?<!\\)(?:\\\\)*[*_~`|<@]", text)


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(MESSAGES)
def test_telegram_gets_plain_text_whose_entities_fit_it(message):
    body = made("telegram", message)
    assert body["chat_id"] == "PARAMETER"
    assert "parse_mode" not in body
    assert 0 < units(body["text"]) <= telegram.TEXT
    [bold] = body["entities"]
    assert 0 < bold["length"] <= units(body["text"])


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(MESSAGES)
def test_pagerduty_gets_an_event_that_its_documentation_allows(message):
    raw = targets.body("pagerduty", message, "KEY")
    event = json.loads(raw)
    assert len(raw) <= pagerduty.MAX_BYTES < 512_000
    assert event["routing_key"] == "KEY"
    assert event["event_action"] == ("resolve" if message.action == "resolve" else "trigger")
    assert len(event["dedup_key"]) <= pagerduty.KEY
    assert 0 < len(event["payload"]["summary"]) <= pagerduty.SUMMARY
    assert event["payload"]["severity"] in ("critical", "error", "warning", "info")
    assert event["payload"]["source"]
    assert all(link["href"].startswith("https://") for link in event.get("links", []))


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(MESSAGES)
def test_alertmanager_gets_labels_that_do_not_change_with_the_event(message):
    [alert] = json.loads(targets.body("alertmanager", message))
    assert alert["labels"] == {
        "alertname": "undertow",
        "event": message.key,
        "severity": message.severity,
    }
    assert alert["startsAt"].endswith("Z")
    assert (alert["endsAt"] > alert["startsAt"]) == (message.action != "resolve")


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(MESSAGES)
def test_a_webhook_and_a_cloudevent_stay_under_20_kb_with_every_number_a_field(message):
    for form in ("webhook", "cloudevents"):
        raw = targets.body(form, message)
        body = json.loads(raw)
        assert len(raw) < 20_000
        assert body["data"]["episodes"] >= len(body["data"]["members"])
    sent = HTTPMessage({"content-type": targets.CONTENT_TYPE["cloudevents"]}, raw)
    event = from_structured_event(sent)
    assert (event.get_id(), event.get_subject()) == (message.notification_id, message.key)
    assert event.get_data() == body["data"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", body["time"])


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(MESSAGES)
def test_no_form_loses_a_message_to_its_words(message):
    assert message.title
    for form in targets.FORMS:
        assert targets.body(form, message, "PARAMETER") == targets.body(form, message, "PARAMETER")


def _text(most: int, least: int = 1) -> dict:
    return {"type": "string", "minLength": least, "maxLength": most}


def _object(required: str, **properties: object) -> dict:
    names = required.split()
    return {"type": "object", "required": names, "properties": properties, "additionalProperties": False}  # fmt: skip


_TIME = {"type": "string", "format": "date-time"}
_URI = {"type": "string", "pattern": "^https://", "maxLength": 3_000}
_PLAIN = _object(
    "type text", type={"const": "plain_text"}, text=_text(150), emoji={"type": "boolean"}
)
_MARKED = _object("type text", type={"const": "mrkdwn"}, text=_text(3_000), verbatim={"type": "boolean"})  # fmt: skip
#: As their documentation has it on 2026-11-27, written by hand.
DOCUMENTED = {
    # docs.slack.dev, reference/block-kit/blocks: header, section, image; reference/messaging/payload.
    "slack": _object(
        "blocks", text=_text(4_000),
        blocks={"type": "array", "maxItems": 50, "items": {"oneOf": [
            _object("type text", type={"const": "header"}, text=_PLAIN),
            _object("type text", type={"const": "section"}, text=_MARKED),
            _object("type image_url alt_text", type={"const": "image"}, image_url=_URI, alt_text=_text(2_000)),
        ]}},
    ),
    # discord.com/developers/docs, resources/webhook "Execute Webhook", resources/message "Embed Object".
    "discord": _object(
        "embeds allowed_mentions",
        allowed_mentions=_object("parse", parse={"type": "array", "maxItems": 0}),
        embeds={"type": "array", "maxItems": 10, "items": _object(
            "title", title=_text(256), description=_text(4_096), timestamp=_TIME, url=_URI,
            color={"type": "integer", "minimum": 0, "maximum": 0xFFFFFF}, image=_object("url", url=_URI),
        )},
    ),
    # core.telegram.org/bots/api, sendMessage.
    "telegram": _object(
        "chat_id text", chat_id=_text(100), text=_text(4_096), disable_notification={"type": "boolean"},
        entities={"type": "array", "items": _object(
            "type offset length", type={"enum": ["bold"]}, offset={"type": "integer", "minimum": 0},
            length={"type": "integer", "minimum": 1},
        )},
        link_preview_options=_object("is_disabled", is_disabled={"type": "boolean"}),
    ),
    # developer.pagerduty.com, docs/events-api-v2/trigger-events.
    "pagerduty": _object(
        "routing_key event_action payload", routing_key=_text(100), dedup_key=_text(255),
        event_action={"enum": ["trigger", "acknowledge", "resolve"]}, client=_text(255), client_url=_URI,
        payload=_object(
            "summary source severity", summary=_text(1_024), source=_text(255), component=_text(255),
            severity={"enum": ["critical", "error", "warning", "info"]}, timestamp=_TIME, group=_text(255),
            custom_details={"type": "object"}, **{"class": _text(255)},
        ),
        links={"type": "array", "items": _object("href", href=_URI, text=_text(255))},
        images={"type": "array", "items": _object("src", src=_URI, href=_URI, alt=_text(255))},
    ),
    # github.com/prometheus/alertmanager, api/v2/openapi.yaml: postableAlerts.
    "alertmanager": {"type": "array", "items": _object(
        "labels", startsAt=_TIME, endsAt=_TIME, generatorURL=_URI,
        labels={"type": "object", "additionalProperties": {"type": "string"}, "propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"}},
        annotations={"type": "object", "additionalProperties": {"type": "string"}},
    )},
    # standardwebhooks.com, spec "Payload structure".
    "webhook": _object("type timestamp data", type=_text(100), timestamp=_TIME, data={"type": "object"}),
}  # fmt: skip
PICTURED = st.builds(
    message_of,
    NOTIFICATION,
    st.just("https://board.example/?{episode}"),
    st.sampled_from(["", "https://board.example/{episode}.png"]),
)


@pytest.mark.parametrize("form", DOCUMENTED)
@settings(max_examples=40, deadline=None, phases=PHASES)
@given(PICTURED)
def test_every_form_is_what_its_documentation_allows(form, message):
    validator = jsonschema_rs.validator_for(DOCUMENTED[form], validate_formats=True)
    validator.validate(made(form, message))


def test_a_form_beyond_what_its_documentation_allows_would_be_seen():
    body = {"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]}
    assert not jsonschema_rs.validator_for(DOCUMENTED["slack"]).is_valid(body)


def test_the_first_line_has_no_internal_name_and_says_how_big_against_the_usual():
    alert = Alert(
        alert_id="a", dedup_key="e", kind="cascade.onset", tier="cascade", severity="critical", asset="BTC", title="t",
        text="score Z30-vol 4.52 against 5.11", finding_id="f", ts_event=T, ts_detect=T, position_side="long",
        venues=["binance", "bybit"], coverage="latest_per_second", threshold_is_default=True, orders=503,
        notional_usd=4.1e6, pace_usd_per_min=7.1e6, usual_usd_per_min=177_500.0, price_before=90_000.0, price_worst=89_100.0,
        estimate_usd=5e6, estimate_low_usd=4.5e6, estimate_high_usd=6e6, silent=["liquidations/okx"],
    )  # fmt: skip
    [notification, *_] = routing.step(routing.State(), alert)
    message = message_of(notification)
    assert message.title == "BTC longs liquidated"
    assert message.lines == [
        "BTC: at least $4.1M of longs sold by force in 503 orders on binance and bybit; $7.1M a minute, 40 times a usual minute.",
        "Price 90,000 before, 89,100 at worst (-1.00 %).",
        "With what venues hid: about $5.0M ($4.5M to $6.0M).",
        "A venue shows one order a second: what is seen is the least it was. The threshold is a default one, not fitted to"
        " this market. Silent: liquidations/okx.",
        "Began 2025-11-21 00:00:00 UTC, as of 00:00:00 UTC.",
    ]  # fmt: skip
    assert message.data["members"][0]["notional_usd"] == 4.1e6
    assert not any("Z30" in line for line in [message.title, *message.lines])


@pytest.mark.parametrize(
    ("likely", "words"),
    [(0.05, "unlikely"), (0.37, "less likely than not"), (0.5, "about as"), (0.9, "is likely")],
)
def test_what_may_follow_is_told_in_words(likely, words):
    calmed = msgspec.structs.replace(_calmed(), members=[_exhausted(likely)])
    assert any(words in line for line in message_of(calmed).lines)


def test_an_update_names_whose_cascades_no_message_before_it_did():
    update = msgspec.structs.replace(_calmed(), members=[_exhausted(0.5)], joined=["SOL", "DOGE"])
    message = message_of(update)
    assert "New since the last message: SOL and DOGE." in message.lines
    assert made("webhook", message)["data"]["joined"] == ["SOL", "DOGE"]
    trigger = msgspec.structs.replace(update, action="trigger", why="begins")
    assert not any("New since" in line for line in message_of(trigger).lines)


def test_a_body_gives_up_numbers_of_episodes_before_ids_of_alerts():
    ids = [f"{number:020}" for number in range(600)]
    update = msgspec.structs.replace(_calmed(), members=[_exhausted(0.5)] * 200, alert_ids=ids)
    body = targets.body("webhook", message_of(update), "PARAMETER")
    assert len(body) <= standard.MAX_BYTES
    assert json.loads(body)["data"]["alert_ids"] == ids


def test_no_name_of_what_joined_makes_a_body_too_long():
    joined = ["🔥" * 2_500] * 3
    update = msgspec.structs.replace(_calmed(), members=[_exhausted(0.5)], joined=joined)
    body = targets.body("webhook", message_of(update))
    assert len(body) <= standard.MAX_BYTES
    assert [name[:2] for name in json.loads(body)["data"]["joined"]] == ["🔥🔥"] * 3


@pytest.mark.parametrize(
    "form", ["webhook", "cloudevents", "slack", "discord", "telegram", "pagerduty", "alertmanager"]
)
def test_every_form_takes_the_test_that_alerts_test_sends(form):
    assert targets.body(form, probe_message(T))


def _exhausted(likely: float) -> Alert:
    return Alert(
        alert_id="a", dedup_key="e", kind="cascade.exhausted", tier="cascade", severity="warning", asset="BTC", title="t",
        text="t", finding_id="f", ts_event=T, ts_detect=T, position_side="long", notional_usd=1e6, reignition_probability=likely,
    )  # fmt: skip


def _calmed() -> routing.Notification:
    return routing.Notification(
        notification_id="n", key="e", action="update", severity="critical", why="calmed", wait_us=0, ts_first=T, ts_event=T,
        ts_detect=T, alert_ids=[], members=[], open_members=1,
    )  # fmt: skip


PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(MESSAGES)
def test_what_shows_a_picture_is_within_limits_wakes_nobody_and_mentions_nobody(message):
    payload, file = targets.picture("discord", message, "", PNG)
    body = json.loads(payload.content)
    assert body["allowed_mentions"] == {"parse": []}
    assert body["flags"] & 4096
    [embed] = body["embeds"]
    assert 0 < units(embed["title"]) <= discord.TITLE
    assert embed["image"]["url"] == f"attachment://{file.filename}"
    assert file.content == PNG
    photo = {part.name: part.content for part in targets.picture("telegram", message, "-100", PNG)}
    assert 0 < units(photo["caption"].decode()) <= telegram.CAPTION
    assert (photo["disable_notification"], photo["photo"]) == (b"true", PNG)
    mail = message_from_bytes(
        targets.picture("email", message, "a@b.c d@e.f", PNG), policy=policy.default
    )
    [image] = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert image.get_content() == PNG
    [page] = [part for part in mail.walk() if part.get_content_type() == "text/html"]
    assert page.get_content().count("<img") == 1
    assert "\n" not in mail["Subject"]
    shown = json.loads(slack.picture(message))
    [block] = shown["blocks"]
    assert 0 < len(block["alt_text"]) <= 2_000
    assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", shown["text"])
