"""The simulated 10 October through detectors and routing to real receivers: who is woken, when.

`OCT10_ASSETS=300` is the whole market, in minutes; without it a part of it is played.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from broad_market import night

sys.path.insert(0, str(Path(__file__).parent))
from test_event_pages import Live, receiving

from schemas import codec
from schemas.findings import Alert
from schemas.words import SECOND
from sinks.alerts.rules import DEFAULT
from streams.core import pipeline
from streams.core.params import Params

ASSETS = int(os.environ.get("OCT10_ASSETS", "24"))
BEFORE_S, AFTER_S = 80 * 60, 60 * 60
CHANNELS = ("slack", "pagerduty", "webhook", "telegram")


def alerts_of(assets: int) -> list[Alert]:
    params, state = Params(), pipeline.State()
    return [
        output
        for topic, record in night(assets, BEFORE_S, AFTER_S)
        for _, output in pipeline.step(params, state, topic, record).outputs
        if isinstance(output, Alert)
    ]


class Played(NamedTuple):
    """What each channel got, as (event time, body) in order, and which alerts are noted."""

    came: dict[str, list[tuple[int, dict]]]
    undelivered: dict[str, int]
    noted_ids: set[str]


def played(alerts: Sequence[Alert], folder: Path) -> Played:
    """Let each alert come at the event time at which it was detected, to real receivers."""
    came: dict[str, list[tuple[int, dict]]] = {form: [] for form in CHANNELS}
    with receiving() as receivers:
        live = Live(folder / "outbox.sqlite", receivers.endpoints(*CHANNELS))
        live.now_us = live.outbox._began_steady_us = alerts[0].ts_detect

        def note() -> None:
            for form, bodies in came.items():
                bodies += [(live.now_us, body) for body in receivers.bodies(form)[len(bodies) :]]

        def wait_until(ts_event: int) -> None:
            while live.now_us < ts_event:
                waits = [live.outbox.wait_us(name) for name in live.notifier.names]
                due_us = min((wait for wait in waits if wait is not None), default=3_600 * SECOND)
                live.now_us = min(ts_event, live.now_us + max(due_us, SECOND))
                live.deliver()
                note()

        for alert in alerts:
            wait_until(alert.ts_detect)
            live.notifier.take([alert], live.outbox)
            live.deliver()
            note()
        wait_until(live.now_us + 3 * 3_600 * SECOND)
        steps = [codec.decode("notifications", raw) for _, raw in live.outbox.steps(0, 100_000)]
        noted_ids = {alert_id for step in steps for alert_id in step.alert_ids}
        return Played(came, live.outbox.pending(), noted_ids)


def pages(came: list[tuple[int, dict]]) -> dict[str, tuple[int, int]]:
    """Return of each page that PagerDuty opened from when to when it was open."""
    began: dict[str, int] = {}
    ended: dict[str, int] = {}
    for at, body in came:
        if body["event_action"] == "resolve":
            ended[body["dedup_key"]] = at
        elif body["dedup_key"] not in began:
            began[body["dedup_key"]] = at
    assert began.keys() == ended.keys(), "every page is resolved, and nothing else is"
    return {key: (began[key], ended[key]) for key in began}


def waits_s(alerts: Iterable[Alert], came: list[tuple[int, dict]]) -> list[float]:
    """Return for how long each of `alerts` was in no notification, shortest first."""
    named_at: dict[str, int] = {}
    for at, body in came:
        for alert_id in body["data"]["alert_ids"]:
            named_at.setdefault(alert_id, at)
    return sorted((named_at[each.alert_id] - each.ts_detect) / SECOND for each in alerts)


def test_the_market_event_is_one_page_at_each_channel_and_no_critical_waits_for_it(tmp_path):
    alerts = alerts_of(ASSETS)
    told = [alert for alert in alerts if DEFAULT.passes(alert)]
    came, undelivered, noted_ids = played(alerts, tmp_path)
    print({form: len(bodies) for form, bodies in came.items()})
    assert undelivered == {}
    times = {form: [at for at, _ in bodies] for form, bodies in came.items()}
    assert all(each == times["pagerduty"] for each in times.values()), "all channels hear the same"
    assert len(times["pagerduty"]) <= 12, "of the whole night, what came before the fall too"
    opened = pages(came["pagerduty"])
    types = Counter((body["type"], body["data"]["key"]) for _, body in came["webhook"])
    for key in opened:
        assert types["event.trigger", key] == types["event.resolve", key] == 1

    [began] = [alert.ts_detect for alert in told if alert.kind == "market.onset"]
    [ended] = [alert.ts_detect for alert in told if alert.kind == "market.closed"]
    assert len({alert.asset for alert in told}) > ASSETS / 2
    [key] = [key for key, (start, end) in opened.items() if start <= ended and end > began]
    assert opened[key][1] >= ended, "it is one page until it is over"
    assert began in times["pagerduty"], "that it is market-wide is told at once"
    waiting = [
        alert.alert_id
        for alert in told
        if alert.severity == "critical"
        and not any(start <= alert.ts_detect < end for start, end in opened.values())
    ]
    assert waiting == [], "a critical opens a page in its own second, or finds one open"
    joining = [a for a in told if a.severity == "critical" and began <= a.ts_detect < ended]
    waits = waits_s(joining, came["webhook"])
    print(
        f"named after {median(waits):.0f} s, {waits[len(waits) * 9 // 10]:.0f} s, {waits[-1]:.0f} s"
    )
    assert median(waits) <= 120
    assert waits[len(waits) * 9 // 10] <= 240, "most are named four minutes after their onset"
    # A watch that came to nothing ends too: what has no beginning is not told.
    begun = {alert.dedup_key for alert in told if alert.kind.endswith(("onset", "reignited"))}
    of_begun = {alert.alert_id for alert in told if alert.dedup_key in begun}
    assert noted_ids == of_begun, "what a pause holds back is noted"
