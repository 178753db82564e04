"""How far each stage has committed, and whether anything visible is left to read."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from schemas.topics import TOPICS
from sinks.kafka.membership import SUNK

PARTITIONS = 4
#: Beyond every session, transaction and retry that may hold a stage up.
STANDS_STILL_S = 150.0
INPUTS: dict[str, tuple[str, ...]] = {
    "rollup": ("trades",),
    "detect": ("liquidations", "bars", "whale_transfers", "market_evidence"),
    "sink": SUNK,
    "notify": ("alerts",),
}
#: What a live feed moves in every partition, all the time.
MOVING: dict[str, tuple[str, ...]] = {
    "rollup": ("trades",),
    "detect": ("liquidations", "bars", "whale_transfers"),
    "sink": ("trades", "liquidations"),
    "notify": ("alerts",),
}
Place = tuple[str, int]


class Behind(Exception):
    """A stage did not come to the end of its input in time; the message says by how much."""


def places(topics: tuple[str, ...]) -> list[Place]:
    """Every partition of some topics."""
    return [(t, n) for t in topics for n in range(PARTITIONS if TOPICS[t].split else 1)]


class Watcher:
    """Looks at a cluster's groups without joining them."""

    def __init__(self, bootstrap: str, group: str) -> None:
        self._conf = {
            "bootstrap.servers": bootstrap,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "logger": logging.getLogger("undertow.librdkafka"),
        }
        self._group = group
        self._askers: dict[str, Consumer] = {}

    def close(self) -> None:
        """Close the connections."""
        for asker in self._askers.values():
            asker.close()
        self._askers.clear()

    def committed(self, stage: str, topics: tuple[str, ...]) -> dict[Place, int]:
        """Return a group's committed offsets, -1 where there is none."""
        parts = [TopicPartition(*place) for place in places(topics)]
        committed = self._asker(stage).committed(parts, timeout=10)
        return {(tp.topic, tp.partition): max(tp.offset, -1) for tp in committed}

    def ends(self, topics: tuple[str, ...]) -> dict[Place, int]:
        """Return the ends of logs, open transactions included."""
        asker = self._asker("ends")
        return {
            p: asker.get_watermark_offsets(TopicPartition(*p), timeout=10)[1]
            for p in places(topics)
        }

    def moved_since(self, stage: str, before: dict[Place, int]) -> bool:
        """Whether a stage has come further in every partition, or to its end."""
        topics = MOVING[stage]
        now, ends = self.committed(stage, topics), self.ends(topics)
        # A transaction's markers are nobody's to commit.
        return all(now[p] > before[p] or now[p] >= ends[p] - 2 for p in now)

    def unread(self, stage: str) -> dict[Place, str]:
        """Return the partitions where something lies beyond a group's commit, or is held up."""
        at = self.committed(stage, INPUTS[stage])
        ends = self.ends(INPUTS[stage])
        open_at = {p: max(offset, 0) for p, offset in at.items() if offset < ends[p]}
        if not open_at:
            return {}
        visible = self._first_visible(open_at)
        left = {}
        for place, start in open_at.items():
            first, eof = visible[place]
            if first is not None:
                left[place] = f"committed {start}, end {ends[place]}"
            elif eof < ends[place]:
                left[place] = f"a transaction is open at {eof}, end {ends[place]}"
        return left

    def wait_read(self, stage: str, deadline: float, alive: Callable[[], None]) -> None:
        """Wait until a stage has committed all there is; raises Behind when that does not come."""
        before: dict[Place, str] = {}
        moved_at = time.monotonic()
        while True:
            alive()
            left: dict[Place, str] = {("the broker", 0): "no answer"}
            with suppress(KafkaException):
                left = self.unread(stage)
            if not left:
                return
            now = time.monotonic()
            moved_at = moved_at if left == before else now
            before = left
            if now > deadline or now - moved_at > STANDS_STILL_S:
                how = "is too slow" if now > deadline else "stands still"
                lags = ", ".join(f"{t}[{n}] {what}" for (t, n), what in sorted(left.items()))
                raise Behind(f"{stage} {how}: {lags}")
            time.sleep(0.5)

    def read_all(self, topic: str) -> Iterator[tuple[Place, int, bytes | None]]:
        """Yield every committed record of a topic: partition, offset, value."""
        for message in self.messages(topic):
            place = (message.topic() or "", message.partition() or 0)
            yield place, message.offset() or 0, message.value()

    def messages(self, topic: str) -> Iterator[Message]:
        """Yield every committed message of a topic."""
        reader = Consumer(self._conf | {"group.id": f"{self._group}-chaos-reader"})
        here = places((topic,))
        reader.assign([TopicPartition(*place, OFFSET_BEGINNING) for place in here])
        left = set(here)
        try:
            while left:
                for message in reader.consume(10_000, timeout=10):
                    place = (message.topic() or "", message.partition() or 0)
                    if not (error := message.error()):
                        yield message
                    elif error.code() == KafkaError._PARTITION_EOF:
                        left.discard(place)
                    else:
                        raise KafkaException(error)
        finally:
            reader.close()

    def _first_visible(self, starts: dict[Place, int]) -> dict[Place, tuple[int | None, int]]:
        """For each place: the first committed record at or after an offset, and where reading ended."""
        reader = Consumer(self._conf | {"group.id": f"{self._group}-chaos-reader"})
        reader.assign([TopicPartition(*place, offset) for place, offset in starts.items()])
        ends: dict[Place, tuple[int | None, int]] = {}
        until = time.monotonic() + 20
        try:
            while len(ends) < len(starts):
                message = reader.poll(1)
                if message is None:
                    if time.monotonic() > until:
                        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
                    continue
                place = (message.topic() or "", message.partition() or 0)
                offset = message.offset() or 0
                if not (error := message.error()):
                    ends.setdefault(place, (offset, offset))
                elif error.code() == KafkaError._PARTITION_EOF:
                    ends.setdefault(place, (None, offset))
                else:
                    raise KafkaException(error)
        finally:
            reader.close()
        return ends

    def _asker(self, stage: str) -> Consumer:
        if stage not in self._askers:
            # To one that reads what is committed a log ends at its first open transaction.
            group = {"group.id": f"{self._group}-{stage}", "isolation.level": "read_uncommitted"}
            conf = self._conf | group
            self._askers[stage] = Consumer(conf)
        return self._askers[stage]
