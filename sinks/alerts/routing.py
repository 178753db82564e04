"""Which alerts make one notification: a pure function on event time. No clock, no I/O.

    BTC onset ──> trigger ─────────────┐ at once: the first critical is never held back
    ETH onset, 20 s later ──┐          │
    market-wide onset ──────┼> update ─┤ at once when an event turns market-wide; else a minute
    300 more onsets ────────┘          │ after the last one, and only when it has grown fourfold
    all exhausted ──────────> update ──┤
    all closed ─────────────> resolve ─┘ under the trigger's key

Cascades that begin or flare up within five minutes of each other, or are open while a market-wide
one is, are one event: what was told by itself ends under its key and goes on under that of the
market's. An update that is not due yet takes in what comes until it is: a later notification of the
same id replaces it. So nothing is lost to a pause, and the same alerts in the same order give the
same notifications with the same ids. An event that is quiet is told less often, not later: a
turn waits four times as long as the turn before it.
"""

from typing import Literal

import msgspec

from schemas.findings import Alert
from schemas.identity import natural_id
from schemas.words import SECOND, Severity

Action = Literal["trigger", "update", "resolve", "reminder", "digest", "picture"]
Why = Literal[
    "begins",
    "worse",
    "market-wide",
    "grown",
    "calmed",
    "flares up",
    "goes on",
    "over",
    "joined",
    "unheard",
    "daily",
    "shows",
]

#: A cascade that begins this soon before or after another of an open event belongs to it.
JOIN_US = 300 * SECOND
#: Least time between notifications of one event, but for those that must go at once.
PAUSE_US = 60 * SECOND
#: Assets, as a multiple of what was last told, by which an event must grow to be told again.
GROWTH = 4
#: An event of which nothing is heard for so long is over.
FORGOTTEN_US = 24 * 3600 * SECOND
#: Since its trigger: an event that is still open is told again then, unless somebody took it.
REMINDERS_US = (1_800 * SECOND, 7_200 * SECOND)

_RANK: dict[Severity, int] = {"info": 0, "warning": 1, "critical": 2}
_BEGIN = ("watch", "onset", "reignited", "silent", "late")
#: Nothing follows these: each is told once, by itself.
_ALONE = ("doubted", "misplaced")
_END = ("closed", "recovered", "retracted")


class Member(msgspec.Struct):
    """One episode, feed or deposit of an event, by its latest alert."""

    alert: Alert
    is_open: bool = True
    is_spent: bool = False


class Event(msgspec.Struct):
    """What is told under one key: open while any member is.

    `ts_joined`: when the latest of its members began, or flared up again. `number`: notifications
    so far, the latest of them due at `ts_due`, telling of `alert_ids`; `waiting_ids` are in none
    yet.
    """

    key: str
    severity: Severity
    ts_first: int
    ts_joined: int
    ts_heard: int
    members: dict[str, Member] = {}
    number: int = 0
    ts_due: int = 0
    waits: bool = False
    why: Why = "begins"
    turns: int = 0
    told_spent: bool = False
    told_assets: int = 0
    alert_ids: list[str] = []
    waiting_ids: list[str] = []


class Digest(msgspec.Struct):
    """What a channel is told once a day, at `ts_due`: all of its episodes, the largest in full."""

    ts_due: int = 0
    ts_first: int = 0
    keys: list[str] = []
    alert_ids: list[str] = []
    largest: dict[str, Alert] = {}


class State(msgspec.Struct):
    """The open events of one channel, by key, and its digest of the day (`digest.step`)."""

    events: dict[str, Event] = {}
    digest: Digest = msgspec.field(default_factory=Digest)


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """What one channel is told of one event.

    `wait_us`: event time until it is due; while it is not sent, a later one of the same id is
    sent instead. `alert_ids`: what it tells that none before it did; `why`: why it is told now.
    `members` are the latest alerts of each episode, the open ones first, `open_members` how many
    are open; of a digest the largest, and how many there were.
    """

    notification_id: str
    key: str
    action: Action
    severity: Severity
    why: Why
    wait_us: int
    ts_first: int
    ts_event: int
    ts_detect: int
    alert_ids: list[str]
    members: list[Alert]
    open_members: int


