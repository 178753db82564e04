"""Clients that take and do not give back, against a run that serves: it must not notice."""

import contextlib
import json
import random
import resource
import signal
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

from say import say

from chaos.embedded import ROUND_S, Run, judge_run, span_s
from chaos.judge import condemn
from chaos.outcome import Outcome
from chaos.recording import Recording

#: What a process usually may open, and this one is held to.
DESCRIPTORS = 1024
STOP_WITHIN_S = 20.0
#: Another client is answered within this, whatever the others do, seconds.
ANSWER_WITHIN_S = 60.0
RSS_MB = 1000.0
#: Minutes in one block, without a look at a clock; and without end, but with looks.
BLIND = (
    "SELECT sum(editDistance(materialize(repeat('a',65000)), repeat('b',65000))) FROM numbers(7200)"
)
ENDLESS = "SELECT count() FROM numbers_mt(1000000000000)"
LARGE = "SELECT repeat('x', 150) FROM numbers(1000000)"
HUNGRY = "SELECT repeat('\\x01', 190) FROM numbers(1000000) FORMAT JSONEachRow"


class Clients:
    """Sockets that are left as an attack left them."""

    def __init__(self, sql: str, ops: str, rng: random.Random) -> None:
        self._places = [urlsplit(url) for url in (sql, ops)]
        self._rng = rng
        self._open: list[socket.socket] = []

    def half_open(self) -> None:
        """Begin 1,200 requests, more than there are descriptors, and end none."""
        for _ in range(1200):
            part = b"GET /?query=SELECT+1 HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "
            self._send(part[: self._rng.randrange(len(part))], self._rng.randrange(2))

    def slow_bodies(self) -> None:
        """Announce a query, and send one byte of it."""
        for _ in range(60):
            self._send(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900000\r\n\r\nS")

    def stalled(self) -> None:
        """Ask for a hundred megabytes each, and read nothing."""
        for _ in range(8):
            self._ask(LARGE)

    def blind(self) -> None:
        """Ask eight times what looks at no clock, and wait or go."""
        for _ in range(8):
            self._ask(BLIND)
        if self._rng.random() < 0.5:
            self.leave()

    def abandoned(self) -> None:
        """Ask forty times what has no end, and be gone at once."""
        for _ in range(40):
            self._ask(ENDLESS)
            self._open.pop().close()

    def hungry(self) -> None:
        """Ask for answers that the engine does not count as they grow."""
        for _ in range(4):
            self._ask(HUNGRY)

    def leave(self) -> None:
        """Close everything, half of it by a reset."""
        for client in self._open:
            if self._rng.random() < 0.5:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        self._open.clear()

    def _ask(self, sql: str) -> None:
        self._send(f"GET /?query={quote(sql)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

    def _send(self, what: bytes, place: int = 0) -> None:
        client = socket.socket()
        client.settimeout(5)
        with contextlib.suppress(OSError):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((self._places[place].hostname, self._places[place].port))
            client.sendall(what)
        self._open.append(client)


BLOWS: tuple[Callable[[Clients], None], ...] = (
    Clients.half_open,
    Clients.slow_bodies,
    Clients.stalled,
    Clients.blind,
    Clients.abandoned,
    Clients.hungry,
)


def slow_clients(
    folder: Path,
    recording: Recording,
    rng: random.Random,
    rounds: int,
    outcome: Outcome,
    deadline: float,
) -> None:
    """Let clients of every bad kind at a run that serves, then stop it under the worst of them."""
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    speed = f"{span_s(recording) / (rounds + 1) / ROUND_S:.1f}"
    run = Run(folder, recording, speed, "--serve", descriptors=DESCRIPTORS)
    answered: list[float] = []
    process = run.start()
    try:
        sql, ops = _addresses(run, process)
        clients = Clients(sql, ops, rng)
        blows: list[Callable[[Clients], None]] = []
        for number in range(1, rounds + 1):
            run.wait(process, rng.uniform(0.1, ROUND_S), until_moved=False)
            blows = blows or rng.sample(BLOWS, len(BLOWS))
            blow = blows.pop()
            blow(clients)
            answered.append(_answered(sql, ops, outcome))
            outcome.rounds = number
            say(f"round {number}/{rounds}: {blow.__name__}, answered after {answered[-1]:.1f} s")
            if rng.random() < 0.5:
                clients.leave()
        while not (run.data_dir / "run.json").exists() and process.poll() is None:
            run.wait(process, 1, until_moved=False)
            if time.monotonic() > deadline - STOP_WITHIN_S:
                outcome.blame("the recording was not played to its end")
                break
        for blow in (Clients.half_open, Clients.stalled, Clients.blind):
            blow(clients)
        _stop(process, outcome)
        clients.leave()
    finally:
        process.kill()
        process.wait()
    outcome.resumed(answered)
    outcome.rss_mb_max = round(run.rss_mb, 1)
    if run.rss_mb > RSS_MB:
        outcome.blame(f"it took {run.rss_mb:.0f} MB")
    left = list((run.data_dir / "clickhouse.readers").glob("*"))
    judge_run(run, recording, outcome)
    outcome.notes.append(f"{len(left)} of readers' folders and locks were left")
    condemn(outcome)


def _addresses(run: Run, process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """Return where it serves SQL and health; raises RuntimeError when it does not."""
    began = time.monotonic()
    while time.monotonic() - began < 120 and process.poll() is None:
        with contextlib.suppress(OSError, ValueError, StopIteration):
            note = json.loads((run.data_dir / "endpoint.json").read_bytes())
            lines = run.log.read_text().splitlines()
            line = next(line for line in lines if "health" in line and "http://" in line)
            return str(note["url"]), "http://" + line.rpartition("http://")[2].split()[0]
        time.sleep(0.1)
    raise RuntimeError("it does not serve")


def _answered(sql: str, ops: str, outcome: Outcome) -> float:
    """Return after how long both endpoints answer another client, seconds."""
    began = time.monotonic()
    for url, wanted in ((f"{ops}/healthz", b"ok\n"), (f"{sql}/?query=SELECT+1", b"1\n")):
        while time.monotonic() - began < ANSWER_WITHIN_S:
            with contextlib.suppress(OSError):
                if urllib.request.urlopen(url, timeout=ANSWER_WITHIN_S).read() == wanted:
                    break
            time.sleep(0.2)
        else:
            outcome.blame(f"{url} did not answer within {ANSWER_WITHIN_S:g} s")
    page = urllib.request.Request(
        f"{sql}/?query=SELECT+1", headers={"Origin": "http://evil.example"}
    )
    with contextlib.suppress(OSError):
        try:
            urllib.request.urlopen(page, timeout=ANSWER_WITHIN_S)
            outcome.blame("another's page was answered")
        except urllib.error.HTTPError as problem:
            problem.close()
    return time.monotonic() - began


def _stop(process: subprocess.Popen[bytes], outcome: Outcome) -> None:
    """Ask it to end, under all of that; note how long it took."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(3 * STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        outcome.blame(f"it did not end within {3 * STOP_WITHIN_S:g} s of SIGTERM")
        return
    took = time.monotonic() - began
    outcome.notes.append(f"SIGTERM under attack: ended after {took:.1f} s with {code}")
    if code or took > STOP_WITHIN_S:
        outcome.blame(f"it ended {took:.1f} s after SIGTERM with {code}")
