"""What an operator sees: health, readiness, numbers, logs, and an end in order."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from stages import get, running, served, undertow, until

from schemas import metrics
from sinks.sql import endpoint
from streams.process import health
from streams.process.settings import Settings

TOKEN = "open-sesame"


@pytest.fixture(autouse=True)
def _gauges() -> Iterator[None]:
    yield
    metrics.LAST_ROUND_STEADY.set(0)
    metrics.READY.set(0)
    health.note_inputs("")


def test_health_follows_the_loop_and_readiness_the_work() -> None:
    with health.serving(Settings(), "tests") as url:
        assert get(f"{url}/healthz") == (200, "ok\n")
        assert get(f"{url}/readyz")[0] == 503
        health.come_round()
        assert get(f"{url}/readyz") == (200, "ok\n")
        metrics.BEHIND.set(3_600.4)
        assert get(f"{url}/readyz") == (200, "ok, catching up: 3,600 s behind\n")
        metrics.BEHIND.set(0)
        health.note_inputs("", "whale_transfers[0]")
        assert get(f"{url}/readyz") == (200, "ok, without whale_transfers[0]\n")
        health.note_inputs("nobody has spoken yet on bars[0]")
        assert get(f"{url}/readyz") == (503, "nobody has spoken yet on bars[0]\n")
        health.come_round(ready=False)
        assert get(f"{url}/readyz") == (503, "not at work: nobody has spoken yet on bars[0]\n")
        health.note_inputs("")
        assert get(f"{url}/readyz") == (503, "not at work yet\n")
        assert get(f"{url}/elsewhere")[0] == 404


def test_a_loop_that_is_stuck_is_told_with_its_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    with health.serving(Settings(), "tests") as url:
        health.come_round()
        later = time.monotonic() + health.STALE_S + 30
        monkeypatch.setattr(health, "steady", lambda: later)
        status, reason = get(f"{url}/healthz")
    assert status == 503
    assert re.fullmatch(r"the loop last came round 9\d s ago\n", reason)


@pytest.mark.parametrize("wrong_s", [-365 * 86_400, 365 * 86_400])
def test_a_clock_that_is_set_makes_no_loop_stuck_and_hides_none(
    monkeypatch: pytest.MonkeyPatch, wrong_s: int
) -> None:
    with health.serving(Settings(), "tests") as url:
        health.come_round()
        wrong = time.time() + wrong_s
        monkeypatch.setattr(time, "time", lambda: wrong)
        assert get(f"{url}/healthz") == (200, "ok\n")
        later = time.monotonic() + health.STALE_S + 30
        monkeypatch.setattr(health, "steady", lambda: later)
        assert get(f"{url}/healthz")[0] == 503


def test_every_metric_is_exposed_as_prometheus_reads_it() -> None:
    metrics.RECORDS.labels("trades").inc()
    with health.serving(Settings(), "tests") as url:
        _, text = get(f"{url}/metrics")
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"undertow_last_round_seconds", "undertow_records", "undertow_delay_seconds"} <= names


def test_with_a_token_only_the_endpoints_without_data_are_open() -> None:
    with health.serving(Settings(http_token=TOKEN), "tests") as url:
        assert get(f"{url}/healthz")[0] == 200
        assert get(f"{url}/readyz")[0] == 503
        for path in ("metrics", "elsewhere"):
            assert get(f"{url}/{path}")[0] == 401
        assert get(f"{url}/metrics", Authorization="Bearer wrong")[0] == 401
        assert get(f"{url}/metrics", Authorization=f"Bearer {TOKEN}")[0] == 200


@pytest.mark.parametrize("path", ["healthz", "readyz", "metrics", "elsewhere"])
def test_another_s_web_page_is_refused(path: str) -> None:
    with health.serving(Settings(), "tests") as url:
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Host": "evil.example"},
            {"Host": f"evil.example:{url.rpartition(':')[2]}"},
        ):
            assert get(f"{url}/{path}", **headers)[0] == 403
        assert get(f"{url}/healthz", Origin=url, **{"Sec-Fetch-Site": "same-origin"})[0] == 200


def test_no_browser_guesses_what_an_answer_is() -> None:
    with health.serving(Settings(http_token=TOKEN), "tests") as url:
        for path in ("healthz", "readyz", "metrics", "elsewhere"):
            for sent in (b"", f"Authorization: Bearer {TOKEN}\r\n".encode()):
                head = raw(
                    url, b"GET /%s HTTP/1.0\r\nHost: 127.0.0.1\r\n%s\r\n" % (path.encode(), sent)
                )
                assert b"X-Content-Type-Options: nosniff" in head


def test_a_token_that_is_no_text_is_a_wrong_token() -> None:
    with health.serving(Settings(http_token=TOKEN), "tests") as url:
        sent = b"GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: Bearer \xff\xfe\r\n\r\n"
        assert raw(url, sent).startswith(b"HTTP/1.0 401")


def test_callers_that_say_nothing_do_not_keep_others_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health._Silent, "timeout", 3600)
    with health.serving(Settings(), "tests") as url:
        place = ("127.0.0.1", int(url.rpartition(":")[2]))
        threads = threading.active_count()
        silent = [socket.create_connection(place) for _ in range(150)]
        for half in silent[::2]:
            half.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
        assert get(f"{url}/healthz") == (200, "ok\n")
        until(lambda: threading.active_count() - threads <= 40, "threads ended")
        for half in silent:
            half.close()


def raw(url: str, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 10) as client:
        client.sendall(sent)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_a_host_that_others_reach_is_refused_without_a_token(tmp_path: Path) -> None:
    with (
        pytest.raises(health.CannotServe, match="needs http_token"),
        health.serving(Settings(ops_host="0.0.0.0"), "tests"),
    ):
        pass
    with pytest.raises(endpoint.EndpointError, match="needs http_token"):
        endpoint.serve(tmp_path, "0.0.0.0")
    for name in ("OPS", "SQL"):
        done = undertow(
            {f"UNDERTOW_{name}_HOST": "0.0.0.0", "UNDERTOW_DATA_DIR": str(tmp_path)},
            "run", "--hours", "0.1", "--sql-port", "0",
        )  # fmt: skip
        assert done.returncode == 2
        assert re.fullmatch(r"undertow: .*0\.0\.0\.0.* needs http_token\n", done.stderr)


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with health.serving(Settings(), "tests") as url:
        port = int(url.rpartition(":")[2])
        with (
            pytest.raises(health.CannotServe, match="Address already in use"),
            health.serving(Settings(ops_port=port), "tests"),
        ):
            pass


@pytest.mark.parametrize("stage", ["rollup", "detect", "sink", "notify"])
def test_a_stage_is_ready_then_ends_in_order_and_logs_json(
    clean_topics: str, tmp_path: Path, stage: str
) -> None:
    environ = {
        "UNDERTOW_KAFKA_URL": clean_topics,
        "UNDERTOW_DATA_DIR": str(tmp_path),
        "UNDERTOW_LOG_FORMAT": "json",
    }
    if stage == "sink":
        assert undertow(environ, "migrate").returncode == 0
    log = tmp_path / "log"
    with running(environ, stage, log=log):
        until(lambda: served(log), "its address in the log")
        hears_feeds = stage in ("rollup", "detect")  # and nobody speaks here
        ready = (503, "nobody has spoken yet on") if hears_feeds else (200, "ok")
        until(lambda: is_answer(get(f"{served(log)}/readyz"), ready), "ready")
        assert get(f"{served(log)}/healthz")[0] == 200
        if stage != "detect":
            until(lambda: "undertow_lag_records{" in get(f"{served(log)}/metrics")[1], "lag")
    log_lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"time", "level", "logger", "message"} <= log_lines[0].keys()


def is_answer(answer: tuple[int, str], wanted: tuple[int, str]) -> bool:
    return answer[0] == wanted[0] and answer[1].startswith(wanted[1])


def test_a_stage_that_waits_for_kafka_ends_in_order_too(tmp_path: Path) -> None:
    environ = {"UNDERTOW_KAFKA_URL": "127.0.0.1:1", "UNDERTOW_DATA_DIR": str(tmp_path)}
    log = tmp_path / "log"
    with running(environ, "rollup", log=log):
        until(lambda: served(log), "its address in the log")
        assert get(f"{served(log)}/readyz")[0] == 503


def test_stack_watches_its_stages_on_the_next_ports_and_ends_in_order(
    clean_topics: str, tmp_path: Path
) -> None:
    port = next(base for base in range(21_000, 32_000, 10) if free(range(base, base + 4)))
    environ = {
        "UNDERTOW_KAFKA_URL": clean_topics,
        "UNDERTOW_DATA_DIR": str(tmp_path),
        "UNDERTOW_SQL_PORT": "0",
        "UNDERTOW_OPS_PORT": str(port),
        "UNDERTOW_HTTP_TOKEN": TOKEN,
    }
    with running(environ, "stack", log=tmp_path / "log") as stack:
        for place in range(4):
            until(lambda at=port + place: works(f"http://127.0.0.1:{at}/readyz"), "ready")
        url = f"http://127.0.0.1:{port + 1}/metrics"
        assert get(url)[0] == 401
        assert get(url, Authorization=f"Bearer {TOKEN}")[0] == 200
        children = Path(f"/proc/{stack.pid}/task/{stack.pid}/children").read_text().split()
        lines = [Path(f"/proc/{child}/cmdline").read_text() for child in children]
        assert TOKEN not in "".join(lines)
    assert TOKEN not in (tmp_path / "log").read_text()


def free(ports: range) -> bool:
    """Whether nobody listens there; below the ports that the kernel gives to connections."""
    try:
        for port in ports:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def works(url: str) -> bool:
    """Whether a stage is ready but for feeds, of which there are none."""
    try:
        status, reason = get(url)
    except OSError:
        return False
    return status == 200 or reason.startswith("nobody has spoken yet on")


def answers(url: str) -> bool:
    """Whether somebody answers there, with 200."""
    try:
        return get(url)[0] == 200
    except OSError:
        return False


def test_a_run_that_serves_stays_healthy_and_ends_in_order(tmp_path: Path) -> None:
    environ = {"UNDERTOW_DATA_DIR": str(tmp_path), "UNDERTOW_SQL_PORT": "0"}
    log = tmp_path / "log"
    with running(environ, "run", "--hours", "0.2", "--serve", log=log):
        until(lambda: "serving" in log.read_text(), "served")
        assert answers(f"{served(log)}/healthz")
        assert answers(f"{served(log)}/readyz")
