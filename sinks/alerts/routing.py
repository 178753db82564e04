"""Which alerts make one notification: a pure function on event time. No clock, no I/O.

    XRP onset ──> trigger ─────────────┐ at once: the first critical is never held back
    market-wide onset ──────> update ──┤ at once
    BTC or ETH onset ───────> update ──┤ a minute after the last one, as when it grows eightfold
    300 more onsets ────────> update ──┤ four minutes, and what adds little fifteen, after the last
    all exhausted ──────────> update ──┤ when that has lasted for five minutes
    all closed ─────────────> resolve ─┘ under the trigger's key

Cascades that begin or flare up within five minutes of each other, or are open while a market-wide
one is, are one event: what was told by itself ends under its key and goes on under that of the
market's. An update that is not due yet takes in what comes until it is: a later notification of the
same id replaces it, and that may be the end. So nothing is lost to a pause, a short event is told
twice, and the same alerts in the same order give the same notifications with the same ids. Each
calm that is told has to last four times as long as the one before it.
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
#: What joins an event is told so long after the last notification at the latest.
JOINED_US = 900 * SECOND
#: Sooner if assets or dollars have grown so much since: any event's, and a market-wide one's.
GROWTH, GROWTH_US = 8, PAUSE_US
MARKET_GROWTH, MARKET_GROWTH_US = 1.25, 240 * SECOND
#: Assets whose cascades are told after a pause, however large the event is by then.
LARGEST = frozenset({"BTC", "ETH"})
#: Calm is told when it has lasted so long: most of what calms is over before.
CALM_US = 300 * SECOND
#: What waits takes nothing in so soon before it is due: alerts come late, it may have been sent.
LATE_US = 10 * SECOND
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


class Standing(msgspec.Struct, frozen=True):
    """What is told of an event, as far as it decides when the event is told again."""

    usd: float = 0.0
    assets: list[str] = []
    is_spent: bool = False


class Event(msgspec.Struct):
    """What is told under one key: open while any member is.

    `ts_joined`: when the latest of its members began, or flared up again; `ts_spent`: when it last
    calmed. `number`: notifications so far, the latest of them due at `ts_due`, telling of
    `alert_ids`; `waiting_ids` are in none yet. `last_sent`: how it stood at `ts_last_sent`, when
    the latest was due. `pause_us`: how long after that the next is due for what joined since, 0 for
    nothing. `calms`: how often calm was told.
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
    ts_spent: int = 0
    ts_last_sent: int = 0
    last_sent: Standing = Standing()
    pause_us: int = 0
    calms: int = 0
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
    are open; of a digest the largest, and how many there were. `joined`: assets that it names and
    none before it did, the largest first.
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
    joined: list[str] = []


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
    phase, at = _last_part(alert), max(event.ts_heard, alert.ts_event)
    _settle(event, at)
    is_new = alert.dedup_key not in event.members
    was_market, was_spent = _is_market(event), _is_spent(event)
    event.members[alert.dedup_key] = Member(alert, phase not in _END, phase == "exhausted")
    event.waiting_ids = [*event.waiting_ids, alert.alert_id]
    event.ts_heard = at
    if is_new or phase == "reignited":
        event.ts_joined = max(event.ts_joined, alert.ts_event)
        event.pause_us = min(event.pause_us or FORGOTTEN_US, _pause_us(event))
    if _is_spent(event) and not was_spent:
        event.ts_spent = at
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
        other.ts_heard = max(other.ts_heard, alert.ts_event)
        event.members |= {key: member for key, member in other.members.items() if member.is_open}
    return [_tell(other, alert, "resolve", "joined") for other in others]


def _when_due(event: Event, alert: Alert) -> list[Notification]:
    """Return the update that is due in a while, because of this alert or already."""
    stands: Why = "calmed" if _is_spent(event) else event.why
    due, why = _next(event) or (event.ts_due if event.waits else 0, stands)
    return [_tell(event, alert, "update", why, max(0, due - event.ts_heard))] if due else []


