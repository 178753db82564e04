"""A conversation with a venue, without a connection: requests, refusals, silence, deadly names."""

import json
from itertools import pairwise

import pytest
from venue_table import TABLE, Row

from streams.feed.dialogue import ANSWERED_WITHIN_S, REFUSED_AGAIN_S, Plan, VenueDialogue
from streams.feed.protocol import TRADES, Stream
from streams.feed.venues import PROTOCOLS
from streams.feeds import registry

RECV = 1_791_600_000_000_000
NAMES = [f"publicTrade.C{n}USDT" for n in range(50)]


def dialogue(plan: Plan) -> VenueDialogue:
    return VenueDialogue(PROTOCOLS["bybit"], plan, registry.bundled("bybit"))


def plan() -> Plan:
    return Plan([Stream(TRADES, "publicTrade", name, name[12:]) for name in NAMES])


def asked(texts: list) -> list[tuple[str, list[str]]]:
    bodies = [json.loads(text) for text in texts]
    return [(body["req_id"], body["args"]) for body in bodies if body["op"] == "subscribe"]


def reply(number: str, success: bool) -> bytes:
    text = "" if success else "error:handler not found"
    return json.dumps(
        {"success": success, "ret_msg": text, "req_id": number, "op": "subscribe"}
    ).encode()


def converse(talk: VenueDialogue, bad: set[str], seconds: float) -> set[str]:
    """Play a venue that refuses a request whole for one bad topic; return what it serves."""
    served: set[str] = set()
    for tick in range(int(seconds * 10)):
        for number, names in asked(talk.due(tick / 10)):
            good = not bad.intersection(names)
            served |= set(names) if good else set()
            talk.hear(reply(number, good), RECV, tick / 10)
    return served


def test_one_unknown_topic_of_fifty_is_set_aside_and_the_others_live_within_seconds() -> None:
    wanted = plan()
    talk = dialogue(wanted)
    served = converse(talk, {NAMES[17]}, 6)
    assert served == set(NAMES) - {NAMES[17]}
    assert [(stream.name, "handler" in reason) for stream, reason in wanted.news] == [
        (NAMES[17], True)
    ]
    assert talk.is_settled()


def test_requests_keep_the_venues_pace() -> None:
    talk = dialogue(Plan([Stream(TRADES, "publicTrade", f"publicTrade.X{n}") for n in range(200)]))
    times = [tick / 100 for tick in range(400) if asked(talk.due(tick / 100))]
    assert len(times) == 4
    assert min(b - a for a, b in pairwise(times)) >= 0.299


def test_a_subscription_without_an_answer_is_asked_again_alone_then_told() -> None:
    wanted = plan()
    talk = dialogue(wanted)
    [(number, names)] = asked(talk.due(0.0))
    assert names == NAMES
    now = ANSWERED_WITHIN_S
    alone = []
    while not talk.is_settled() and now < 100:
        for number, again in asked(talk.due(now)):
            alone.append(again)
            if again != [NAMES[3]]:
                talk.hear(reply(number, True), RECV, now)
        now += 0.1
    assert alone == [[name] for name in NAMES]
    assert [stream.name for stream, _ in wanted.news] == [NAMES[3]]


def test_a_name_that_kills_the_connection_is_isolated_by_halving() -> None:
    wanted, deadly, connections = plan(), NAMES[30], 0
    while connections < 30:
        connections += 1
        talk, died = dialogue(wanted), False
        for tick in range(600):
            for number, names in asked(talk.due(tick / 10)):
                if deadly in names:
                    died = True
                    break
                talk.hear(reply(number, True), RECV, tick / 10)
            if died or talk.is_settled():
                break
        talk.ended()
        if not died:
            break
    assert [stream.name for stream, _ in wanted.news] == [deadly]
    assert {stream.name for stream in wanted.live()} == set(NAMES) - {deadly}
    assert connections <= 10


def test_a_venue_that_drops_everybody_condemns_no_subscription() -> None:
    wanted = plan()
    for _ in range(40):
        talk = dialogue(wanted)
        talk.due(0.0)
        talk.ended()
    assert wanted.news == []
    assert len(wanted.live()) == 50


def test_a_subscription_that_is_answered_late_says_that_something_is_missing() -> None:
    talk = dialogue(Plan([Stream(TRADES, "publicTrade", NAMES[0], "C0USDT")]))
    heard, now = [], 0.0
    while now < 100 and not heard:
        for number, _ in asked(talk.due(now)):
            if now > 60:
                heard.append(talk.hear(reply(number, True), RECV, now))
        now += 0.1
    assert "late" in heard[0].late
    assert talk.is_settled()


def test_what_was_refused_is_asked_for_again_after_a_while_and_told_when_it_is_served() -> None:
    wanted = plan()
    talk = dialogue(wanted)
    converse(talk, {NAMES[17]}, 6)
    assert [stream.name for stream in wanted.aside] == [NAMES[17]]
    asks = [number for second in range(6, 3_000) for number, _ in asked_at(talk, second)]
    assert 3 <= len(asks) <= 3_000 / REFUSED_AGAIN_S
    assert len(wanted.news) == 1, "what is still refused is not told twice"
    served = converse(talk, set(), 6_000)
    assert served == {NAMES[17]}
    assert [stream.name for stream in wanted.back] == [NAMES[17]]
    assert wanted.aside == {}


def asked_at(talk: VenueDialogue, second: int) -> list[tuple[str, list[str]]]:
    """Let a second come, in which whatever is asked for is refused."""
    requests = asked(talk.due(float(second)))
    for number, _ in requests:
        talk.hear(reply(number, False), RECV, float(second))
    return requests


def known_to(row: Row) -> registry.Instruments:
    table = registry.bundled(row.venue)
    if row.metadata is not None:
        table = registry.instruments_of(row.venue, row.metadata, "test")
    known = table.of_connection()
    known.channels[23916] = "trades:tBTCF0:USTF0"
    return known


@pytest.mark.parametrize("row", [row for row in TABLE if not row.fills_gaps])
def test_no_channel_takes_another_channels_frame_for_its_own(row: Row) -> None:
    frame, known = row.frame.encode(), known_to(row)
    right = registry.parse(row.venue, None, frame, known, RECV)
    for channel in registry.VENUES[row.venue].channels:
        parsed = registry.parse(row.venue, channel, frame, known, RECV)
        assert parsed.refusals or parsed.control or parsed == right, channel


@pytest.mark.parametrize("venue", PROTOCOLS)
def test_frames_that_begin_alike_are_decoded_once_whatever_comes_between(venue, monkeypatch):
    rows = [row for row in TABLE if row.venue == venue and not row.fills_gaps]
    known = known_to(rows[0])
    for row in rows:
        known.update(known_to(row))
    talk = VenueDialogue(PROTOCOLS[venue], Plan([]), known)
    talk._instruments.channels |= known.channels
    frames = [row.frame.encode() for row in rows] * 2
    once = [talk.hear(frame, RECV, 0.0) for frame in frames[: len(rows)]]
    routed, channel_of = [], registry.channel_of

    def counted(_: str, frame: bytes) -> str | None:
        routed.append(frame)
        return channel_of(venue, frame)

    monkeypatch.setattr(registry, "channel_of", counted)
    again = [talk.hear(frame, RECV, 0.0) for frame in frames[len(rows) :]]
    assert [heard.records for heard in again] == [heard.records for heard in once]
    assert len(routed) < len(rows) / 2
