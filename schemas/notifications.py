"""What people were told: one record for each step of a notification on its way to one receiver."""

from typing import Literal

import msgspec

from schemas.findings import Identities
from schemas.words import Count, Identity, Micros, Severity, Text

#: `waiting`: decided, and put off where `ts_due` is later. `held`: told to nobody, `why` says so.
NotificationState = Literal["waiting", "delivered", "dead", "held"]


class NotificationStep(msgspec.Struct, frozen=True, kw_only=True, tag="notification"):
    """One step of a notification: decided, taken by its receiver, given up, or kept back.

    `notification_id` is the id that the receiver sees; one put off that grows is decided again
    under it, with more `alert_ids`: those that it tells and none before it did. `endpoint` is the
    receiver's name without what is secret of it, empty when an alert is kept back. `key` names the
    event, `why` says why it is told now. `ts_event` is of what is told, None in later steps;
    `ts_noted` and `ts_due` are of the wall clock of who tells. `error`: of the last attempt.
    """

    notification_id: Identity
    endpoint: Text
    state: NotificationState
    ts_noted: Micros
    ts_due: Micros | None = None
    key: Text = ""
    target: Text = ""
    action: Text = ""
    why: Text = ""
    severity: Severity | None = None
    title: Text = ""
    alert_ids: Identities = []
    episodes: Count = 0
    ts_event: Micros | None = None
    attempts: Count = 0
    error: Text = ""
