"""A consumer's end, on a real Kafka, with callbacks still to call."""

from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupState, TopicPartition
from confluent_kafka.admin import AdminClient
from stages import until

from schemas import kafka_closing


class Noting(Consumer):
    """Notes which callbacks come, and whether within `close`."""

    def __init__(self, url: str, group: str) -> None:
        conf = {"bootstrap.servers": url, "group.id": group, "session.timeout.ms": 6_000}
        super().__init__(conf)
        self.is_closing = False
        self.calls: list[tuple[str, bool]] = []
        self.subscribe(["trades"], on_assign=self._assigned, on_revoke=self._revoked)

    def _assigned(self, _: Consumer, parts: list[TopicPartition]) -> None:
        self.calls.append(("assigned", self.is_closing))

    def _revoked(self, _: Consumer, parts: list[TopicPartition]) -> None:
        self.calls.append(("revoked", self.is_closing))

    def close(self) -> Any:
        self.is_closing = True
        return super().close()


def is_stable(admin: AdminClient, group: str) -> bool:
    described = admin.describe_consumer_groups([group])[group].result(10)
    return bool(described.state == ConsumerGroupState.STABLE)


@pytest.mark.parametrize("was_told", [True, False])
def test_no_callback_is_left_for_close_to_call(clean_topics: str, was_told: bool) -> None:
    """What `close` calls asks a group that may have ended, and waits for its answer for ever."""
    group = f"closing-{was_told}"
    consumer = Noting(clean_topics, group)
    if was_told:
        until(lambda: (consumer.poll(0.1), bool(consumer.calls))[1], "it is told what is its own")
    else:
        admin = AdminClient({"bootstrap.servers": clean_topics})
        until(lambda: is_stable(admin, group), "what it is to be told lies there")
    kafka_closing.close(consumer)
    assert consumer.calls == [("assigned", False), ("revoked", False)]


def test_partitions_assigned_by_hand_do_not_keep_a_consumer_from_closing(clean_topics: str) -> None:
    consumer = Consumer({"bootstrap.servers": clean_topics, "group.id": "none"})
    consumer.assign([TopicPartition("trades", 0, 0)])
    kafka_closing.close(consumer)
    with pytest.raises(RuntimeError, match="closed"):
        consumer.poll(0)
