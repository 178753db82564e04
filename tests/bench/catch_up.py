"""How fast detect works through a backlog: hours of the default night already on Kafka.

From nothing, and from a checkpoint (killed half-way, begun again). Timed from outside by the
processor time of the worker, so that what else the machine does counts little: the first tenth,
the last, and all of it; beside it the same engine over the same messages in one process.
"""

import contextlib
import re
import subprocess
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from say import say

from bench import rig, scaling
from bench.figures import quotients, spread
from streams.kafka import topics_admin

PATIENCE_S = 900.0
#: What a worker writes and reads again: left from one round, it would be the next one's input.
OWN = ("market_evidence", "cascades", "whale_selling", "alerts", "dead_letters")
#: Position of a worker at a moment: records taken, its processor seconds.
Mark = tuple[float, float]


def measure(folder: Path, quick: bool, rounds: int) -> dict[str, Any]:
    """Return records by a second of the worker's processor time, and the engine's beside them."""
    hours = "1" if quick else "8"
    with backlog(folder, hours) as url:
        alone, whole, first, last, again = [], [], [], [], []
        for number in range(rounds):
            engine_run = rig.program("engine", url, 0, folder)
            alone.append(engine_run["records"] / engine_run["cpu_s"])
            marks = _worked_through(url, folder / f"{number}", engine_run)
            whole.append(_rate(marks["begun"], marks["end"]))
            first.append(_rate(marks["begun"], marks["first tenth"]))
            last.append(_rate(marks["last tenth"], marks["end"]))
            again.append(_resumed(url, folder / f"{number}-killed", engine_run))
            say(
                f"catch_up {number + 1} of {rounds}: {engine_run['records']:,} records, engine alone"
                f" {alone[-1]:,.0f}, detect {whole[-1]:,.0f} (first tenth {first[-1]:,.0f}, last"
                f" {last[-1]:,.0f}), after a kill {again[-1]:,.0f} records a processor second"
            )
    return {
        "catch_up_vs_engine": quotients(whole, alone),
        "catch_up_rate": spread(whole),
        "catch_up_flat": quotients(last, first),
        "catch_up": {
            "hours": hours,
            "from nothing": spread(whole),
            "from a checkpoint": spread(again),
            "engine alone": spread(alone),
        },
    }


@contextlib.contextmanager
def backlog(folder: Path, hours: str, cores: set[int] = rig.THEIRS) -> Iterator[str]:
    """Start Kafka with hours of the default night on it, folded; yield its address."""
    with rig.broker(folder / "kafka", cores) as url:
        rig.undertow("replay", "--hours", hours, "--kafka-url", url)
        _fold(url, folder)
        yield url


def _fold(url: str, folder: Path) -> None:
    with scaling.working(url, folder / "rollup", "fold", 1, "rollup"):
        deadline = time.monotonic() + PATIENCE_S
        while not scaling.all_committed(url, "fold-rollup", "trades"):
            if time.monotonic() > deadline:
                raise rig.Failed("rollup has not folded the backlog")
            time.sleep(0.5)


def _worked_through(url: str, folder: Path, engine_run: dict[str, Any]) -> dict[str, Mark]:
    marks: dict[str, Mark] = {}
    with _detect(url, folder, folder.name) as look:
        for name, share in (("begun", 0.0), ("first tenth", 0.1), ("last tenth", 0.9), ("end", 1)):
            marks[name] = look(engine_run, share)
    return marks


def _resumed(url: str, folder: Path, engine_run: dict[str, Any]) -> float:
    with _detect(url, folder, folder.name) as look:
        at, _ = look(engine_run, 0.5)
    with _detect(url, folder, folder.name, anew=False) as look:
        begun = look(engine_run, 0.0)
        end = look(engine_run, 1 - at / engine_run["records"])
    return _rate(begun, end)


def _rate(since: Mark, until: Mark) -> float:
    return (until[0] - since[0]) / (until[1] - since[1])


@contextlib.contextmanager
def _detect(url: str, folder: Path, group: str, anew: bool = True) -> Iterator[Any]:
    """Run a worker on our core; yield what waits until it has taken a share of the records."""
    if anew:
        empty(url, OWN)
    core = min(rig.OURS)
    with rig.stage("detect", url, folder, f"catch-up-{group}", core) as worker:
        log = rig.log_of(folder, "detect", core)
        yield lambda engine_run, share: _when(worker, log, engine_run, share)


def _when(
    worker: subprocess.Popen[bytes], log: Path, engine_run: dict[str, Any], share: float
) -> Mark:
    """Wait until a worker has taken so much; return how many records, and its processor time."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if worker.poll() is not None:
            raise rig.Failed(f"detect ended: {log.read_text()[-600:]}")
        messages = taken(log, engine_run["messages"])
        records = messages / sum(engine_run["messages"].values()) * engine_run["records"]
        if records and records >= share * engine_run["records"] * 0.9999:
            return records, rig.cpu_s(worker.pid)
        time.sleep(0.02)
    raise rig.Failed(f"detect: not so far in {PATIENCE_S:g} s")


def taken(log: Path, topics: Collection[str]) -> float:
    """Return how many messages a worker's metrics say that it has taken of some topics."""
    text = rig.metrics(log, "detect") or ""
    counted = re.findall(r'^undertow_records_total\{topic="(\w+)"\} (\S+)', text, re.M)
    return sum(float(count) for topic, count in counted if topic in topics)


def empty(url: str, topics: Collection[str]) -> None:
    """Make topics anew."""
    admin = topics_admin.admin_client(url)
    for future in admin.delete_topics(list(topics)).values():
        future.result()
    deadline = time.monotonic() + 30
    while set(admin.list_topics(timeout=10).topics) & set(topics) and time.monotonic() < deadline:
        time.sleep(0.1)
    topics_admin.create_topics(url, rig.PARTITIONS)
