"""Which alerts in Kafka are too old to be sent: a lost outbox must not send two months again."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from schemas.topic_identity import connection_of
from sinks.webhooks.outbox_time import wall_us

MAX_AGE_MS = 24 * 3600 * 1_000
#: How long Kafka may take to say what there is, seconds.
ASK_S = 30.0


class History:
    """Alerts that lay in Kafka before this process asked, a day older than the newest and than now.

    Any of the clocks may be wrong, ours or a writer's: what has come since is sent whatever its
    stamp says, and what has not is old only if both clocks say so.
    """

    def __init__(self, conf: Mapping[str, Any]) -> None:
        """Ask Kafka what there is; raises KafkaException."""
        admin = AdminClient(connection_of(conf))
        latest, newest = OffsetSpec.latest(), OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]
        self._ends = {n: answer.offset for n, answer in _asked(admin, latest).items()}
        self._newest_ms = max(
            (answer.timestamp for answer in _asked(admin, newest).values()), default=0
        )

    def holds(self, message: Message) -> bool:
        """Say whether `message` is too old to be sent."""
        kind, written_ms = message.timestamp()
        if kind == TIMESTAMP_NOT_AVAILABLE:
            return False
        if (message.offset() or 0) >= self._ends.get(message.partition() or 0, 0):
            return False
        return bool(written_ms < min(self._newest_ms, wall_us() // 1_000) - MAX_AGE_MS)


def _asked(admin: AdminClient, spec: Any) -> dict[int, Any]:
    topic = admin.list_topics("alerts", timeout=ASK_S).topics["alerts"]
    if topic.error:
        raise KafkaException(topic.error)
    places = {TopicPartition("alerts", number): spec for number in topic.partitions}
    asked = admin.list_offsets(places, request_timeout=ASK_S)
    return {place.partition: future.result() for place, future in asked.items()}
