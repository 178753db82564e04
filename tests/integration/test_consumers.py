"""The consumers that schemas/README.md offers read findings from a real Kafka, each step once."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer
from stages import until

from schemas import codec
from schemas.findings import CascadeFinding, MarketFinding
from schemas.topics import TOPICS, key_of

CONSUMERS = Path(__file__).resolve().parents[2] / "schemas" / "consumers"
CONSOLE = Path(__file__).resolve().parents[1] / "clients" / "console"
T = 1_763_683_200_000_000
STEPS = [
    CascadeFinding(
        finding_id=f"{asset}-{number}", episode_id=f"e-{asset}", asset=asset, position_side="long", phase=phase, wave=1,
        ts_onset=T, ts_event=T + number, ts_detect=T + number + 4, log_rate=6.0, threshold=5.0, threshold_is_default=True,
        feed_class="full", coverage="full", orders=3, notional_usd=12_345_678.75 + number, peak_usd_per_s=1.0, ts_peak=None,
        drawdown_bps=None, price_onset=None, venues=["binance"], params_version="v1",
    )
    for asset in ("BTC", "币安人生")
    for number, phase in enumerate(("onset", "peak", "closed"))
]  # fmt: skip
MARKET = MarketFinding(
    finding_id="m", episode_id="m", phase="onset", ts_onset=T, ts_event=T, ts_detect=T, assets=["BTC"],
    excess=1.0, threshold=1.0, threshold_is_default=True, params_version="v1",
)  # fmt: skip
LINES = sorted(f"{s.finding_id}\t{s.asset}\tlong\t{s.phase}\t{s.notional_usd:.0f}" for s in STEPS)


@pytest.fixture
def findings(clean_topics: str) -> str:
    """A Kafka whose topic of cascades holds each step twice, and what a consumer may not know."""
    producer = Producer({"bootstrap.servers": clean_topics})
    later = {"type": "aftershock", "finding_id": "new", "asset": "BTC"}
    for record in (*STEPS, MARKET, *STEPS):
        newer = json.loads(codec.encode(record)) | {"a_field_of_tomorrow": [1]}
        producer.produce(
            "cascades", json.dumps(newer).encode(), key=key_of(TOPICS["cascades"], record)
        )
        producer.produce("cascades", json.dumps(later).encode())
    assert producer.flush(30) == 0
    return clean_topics


@contextmanager
def reading(command: list[str], kafka: str, folder: Path, group: str) -> Iterator[Path]:
    """Run a consumer, yield the file of what it prints, and end it."""
    out = folder / f"out-{group}"
    path = f"{folder}:{os.environ['PATH']}"
    environ = os.environ | {"KAFKA_URL": kafka, "GROUP": group, "PATH": path}
    with out.open("wb") as stdout, (folder / "err").open("wb") as stderr:
        process = subprocess.Popen(
            command, env=environ, stdout=stdout, stderr=stderr, start_new_session=True
        )
    try:
        yield out
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def check(command: list[str], kafka: str, folder: Path) -> None:
    def said() -> str:
        return (folder / "err").read_text()[-2_000:]

    with reading(command, kafka, folder, "whole") as out:
        until(lambda: len(out.read_text().splitlines()) >= len(LINES), f"six lines: {said()}", 90)
        assert sorted(out.read_text().splitlines()) == LINES


def needed(*programs: str) -> None:
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        reason = f"{' and '.join(missing)} not installed"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def made(command: list[str], cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]


def test_python_reads_each_step_once(findings: str, tmp_path: Path) -> None:
    check([sys.executable, str(CONSUMERS / "consume.py")], findings, tmp_path)


def test_java_reads_each_step_once(findings: str, tmp_path: Path) -> None:
    needed("mvn", "javac")
    made(
        ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={tmp_path}"],
        CONSUMERS / "java",
    )
    program = str(CONSUMERS / "java" / "Consume.java")
    check(["java", "-cp", f"{tmp_path}/*", program], findings, tmp_path)


def test_go_reads_each_step_once(findings: str, tmp_path: Path) -> None:
    # Where Go's own installer puts it, which few have in their path.
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    needed("go" if go is None else go)
    made([str(go), "build", "-o", str(tmp_path / "consume"), "."], CONSUMERS / "go")
    check([str(tmp_path / "consume")], findings, tmp_path)


def test_a_shell_with_kafkas_own_console_consumer_reads_each_step_once(
    findings: str, tmp_path: Path
) -> None:
    needed("mvn", "javac", "jq")
    jars = tmp_path / "jars"
    made(["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={jars}"], CONSOLE)
    # As Kafka's own download has it, which the jars alone do not.
    script = tmp_path / "kafka-console-consumer.sh"
    script.write_text(
        f'#!/bin/sh\nexec java -cp "{jars}/*" org.apache.kafka.tools.consumer.ConsoleConsumer "$@"\n'
    )
    script.chmod(0o755)
    check([str(CONSUMERS / "consume.sh")], findings, tmp_path)


def test_a_consumer_that_comes_back_goes_on_behind_what_it_has_done(
    findings: str, tmp_path: Path
) -> None:
    command = [sys.executable, str(CONSUMERS / "consume.py")]
    check(command, findings, tmp_path)
    producer = Producer({"bootstrap.servers": findings})
    last = codec.encode(STEPS[0]).replace(b'"BTC-0"', b'"BTC-9"')
    producer.produce("cascades", last)
    producer.flush(30)
    with reading(command, findings, tmp_path, "whole") as out:
        until(lambda: "BTC-9" in out.read_text(), "the step that came meanwhile", 90)
        assert len(out.read_text().splitlines()) < len(LINES) + 1
