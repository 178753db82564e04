"""Read-only SQL over an embedded database: asked of processes that can be ended.

The process that writes is never asked: each reader has links to the stored parts
(`sinks.sql.snapshot`), memory and time of its own, and is killed when it takes more of
either than `Limits` allow, or when nobody waits for its answer any longer.
"""

import io
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from sinks.clickhouse.client import DATABASE
from sinks.sql import protocol
from sinks.sql.protocol import UNKNOWN, Head, Limits, QueryError, Question, failure
from sinks.sql.snapshot import sweep

__all__ = ["Answer", "Cancelled", "Limits", "QueryError", "Reader"]

#: How often a process at work is looked at, seconds.
LOOK_S = 0.05
#: What a query that watches the clock may take beyond its time before it is killed, seconds.
GRACE_S = 1.0
#: A process whose memory does not come back to this above its start is replaced, bytes.
KEPT_BYTES = 400_000_000
_OPEN_S = 60.0
#: A question that takes longer is a long one, seconds.
SLICE_S = 3.0
#: How often one that waits looks whether it is still waited for, seconds.
_WAIT_S = 0.25
_ENGINE = "sinks.sql.engine"
_ENVIRON = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TZ", "SYSTEMROOT")


class Cancelled(Exception):
    """Whoever asked waits no longer."""


class Answer(NamedTuple):
    """A result in `fmt`, with the counts ClickHouse reports beside it."""

    body: bytes
    fmt: str
    rows: int
    elapsed_ns: int


class Reader:
    """Asks processes over the database at `path`, one question each at a time.

    Threads may share it: `short` questions at once, and one that has taken longer than
    SLICE_S. Another that does begins anew when that one is done, so that many slow questions
    do not keep quick ones waiting. A process is started for the first question, and ends by
    itself when none has come for a minute.
    """

    def __init__(self, path: str | Path, limits: Limits | None = None, short: int = 1) -> None:
        self._path = Path(path).resolve()
        self._limits = limits or Limits()
        self._short = threading.Semaphore(short)
        self._long = threading.Semaphore(1)
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._busy: set[_Process] = set()
        self._closed = False
        sweep(self._path)

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        with self._lock:
            self._closed = True
            processes = [*self._idle, *self._busy]
        for process in processes:
            process.kill()
        sweep(self._path)

    def run(
        self,
        sql: str,
        fmt: str = "TabSeparated",
        params: Mapping[str, str] | None = None,
        database: str = DATABASE,
    ) -> Answer:
        """Run one reading statement; `params` are as in ClickHouse's `param_name`.

        A FORMAT clause in `sql` wins over `fmt`. Raises QueryError.
        """
        head, body = self.ask(Question(sql, fmt, dict(params or {}), database))
        with body:
            return Answer(body.read(), head.fmt, head.rows, head.elapsed_ns)

    def ask(
        self, question: Question, cancelled: threading.Event | None = None
    ) -> tuple[Head, BinaryIO]:
        """Return an answer's head and the bytes that follow it.

        Raises QueryError for a question that failed, Cancelled soon after `cancelled` is set
        or the reader is closed.
        """
        turn = _Turn(self._short, self._long, cancelled or threading.Event())
        try:
            turn.wait_for(self._short)
            try:
                return self._ask(question, turn)
            except _TurnOver:
                turn.wait_for(self._long)
                return self._ask(question, turn)
        finally:
            turn.end()

    def _ask(self, question: Question, turn: "_Turn") -> tuple[Head, BinaryIO]:
        for attempt in (1, 2):
            process, used = self._take()
            whole = False
            try:
                head = process.ask(question, self._limits, turn)
                body = process.body(head)
                whole = True
            except EOFError:
                # One that was idle may have ended just now; one at work was ended by its query.
                if used and attempt == 1 and process.ended_in_order():
                    continue
                raise self._why_gone(process, turn) from None
            finally:
                self._give_back(process, whole)
            if head.code:
                raise QueryError(head.code, head.text)
            return head, body
        raise AssertionError("unreachable")

    def _take(self) -> "tuple[_Process, bool]":
        with self._lock:
            if self._closed:
                raise Cancelled
            if self._idle:
                process = self._idle.pop()
                self._busy.add(process)
                return process, True
        process = _Process(self._path, self._limits)
        with self._lock:
            self._busy.add(process)
            closed = self._closed
        if closed:
            process.kill()
        return process, False

    def _give_back(self, process: "_Process", whole: bool) -> None:
        keep = whole and process.grown() < KEPT_BYTES
        with self._lock:
            self._busy.discard(process)
            keep = keep and not self._closed
            if keep:
                self._idle.append(process)
        if not keep:
            process.kill()
            sweep(self._path)

    def _why_gone(self, process: "_Process", turn: "_Turn") -> Exception:
        if self._closed or turn.cancelled.is_set():
            return Cancelled()
        how = f"Its query ended the reading process ({process.how_it_ended()})."
        return failure(UNKNOWN, "UNKNOWN_EXCEPTION", how)


class _TurnOver(Exception):
    """A question has taken its slice, and another has the place for long ones."""


