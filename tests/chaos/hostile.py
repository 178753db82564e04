"""A hundred thousand hostile records among good ones: each is told apart, nothing swells."""

import json
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
from confluent_kafka import KafkaException
from say import say

from chaos.judge import condemn, judge
from chaos.kills import ROUND_S, kill_each
from chaos.lag import PARTITIONS
from chaos.outcome import Outcome
from chaos.payloads import bad_payloads
from chaos.recording import RAW, rows
from chaos.rig import Rig
from schemas import codec
from schemas.topics import TOPICS, key_of
from schemas.words import SECOND

#: A round is this many bad records.
ROUND = 1_000
#: One in so many good records is sent twice at once, and one in so many again as of an hour ago.
TWICE, LATE = 200, 100
SWELLS = 1.3
#: Bad records a good one of their topic and partition, at most: nine are where a stage ends itself.
BAD_EACH = 5
#: Enough for each stage to see nothing else in the window over which it takes the share.
FLOOD = 45_000


class Mixer:
    """Adds bad records to the feed, evenly, and remembers where each one landed."""

    def __init__(self, rig: Rig, rng: random.Random, count: int) -> None:
        self.bad: set[tuple[str, int, int]] = set()
        self.extra: dict[str, Counter[str]] = {topic: Counter() for topic in RAW}
        self._rng = rng
        self._rig = rig
        self._count = count
        self._sent = 0
        self._good = _samples(rig)
        self._payloads = bad_payloads(rng, self._good)
        #: How many bad records each topic may have now.
        self._room = Counter[str]()

    def after(self, topic: str, record: Any, share: float) -> None:
        """Follow one item of the recording with its share of bad ones."""
        # A word on time goes to every partition; no more is saved up than a window would notice.
        places = 1 if hasattr(record, "event_id") else PARTITIONS
        self._room[topic] = min(self._room[topic] + BAD_EACH * places, 100 * BAD_EACH)
        while self._sent < self._count * share and any(room > 0 for room in self._room.values()):
            target, payload = next(self._payloads)
            if self._room[target] > 0:
                self._room[target] -= 1
                self._sent += 1
                self._send(target, payload, self._rng.randrange(PARTITIONS), self._landed)
        if not hasattr(record, "event_id"):
            return
        if self._rng.randrange(TWICE) == 0 and record.ts_recv - record.ts_event < SECOND // 2:
            self.extra[topic][record.event_id] += 1
            self._send_record(topic, record)
        elif share > 0.1 and self._rng.randrange(LATE) == 0:
            at = record.ts_event - 3600 * SECOND
            late = msgspec.structs.replace(
                record, event_id=f"late-{record.event_id}"[:200], ts_event=at, ts_recv=at
            )
            self.extra[topic][late.event_id] += 1
            self._send_record(topic, late)

    def _send_record(self, topic: str, record: Any) -> None:
        key = key_of(TOPICS[topic], record) or None
        self._send(topic, codec.encode(record), None, None, key)

    def _send(
        self,
        topic: str,
        payload: bytes,
        partition: int | None,
        landed: Any,
        key: bytes | None = None,
    ) -> None:
        where = {} if partition is None else {"partition": partition}
        producer = self._rig.feeder.producer
        while True:
            try:
                producer.produce(topic, payload, key=key, on_delivery=landed, **where)
                return
            except BufferError:
                producer.poll(0.05)

    def _landed(self, error: object, message: Any) -> None:
        if error is not None:
            raise RuntimeError(f"a bad record was not delivered: {error}")
        self.bad.add((message.topic(), message.partition(), message.offset()))


class Sampler(threading.Thread):
    """Notes how far a stage has come, so that its first half can be held against its second."""

    def __init__(self, rig: Rig, kind: str) -> None:
        super().__init__(name=f"sampling {kind}", daemon=True)
        self.kind = kind
        self.at: list[tuple[float, int]] = []
        self._rig = rig
        self._over = threading.Event()

    def run(self) -> None:
        """Look twice a second until told to stop."""
        while not self._over.wait(0.5):
            try:
                done = sum(max(0, at) for at in self._rig.positions(self.kind).values())
            except KafkaException:
                continue
            self.at.append((time.monotonic(), done))

    def halves(self) -> tuple[float, float, float] | None:
        """Return the moment of the middle record, and records a second before and after it."""
        self._over.set()
        self.join()
        moving = [x for x, y in zip(self.at, self.at[1:], strict=False) if x[1] != y[1]]
        if len(moving) < 10:
            return None  # over before anything could be said
        begin, end = moving[0], moving[-1]
        half = next(x for x in moving if x[1] >= (begin[1] + end[1]) / 2)
        first = (half[1] - begin[1]) / max(0.5, half[0] - begin[0])
        second = (end[1] - half[1]) / max(0.5, end[0] - half[0])
        return half[0], first, second


