"""What a stranger reads at first is short, soon, and says what it is about."""

import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner
from nights import night, write_ndjson
from runs import OFTEN
from stages import running, undertow, until

from streams.cli import main
from streams.kafka import topics_admin

NO_KAFKA = {"KAFKA_URL": "127.0.0.1:1"}


@pytest.mark.parametrize("command", ["notify", "stack"])
def test_a_receiver_that_cannot_be_one_is_refused_before_anything_is_waited_for(
    command: str, tmp_path: Path
) -> None:
    environ = NO_KAFKA | {"WEBHOOK_URLS": "https://a.example/x"}
    done = CliRunner().invoke(main, [command, "--data-dir", str(tmp_path)], env=environ)
    assert done.exit_code == 2
    assert "webhook endpoint 1" in done.stderr
    assert "waiting for Kafka" not in done.stderr


def test_who_waits_for_kafka_is_told_so_and_why_it_does_not_answer() -> None:
    lines: list[str] = []
    with pytest.raises(topics_admin.NotReady, match="Connection refused"):
        topics_admin.wait_ready("127.0.0.1:1", timeout=3, tell=lines.append)
    [line] = lines
    assert line.startswith("waiting for Kafka at 127.0.0.1:1")
    assert "Connection refused" in line


def test_a_replay_counts_what_it_has_sent(clean_topics: str, tmp_path: Path) -> None:
    write_ndjson(night(), tmp_path / "recording")
    done = undertow({"KAFKA_URL": clean_topics}, "replay", str(tmp_path / "recording"))
    assert done.returncode == 0, done.stderr
    counts = [int(n.replace(",", "")) for n in re.findall(r"([\d,]+) records", done.stderr)]
    assert len(counts) >= 9
    assert counts == sorted(counts)
    assert 0 < counts[-1] <= sum(int(n) for n in re.findall(r"\t(\d+)", done.stdout))


def test_a_stage_says_whose_health_is_where_and_nothing_of_its_machinery(
    clean_topics: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    environ = {"KAFKA_URL": clean_topics, "UNDERTOW_DATA_DIR": str(tmp_path / "data")}
    with running(environ, "detect", log=log):
        until(lambda: "health and metrics of detect on http://" in log.read_text(), "its health")
        address = re.findall(r"on (http\S+)", log.read_text())[0]
        until(lambda: _at_work(address), "detect to be at work", 180)
    lines = log.read_text().splitlines()
    assert len(lines) <= 15, "\n".join(lines)


def _at_work(address: str) -> bool:
    """Whether detect has come so far that it waits for feeds alone."""
    try:
        return urllib.request.urlopen(f"{address}/readyz").status == 200
    except urllib.error.HTTPError as refused:
        return b"nobody has spoken yet" in refused.read()


def test_a_dead_letter_is_told_with_its_field(tmp_path: Path) -> None:
    folder = tmp_path / "recording"
    write_ndjson(night(), folder)
    [path] = [p for p in folder.rglob("liquidations*") if p.is_file()]
    lines = path.read_text().splitlines()
    lines[0] = re.sub(r'"price":[0-9.e+]+', '"price":-1', lines[0])
    path.write_text("\n".join(lines) + "\n")
    data, environ = tmp_path / "data", OFTEN
    environ = environ | {"UNDERTOW_DATA_DIR": str(data)}
    done = undertow(environ, "run", "--source", str(folder), "--no-serve")
    assert re.search(r"1 x .*: price: Expected ", done.stdout), done.stdout
