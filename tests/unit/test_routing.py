"""One market event is one page: what a channel is told, by event time alone."""

import random
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nights import an_alert

from schemas.findings import Alert
from schemas.words import SECOND
from sinks.alerts import routing
from sinks.alerts.routing import Notification, State

T = 1_763_683_200 * SECOND
SEVERITY = {
    "onset": "critical",
    "reignited": "critical",
    "exhausted": "warning",
    "silent": "warning",
}


def alert(kind: str, asset: str, second: int, episode: str = "", usd: float = 1e6) -> Alert:
    phase = kind.rpartition(".")[2]
    return an_alert(
        alert_id=f"{kind}-{asset}-{second}",
        dedup_key=episode or f"{kind.split('.')[0]}-{asset}",
        kind=kind,
        tier="watch" if phase == "watch" else "cascade",
        severity=SEVERITY.get(phase, "info"),
        asset=asset,
        ts_event=T + second * SECOND,
        ts_detect=T + (second + 4) * SECOND,
        notional_usd=usd,
    )


def notifications_of(alerts: Iterable[Alert], state: State | None = None) -> list[Notification]:
    """What is told at once or when its pause is over, reminders apart, replaced ones gone."""
    state = state or State()
    notifications: dict[str, Notification] = {}
    for each in alerts:
        for one in routing.step(state, each):
            if one.action != "reminder":
                notifications[one.notification_id] = one
    return list(notifications.values())


