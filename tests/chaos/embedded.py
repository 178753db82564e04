"""`undertow run` killed again and again: the same command ends as if nothing had been."""

import json
import os
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from say import say

from chaos.judge import condemn
from chaos.outcome import Outcome
from chaos.recording import FINDINGS, RAW, Recording, finding_rows, rows
from streams.stack.local_kafka import die_with_parent

#: A round's share of the recording takes about this long, so that kills fall everywhere in it.
ROUND_S = 6.0
#: Parts of run.json that two runs never share: how long it took, and names of this run.
OWN = ("elapsed_s", "run")


class Run:
    """One `undertow run` on a directory that outlives it."""

    def __init__(
        self,
        folder: Path,
        recording: Recording,
        speed: str,
        mode: str = "--no-serve",
        descriptors: int | None = None,
    ) -> None:
        self.data_dir = folder / "embedded"
        self.environ = os.environ | {
            "UNDERTOW_DATA_DIR": str(self.data_dir),
            "UNDERTOW_PARAMS": str(recording.params),
            "UNDERTOW_SQL_PORT": "0",
            "UNDERTOW_CHECKPOINT_S": "0.5",
        }
        self.command = [sys.executable, "-m", "streams.cli", "run", mode, "--speed", speed]
        self.command += ["--source", str(recording.source)]
        self.log = folder / "embedded.log"
        self._descriptors = descriptors
        self.rss_mb = 0.0

    def start(self) -> subprocess.Popen[bytes]:
        """Start the same command again."""
        die_with_us = die_with_parent()

        def limited() -> None:
            if self._descriptors:
                resource.setrlimit(resource.RLIMIT_NOFILE, (self._descriptors, self._descriptors))
            if die_with_us:
                die_with_us()

        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=limited,
            )

    def stamp(self) -> int:
        """When the last checkpoint was written."""
        with suppress(OSError):
            return (self.data_dir / "checkpoint.msgpack").stat().st_mtime_ns
        return 0

    def wait(self, process: subprocess.Popen[bytes], seconds: float, until_moved: bool) -> float:
        """Wait for a new checkpoint (or for so long) and note memory; return the time waited."""
        began, before = time.monotonic(), self.stamp()
        while process.poll() is None and (waited := time.monotonic() - began) < seconds:
            with suppress(OSError, StopIteration):
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                size = next(line for line in lines if line.startswith("VmRSS"))
                self.rss_mb = max(self.rss_mb, int(size.split()[1]) / 1024)
            if until_moved and self.stamp() > before:
                return waited
            time.sleep(0.1)
        return time.monotonic() - began


def kill_embedded(
    folder: Path,
    recording: Recording,
    rng: random.Random,
    rounds: int,
    outcome: Outcome,
    deadline: float,
) -> None:
    """Kill -9 the one process at random moments, and start the same command again."""
    run = Run(folder, recording, f"{span_s(recording) / (rounds + 1) / ROUND_S:.1f}")
    resumed: list[float] = []
    process = run.start()
    try:
        run.wait(process, 60, until_moved=True)
        for number in range(1, rounds + 1):
            run.wait(process, rng.uniform(0.1, 1.5 * ROUND_S), until_moved=False)
            if process.poll() is not None:
                outcome.notes.append(f"it had ended before round {number}")
                break
            process.kill()
            process.wait()
            process = run.start()
            if rng.random() < 0.3:  # while it is coming back
                time.sleep(rng.uniform(0.2, 4))
                process.kill()
                process.wait()
                process = run.start()
            resumed.append(run.wait(process, 120, until_moved=True))
            outcome.rounds = number
            say(f"round {number}/{rounds}: killed, next checkpoint after {resumed[-1]:.1f} s")
        code = process.wait(max(1.0, deadline - time.monotonic()))
        if code:
            outcome.blame(f"it ended with {code}")
    finally:
        process.kill()
        process.wait()
    outcome.resumed(resumed)
    outcome.rss_mb_max = round(run.rss_mb, 1)
    judge_run(run, recording, outcome)
    condemn(outcome)


def span_s(recording: Recording) -> float:
    """Return how long the recording is, seconds of event time."""
    lines = (recording.source / "trades.ndjson").read_bytes().splitlines()
    first, last = json.loads(lines[0])["ts_recv"], json.loads(lines[-1])["ts_recv"]
    return float(last - first) / 1e6


def judge_run(run: Run, recording: Recording, outcome: Outcome) -> None:
    """Fill in what was lost, doubled or different from the undisturbed run; it has ended."""
    environ = {"UNDERTOW_DATA_DIR": str(run.data_dir)}
    outcome.records, outcome.lost, outcome.doubled, outcome.findings_differ = (
        recording.records,
        0,
        0,
        0,
    )
    for table in RAW:
        asked = rows(f"SELECT event_id FROM {table}", **environ)
        stored = Counter(json.loads(row)["event_id"] for row in asked)
        outcome.lost += len(recording.ids[table] - stored.keys())
        outcome.doubled += sum(stored.values()) - len(stored)
    [bar_row] = rows("SELECT toInt64(sum(trades)) AS n FROM bars", **environ)
    trades = int(json.loads(bar_row)["n"])
    outcome.lost += max(0, recording.trades_in_bars - trades)
    outcome.doubled += max(0, trades - recording.trades_in_bars)
    for table in FINDINGS:
        here, truth = Counter(finding_rows(table, **environ)), Counter(recording.findings[table])
        outcome.findings_differ += max((here - truth).total(), (truth - here).total())
    mine, theirs = _report(run.data_dir), _report(recording.undisturbed)
    for field in sorted(mine.keys() | theirs.keys()):
        if mine.get(field) != theirs.get(field):
            outcome.blame(f"run.json differs in {field}")


def _report(data_dir: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((data_dir / "run.json").read_bytes())
    return {name: value for name, value in report.items() if name not in OWN}
