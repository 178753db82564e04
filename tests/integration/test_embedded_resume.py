"""A run that is killed, stopped or gone on with ends as if nothing had been."""

import random
import shutil
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from runs import report_of, run, signalled, stored, write_recording

from streams.run import checkpoint

SECRET = "whsec_" + "cmVzdW1lZCBydW5zIHRlbGwgZWFjaCBhbGVydA=="


class Undisturbed(NamedTuple):
    """A recording, the environment to run it in, and what a whole run of it leaves."""

    args: tuple[str, ...]
    environ: dict[str, str]
    report: dict[str, Any]
    rows: dict[str, list[str]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    folder = tmp_path_factory.mktemp("resume")
    environ = write_recording(folder / "recording")
    args = ("--source", str(folder / "recording"))
    code, output = run(folder / "whole", environ, *args)
    assert code == 0, output
    yield Undisturbed(args, environ, report_of(folder / "whole"), stored(folder / "whole"))
    shutil.rmtree(folder)


def must_be_as(undisturbed: Undisturbed, data_dir: Path) -> None:
    assert report_of(data_dir) == undisturbed.report
    # What people were told, and when, is of this run's receivers.
    alike = stored(data_dir) | {"notifications": undisturbed.rows["notifications"]}
    assert alike == undisturbed.rows
    assert not (data_dir / checkpoint.NAME).exists()


def test_an_undisturbed_run_finds_something_to_lose(undisturbed: Undisturbed) -> None:
    assert {e["asset"] for e in undisturbed.report["episodes"]} == {"BTC", "ETH"}
    for table in ("trades", "liquidations", "bars", "cascades", "whale_selling", "alerts"):
        assert undisturbed.rows[table]


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_any_moment_several_times_it_ends_the_same(
    undisturbed: Undisturbed, seed: int, tmp_path: Path
) -> None:
    draw, resumed = random.Random(seed), 0
    for at in sorted(draw.sample(range(1_600), 3)):
        code, output = signalled(
            tmp_path, undisturbed.environ, undisturbed.args, at, signal.SIGKILL
        )
        assert code == -signal.SIGKILL, output
        resumed += "resuming run:" in output
    code, output = run(tmp_path, undisturbed.environ, *undisturbed.args)
    assert code == 0, output
    assert "resuming run:" in output
    assert resumed
    must_be_as(undisturbed, tmp_path)


@pytest.mark.parametrize(("what", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_told_to_stop_it_says_where_and_goes_on_from_there(
    undisturbed: Undisturbed, what: signal.Signals, code: int, tmp_path: Path
) -> None:
    ended, output = signalled(tmp_path, undisturbed.environ, undisturbed.args, 600, what)
    assert ended == code, output
    last_line = output.strip().splitlines()[-1]
    assert last_line.startswith("stopped at 2025-11-21 ")
    assert last_line.endswith("; the same command goes on from there")
    ended, output = run(tmp_path, undisturbed.environ, *undisturbed.args)
    assert ended == 0, output
    at = last_line.removeprefix("stopped ").split(";")[0]
    assert at in next(line for line in output.splitlines() if line.startswith("resuming run:"))
    must_be_as(undisturbed, tmp_path)


def test_fresh_forgets_the_stopped_run(undisturbed: Undisturbed, tmp_path: Path) -> None:
    signalled(tmp_path, undisturbed.environ, undisturbed.args, 600, signal.SIGTERM)
    code, output = run(tmp_path, undisturbed.environ, *undisturbed.args, "--fresh")
    assert code == 0, output
    assert "resuming" not in output
    assert report_of(tmp_path) == undisturbed.report


@pytest.mark.parametrize(
    ("broken", "reason"), [("source", "it is of"), ("params", "parameters"), ("file", "damaged")]
)
def test_what_it_cannot_go_on_from_is_told_in_one_line_and_begun_anew(
    undisturbed: Undisturbed, broken: str, reason: str, tmp_path: Path
) -> None:
    environ, args = dict(undisturbed.environ), undisturbed.args
    if broken == "source":
        args = ("--hours", "4")
    if broken == "params":
        del environ["UNDERTOW_PARAMS"]
    signalled(tmp_path, environ, args, 600, signal.SIGKILL)
    if broken == "file":
        (tmp_path / checkpoint.NAME).write_bytes(b"\x00" * 100)
    code, output = run(tmp_path, undisturbed.environ, *undisturbed.args)
    assert code == 0, output
    [refusal] = [line for line in output.splitlines() if "cannot go on" in line]
    assert reason in refusal
    assert refusal.endswith("starting anew")
    assert report_of(tmp_path) == undisturbed.report


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.ids.append(self.headers["webhook-id"])  # type: ignore[attr-defined]
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hook) as server:
        server.ids = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_every_alert_reaches_the_webhook_under_its_id_however_often_it_is_killed(
    undisturbed: Undisturbed, receiver: ThreadingHTTPServer, tmp_path: Path
) -> None:
    environ = undisturbed.environ | {
        "WEBHOOK_URLS": f"every+http://127.0.0.1:{receiver.server_port}/hook#{SECRET}",
        "UNDERTOW_WEBHOOK_ALLOW_PRIVATE": "127.0.0.1",
    }
    draw = random.Random(3)
    for at in sorted(draw.sample(range(1_600), 3)):
        signalled(tmp_path, environ, undisturbed.args, at, signal.SIGKILL)
    code, output = run(tmp_path, environ, *undisturbed.args)
    assert code == 0, output
    must_be_as(undisturbed, tmp_path)
    wanted = {row.split("'")[1] for row in undisturbed.rows["alerts"]}
    assert set(receiver.ids) == wanted  # type: ignore[attr-defined]
