"""One rollup worker on one core, and two of a group on two: how much more they carry together.

Timed from outside, by what the group has committed, from a tenth of the topic to all that is
wanted. Kafka has no core of its own in either case; on two cores the second worker takes its.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from say import say

from bench import rig
from bench.figures import quotients, spread

PATIENCE_S = 120.0


def measure(url: str, scratch: Path, quick: bool, rounds: int) -> dict[str, Any]:
    """Return the rate of two workers over that of one."""
    wanted = 400_000 if quick else 3_000_000
    one, two = [], []
    for number in range(rounds):
        one.append(_rate(url, scratch, wanted, 1))
        two.append(_rate(url, scratch, wanted, 2))
        say(f"workers {number + 1} of {rounds}: one {one[-1]:,.0f}/s, two {two[-1]:,.0f}/s")
    return {
        "workers_2_vs_1": quotients(two, one),
        "rates": {"one rollup worker": spread(one), "two rollup workers": spread(two)},
    }


def _rate(url: str, scratch: Path, wanted: int, workers: int) -> float:
    group = f"scaling-{time.monotonic_ns()}"
    with working(url, scratch / group, group, workers, "rollup"):
        asker = Consumer({"bootstrap.servers": url, "group.id": f"{group}-rollup"})
        began, at = when_committed(asker, wanted // 10)
        ended, done = when_committed(asker, wanted)
        asker.close()
    return (done - at) / (ended - began)


def all_committed(url: str, group: str, topic: str) -> bool:
    """Return whether a group has committed all of a topic."""
    asker = Consumer({"bootstrap.servers": url, "group.id": group})
    places = [TopicPartition(topic, n) for n in range(rig.PARTITIONS)]
    ends = [asker.get_watermark_offsets(place, timeout=10)[1] for place in places]
    done = False
    with contextlib.suppress(KafkaException):
        committed = asker.committed(places, timeout=10)
        done = all(tp.offset >= end for tp, end in zip(committed, ends, strict=True))
    asker.close()
    return done


def when_committed(
    asker: Consumer, wanted: int, runs: Callable[[], bool] = lambda: True
) -> tuple[float, int]:
    """Wait until the group has committed so many messages; return when, and how many then."""
    places = [TopicPartition("trades", n) for n in range(rig.PARTITIONS)]
    done, deadline = 0, time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and runs():
        # Until the group's coordinator is chosen, there is nobody to ask.
        with contextlib.suppress(KafkaException):
            at = sum(max(0, tp.offset) for tp in asker.committed(places, timeout=10))
            if at > done:
                done, deadline = at, time.monotonic() + PATIENCE_S
        if done >= wanted:
            return time.perf_counter(), done
        time.sleep(0.02)
    raise rig.Failed(f"{done:,} of {wanted:,} committed, then no more")


@contextlib.contextmanager
def working(url: str, folder: Path, group: str, workers: int, stage: str) -> Iterator[None]:
    """Run workers of a stage, each on a core of its own."""
    folder.mkdir(parents=True)
    environ = os.environ | {
        "PYTHONPATH": str(rig.ROOT),
        "KAFKA_URL": url,
        "UNDERTOW_GROUP": group,
        "UNDERTOW_DATA_DIR": str(folder),
    }
    running = []
    with (folder / "log").open("wb") as log:
        for core in rig.CORES[-workers:]:
            command = ["taskset", "-c", str(core), sys.executable, "-m", "streams.cli", stage]
            running.append(subprocess.Popen(command, env=environ, stdout=log, stderr=log))
    try:
        yield
    finally:
        for program in running:
            program.terminate()
        for program in running:
            program.wait(30)
