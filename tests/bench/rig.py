"""A real Kafka on one core; the programs, one after another, on another."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streams.kafka import topics_admin
from streams.stack import local_kafka

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
PARTITIONS = 4
CORES = sorted(os.sched_getaffinity(0))
#: The programs' core, and those of the broker and of this process.
OURS, THEIRS = {CORES[-1]}, set(CORES[:-1]) or set(CORES)
#: Where `make bench` puts quixstreams, which wants an older confluent-kafka than we do.
QUIX = BUILD / "quixstreams" / "bin" / "python"
#: And `make peers` those that take gigabytes.
PEERS = BUILD / "peers" / "bin" / "python"
FLINK = BUILD / "flink" / "bin" / "python"
FLINK_KAFKA = BUILD / "flink" / "flink-sql-connector-kafka.jar"


class Failed(Exception):
    """A program that did not finish; the message is the end of what it said."""


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[str]:
    """Start Kafka with our topics; yield its address."""
    os.sched_setaffinity(0, THEIRS)  # the JVM's threads inherit it
    began = local_kafka.start(folder / "kafka", heap_mb=1024)
    os.sched_setaffinity(0, CORES)
    try:
        topics_admin.create_topics(began.bootstrap, PARTITIONS)
        yield began.bootstrap
    finally:
        began.kill()


def program(
    name: str,
    url: str,
    count: int,
    scratch: Path,
    *extra: str,
    python: str = sys.executable,
    cores: set[int] = OURS,
    timeout_s: float = 600,
) -> dict[str, Any]:
    """Run one program to its end on our core; return the JSON that it prints. Raises Failed."""
    unique = f"{name}-{time.monotonic_ns()}"
    folder = scratch / unique
    folder.mkdir(parents=True)
    command = [python, "-m", f"bench.programs.{name}", url, str(count), unique, *extra]
    environ = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PYTHONWARNINGS": "ignore"}
    with (folder / "log").open("w+b") as log:
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environ,
                stdout=subprocess.PIPE,
                stderr=log,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"{name}: not done within {timeout_s:g} s: {end_of(folder)}") from None
    results = [line for line in done.stdout.splitlines() if line.startswith(b"{")]
    if done.returncode or not results:
        raise Failed(f"{name}: {end_of(folder)}")
    answer: dict[str, Any] = json.loads(results[-1])
    return answer


def end_of(folder: Path) -> str:
    """Return the last that a program said."""
    return (folder / "log").read_text(errors="replace")[-600:].strip()


def undertow(*words: str) -> None:
    """Run a command to its end on all cores. Raises Failed."""
    command = [sys.executable, "-m", "streams.cli", *words]
    environ = os.environ | {"PYTHONPATH": str(ROOT), "UNDERTOW_SQL_PORT": "0"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"undertow {words[0]}: {done.stderr[-600:]}")
