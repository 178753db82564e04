"""Whale Alert's WebSocket: venue-protocols.md 15. Pure.

It sends so many alerts an hour, and then nothing, without a word: exactly when there are many.
"""

from collections import deque

import msgspec

from streams.feed.dialogue import Heard
from streams.feeds import deposits, registry
from streams.feeds.deposits import Owners
from streams.feeds.frames import NOT_A_FRAME, Refusal
from streams.feeds.labels import Labels

#: Alerts an hour on the smaller plan.
CAP, HOUR_S = 100, 3600.0


class _Reply(msgspec.Struct):
    type: str = ""


class WhaleAlertDialogue:
    """One connection's side; `owners` outlive it."""

    def __init__(self, labels: Labels, owners: Owners, least_usd: float) -> None:
        self._labels = labels
        self._owners = owners
        request = {
            "type": "subscribe_alerts",
            "id": "undertow",
            "tx_types": ["transfer"],
            "min_value_usd": max(100_000, round(least_usd)),
        }
        self._greeting = [msgspec.json.encode(request).decode()]
        self._settled = False
        self._alerts: deque[float] = deque(maxlen=CAP)

    def due(self, now: float) -> list[str | bytes]:
        """Return what is to be sent now."""
        sends, self._greeting = self._greeting, []
        return list(sends)

    def hear(self, frame: bytes, ts_recv: int, now: float) -> Heard:
        """Take in one frame; whatever its bytes, nothing is raised."""
        known = registry.bundled("whale_alert")
        parsed = registry.parse("whale_alert", None, frame, known, ts_recv)
        if parsed.control:
            self._settled = self._settled or _is_confirmed(frame)
            return Heard(refusals=parsed.refusals)
        records: list[msgspec.Struct] = []
        for transfer in parsed.records:
            records += deposits.step(self._owners, self._labels, transfer)
        return Heard(records, [*parsed.refusals, *self._capped(now)])

    def is_settled(self) -> bool:
        """Say whether the subscription was confirmed."""
        return self._settled

    def ended(self) -> None:
        """Take in that the connection is gone."""

    def _capped(self, now: float) -> list[Refusal]:
        """Note an alert; say so where an hour has had as many as the plan allows."""
        self._alerts.append(now)
        if len(self._alerts) < CAP or now - self._alerts[0] > HOUR_S:
            return []
        self._alerts.clear()
        reason = (
            f"{CAP} alerts within an hour: on the smaller plan nothing more comes before it ends"
        )
        return [Refusal("coverage", reason)]


def _is_confirmed(frame: bytes) -> bool:
    try:
        return msgspec.json.decode(frame, type=_Reply).type == "subscribed_alerts"
    except NOT_A_FRAME:
        return False
