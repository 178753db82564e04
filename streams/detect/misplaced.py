"""Records on a partition that is not their key's: what belongs together does not meet.

key BTC ── murmur2 ──> partition 1: its bars            CRC32, or none ──> partition 3: its orders
"""

from typing import Any

from schemas.findings import FeedFinding
from schemas.identity import natural_id
from schemas.status import FeedStatus
from schemas.topics import TOPICS, key_of
from schemas.words import SECOND
from streams.kafka.records import partition_of

#: People hear of a topic once in so many seconds of its records' time.
EVERY_S = 3_600


def look(topic: str, record: Any, partition: int, partitions: int) -> FeedFinding | None:
    """Return what is to be told of a record where it is not where its key belongs, else None.

    The same for all of a topic's within an hour of event time, whichever worker meets them.
    """
    if isinstance(record, FeedStatus):
        return None
    right = partition_of(key_of(TOPICS[topic], record), partitions)
    if right == partition:
        return None
    hour = record.ts_event // SECOND // EVERY_S
    return FeedFinding(
        finding_id=natural_id("feed", topic, "misplaced", hour),
        producer=topic.replace("_", "-"),
        state="misplaced",
        reason=f"{record.asset} lies on partition {partition} of {topic}, its bars on {right}:"
        " it is judged without price and flow, and apart from its other orders. Have its producer"
        " partition by murmur2 of the key (librdkafka: partitioner=murmur2_random)",
        ts_event=record.ts_event,
        ts_detect=record.ts_event,
    )