def step(state: State, alert: Alert) -> list[Notification]:
    """Take in one alert that the channel wants; change `state`, return what the channel is told.

    Notifications come in the order in which they are to be sent. The caller passes no alert twice.
    """
    notifications = [_forgotten(state, event, alert) for event in _unheard(state, alert.ts_event)]
    event = _event_of(state, alert)
    if event is None:
        return notifications + (_begin(state, alert) if _begins(alert) else [])
    return notifications + _go_on(state, event, alert)


def _last_part(alert: Alert) -> str:
    return alert.kind.rpartition(".")[2]


def _of_market(alert: Alert) -> bool:
    return alert.kind.startswith("market.")


def _is_cascade(alert: Alert) -> bool:
    return alert.kind.startswith(("cascade.", "market."))


def _begins(alert: Alert) -> bool:
    """Whether it opens an event; a deposit's verdict, and its retraction, are told at once."""
    return _last_part(alert) in _BEGIN or _is_alone(alert)


def _is_alone(alert: Alert) -> bool:
    return alert.kind.startswith("whale.") or _last_part(alert) in _ALONE


def _unheard(state: State, ts_event: int) -> list[Event]:
    events = state.events.values()
    return [event for event in events if ts_event - event.ts_heard > FORGOTTEN_US]


def _event_of(state: State, alert: Alert) -> Event | None:
    """Return the open event that `alert` belongs to, the oldest where several would do."""
    for event in state.events.values():
        if alert.dedup_key in event.members:
            return event
    if not _is_cascade(alert) or _last_part(alert) not in ("onset", "reignited"):
        return None
    near = [event for event in state.events.values() if _takes(event, alert)]
    return min(near, key=lambda event: (event.ts_first, event.key), default=None)


def _takes(event: Event, alert: Alert) -> bool:
    members = [member for member in event.members.values() if _is_cascade(member.alert)]
    if any(member.is_open and _of_market(member.alert) for member in members):
        return event.ts_first - JOIN_US <= alert.ts_event <= event.ts_heard + FORGOTTEN_US
    return bool(members) and event.ts_first - JOIN_US <= alert.ts_event <= event.ts_joined + JOIN_US


def _begin(state: State, alert: Alert) -> list[Notification]:
    at = alert.ts_event
    event = Event(alert.dedup_key, alert.severity, at, at, at, {alert.dedup_key: Member(alert)})
    event.waiting_ids = [alert.alert_id]
    if _is_alone(alert):
        # Nothing follows a verdict but its being taken back.
        action: Action = "resolve" if _last_part(alert) in _END else "trigger"
        return [_tell(event, alert, action, "over" if action == "resolve" else "begins")]
    joined = _joined(state, event, alert) if _is_market(event) else []
    state.events[event.key] = event
    return [_tell(event, alert, "trigger", "begins"), *_reminders(event, alert), *joined]


def _go_on(state: State, event: Event, alert: Alert) -> list[Notification]:
    is_new, was_market = alert.dedup_key not in event.members, _is_market(event)
    phase = _last_part(alert)
    event.members[alert.dedup_key] = Member(alert, phase not in _END, phase == "exhausted")
    event.waiting_ids = [*event.waiting_ids, alert.alert_id]
    event.ts_heard = max(event.ts_heard, alert.ts_event)
    if is_new or phase == "reignited":
        event.ts_joined = max(event.ts_joined, alert.ts_event)
    if not any(member.is_open for member in event.members.values()):
        del state.events[event.key]
        return [_tell(event, alert, "resolve", "over")]
    is_worse = _RANK[alert.severity] > _RANK[event.severity]
    if is_worse:
        event.severity = alert.severity
    turns_market = _is_market(event) and not was_market
    joined = _joined(state, event, alert) if turns_market else []
    if is_worse or turns_market:
        due = [_tell(event, alert, "update", "worse" if is_worse else "market-wide")]
    else:
        due = _when_due(event, alert)
    return due + _reminders(event, alert) + joined if due else []


