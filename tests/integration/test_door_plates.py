"""What stands on the door plates is true: commands run, fields are named, limits are kept."""

import asyncio
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from nights import PARAMS, night, write_ndjson
from stages import until

from schemas import codec
from schemas.topics import TOPICS
from streams.cli import main

ROOT = Path(__file__).resolve().parents[2]
PLATES = [
    "README.md",
    *(
        f"{x}/README.md"
        for x in ("schemas", "streams", "streams/sources", "sinks", "docker", "tests")
    ),
]
#: What a line for a cluster may call that is not ours.
OTHERS = ("export", ".venv/bin/python", "docker", "kubectl", "kafka-consumer-groups.sh")
FRAME = (
    '{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1791565601482,"data":'
    '[{"T":1791565600992,"s":"BTCUSDT","S":"Buy","v":"0.006","p":"82396.90"}]}\n'
)


def commands(fence: str) -> list[tuple[str, str]]:
    """Each line of the plates' blocks that are fenced so, with its plate."""
    commands = []
    for plate in PLATES:
        for block in re.findall(
            rf"^```{fence}\n(.*?)^```", (ROOT / plate).read_text(), re.M | re.S
        ):
            commands += [(plate, line) for line in block.splitlines() if line.strip()]
    return commands


@pytest.fixture(scope="module")
def afternoon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader has it: the environment, a recording of theirs, a run of it."""
    folder = tmp_path_factory.mktemp("afternoon")
    (folder / ".venv").symlink_to(sys.prefix)
    write_ndjson(night(), folder / "my-recording")
    (folder / "frames.jsonl").write_text(FRAME)
    (folder / "params.json").write_bytes(msgspec.json.encode(PARAMS))
    ran = shell(folder, ".venv/bin/undertow run --source my-recording/ --fresh --no-serve")
    assert ran.returncode == 0, ran.stderr
    return folder


def shell(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"UNDERTOW_PARAMS": "params.json", "UNDERTOW_SQL_PORT": "0"}
    return subprocess.run(
        ["bash", "-ec", line], cwd=folder, env=environ, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize(("plate", "line"), commands("sh"))
def test_a_command_on_a_door_plate_runs(afternoon: Path, plate: str, line: str) -> None:
    ran = shell(afternoon, line)
    assert ran.returncode == 0, f"{plate}: {line}\n{ran.stderr}"
    assert ran.stdout.strip()


@pytest.mark.parametrize(("plate", "line"), commands("sh cluster"))
def test_a_command_for_a_cluster_is_one_that_we_have(plate: str, line: str) -> None:
    for part in re.split(r"&&|&|\|", line.partition("#")[0]):
        words = shlex.split(part)
        if words and words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M), line
        elif words and words[0].endswith("undertow"):
            command: Any = main
            while isinstance(command, click.Group):
                if command.invoke_without_command and words[1:2] not in [
                    [n] for n in command.commands
                ]:
                    break
                words = words[1:]
                command = command.commands[words[0]]
            command.make_context(words[0], words[1:], resilient_parsing=True)
        else:
            assert not words or words[0] in OTHERS, f"{plate}: {line}"


def test_the_readme_is_one_that_a_stranger_reads() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    assert max(map(len, lines)) <= 100
    assert "](streams/night.svg)" in "\n".join(lines)
    for plate in PLATES[1:]:
        assert f"]({plate})" in "\n".join(lines)


def test_every_folder_of_what_we_conclude_is_on_its_plate() -> None:
    plate = (ROOT / "streams" / "README.md").read_text()
    folders = [path.parent.name for path in (ROOT / "streams").glob("*/__init__.py")]
    assert [name for name in folders if f"`{name}/`" not in plate] == []


def test_every_field_of_every_record_is_on_the_plate_of_what_flows() -> None:
    plate = (ROOT / "schemas" / "README.md").read_text()
    named = set(re.findall(r"`([a-z_0-9]+)`", plate))
    records = {record for topic in TOPICS.values() for record in topic.payload}
    missing = {
        f"{record.__name__}.{field.name}"
        for record in records
        for field in msgspec.structs.fields(record)
        if field.name not in named
    }
    assert not missing
    assert set(TOPICS) <= named


def test_the_producer_on_the_plate_writes_what_every_stage_can_read(clean_topics: str) -> None:
    from confluent_kafka import Consumer

    [program] = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "schemas" / "README.md").read_text(), re.M | re.S
    )
    environ = os.environ | {"KAFKA_URL": clean_topics}
    subprocess.run([sys.executable, "-c", program], env=environ, check=True, timeout=120)
    reader = Consumer(
        {"bootstrap.servers": clean_topics, "group.id": "plate", "auto.offset.reset": "earliest"}
    )
    reader.subscribe(["liquidations", "trades", "whale_transfers"])
    read: dict[str, int] = {}
    try:
        while read.get("Liquidation", 0) < 3 or read.get("FeedStatus", 0) < 9:
            message = reader.poll(30)
            assert message is not None, f"only {read} within 30 s"
            topic = message.topic() or ""
            record = codec.decode(topic, message.value(), 0, 0)
            read[type(record).__name__] = read.get(type(record).__name__, 0) + 1
    finally:
        reader.close()


def test_the_receiver_on_the_plate_verifies_what_we_send() -> None:
    from sinks.webhooks.delivery import probe
    from sinks.webhooks.endpoints import parse_endpoints
    from sinks.webhooks.signing import new_secret

    [program] = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "sinks" / "README.md").read_text(), re.M | re.S
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    secret, other = new_secret(), new_secret()
    named = f"SECRET, PORT = {secret!r}, {port}\n"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", named + program.replace("[\"title\"]", "[\"text\"]")],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        until(lambda: not socket.socket().connect_ex(("127.0.0.1", port)), "the receiver")
        for key, answered in ((secret, "HTTP 204"), (other, "ServerDisconnectedError")):
            [endpoint] = parse_endpoints(f"http://127.0.0.1:{port}/#{key}", ["127.0.0.1"])
            assert answered in str(asyncio.run(probe(endpoint)))
    finally:
        process.kill()
        out, _ = process.communicate()
    assert len(out.splitlines()) == 1