def hostile_records(
    rig: Rig, rng: random.Random, rounds: int, outcome: Outcome, deadline: float
) -> None:
    """Mix bad records into the recording, at full speed, and account for every one."""
    mixer = Mixer(rig, rng, rounds * ROUND)
    samplers = [Sampler(rig, kind) for kind in ("rollup", "detect")]
    rig.feeder.after = mixer.after
    rig.feeder.start(5)
    for sampler in samplers:
        sampler.start()
    rig.feeder.finish(deadline)
    say(f"{len(mixer.bad)} bad records are among {rig.recording.records} good ones")
    for kind in ("rollup", "detect"):
        rig.watcher.wait_read(kind, deadline, lambda: None)
    for sampler in samplers:
        _steadiness(rig, sampler, outcome)
    rig.settle(deadline)
    outcome.rounds = rounds
    judge(rig, outcome, mixer.extra)
    _letters(rig, outcome, mixer.bad)
    outcome.records += len(mixer.bad)


def everything(
    rig: Rig, rng: random.Random, rounds: int, outcome: Outcome, deadline: float
) -> None:
    """Hostile records, each kind of stage killed in turn, and then Kafka, all in one run."""
    mixer = Mixer(rig, rng, rounds * ROUND // 2)
    rig.feeder.after = mixer.after
    rig.begin((rounds + 1) * ROUND_S)
    kill_each(rig, rng, rounds, outcome, deadline)
    rig.kill_broker()
    rig.settle(deadline)
    judge(rig, outcome, mixer.extra)
    _letters(rig, outcome, mixer.bad)
    outcome.records += len(mixer.bad)


def _steadiness(rig: Rig, sampler: Sampler, outcome: Outcome) -> None:
    halves = sampler.halves()
    if halves is None:
        return
    middle, first, second = halves
    summary = f"{sampler.kind}: {first:,.0f} then {second:,.0f} messages/s"
    for stage in rig.of(sampler.kind):
        # What Python and its libraries take at the start is not growth.
        before = [size for at, size in stage.rss_mb if at <= middle][-20:]
        after = [size for at, size in stage.rss_mb if at > middle]
        if before and after:
            summary += f", {stage.name} {statistics.median(before):.0f} then {max(after):.0f} MB"
            if max(after) > SWELLS * max(before):
                outcome.blame(f"{stage.name} swells from {max(before):.0f} to {max(after):.0f} MB")
    outcome.notes.append(summary)


def _letters(rig: Rig, outcome: Outcome, bad: set[tuple[str, int, int]]) -> None:
    """Each bad record has its dead letter, with a reason, and no good one has."""
    asked = "SELECT topic, partition, offset, reason FROM dead_letters FINAL"
    letters = [json.loads(row) for row in rows(asked, **rig.sink_environ)]
    places = Counter((x["topic"], int(x["partition"]), int(x["offset"])) for x in letters)
    silent, innocent = bad - places.keys(), places.keys() - bad
    unexplained = sum(not x["reason"] for x in letters)
    twice = places.total() - len(places)
    outcome.notes.append(f"dead letters: {len(places)} for {len(bad)} bad records")
    if silent or innocent or unexplained or twice:
        outcome.blame(
            f"dead letters: {len(silent)} missing {sorted(silent)[:3]}, {len(innocent)} of good"
            f" records {sorted(innocent)[:3]}, {unexplained} without a reason, {twice} twice"
        )


def _samples(rig: Rig) -> dict[str, list[dict[str, Any]]]:
    return {topic: list(_head(rig, topic)) for topic in RAW}


def _head(rig: Rig, topic: str) -> Iterator[dict[str, Any]]:
    with (rig.recording.source / f"{topic}.ndjson").open("rb") as file:
        for line, _ in zip(file, range(200), strict=False):
            yield json.loads(line)


def flood(rig: Rig, rng: random.Random, rounds: int, outcome: Outcome, deadline: float) -> None:
    """Hardly anything but bad records: the input is at fault, and the stages stop and say so."""
    wanted = ("rollup", "detect")
    rig.feeder.start(5)
    rig.feeder.finish(deadline)
    # Partition after partition, a stage that lags would meet good and bad by turns.
    rig.read(wanted, deadline)
    good = _samples(rig)
    payloads = bad_payloads(rng, good)
    for number in range(FLOOD):
        topic, payload = next(payloads)
        rig.feeder.producer.produce(topic, payload, partition=number % PARTITIONS)
        rig.feeder.producer.poll(0)
    rig.feeder.producer.flush(60)
    outcome.rounds, outcome.records = rounds, FLOOD
    while time.monotonic() < deadline:
        if all(any(s.unasked for s in rig.of(kind)) for kind in wanted):
            break
        time.sleep(0.5)
    time.sleep(1)
    for kind in wanted:
        complaints = [_complaint(stage.log.read_text(errors="replace")) for stage in rig.of(kind)]
        outcome.notes.append(f"{kind}: {next(filter(None, complaints), 'said nothing of it')}")
        if not any(complaints):
            outcome.blame(f"{kind} goes on though nearly all it reads is refused")
    condemn(outcome)


def _complaint(log: str) -> str:
    return next((line[:300] for line in log.splitlines() if "dead_letter_limit" in line), "")