def actions(alerts: Iterable[Alert]) -> list[tuple[str, int]]:
    """Each notification's action and the second at which it is due."""
    return [(n.action, (n.ts_event + n.wait_us - T) // SECOND) for n in notifications_of(alerts)]


BTC = [
    alert("cascade.onset", "BTC", 0),
    alert("cascade.exhausted", "BTC", 300),
    alert("cascade.closed", "BTC", 900),
]
MARKET = [alert("market.onset", "", 25), alert("market.closed", "", 800)]


def test_an_episode_that_calms_and_soon_ends_is_a_page_and_its_end_which_has_both():
    alerts = [*BTC[:2], alert("cascade.closed", "BTC", 430)]
    trigger, resolve = notifications_of(alerts)
    assert (trigger.action, resolve.action) == ("trigger", "resolve")
    assert trigger.key == resolve.key
    assert resolve.alert_ids == [alert.alert_id for alert in alerts[1:]]


def test_calm_is_told_when_it_has_lasted_for_five_minutes():
    assert actions(BTC) == [("trigger", 0), ("update", 600), ("resolve", 900)]
    assert notifications_of(BTC)[1].why == "calmed"


def test_a_market_event_of_many_assets_is_one_page_and_few_updates():
    draw = random.Random(7)
    night = [*BTC, *MARKET]
    for number in range(300):
        onset = draw.randrange(1, 1_500)
        night += [
            alert("cascade.watch", f"A{number}", onset - 1),
            alert("cascade.onset", f"A{number}", onset),
            alert("cascade.exhausted", f"A{number}", onset + draw.randrange(30, 900)),
            alert("cascade.closed", f"A{number}", onset + 1_000),
        ]
    night = [a for a in sorted(night, key=lambda a: a.ts_event) if a.kind != "cascade.watch"]
    notifications = notifications_of(night)
    assert [n.action for n in notifications].count("trigger") == 1
    assert [n.action for n in notifications].count("resolve") == 1
    assert notifications[0].wait_us == 0
    assert notifications[-1].open_members == 0
    assert len(notifications) <= 12
    assert sorted(i for n in notifications for i in n.alert_ids) == sorted(
        a.alert_id for a in night
    )


def test_what_turns_market_wide_is_told_at_once_and_what_only_grows_after_a_minute():
    onsets = [alert("cascade.onset", f"A{n}", n) for n in range(1, 9)]
    notifications = actions([BTC[0], *onsets, MARKET[0]])
    assert notifications == [("trigger", 0), ("update", 25)]
    assert actions([BTC[0], *onsets]) == [("trigger", 0), ("update", 60)]


def test_an_update_that_waits_takes_in_what_comes_until_it_is_due():
    alerts = [
        BTC[0],
        *(alert("cascade.onset", f"A{n}", 10 + n) for n in range(7)),
        alert("cascade.onset", "Z", 49),
    ]
    trigger, update = notifications_of(alerts)
    assert trigger.alert_ids == [BTC[0].alert_id]
    assert update.alert_ids == [a.alert_id for a in alerts[1:]]
    assert update.ts_event + update.wait_us == T + 60 * SECOND


def test_each_asset_has_joined_in_one_notification_the_largest_first():
    alerts = [
        BTC[0],
        *(alert("cascade.onset", f"A{n}", 10 + n, usd=n * 1e6) for n in range(1, 3)),
        alert("cascade.onset", "ETH", 20, usd=3e6),
        alert("cascade.onset", "Z", 70),
        alert("cascade.closed", "Z", 80),
    ]
    ends = [alert("cascade.closed", name, 90) for name in ("BTC", "A1", "A2", "ETH")]
    joined = [n.joined for n in notifications_of([*alerts, *ends])]
    assert joined == [["BTC"], ["ETH", "A2", "A1"], ["Z"]]


def test_a_held_back_update_is_in_the_resolve_that_comes_before_it_is_due():
    alerts = [*BTC[:1], *(alert("cascade.onset", f"A{n}", 10) for n in range(2))]
    ends = [alert("cascade.closed", name, 30) for name in ("BTC", "A0", "A1")]
    notifications = notifications_of([*alerts, *ends])
    assert [n.action for n in notifications] == ["trigger", "resolve"]
    assert len(notifications[1].alert_ids) == 5


def test_cascades_far_apart_in_time_are_two_pages_though_the_first_goes_on():
    notifications = notifications_of([BTC[0], alert("cascade.onset", "DOGE", 301)])
    assert [n.action for n in notifications] == ["trigger", "trigger"]
    assert len({n.key for n in notifications}) == 2


def test_while_a_market_event_is_open_every_onset_belongs_to_it():
    notifications = notifications_of([BTC[0], MARKET[0], alert("cascade.onset", "DOGE", 3_000)])
    assert {n.key for n in notifications} == {"cascade-BTC"}


def test_what_has_a_page_of_its_own_ends_there_when_the_market_takes_it_over():
    alerts = [
        alert("cascade.onset", "SOL", 0),
        alert("cascade.onset", "BTC", 900),
        alert("market.onset", "", 920),
        alert("cascade.exhausted", "SOL", 960),
        alert("cascade.closed", "SOL", 1_200),
        alert("cascade.closed", "BTC", 1_300),
        alert("market.closed", "", 1_400),
    ]
    told = notifications_of(alerts)
    assert [(n.action, n.key, n.why) for n in told] == [
        ("trigger", "cascade-SOL", "begins"),
        ("trigger", "cascade-BTC", "begins"),
        ("update", "cascade-BTC", "market-wide"),
        ("resolve", "cascade-SOL", "joined"),
        ("resolve", "cascade-BTC", "over"),
    ]
    assert {member.asset for member in told[2].members} == {"BTC", "SOL", ""}


def test_what_flares_up_draws_in_what_begins_soon_after_it():
    alerts = [
        alert("cascade.onset", "SOL", 0),
        alert("cascade.exhausted", "SOL", 500),
        alert("cascade.reignited", "SOL", 900),
        alert("cascade.onset", "BTC", 1_000),
    ]
    assert {n.key for n in notifications_of(alerts)} == {"cascade-SOL"}


def test_the_order_in_which_two_workers_tell_makes_no_second_page():
    late = alert("cascade.onset", "ETH", -3)
    for alerts in ([BTC[0], late], [late, BTC[0]]):
        assert len({n.key for n in notifications_of(alerts)}) == 1


def due_at(alerts: Iterable[Alert]) -> list[tuple[int, str]]:
    """When each notification is due, in seconds, and why it is told."""
    return [((n.ts_event + n.wait_us - T) // SECOND, n.why) for n in notifications_of(alerts)]


def test_what_joins_a_market_event_is_named_the_sooner_the_more_it_adds():
    first = [alert("cascade.onset", f"B{n}", 1) for n in range(4)]
    eightfold = [alert("cascade.onset", f"A{n}", 20) for n in range(28)]
    a_quarter = [alert("cascade.onset", f"C{n}", 100 + n) for n in range(8)]
    night = [*first, alert("market.onset", "", 2), *eightfold, *a_quarter]
    assert due_at([*night, alert("cascade.onset", "Z", 310)]) == [
        (1, "begins"),
        (2, "market-wide"),
        (62, "grown"),
        (302, "grown"),
        (1_202, "grown"),
    ]


def test_what_comes_shortly_before_an_update_is_due_is_in_the_next_as_that_may_have_been_sent():
    joining = [alert("cascade.onset", "ETH", 5), alert("cascade.onset", "SOL", 51)]
    _, first, second = notifications_of([BTC[0], *joining])
    assert first.alert_ids == [joining[0].alert_id]
    assert second.alert_ids == [joining[1].alert_id]


@pytest.mark.parametrize(
    ("joins", "due"),
    [
        (alert("cascade.onset", "BTC", 100), 100),
        (alert("cascade.onset", "BTC", 20), 60),
        (alert("cascade.onset", "DOGE", 100, usd=7e6), 100),
        (alert("cascade.onset", "DOGE", 100, usd=6.9e6), 900),
    ],
)
def test_a_lone_event_is_told_anew_when_btc_joins_or_its_dollars_grow_eightfold(joins, due):
    assert due_at([alert("cascade.onset", "SOL", 0), joins]) == [(0, "begins"), (due, "grown")]


def test_what_flares_up_after_its_calm_was_told_is_told_a_minute_later_at_most():
    alerts = [
        *BTC[:2],
        alert("cascade.reignited", "BTC", 610),
        alert("cascade.exhausted", "BTC", 900),
        alert("cascade.reignited", "BTC", 1_900),
        alert("cascade.exhausted", "BTC", 2_000),
        alert("cascade.closed", "BTC", 9_000),
    ]
    assert due_at(alerts) == [
        (0, "begins"),
        (600, "calmed"),
        (660, "flares up"),
        (1_900, "goes on"),
        (3_200, "calmed"),
        (9_000, "over"),
    ], "the second calm has to last for twenty minutes, and for one it did not"


def test_an_update_that_waits_says_that_it_has_calmed_if_it_has_by_then():
    alerts = [
        *BTC[:2],
        alert("cascade.reignited", "BTC", 610),
        alert("cascade.exhausted", "BTC", 640),
    ]
    assert due_at(alerts)[-1] == (660, "calmed")


def test_a_market_event_without_a_cascade_that_runs_is_calm():
    ends = [alert("cascade.exhausted", "BTC", 300), alert("cascade.closed", "BTC", 700)]
    assert due_at([BTC[0], MARKET[0], *ends, MARKET[1]]) == [
        (0, "begins"),
        (25, "market-wide"),
        (600, "calmed"),
        (800, "over"),
    ]


def test_an_episode_flaring_up_again_and_again_is_told_less_and_less_often():
    flicker = [BTC[0]]
    for n in range(100):
        flicker.append(
            alert("cascade.exhausted" if n % 2 == 0 else "cascade.reignited", "BTC", 100 + 40 * n)
        )
    notifications = notifications_of([*flicker, alert("cascade.closed", "BTC", 5_000)])
    assert len(notifications) <= 10
    assert notifications[-1].action == "resolve"
    assert sum(len(n.alert_ids) for n in notifications) == 102


def test_an_event_that_ends_and_begins_again_is_another_notification_under_the_same_key():
    again = [
        msgspec.structs.replace(a, ts_event=a.ts_event + 3_600 * SECOND, alert_id=f"{a.alert_id}b")
        for a in BTC
    ]
    notifications = notifications_of([*BTC, *again])
    assert len({n.notification_id for n in notifications}) == 6
    assert {n.key for n in notifications} == {"cascade-BTC"}


def test_what_has_no_beginning_is_not_told():
    assert notifications_of([*BTC[1:], MARKET[1], alert("feed.recovered", "", 5, "feed-a")]) == []


def test_a_feed_is_told_when_it_falls_silent_and_when_it_is_back():
    notifications = notifications_of(
        [alert("feed.silent", "", 0, "feed-a"), alert("feed.recovered", "", 60, "feed-a")]
    )
    assert [(n.action, n.severity) for n in notifications] == [
        ("trigger", "warning"),
        ("resolve", "warning"),
    ]


def test_a_verdict_on_a_deposit_is_told_at_once_and_taken_back_under_its_key():
    notifications = notifications_of(
        [
            alert("whale.consistent_with_selling", "BTC", 0, "w"),
            alert("whale.retracted", "BTC", 9, "w"),
        ]
    )
    assert [(n.action, n.key) for n in notifications] == [("trigger", "w"), ("resolve", "w")]


def test_an_event_that_nobody_ends_is_over_after_a_day_of_silence():
    notifications = notifications_of([BTC[0], alert("cascade.onset", "ETH", 90_000)])
    assert [(n.action, n.key) for n in notifications[1:]] == [
        ("resolve", "cascade-BTC"),
        ("trigger", "cascade-ETH"),
    ]


def test_reminders_wait_for_their_time_tell_how_it_stands_and_are_replaced_under_one_id():
    state = State()
    first = routing.step(state, BTC[0])
    second = routing.step(state, MARKET[0])
    waits = [
        [(n.notification_id, n.wait_us // SECOND) for n in step if n.action == "reminder"]
        for step in (first, second)
    ]
    assert [wait for _, wait in waits[0]] == [1_800, 7_200]
    assert [wait for _, wait in waits[1]] == [1_775, 7_175]
    assert [name for name, _ in waits[0]] == [name for name, _ in waits[1]]
    assert len(second[-1].members) == 2


def test_nobody_is_reminded_of_what_has_calmed_until_it_flares_up():
    state = State()
    waits = []
    for each in (*BTC[:2], alert("cascade.reignited", "BTC", 700)):
        reminders = [n for n in routing.step(state, each) if n.action == "reminder"]
        waits.append([n.wait_us // SECOND for n in reminders])
    day = routing.FORGOTTEN_US // SECOND
    assert waits == [[1_800, 7_200], [day + 1_500, day + 6_900], [1_100, 6_500]]


KINDS = ["cascade.onset", "cascade.exhausted", "cascade.reignited", "cascade.closed", "market.onset", "market.closed",
         "feed.silent", "feed.recovered", "whale.consistent_with_selling", "cascade.watch"]  # fmt: skip
NIGHTS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.sampled_from("ABCD"), st.integers(0, 4_000)),
    max_size=60,
    unique=True,
)


def a_night(drawn: list[tuple[str, str, int]]) -> list[Alert]:
    return [
        alert(kind, "" if kind.startswith("market") else asset, at) for kind, asset, at in drawn
    ]


@given(NIGHTS, st.data())
def test_a_restart_anywhere_changes_nothing_and_no_alert_is_told_twice(drawn, data):
    alerts = a_night(drawn)
    cut = data.draw(st.integers(0, len(alerts)))
    whole, state = notifications_of(alerts), State()
    before = [n for each in alerts[:cut] for n in routing.step(state, each)]
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=State)
    after = [n for each in alerts[cut:] for n in routing.step(state, each)]
    latest = {n.notification_id: n for n in [*before, *after] if n.action != "reminder"}
    assert list(latest.values()) == whole
    ids = [i for n in whole for i in n.alert_ids]
    assert len(ids) == len(set(ids))


@given(NIGHTS)
def test_every_event_begins_with_a_trigger_at_once_and_its_updates_keep_their_distance(drawn):
    last: dict[str, Notification] = {}
    for one in notifications_of(sorted(a_night(drawn), key=lambda a: a.ts_event)):
        before = last.get(one.key)
        if before is None or before.action == "resolve":
            assert one.wait_us == 0
            assert one.action == "trigger" or one.key.startswith("whale")
        elif one.why not in ("worse", "market-wide") and one.action == "update":
            gap = one.ts_event + one.wait_us - (before.ts_event + before.wait_us)
            assert gap >= routing.PAUSE_US
        last[one.key] = one


@pytest.mark.parametrize(
    "drawn", [[("cascade.onset", "A", 0), ("cascade.closed", "A", 5), ("cascade.closed", "A", 6)]]
)
def test_a_second_end_is_not_told(drawn):
    assert [n.action for n in notifications_of(a_night(drawn))] == ["trigger", "resolve"]
