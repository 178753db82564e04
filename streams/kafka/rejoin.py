"""The loop around a stage's session: what passes in Kafka begins a new one."""

import logging
import time
from collections.abc import Callable

from confluent_kafka import KafkaException

from schemas import metrics
from schemas.kafka_failures import mended_by_rejoining
from schemas.topic_identity import TopicChanged

log = logging.getLogger("undertow.kafka")
PAUSE_S = 0.5


def rejoining(stage: str, session: Callable[[], None], stopping: Callable[[], bool]) -> None:
    """Run `session` to its end, and anew when a new client may do, until `stopping()`.

    Raises KafkaException for what does not pass, and whatever else `session` raises.
    """
    while not stopping():
        try:
            session()
            return
        except TopicChanged as change:
            log.error("%s: %s; beginning anew", stage, change)
        except KafkaException as problem:
            if not mended_by_rejoining(problem):
                raise
            log.warning("%s: starting again from the last commit: %s", stage, problem)
            metrics.RETRIES.labels("kafka").inc()
            time.sleep(PAUSE_S)