class _Turn:
    """The place that a question has: a short one for a slice, then the long one."""

    def __init__(
        self, short: threading.Semaphore, long: threading.Semaphore, cancelled: threading.Event
    ) -> None:
        self.cancelled = cancelled
        self._short = short
        self._long = long
        self._place: threading.Semaphore | None = None
        self._over = math.inf

    def wait_for(self, place: threading.Semaphore) -> None:
        """Let go of the place, and wait for another; raises Cancelled."""
        self.end()
        while not place.acquire(timeout=_WAIT_S):
            if self.cancelled.is_set():
                raise Cancelled
        self._place = place

    def begin(self) -> None:
        """Start the slice: the question goes out."""
        self._over = time.monotonic() + SLICE_S

    def check(self) -> None:
        """Take the long place when the slice is over; raises Cancelled, _TurnOver."""
        if self.cancelled.is_set():
            raise Cancelled
        if self._place is self._short and time.monotonic() > self._over:
            if not self._long.acquire(blocking=False):
                raise _TurnOver
            self.end()
            self._place = self._long

    def end(self) -> None:
        """Let go of the place."""
        if self._place is not None:
            self._place.release()
        self._place = None


class _Process:
    """One process of `sinks.sql.engine`, started at once, opened when first asked."""

    def __init__(self, path: Path, limits: Limits) -> None:
        ours, theirs = socket.socketpair()
        code = Path(__file__).parents[2]
        environ = {name: os.environ[name] for name in _ENVIRON if name in os.environ}
        with theirs:
            self._child = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    _ENGINE,
                    str(path),
                    str(theirs.fileno()),
                    json.dumps(limits),
                ],
                env=environ | {"PYTHONPATH": str(code), "JE_MALLOC_CONF": "dirty_decay_ms:100"},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Ctrl-C is for whoever asks.
                start_new_session=True,
            )
        self._socket = ours
        self._socket.settimeout(LOOK_S)
        self._base: int | None = None

    def ask(self, question: Question, limits: Limits, turn: _Turn) -> Head:
        """Ask, and wait for the answer's head; raises QueryError, EOFError, and as a turn does."""
        if self._base is None:
            opened = self._head(_OPEN_S, limits, turn)
            if opened.code:
                return opened
            self._base = self._memory()
        turn.begin()
        with suppress(ConnectionError):  # the answer will not come either
            self._socket.settimeout(_OPEN_S)
            self._socket.sendall(protocol.packed(question))
        self._socket.settimeout(LOOK_S)
        return self._head(limits.seconds + GRACE_S, limits, turn)

    def body(self, head: Head) -> BinaryIO:
        """Return what follows a head, to be read and closed; raises EOFError."""
        self._socket.settimeout(_OPEN_S)
        if head.in_file:
            _, descriptors, _, _ = socket.recv_fds(self._socket, 1, 1)
            if not descriptors:
                raise EOFError
            os.lseek(descriptors[0], 0, os.SEEK_SET)
            return os.fdopen(descriptors[0], "rb")
        content = io.BytesIO()
        while missing := head.size - content.tell():
            piece = self._socket.recv(missing)
            if not piece:
                raise EOFError
            content.write(piece)
        content.seek(0)
        return content

    def grown(self) -> int:
        """Return how much memory it takes beyond what it took when it had opened, bytes."""
        return self._memory() - (self._base or 0)

    def ended_in_order(self) -> bool:
        """Say whether it ended by itself, because nobody asked."""
        with suppress(subprocess.TimeoutExpired):
            return self._child.wait(5) == 0
        return False

    def how_it_ended(self) -> str:
        """Name the signal, or the exit code."""
        self.kill()
        code = self._child.returncode
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        """End it now; its links stay for a sweep."""
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        self._socket.close()

    def _head(self, seconds: float, limits: Limits, turn: _Turn) -> Head:
        deadline = time.monotonic() + seconds

        def receive(count: int) -> bytes:
            content = bytearray()
            while len(content) < count:
                try:
                    piece = self._socket.recv(count - len(content))
                except TimeoutError:
                    self._look(deadline, limits, turn)
                    continue
                except OSError:  # reset, or closed here meanwhile
                    piece = b""
                if not piece:
                    raise EOFError
                content += piece
            return bytes(content)

        return protocol.unpacked(Head, receive)

    def _look(self, deadline: float, limits: Limits, turn: _Turn) -> None:
        """Raise when it has taken too long or too much, or nobody waits for it."""
        turn.check()
        if time.monotonic() > deadline:
            why = f"Timeout exceeded: the query was ended after {limits.seconds} seconds."
            raise failure(159, "TIMEOUT_EXCEEDED", why)
        # An answer is counted by the engine until it is there, and then by nobody.
        if self._base and self.grown() > limits.memory_bytes + limits.result_bytes:
            why = f"Query memory limit exceeded: it was ended above {limits.memory_bytes} bytes."
            raise failure(241, "MEMORY_LIMIT_EXCEEDED", why)

    def _memory(self) -> int:
        """Return the memory that is its own, bytes; 0 where the system does not tell."""
        with suppress(OSError, ValueError, IndexError):  # one that is gone has no memory
            status = Path(f"/proc/{self._child.pid}/status").read_text()
            return int(status.partition("RssAnon:")[2].split(None, 1)[0]) * 1024
        return 0
