"""What a consumer tells the metrics each time its loop comes round."""

import time

import msgspec
from confluent_kafka import Consumer

from schemas import metrics

EVERY_S = 1.0


class Shown(msgspec.Struct):
    """When LAG was last written (monotonic seconds), and the topics and partitions it shows."""

    at: float = 0.0
    places: set[tuple[str, str]] = set()


_SHOWN = Shown()


def each_round(consumer: Consumer) -> None:
    """Tell the metrics that a consumer's loop came round; once a second, its lag too."""
    metrics.came_round()
    # Nothing assigned is well where others have it all; no member id means no group,
    # and librdkafka drops it when the brokers are gone for a session's length.
    metrics.READY.set(bool(consumer.memberid()))
    if time.monotonic() - _SHOWN.at >= EVERY_S:
        note_lag(consumer)


def note_lag(consumer: Consumer) -> None:
    """Set LAG of each assigned partition, from what the consumer knows without asking.

    The end of a topic written in transactions may be a marker: nobody takes it, and it
    counts as one.
    """
    _SHOWN.at = time.monotonic()
    seen = set()
    assigned = consumer.assignment()
    for tp, started in zip(consumer.position(assigned), assigned, strict=True):
        begin, end = consumer.get_watermark_offsets(tp, cached=True)
        # Below 0: nothing taken yet, then not even told where to start.
        at = tp.offset if tp.offset >= 0 else started.offset
        at = end if begin == end else at
        if at >= 0 and end >= 0:
            place = (tp.topic, str(tp.partition))
            metrics.LAG.labels(*place).set(max(0, end - at))
            seen.add(place)
    for place in _SHOWN.places - seen:
        metrics.LAG.remove(*place)
    _SHOWN.places = seen
