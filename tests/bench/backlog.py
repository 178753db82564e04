"""How far the stages are behind the feed, by what they have committed; and whether that grows."""

from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition

from bench import rig

#: What each consumer group reads of what grows with the load.
READS = {
    "rollup": ("trades",),
    "detect": ("bars", "liquidations"),
    "sink": ("trades", "liquidations"),
    "notify": ("alerts",),
}
#: Falling behind by so much of the time that passes, and by no less than commits jitter, seconds.
SHARE, JITTER_S = 0.2, 1.0


class Seen(NamedTuple):
    """Messages written, and of those committed, by stage, at one moment."""

    at: float
    written: dict[str, int]
    committed: dict[str, int]


class Watch:
    """Asks Kafka for ends and commits, as a consumer that takes nothing."""

    def __init__(self, url: str) -> None:
        quiet = {"bootstrap.servers": url, "log_level": 0}
        self._groups = {
            stage: Consumer(quiet | {"group.id": f"undertow-{stage}"}) for stage in READS
        }

    def look(self, at: float) -> Seen:
        """Return how far everyone is now; `at` is that moment, seconds."""
        written, committed = {}, {}
        for stage, group in self._groups.items():
            asked = [TopicPartition(t, p) for t in READS[stage] for p in range(rig.PARTITIONS)]
            answers = group.committed(asked, timeout=10)
            ends = [group.get_watermark_offsets(place, timeout=10)[1] for place in asked]
            written[stage] = sum(ends)
            committed[stage] = sum(max(0, place.offset) for place in answers)
        return Seen(at, written, committed)


def behind_s(since: Seen, now: Seen, stage: str) -> float:
    """Return what a stage has before it, in seconds of the writing since `since`."""
    rate = (now.written[stage] - since.written[stage]) / max(now.at - since.at, 1e-9)
    return (now.written[stage] - now.committed[stage]) / rate if rate else 0.0


def saturated(begin: Seen, half: Seen, end: Seen) -> list[str]:
    """Return the stages that fell behind in the second half of a level."""
    allowed = max(JITTER_S, SHARE * (end.at - half.at))
    return [
        stage
        for stage in READS
        if behind_s(begin, end, stage) > behind_s(begin, half, stage) + allowed
    ]
