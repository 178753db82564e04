"""What a notification says to a person woken at three: what, how big, how sure, what is unknown.

The same words go to every channel, which makes them harmless for itself. Every number is in
`data` as well, so that no program has to read the words.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec

from schemas.access import pass_of
from schemas.findings import Alert
from schemas.words import Severity
from sinks.alerts.routing import Action, Notification, Why

#: Episodes named in words, and given whole in `data`.
NAMED = 8
GIVEN = 10
#: Assets that joined since, named in words.
NAMED_ASSETS = 40

#: Numbers older than this are told with their time.
OLD_US = 10_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OF_SIDE = {"long": "longs", "short": "shorts"}
_DONE = {"long": "longs sold by force", "short": "shorts bought back by force"}
_COVERAGE = {
    "full": "Every forced order was seen.",
    "latest_per_second": "A venue shows one order a second: what is seen is the least it was.",
    "largest_per_second": "A venue shows one order a second: what is seen is the least it was.",
    "unknown": "A feed is silent or unknown: what is seen may be far from all of it.",
}
_WHY: dict[Why, str] = {
    "worse": "Worse: ",
    "market-wide": "Now ",
    "grown": "Growing: ",
    "calmed": "Calmed: ",
    "flares up": "Flaring up again: ",
    "goes on": "Still going on: ",
    "over": "Over: ",
    "joined": "Part of what is market-wide now: ",
    "unheard": "Unheard of for a day: ",
    "daily": "The last day: ",
}


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A notification in words: a title, then lines, the most important first.

    `key` is the same for all that is told of one event; `query` asks the store what lies behind
    it, `link` leads to it on a board, `picture` to an image of it, each empty without one;
    `episode` is the id of the one that a picture would be of.
    """

    notification_id: str
    key: str
    action: Action
    severity: Severity
    title: str
    lines: list[str]
    query: str
    link: str
    picture: str = ""
    episode: str = ""
    ts_first: int
    ts_event: int
    asset: str
    kind: str
    data: dict[str, Any]


def message_of(
    notification: Notification, link: str = "", picture: str = "", token: str = ""
) -> Message:
    """Return `notification` in words.

    `link` and `picture` may hold {episode}, {asset} and {time}, and {pass} for what lets one see
    the picture of this episode where the board asks for `token`.
    """
    lead = _lead(notification)
    title = _title(notification, lead)
    before = _WHY.get(notification.why, "")
    return Message(
        notification_id=notification.notification_id,
        key=notification.key,
        action=notification.action,
        severity=notification.severity,
        title=before + title if before else title[:1].upper() + title[1:],
        lines=[line for line in _lines(notification, lead) if line],
        query=_query(lead),
        link=_link(link, lead, token),
        picture=_link(picture, lead, token) if _is_cascade(lead) else "",
        episode=lead.dedup_key if _is_cascade(lead) else "",
        ts_first=notification.ts_first,
        ts_event=notification.ts_event,
        asset=lead.asset,
        kind=lead.kind,
        data=_data(notification),
    )


