"""What clients of the SQL endpoint take and do not give back: it goes on, and it ends."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sinks.clickhouse.client import open_client
from sinks.clickhouse.migrate import migrate
from sinks.sql import connections
from sinks.sql.endpoint import Endpoint, serve
from sinks.sql.protocol import Limits, QueryError
from sinks.sql.reader import Reader
from sinks.sql.snapshot import folder_of_readers

#: Each takes minutes, and looks at a clock after its only block, or never.
BLIND = {
    "edit distance": "sum(editDistance(materialize(repeat('a', 65000)), repeat('b', 65000))) FROM numbers(7200)",
    "of arrays": "arrayLevenshteinDistance(range(65000), arrayReverse(range(65000)))",
}
#: 151 MB.
LARGE = "SELECT repeat('x', 150) FROM numbers(1000000)"


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    client = open_client("chdb", tmp_path_factory.mktemp("run"))
    migrate(client, "undertow")
    yield client
    client.close()


@contextlib.contextmanager
def serving(owner: Any, **limits: int) -> Iterator[Endpoint]:
    endpoint = serve(owner.path, limits=Limits(**limits))
    try:
        yield endpoint
    finally:
        endpoint.stop()


def ask(endpoint: Endpoint, sql: str, timeout: float = 60) -> tuple[int, str]:
    try:
        url = f"{endpoint.url}/?query={quote(sql)}"
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as problem:
        with contextlib.closing(problem):
            return problem.code, problem.read().decode()


def connected(endpoint: Endpoint, sent: bytes, buffer: int = 0) -> socket.socket:
    client = socket.socket()
    if buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.connect(("127.0.0.1", endpoint.port))
    client.sendall(sent)
    return client


def request(sql: str) -> bytes:
    return f"GET /?query={quote(sql)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def readers() -> set[int]:
    """The reading processes of this one."""
    children = subprocess.run(
        ["pgrep", "-f", "sinks.sql.engine", "-P", str(os.getpid())], capture_output=True, text=True
    )
    return {int(pid) for pid in children.stdout.split()}


def cpu_s(pid: int) -> float:
    """Return processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def until(true: Any, within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("function", BLIND)
def test_a_query_that_looks_at_no_clock_is_ended_at_its_time(owner: Any, function: str) -> None:
    with serving(owner, seconds=1) as endpoint:
        status, text = ask(endpoint, f"SELECT {BLIND[function]}")
        assert (status, text[:9]) == (408, "Code: 159")
        assert ask(endpoint, "SELECT 1") == (200, "1\n")


def test_the_endpoint_answers_beside_such_a_query_and_stops_whatever_runs(owner: Any) -> None:
    endpoint = serve(owner.path)
    blind = connected(endpoint, request(f"SELECT {BLIND['edit distance']}"))
    until(readers)
    assert ask(endpoint, "SELECT 1") == (200, "1\n")
    endpoint.stop()
    assert not readers()
    blind.close()
    assert list(folder_of_readers(Path(owner.path)).iterdir()) == []


def test_many_slow_queries_do_not_keep_a_quick_one_waiting(
    owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.sql.reader.SLICE_S", 0.2)
    with serving(owner, seconds=600) as endpoint:
        slow = [connected(endpoint, request(f"SELECT {BLIND['of arrays']}")) for _ in range(12)]
        until(lambda: len(readers()) >= 2)
        assert ask(endpoint, "SELECT 1") == (200, "1\n")
        for client in slow:
            client.close()


def test_slow_queries_are_answered_one_after_the_other(
    owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.sql.reader.SLICE_S", 0.2)
    with serving(owner) as endpoint, ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(ask, endpoint, "SELECT sleep(1)") for _ in range(3)]
        assert [one.result() for one in asked] == [(200, "0\n")] * 3


def test_a_query_that_nobody_waits_for_is_ended(owner: Any) -> None:
    with serving(owner, seconds=600) as endpoint:
        for _ in range(40):
            connected(endpoint, request("SELECT count() FROM numbers(1000000000000000)")).close()
        for _ in range(2):
            connected(endpoint, request(f"SELECT {BLIND['edit distance']}")).close()
        assert ask(endpoint, "SELECT 1") == (200, "1\n")


def test_memory_that_the_engine_does_not_count_is_bounded_too(owner: Any) -> None:
    # Its rows are small, its text is not: 6 bytes for each byte of each row.
    sql = "SELECT repeat('\\x01', 190) FROM numbers(1000000) FORMAT JSONEachRow"
    reader = Reader(owner.path, Limits(memory_bytes=300_000_000, result_bytes=200_000_000))
    with contextlib.closing(reader):
        reader.run("SELECT 1")
        with pytest.raises(QueryError) as caught:
            reader.run(sql)
        assert caught.value.code == 241
        assert reader.run("SELECT 1").body == b"1\n"


def test_the_end_of_a_reader_is_an_answer_not_an_end(owner: Any) -> None:
    with serving(owner) as endpoint:
        assert ask(endpoint, "SELECT 1") == (200, "1\n")
        asked: list[tuple[int, str]] = []
        [pid] = readers()
        idle_s = cpu_s(pid)
        sql = "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)"
        thread = threading.Thread(target=lambda: asked.append(ask(endpoint, sql)))
        thread.start()
        until(lambda: cpu_s(pid) > idle_s + 0.2)  # it is at work
        os.kill(pid, signal.SIGKILL)
        thread.join()
        assert asked[0][0] == 500
        assert "SIGKILL" in asked[0][1]
        assert ask(endpoint, "SELECT 1") == (200, "1\n")


def test_a_reader_that_ended_for_want_of_questions_is_replaced(owner: Any) -> None:
    with contextlib.closing(Reader(owner.path)) as reader:
        assert reader.run("SELECT 1").body == b"1\n"
        [process] = reader._idle
        process._socket.shutdown(socket.SHUT_WR)  # as if its patience were over
        process._child.wait(10)
        assert reader.run("SELECT 2").body == b"2\n"


def test_half_open_connections_leave_room_for_others(
    owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "most_connections", lambda: 16)
    monkeypatch.setattr(connections, "IDLE_S", 1.0)
    with serving(owner) as endpoint:
        kept = connected(endpoint, request("SELECT sleep(2)"))
        until(readers)
        before = len(os.listdir("/proc/self/fd"))
        halves = [
            connected(endpoint, b"GET /?query=SELECT+1 HTTP/1.1\r\nHost: ") for _ in range(150)
        ]
        assert ask(endpoint, "SELECT 1") == (200, "1\n")
        ours = len(halves)
        # The one at work, what fits, and what is accepted before it is counted.
        assert len(os.listdir("/proc/self/fd")) - before - ours < 60
        for half in halves:
            half.settimeout(20)
            with contextlib.suppress(ConnectionResetError):
                assert half.recv(1) == b""
            half.close()
        assert kept.recv(15) == b"HTTP/1.1 200 OK"
        kept.close()


def test_when_all_places_are_at_work_one_more_is_told_so(
    owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "most_connections", lambda: 2)
    with serving(owner) as endpoint:
        clients = [connected(endpoint, request("SELECT sleep(3)")) for _ in range(2)]
        until(lambda: len(readers()) == 2)
        status, text = ask(endpoint, "SELECT 1")
        assert (status, text[:9]) == (503, "Code: 202")
        for client in clients:
            client.close()


def test_a_body_that_does_not_come_is_not_waited_for(
    owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.sql.endpoint._BODY_S", 0.5)
    with serving(owner) as endpoint:
        head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900\r\n\r\nS"
        with connected(endpoint, head) as client:
            client.settimeout(20)
            assert client.recv(100).startswith(b"HTTP/1.1 500")


def test_answers_that_are_not_taken_keep_no_memory_and_no_process(
    owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.sql.endpoint.MAX_UNTAKEN_BYTES", 310_000_000)
    with serving(owner, result_bytes=400_000_000) as endpoint:
        ask(endpoint, "SELECT 1")
        before = own_memory()
        stalled = [connected(endpoint, request(LARGE), buffer=4096) for _ in range(4)]
        assert ask(endpoint, "SELECT 1") == (200, "1\n")
        # Answers lie in files, and the oldest are cut off when there are too many.
        until(lambda: len(unnamed_files()) == 2)
        assert own_memory() - before < 100_000_000
        for client in stalled:
            client.close()
        until(lambda: not unnamed_files())


def test_an_answer_that_is_not_taken_in_time_is_cut_off(
    owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.sql.endpoint._TAKE_S", -1000)
    with serving(owner) as endpoint, connected(endpoint, request(LARGE), buffer=4096) as client:
        client.settimeout(30)
        taken = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := client.recv(1 << 20):
                taken += len(piece)
        assert taken < 150_000_000


def unnamed_files() -> list[str]:
    """Answers that wait for their clients."""
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(os.readlink(descriptor))
    return [link for link in links if ".readers/" in link and link.endswith("(deleted)")]


def own_memory() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split(None, 1)[0]) * 1024


def test_a_token_that_is_no_text_is_a_wrong_token(owner: Any) -> None:
    endpoint = serve(owner.path, token="s3cret")
    try:
        for header in (
            b"X-ClickHouse-Key: \xff\xfe",
            b"Authorization: Bearer \xff",
            b"Authorization: \xff",
        ):
            sent = b"GET /?query=SELECT+1 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            with connected(endpoint, sent + header + b"\r\n\r\n") as client:
                client.settimeout(20)
                assert client.recv(4096).startswith(b"HTTP/1.1 401")
    finally:
        endpoint.stop()


def test_what_is_no_http_is_refused_and_not_logged(
    owner: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(owner) as endpoint:
        for sent in (
            b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: "
            + b"s3cret" * 2000
            + b"\r\n\r\n",
        ):
            with connected(endpoint, sent) as client:
                client.settimeout(20)
                assert client.recv(100).startswith(b"HTTP/1.0 400")
    assert caplog.text == ""


def test_a_large_answer_is_the_same_each_time(owner: Any) -> None:
    sql = "SELECT number, toString(number) FROM numbers(20000) FORMAT JSONEachRow"
    with contextlib.closing(Reader(owner.path)) as reader:
        answers = {reader.run(sql).body for _ in range(60)}
    assert len(answers) == 1
    assert answers.pop().splitlines()[-1] == b'{"number":19999,"toString(number)":"19999"}'
