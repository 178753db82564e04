"""A stage as a process of its own, started again whenever it ends, as systemd would."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from streams.stack.local_kafka import die_with_parent

WATCH_EVERY_S = 0.1
STOP_WITHIN_S = 40.0
#: One that dies as it starts must not take the machine with it.
PAUSE_S = 0.5


class Stage:
    """One supervised process; `unasked` holds the exit codes that no attack caused."""

    def __init__(
        self,
        kind: str,
        number: int,
        folder: Path,
        environ: Mapping[str, str],
        program: str = "streams.cli",
    ) -> None:
        self.kind = kind
        self.name = f"{kind}-{number}"
        self.data_dir = folder / self.name
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.log = folder / f"{self.name}.log"
        self.starts = 0
        self.unasked: list[int] = []
        self.rss_mb: list[tuple[float, float]] = []
        #: Seconds from each SIGTERM to the end.
        self.ended_s: list[float] = []
        self.environ = {
            **environ,
            "UNDERTOW_DATA_DIR": str(self.data_dir),
            "CHAOS_CLOCK": str(folder / f"{self.name}.clock"),
        }
        self._program = program
        self._asked = False
        self._stopped = threading.Event()
        self._process = self._spawn()
        self._thread = threading.Thread(target=self._watch, name=self.name, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The pid of the process that runs now."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it is there at this moment."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it as a power cut would; it is started again."""
        self._asked = True
        self.signal(signal.SIGKILL)

    def end(self) -> None:
        """Ask it to end, as an orchestrator would; it is started again."""
        self._asked = True
        self._await_end(self._process)

    def _await_end(self, process: subprocess.Popen[bytes]) -> int:
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        try:
            return process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            self.ended_s.append(time.monotonic() - began)

    def signal(self, number: int) -> None:
        """Send a signal, if there is anyone to hear it."""
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def stop(self, kill: bool = False) -> int:
        """Ask it to end (or end it), for good; return its exit code."""
        self._stopped.set()
        self._thread.join()
        self.signal(signal.SIGCONT)
        if kill:
            self.signal(signal.SIGKILL)
            return self._process.wait()
        return self._await_end(self._process)

    def tracebacks(self) -> list[str]:
        """The last line of each traceback in its log."""
        matches, inside = [], False
        for line in self.log.read_text(errors="replace").splitlines():
            if line.startswith("Traceback"):
                inside = True
            elif inside and line and not line.startswith((" ", "\t")):
                matches.append(line[:200])
                inside = False
        return matches

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        with self.log.open("ab") as log:
            log.write(f"--- start {self.starts} at {time.strftime('%H:%M:%S')}\n".encode())
            log.flush()
            return subprocess.Popen(
                [sys.executable, "-m", self._program, self.kind],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    def _watch(self) -> None:
        looked_at = 0.0
        while not self._stopped.wait(WATCH_EVERY_S):
            code = self._process.poll()
            if code is not None:
                if not self._asked:
                    self.unasked.append(code)
                    self._stopped.wait(PAUSE_S)
                self._asked = False
                self._process = self._spawn()
            elif time.monotonic() - looked_at > 0.5:
                looked_at = time.monotonic()
                self._note_rss()

    def _note_rss(self) -> None:
        with suppress(OSError, StopIteration):
            status = Path(f"/proc/{self._process.pid}/status").read_text()
            line = next(x for x in status.splitlines() if x.startswith("VmRSS"))
            self.rss_mb.append((time.monotonic(), int(line.split()[1]) / 1024))


def freeze(stage: Stage, seconds: float, rng: random.Random) -> None:
    """Stop a process's time for longer than its session lasts, and let it go on."""
    stage.signal(signal.SIGSTOP)
    try:
        time.sleep(seconds + rng.uniform(0, 3))
    finally:
        stage.signal(signal.SIGCONT)
