"""One `notify` of a group works, others stand by: alerts of one event are told together.

nobody of the group there ──> join ──all partitions──> work
somebody is ──> stand by                └─some──> with partition 0: wait for the rest
                    ^                              without: leave ──┐
                    └──────────────────────────────────────────────┘
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas import metrics
from schemas.topic_identity import connection_of
from sinks.webhooks.outbox_time import steady_us

log = logging.getLogger("undertow.notify")
#: How often one that stands by looks whether it is its turn, seconds.
LOOK_S = 2.0
#: Frozen for longer than a group waits for a member, it may have been replaced.
FROZEN_US = 5_000_000
#: How long Kafka may take to say who is there, seconds.
ASK_S = 30.0


class Turn:
    """Whether this member hears all of the topic, and whether the outbox is its own to send from.

    It stays its own while Kafka is away: better twice than not at all. Another's turn, or a freeze
    in which it may have become another's, ends it.
    """

    def __init__(self, steady: Callable[[], int] = steady_us) -> None:
        self.is_whole = False
        self.must_leave = False
        self.has_taken_over = False
        self.is_ours = False
        self._steady = steady
        self._looked_us = steady()

    def may_send(self) -> bool:
        """Say whether what is due may be sent now; asked often, as it tells a freeze by a gap."""
        now_us, then_us = self._steady(), self._looked_us
        self._looked_us = now_us
        if self.is_ours and now_us - then_us > FROZEN_US:
            log.warning("was frozen for %d s: asks whose turn it is", (now_us - then_us) // 10**6)
            self.is_ours, self.must_leave = False, True
        return self.is_ours

    def assigned(self, consumer: Consumer, parts: list[TopicPartition]) -> None:
        """Judge an assignment that was just taken on; some of the partitions are paused."""
        count = len(consumer.list_topics("alerts", timeout=ASK_S).topics["alerts"].partitions)
        numbers = {part.partition for part in parts}
        self.is_whole = len(numbers) == count
        self.must_leave = not self.is_whole and 0 not in numbers
        if self.is_whole:
            consumer.resume(parts)  # some were paused before the rest came
        if parts and not self.is_whole:
            consumer.pause(parts)
            log.warning(
                "hears %d of %d partitions of alerts, and tells nobody: one `notify` must hear all,"
                " so that what happens together is told together",
                len(numbers),
                count,
            )

    def revoked(self, _consumer: Consumer, _parts: list[TopicPartition]) -> None:
        """Note that nothing is heard until the next assignment."""
        self.is_whole = self.has_taken_over = False


def wait(conf: Mapping[str, Any], ours: Turn, stopping: Callable[[], bool]) -> None:
    """Return when no other member of the group is there, or `stopping()`."""
    ours.must_leave = ours.is_whole = ours.has_taken_over = False
    admin = AdminClient(connection_of(conf))
    waits = False
    while not stopping() and (others := _others(admin, conf)):
        ours.is_ours = False
        if not waits:
            log.warning("stands by: another `notify` of %s is at work on %s", *others)
            waits = True
        until = time.monotonic() + LOOK_S
        while time.monotonic() < until and not stopping():
            metrics.came_round()
            metrics.READY.set(0)
            time.sleep(0.1)


def _others(admin: AdminClient, conf: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the group and the host of another member of it, None where there is none."""
    group = conf["group.id"]
    try:
        asked = admin.describe_consumer_groups([group], request_timeout=ASK_S)
        members = asked[group].result().members
    except KafkaException:  # a group that nobody has joined yet, or a broker that is away
        return None
    ours = conf.get("group.instance.id")
    for member in members:
        if not ours or member.group_instance_id != ours:
            return group, member.host
    return None
