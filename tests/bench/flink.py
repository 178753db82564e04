"""Flink SQL over the flood, timed from outside by the offsets that its checkpoints commit."""

import contextlib
import os
import subprocess
import time
from pathlib import Path

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewTopic

from bench import rig
from bench.scaling import when_committed


def run(url: str, scratch: Path, wanted: int) -> dict[str, float]:
    """Return records, seconds and processor seconds of the second half, when its JVM has compiled
    itself. Raises rig.Failed.
    """
    name = f"flink-{time.monotonic_ns()}"
    folder = scratch / name
    folder.mkdir(parents=True)
    topic = NewTopic(f"{name}-sums", num_partitions=rig.PARTITIONS)
    admin = AdminClient({"bootstrap.servers": url})
    admin.create_topics([topic])[topic.topic].result()
    command = [
        str(rig.FLINK),
        "-m",
        "bench.programs.flink_windows",
        url,
        name,
        str(rig.FLINK_KAFKA),
    ]
    environ = os.environ | {"PYTHONPATH": str(rig.ROOT / "tests")}
    asker = Consumer({"bootstrap.servers": url, "group.id": name})
    with (folder / "log").open("wb") as log:
        program = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=log, stderr=log, start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, rig.OURS),
        )  # fmt: skip
        try:
            began, at = when_committed(asker, wanted // 2, lambda: program.poll() is None)
            cpu_before = _cpu_s(program.pid)
            ended, done = when_committed(asker, wanted, lambda: program.poll() is None)
            cpu_s = _cpu_s(program.pid) - cpu_before
        except rig.Failed as problem:
            raise rig.Failed(f"flink: {problem}: {rig.end_of(folder)}") from None
        finally:
            os.killpg(program.pid, 9)  # with the JVM that it started
            program.wait()
            asker.close()
    return {"records": done - at, "seconds": ended - began, "cpu_s": cpu_s}


def _cpu_s(group: int) -> float:
    """Return processor seconds so far of a program and of the JVM that it started."""
    pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return sum(rig.cpu_s(pid) for pid in pids if _group_of(pid) == group)


def _group_of(pid: int) -> int | None:
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(pid)
    return None
