"""One `detect` on one core, and two on two, on the same backlog: how much more they carry together.

    copy of the backlog ──> topics, empty until every worker has its partitions ──> workers

Timed by the clock, from a tenth of the messages to all of them. Kafka has no core of its own, nor
is it bound to that of one of the workers: the other would have an end that nobody shares.
"""

import contextlib
import time
from collections import Counter
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from say import say

from bench import catch_up, load, rig
from bench.figures import quotients, spread
from streams.core.shard import INPUTS
from streams.kafka import topics_admin

#: Seconds between two looks at how far workers are, when they are near what is waited for.
NEAR_S, FAR_S = 0.02, 0.2


def measure(folder: Path, quick: bool, rounds: int) -> dict[str, Any]:
    """Return the rate of two workers over that of one, messages a second."""
    one, two = [], []
    with catch_up.backlog(folder, "1" if quick else "8", set(rig.CORES)) as url:
        copy = _side_by_side(_read(url))
        for number in range(rounds):
            one.append(_rate(url, folder / f"{number}-one", copy, 1))
            two.append(_rate(url, folder / f"{number}-two", copy, 2))
            say(f"detect_workers {number + 1} of {rounds}: {one[-1]:,.0f}/s, {two[-1]:,.0f}/s")
    return {
        "detect_2_vs_1": quotients(two, one),
        "rates": {"one detect, messages": spread(one), "two detects, messages": spread(two)},
    }


def _read(url: str) -> list[Message]:
    """Read the backlog, topic by topic, as it lies there."""
    conf = {"group.id": "copy", "enable.partition.eof": True, "isolation.level": "read_committed"}
    reader = Consumer(conf | {"bootstrap.servers": url})
    places = [TopicPartition(t, n, 0) for t in INPUTS for n in range(rig.PARTITIONS)]
    reader.assign(places)
    copy: list[Message] = []
    left = len(places)
    while left:
        for message in reader.consume(10_000, 1):
            if message.error() is None:
                copy.append(message)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                left -= 1
    reader.close()
    return copy


def _side_by_side(copy: list[Message]) -> list[Message]:
    """Order messages by their share of their partition, so that no worker begins before another."""
    sizes = Counter((message.topic(), message.partition()) for message in copy)
    so_far: Counter[tuple[str | None, int | None]] = Counter()
    shares = []
    for message in copy:
        place = message.topic(), message.partition()
        so_far[place] += 1
        shares.append(so_far[place] / sizes[place])
    return [copy[at] for at in sorted(range(len(copy)), key=shares.__getitem__)]


def _rate(url: str, folder: Path, copy: list[Message], workers: int) -> float:
    catch_up.empty(url, (*INPUTS, *catch_up.OWN))
    group = f"workers-{time.monotonic_ns()}"
    with contextlib.ExitStack() as stack:
        cores = rig.CORES[-workers:]
        for core in cores:
            stack.enter_context(rig.stage("detect", url, folder, group, core))
        logs = [rig.log_of(folder, "detect", core) for core in cores]
        _await_partitions(url, f"{group}-detect", workers)
        _write(url, copy)
        began, at = _when(logs, len(copy) // 10)
        ended, done = _when(logs, len(copy))
    return (done - at) / (ended - began)


def _await_partitions(url: str, group: str, workers: int) -> None:
    admin, deadline = topics_admin.admin_client(url), time.monotonic() + 60
    while time.monotonic() < deadline:
        members = admin.describe_consumer_groups([group])[group].result().members
        if sum(bool(one.assignment.topic_partitions) for one in members) == workers:
            return
        time.sleep(0.2)
    raise rig.Failed(f"{workers} workers have not shared the partitions")


def _write(url: str, copy: list[Message]) -> None:
    producer: Producer = load.producer(url)
    for message in copy:
        place = message.topic() or "", message.value(), message.key(), message.partition()
        while True:
            try:
                producer.produce(*place)
                break
            except BufferError:
                producer.poll(0.05)
    producer.flush()


def _when(logs: list[Path], wanted: int) -> tuple[float, float]:
    """Wait until the workers have taken so many messages; return when, and how many then."""
    deadline = time.monotonic() + catch_up.PATIENCE_S
    while time.monotonic() < deadline:
        done = sum(catch_up.taken(log, INPUTS) for log in logs)
        if done >= wanted * 0.9999:
            return time.perf_counter(), done
        # Asking takes the workers some 2 ms, and us: often only when it decides.
        time.sleep(NEAR_S if done >= wanted * 0.97 else FAR_S)
    raise rig.Failed(f"{done:,.0f} of {wanted:,} messages taken, then no more")
