"""Stages of ours as real processes, for the tests that need them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
#: What the README promises of SIGTERM, seconds.
ENDS_WITHIN_S = 20


@contextmanager
def running(environ: dict[str, str], *args: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command, and end it by SIGTERM: within the bound and with exit code 0."""
    with program(environ, "-m", "streams.cli", *args, log=log) as process:
        yield process


@contextmanager
def program(environ: dict[str, str], *args: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python program of a test's own, and end it as a command is ended."""
    with log.open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, *args],
            cwd=ROOT, env=os.environ | environ, stdin=subprocess.DEVNULL, stdout=err, stderr=err,
        )  # fmt: skip
    try:
        yield process
        assert process.poll() is None, log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENDS_WITHIN_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def undertow(environ: dict[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *args],
        cwd=ROOT, env=os.environ | environ, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def until(true: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.2)


def get(url: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as problem:
        with closing(problem):
            return problem.code, problem.read().decode()


def served(log: Path) -> str | None:
    """The address that a process told in its log."""
    address = re.search(r"health\S* .*?(http://127\.0\.0\.1:\d+)", log.read_text())
    return address[1] if address else None


def rows(data_dir: Path, sql: str) -> list[dict[str, Any]]:
    """Ask the endpoint of a stack or run in this data directory."""
    url = json.loads((data_dir / "endpoint.json").read_bytes())["url"]
    asked = f"{sql} FORMAT JSONEachRow".encode()
    with urllib.request.urlopen(url, data=asked, timeout=30) as answer:
        return [json.loads(line) for line in answer.read().splitlines()]