def usd(worth: float) -> str:
    """Write dollars as the press does: $950, $12.3K, $4.5M, $1.2B."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(worth) >= size:
            return f"${worth / size:,.1f}{unit}"
    return f"${worth:,.0f}"


def moment(micros: int) -> datetime:
    """Return microseconds UTC as a datetime."""
    return _EPOCH + timedelta(microseconds=micros)


def utc(micros: int, form: str = "%H:%M:%S UTC") -> str:
    """Write microseconds UTC for people."""
    return moment(micros).strftime(form)


def _is_cascade(alert: Alert) -> bool:
    return alert.kind.startswith("cascade.")


def _cascades(notification: Notification) -> list[Alert]:
    """Return the episodes of single assets, the largest first."""
    cascades = [alert for alert in notification.members if _is_cascade(alert)]
    return sorted(cascades, key=lambda a: (-(a.notional_usd or 0.0), a.ts_event, a.asset))


def _is_market(notification: Notification) -> bool:
    return any(alert.kind.startswith("market.") for alert in notification.members)


def _lead(notification: Notification) -> Alert:
    """Return the alert that the notification is about: the largest episode, else the only one."""
    cascades = _cascades(notification)
    return cascades[0] if cascades else notification.members[0]


def _title(notification: Notification, lead: Alert) -> str:
    if notification.action == "digest":
        return _counted(notification)
    cascades = _cascades(notification)
    if not cascades and not _is_market(notification):
        return lead.title or lead.kind
    if _is_market(notification):
        named = [alert.asset for alert in cascades]
        named += [asset for alert in notification.members for asset in alert.assets]
        assets = list(dict.fromkeys(named))
        among = f": {_listed(assets, 4)}" if assets else ""
        return f"liquidations across the market{among}"
    names = [f"{a.asset} {_OF_SIDE.get(a.position_side or '', 'positions')}" for a in cascades]
    return f"{_listed(list(dict.fromkeys(names)), 3)} liquidated"


def _counted(notification: Notification) -> str:
    number = notification.open_members
    events = f"{number} event{'' if number == 1 else 's'}"
    largest = [a for a in _cascades(notification) if a.notional_usd][:1]
    return events + "".join(f", the largest {a.asset} {usd(a.notional_usd or 0)}" for a in largest)


def _of_day(notification: Notification) -> list[str]:
    cascades = _cascades(notification)
    others = [alert.title for alert in notification.members if not _is_cascade(alert)]
    lines = [_forced(alert, is_over=True) for alert in cascades[:NAMED]] + others[:NAMED]
    left = notification.open_members - len(lines)
    return lines + ([f"And {left} smaller."] if left > 0 else [])


def _lines(notification: Notification, lead: Alert) -> list[str]:
    if notification.action == "digest":
        return _of_day(notification)
    if not _is_cascade(lead):
        return [lead.text]
    others = _cascades(notification)[1:]
    return [
        _forced(lead, is_over=notification.action == "resolve") + _age(notification, lead),
        _price(lead),
        _estimate(lead),
        _others(others),
        _joined(notification),
        _outlook(notification, lead),
        _sureness(lead),
        f"Began {utc(notification.ts_first, '%Y-%m-%d %H:%M:%S UTC')}, as of"
        f" {utc(notification.ts_event)}.",
    ]


def _forced(alert: Alert, is_over: bool) -> str:
    least = "" if alert.coverage == "full" else "at least "
    what = _DONE.get(alert.position_side or "", "positions of unknown side closed by force")
    line = f"{alert.asset}: {least}{usd(alert.notional_usd or 0.0)} of {what}"
    if alert.orders is not None:
        line += f" in {alert.orders:,} order{'' if alert.orders == 1 else 's'}"
    if alert.venues:
        line += f" on {_listed(alert.venues, 4)}"
    if pace := alert.pace_usd_per_min:
        line += f"; {usd(pace)} a minute{' at its worst' if is_over else ''}"
        if usual := alert.usual_usd_per_min:
            line += f", {_times(pace / usual)} a usual minute"
    return line + "."


def _age(notification: Notification, alert: Alert) -> str:
    """Return of when the numbers of an episode under way are, if that is a while ago by now."""
    is_under_way = alert.kind.endswith((".watch", ".onset", ".reignited"))
    if not is_under_way or notification.ts_event - alert.ts_event < OLD_US:
        return ""
    return f" That was at {utc(alert.ts_event)}; it may have grown since."


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 2 else f"{ratio:.1f} times"


def _price(alert: Alert) -> str:
    if alert.price_before is None or alert.price_worst is None:
        return "No trades are seen: what the price did is not known."
    moved = (alert.price_worst / alert.price_before - 1) * 100
    before, worst = (f"{price:,.7g}" for price in (alert.price_before, alert.price_worst))
    return f"Price {before} before, {worst} at worst ({moved:+.2f} %)."


def _estimate(alert: Alert) -> str:
    low, high = alert.estimate_low_usd, alert.estimate_high_usd
    if alert.coverage == "full" or alert.estimate_usd is None or low is None or high is None:
        return ""
    return f"With what venues hid: about {usd(alert.estimate_usd)} ({usd(low)} to {usd(high)})."


def _others(others: list[Alert]) -> str:
    if not others:
        return ""
    worths = [f"{a.asset} {usd(a.notional_usd or 0.0)}" for a in others]
    return f"Also: {_listed(worths, NAMED)}."


def _joined(notification: Notification) -> str:
    """Return whose cascades no notification of the event has named before."""
    if notification.action not in ("update", "resolve") or not notification.joined:
        return ""
    return f"New since the last message: {_listed(notification.joined, NAMED_ASSETS)}."


def _outlook(notification: Notification, alert: Alert) -> str:
    likely = alert.reignition_probability
    if notification.action == "resolve" or likely is None:
        return ""
    words = ("unlikely", "less likely than not", "about as likely as not", "likely")
    chance = words[sum(likely >= limit for limit in (0.1, 0.4, 0.6))]
    return f"It has calmed; another fifth of it within half an hour is {chance} ({likely:.0%})."


def _sureness(alert: Alert) -> str:
    text = _COVERAGE.get(alert.coverage or "", "")
    if alert.threshold_is_default:
        text += " The threshold is a default one, not fitted to this market."
    if alert.silent:
        text += f" Silent: {_listed(alert.silent, 3)}."
    return text.strip()


def _listed(names: list[str], most: int) -> str:
    shown = names[:most]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def _query(lead: Alert) -> str:
    table, column = ("episodes", "episode_id") if _is_cascade(lead) else ("alerts", "dedup_key")
    value = lead.dedup_key.replace("\\", "\\\\").replace("'", "\\'")
    return f"SELECT * FROM {table} WHERE {column} = '{value}'"


def _link(template: str, lead: Alert, token: str) -> str:
    # Not when it happened: the board shows what was known at a moment.
    time = utc(lead.ts_detect, "%Y-%m-%dT%H:%M:%SZ")
    values = {
        "episode": lead.dedup_key,
        "asset": lead.asset,
        "time": time,
        "pass": pass_of(token, lead.dedup_key),
    }
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", quote(value, safe=""))
    return template


def _data(notification: Notification) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(notification)
    data["episodes"] = len(data["members"])
    if notification.action == "digest":
        data["episodes"] = notification.open_members
    data["members"] = data["members"][:GIVEN]
    del data["wait_us"]
    return data
