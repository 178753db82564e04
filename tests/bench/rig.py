"""A real Kafka on one core; the programs, one after another, on another."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
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
def broker(folder: Path, cores: set[int] = THEIRS) -> Iterator[str]:
    """Start Kafka on some cores with our topics; yield its address."""
    os.sched_setaffinity(0, cores)  # the JVM's threads inherit it
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


@contextlib.contextmanager
def stage(
    name: str, url: str, folder: Path, group: str, core: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Run one process of a stage on one core, its log beside others' of it; kill it at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    environ = os.environ | {
        "PYTHONPATH": str(ROOT),
        "KAFKA_URL": url,
        "UNDERTOW_GROUP": group,
        "UNDERTOW_DATA_DIR": str(folder),
    }
    command = ["taskset", "-c", str(core), sys.executable, "-m", "streams.cli", name]
    with log_of(folder, name, core).open("ab") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def log_of(folder: Path, name: str, core: int) -> Path:
    """Return where a stage's process on a core logs."""
    return folder / f"{name}-{core}.log"


def metrics(log: Path, stage: str) -> str | None:
    """Return what a stage tells at /metrics; None while it is not up."""
    addresses = re.findall(rf"health and metrics of {stage} on (\S+)", log.read_text())
    if not addresses:
        return None
    try:
        with urllib.request.urlopen(f"{addresses[-1]}/metrics", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return None


def cpu_s(pid: int) -> float:
    """Return processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    """Return resident memory of a process now, MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def undertow(*words: str) -> None:
    """Run a command to its end on all cores. Raises Failed."""
    command = [sys.executable, "-m", "streams.cli", *words]
    environ = os.environ | {"PYTHONPATH": str(ROOT), "UNDERTOW_SQL_PORT": "0"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"undertow {words[0]}: {done.stderr[-600:]}")