def _joined(state: State, event: Event, alert: Alert) -> list[Notification]:
    """Return the ends of all other cascades' events: what is open of them is part of `event`."""
    others = [
        other
        for other in state.events.values()
        if other is not event and any(_is_cascade(m.alert) for m in other.members.values())
    ]
    for other in others:
        del state.events[other.key]
        event.members |= {key: member for key, member in other.members.items() if member.is_open}
    return [_tell(other, alert, "resolve", "joined") for other in others]


def _when_due(event: Event, alert: Alert) -> list[Notification]:
    """Return the update that is due in a while, because of this alert or already."""
    has_grown = len(_assets(event)) >= GROWTH * event.told_assets
    has_turned = _is_spent(event) != event.told_spent
    left_us = event.ts_due - event.ts_heard
    if event.waits and left_us > 0:
        return [_tell(event, alert, "update", event.why, left_us)]
    if not has_grown and not has_turned:
        return []
    event.turns += has_turned
    # What calms and flares up, again and again, is told at longer and longer intervals.
    pause_us = PAUSE_US * (1 if has_grown else 4 ** min(event.turns - 1, 6))
    why: Why = "grown" if has_grown else "calmed" if _is_spent(event) else "flares up"
    return [_tell(event, alert, "update", why, max(0, event.ts_due + pause_us - event.ts_heard))]


def _tell(event: Event, alert: Alert, action: Action, why: Why, wait_us: int = 0) -> Notification:
    """Return what is due after `wait_us`, in the place of what was not due yet."""
    if event.waits and event.ts_heard < event.ts_due:
        event.alert_ids = [*event.alert_ids, *event.waiting_ids]
    else:
        event.number += 1
        event.alert_ids = event.waiting_ids
    event.waiting_ids = []
    event.ts_due, event.waits, event.why = event.ts_heard + wait_us, wait_us > 0, why
    event.told_assets, event.told_spent = len(_assets(event)), _is_spent(event)
    return _notification(event, alert, action, str(event.number), why, wait_us)


def _reminders(event: Event, alert: Alert) -> list[Notification]:
    """Return what is told of an event that stays open, as it stands now."""
    waits = [event.ts_first + after_us - event.ts_heard for after_us in REMINDERS_US]
    return [
        _notification(event, alert, "reminder", f"reminder {number}", "goes on", wait_us)
        for number, wait_us in enumerate(waits)
        if wait_us > 0
    ]


def _forgotten(state: State, event: Event, alert: Alert) -> Notification:
    del state.events[event.key]
    for member in event.members.values():
        member.is_open = False
    latest = max((m.alert for m in event.members.values()), key=lambda a: (a.ts_event, a.alert_id))
    return _tell(event, latest, "resolve", "unheard")


def _notification(
    event: Event, alert: Alert, action: Action, name: str, why: Why, wait_us: int
) -> Notification:
    members = sorted(event.members.values(), key=lambda m: (not m.is_open, m.alert.ts_event))
    return Notification(
        notification_id=natural_id("notification", event.key, event.ts_first, name),
        key=event.key,
        action=action,
        severity=event.severity,
        why=why,
        wait_us=wait_us,
        ts_first=event.ts_first,
        ts_event=alert.ts_event,
        ts_detect=alert.ts_detect,
        alert_ids=[] if action == "reminder" else event.alert_ids,
        members=[member.alert for member in members],
        open_members=sum(member.is_open for member in members),
    )


def _is_market(event: Event) -> bool:
    return any(m.is_open and _of_market(m.alert) for m in event.members.values())


def _is_spent(event: Event) -> bool:
    """Whether every cascade of it that is open has run out of force."""
    running = [m for m in event.members.values() if m.is_open and not _of_market(m.alert)]
    return bool(running) and all(member.is_spent for member in running)


def _assets(event: Event) -> set[str]:
    return {m.alert.asset for m in event.members.values() if not _of_market(m.alert)}