def _next(event: Event) -> tuple[int, Why] | None:
    """Return when the event is to be told again and why, None where nothing is new."""
    was_spent, sent_us = event.last_sent.is_spent, event.ts_last_sent
    if _is_spent(event):
        return (
            None if was_spent else (event.ts_spent + CALM_US * 4 ** min(event.calms, 6), "calmed")
        )
    if was_spent:
        return sent_us + PAUSE_US, "flares up"
    has_more = len(_standing(event).assets) > len(event.last_sent.assets)
    return (
        (sent_us + event.pause_us, "grown" if has_more else "goes on") if event.pause_us else None
    )


def _pause_us(event: Event) -> int:
    """Return how long after the last notification what joins now is told at the latest."""
    before, now = event.last_sent, _standing(event)
    by_usd = now.usd / before.usd if before.usd else 1.0
    growth = max(by_usd, len(now.assets) / max(1, len(before.assets)))
    if growth >= GROWTH or LARGEST & {*now.assets} - {*before.assets}:
        return GROWTH_US
    return MARKET_GROWTH_US if _is_market(event) and growth >= MARKET_GROWTH else JOINED_US


def _settle(event: Event, at: int) -> None:
    """Note that what is due by `at`, or soon after it, has been told as the event stands."""
    if not event.waits or event.ts_due - LATE_US > at:
        return
    event.waits, event.ts_last_sent, event.last_sent = False, event.ts_due, _standing(event)
    event.calms += event.why == "calmed"
    event.pause_us = 0


def _tell(event: Event, alert: Alert, action: Action, why: Why, wait_us: int = 0) -> Notification:
    """Return what is due after `wait_us`, in the place of what was not due yet."""
    _settle(event, event.ts_heard)
    if event.waits:
        event.alert_ids = [*event.alert_ids, *event.waiting_ids]
    else:
        event.number += 1
        event.alert_ids = event.waiting_ids
    event.waiting_ids = []
    event.ts_due, event.waits, event.why = event.ts_heard + wait_us, True, why
    notification = _notification(event, alert, action, str(event.number), why, wait_us)
    _settle(event, event.ts_heard)
    return notification


def _reminders(event: Event, alert: Alert) -> list[Notification]:
    """Return what is told of an event that stays open, as it stands now; nothing while it is calm.

    One that was put off before is put off for longer then, until the event is over.
    """
    calm_us = FORGOTTEN_US if _is_spent(event) else 0
    waits = [event.ts_first + after_us - event.ts_heard for after_us in REMINDERS_US]
    return [
        _notification(event, alert, "reminder", f"reminder {number}", "goes on", wait_us + calm_us)
        for number, wait_us in enumerate(waits)
        if wait_us > 0
    ]


def _forgotten(state: State, event: Event, alert: Alert) -> Notification:
    del state.events[event.key]
    for member in event.members.values():
        member.is_open = False
    event.ts_heard = max(event.ts_heard, alert.ts_event)
    latest = max((m.alert for m in event.members.values()), key=lambda a: (a.ts_event, a.alert_id))
    return _tell(event, latest, "resolve", "unheard")


def _notification(
    event: Event, alert: Alert, action: Action, name: str, why: Why, wait_us: int
) -> Notification:
    members = sorted(event.members.values(), key=lambda m: (not m.is_open, m.alert.ts_event))
    by_size = sorted(_cascades(event), key=lambda a: (-(a.notional_usd or 0.0), a.asset))
    joined = [alert.asset for alert in by_size if alert.asset not in event.last_sent.assets]
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
        joined=list(dict.fromkeys(joined)),
    )


def _is_market(event: Event) -> bool:
    return any(m.is_open and _of_market(m.alert) for m in event.members.values())


def _is_spent(event: Event) -> bool:
    """Whether every cascade of it has run out of force or is over."""
    cascades = [m for m in event.members.values() if not _of_market(m.alert)]
    return bool(cascades) and all(member.is_spent or not member.is_open for member in cascades)


def _cascades(event: Event) -> list[Alert]:
    return [m.alert for m in event.members.values() if m.alert.kind.startswith("cascade.")]


def _standing(event: Event) -> Standing:
    alerts = _cascades(event)
    usd = sum(alert.notional_usd or 0.0 for alert in alerts)
    return Standing(usd, sorted({alert.asset for alert in alerts}), _is_spent(event))
