"""The state that a worker has when its recovery is over, from changelogs on a real broker."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import ConfigResource, ResourceType

from streams.detect import changelog_rows, faust_recovery
from streams.kafka import topics_admin
from streams.process.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TOPIC = "undertow-detect-flows-changelog"
#: Starts a worker; when it has recovered, tells its rows of flow and what came Faust's way.
WORKER = """
import json, os, sys
from streams.detect import faust_recovery as recovery, faust_tables as tables
from streams.detect.app import create_app, work
from streams.core.params import Params
from streams.process.settings import Settings

app = create_app(Settings(kafka_url=sys.argv[1], data_dir=sys.argv[2], partitions=4), Params())
completed, one_by_one = recovery.QuickRecovery.on_recovery_completed, []
apply = tables.StateTable.apply_changelog_batch

async def done(self, generation_id=0):
    await completed(self, generation_id)
    flows = app.tables["flows"]
    held = [(n, key, value) for n in range(4) for key, value in flows.of_partition(n)]
    rows = [[n, *key, value.decode()] for n, key, value in held if isinstance(value, bytes)]
    keys = [key for n, key, value in held if isinstance(value, tables.Left)]
    left = await flows.read_left(1, keys)
    left = {round(key[1][0] / 86400): value.decode() for key, value in left.items()}
    terms = [flows.term(n) for n in range(4)]
    told = {"rows": sorted(rows), "terms": terms, "one_by_one": len(one_by_one), "left": left}
    print("TOLD" + json.dumps(told), file=sys.__stdout__, flush=True)
    os._exit(0)

def applied(self, batch):
    batch = list(batch)
    one_by_one.extend(batch)
    apply(self, batch)

recovery.QuickRecovery.on_recovery_completed = done
tables.StateTable.apply_changelog_batch = applied
work(app)
"""


def recovered(url: str, folder: Path) -> dict[str, Any]:
    """Run a worker until it has its state; return what it tells."""
    command = [sys.executable, "-c", WORKER, url, str(folder)]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    [result_line] = [line for line in done.stdout.splitlines() if line.startswith("TOLD")] or [""]
    assert result_line, done.stderr[-2_000:]
    result: dict[str, Any] = json.loads(result_line[4:])
    return result


def key(asset: str, minute: int) -> bytes:
    return orjson.dumps([asset, [minute * 60.0, minute * 60.0 + 59.9]])


def write(to: Producer, partition: int, minute: int, value: bytes | None, term: int) -> None:
    headers = {"term": str(term).encode()}
    name = key(f"A{partition}", minute)
    to.produce(TOPIC, key=name, value=value, partition=partition, headers=headers)


def test_every_row_comes_back_but_those_deleted_or_of_a_worker_replaced(
    clean_topics: str, tmp_path: Path
) -> None:
    empty = recovered(clean_topics, tmp_path)
    assert empty == {"rows": [], "terms": [0] * 4, "one_by_one": 0, "left": {}}
    to = Producer({"bootstrap.servers": clean_topics})
    for minute in range(2_500):  # more than are read at once
        write(to, 0, minute, b"old", 1)
    for minute in range(2_500):
        write(to, 0, minute, b"%d" % minute if minute % 2 else None, 1)
    write(to, 1, 7, b"of the first", 1)
    begins = {"begins": b"2"}
    to.produce(TOPIC, key=b'["#1.2",[0.0,0.0]]', value=b"", partition=1, headers=begins)
    write(to, 1, 7, b"of the second", 2)
    write(to, 1, 7, b"late, of the first", 1)
    write(to, 1, 8, b"late, of the first", 1)
    assert to.flush(10) == 0
    # A transaction's marker, like a compacted row, leaves nothing to read at the end.
    sure = Producer({"bootstrap.servers": clean_topics, "transactional.id": "t"})
    sure.init_transactions(10)
    sure.begin_transaction()
    write(sure, 2, 9, b"behind it a marker", 1)
    sure.commit_transaction(10)
    result = recovered(clean_topics, tmp_path)
    odd = {minute: f"{minute}" for minute in range(1, 2_500, 2)}
    assert {row[2][0] // 60: row[3] for row in result["rows"] if row[0] == 0} == odd
    assert [row[3] for row in result["rows"] if row[0]] == ["of the second", "behind it a marker"]
    assert result["terms"] == [1, 2, 1, 0]
    assert result["one_by_one"] == 0


def test_the_broker_keeps_little_of_a_changelog_uncompacted(
    clean_topics: str, tmp_path: Path
) -> None:
    recovered(clean_topics, tmp_path)
    resource = ConfigResource(ResourceType.TOPIC, TOPIC)
    admin = topics_admin.admin_client(clean_topics)
    [asked] = admin.describe_configs([resource]).values()
    settings = {name: entry.value for name, entry in asked.result().items()}
    assert settings["cleanup.policy"] == "compact"
    assert settings["min.compaction.lag.ms"] == "600000"
    assert settings["min.cleanable.dirty.ratio"] == "0.2"
    assert settings["segment.bytes"] == str(64 * 2**20)


def day(asset: str, number: int) -> bytes:
    return orjson.dumps([asset, [number * 86_400.0, number * 86_400.0 + 86_399.9]])


def test_rows_of_a_day_stay_in_the_changelog_and_are_read_back_from_there(
    clean_topics: str, tmp_path: Path
) -> None:
    recovered(clean_topics, tmp_path)
    to = Producer({"bootstrap.servers": clean_topics})
    term = {"term": b"1"}
    for number in range(30):
        for text in ("stale", "fresh"):
            value = f"{text} {number}".encode() * 400
            to.produce(TOPIC, key=day("BTC", number), value=value, partition=1, headers=term)
            write(to, 1, number, b"a minute", 1)
    to.produce(TOPIC, key=day("BTC", 0), value=None, partition=1, headers=term)
    assert to.flush(10) == 0
    result = recovered(clean_topics, tmp_path)
    assert sum(row[3] == "a minute" for row in result["rows"]) == 30
    assert result["left"] == {str(n): f"fresh {n}" * 400 for n in range(1, 30)}


def test_a_row_that_is_not_there_any_more_is_told_with_its_place(clean_topics: str) -> None:
    sure = Producer({"bootstrap.servers": clean_topics, "transactional.id": "t"})
    sure.init_transactions(10)
    for _ in range(2):
        sure.begin_transaction()
        sure.produce("bars", value=b"row", partition=2)
        sure.commit_transaction(10)
    conf = faust_recovery.consumer_conf(Settings(kafka_url=clean_topics))
    rows = asyncio.run(changelog_rows.read(conf, "bars", 2, [2, 0]))
    assert rows == {0: b"row", 2: b"row"}
    for marker in (1, 3):  # nothing to read: one before a row, one at the end
        with pytest.raises(changelog_rows.RowGone, match=rf"bars\[2\]@{marker} is not there"):
            asyncio.run(changelog_rows.read(conf, "bars", 2, [0, marker]))


def test_a_broker_that_does_not_answer_is_told_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changelog_rows, "GIVE_UP_S", 1.0)
    conf = faust_recovery.consumer_conf(Settings(kafka_url="127.0.0.1:1"))
    with pytest.raises(changelog_rows.RowGone, match=r"bars\[2\]@7 does not come: .*"):
        asyncio.run(changelog_rows.read(conf, "bars", 2, [7]))


def test_spans_of_a_topic_are_read_whole_past_markers_and_what_is_deleted(
    clean_topics: str,
) -> None:
    sure = Producer({"bootstrap.servers": clean_topics, "transactional.id": "spans"})
    sure.init_transactions(10)
    for number in range(4):  # 0 and 1, a marker, 3 and 4, a marker, ...
        sure.begin_transaction()
        for part in range(2):
            sure.produce("bars", value=b"%d %d" % (number, part), partition=2)
        # What is aborted before it was sent takes no offsets.
        assert sure.flush(10) == 0
        sure.abort_transaction(10) if number == 1 else sure.commit_transaction(10)
    conf = faust_recovery.consumer_conf(Settings(kafka_url=clean_topics))

    def read(**spans: range) -> dict[str, list[bytes]]:
        rows = asyncio.run(changelog_rows.read_spans(conf, 2, spans))
        return {topic: [message.value() for message in those] for topic, those in rows.items()}

    whole = [b"0 1", b"2 0", b"2 1", b"3 0"]
    assert read(bars=range(1, 10), liquidations=range(0, 5)) == {"bars": whole, "liquidations": []}
    assert read(bars=range(3, 6)) == {"bars": []}
    admin = topics_admin.admin_client(clean_topics)
    for done in admin.delete_records([TopicPartition("bars", 2, 7)]).values():
        done.result()
    assert read(bars=range(1, 10)) == {"bars": [b"2 1", b"3 0"]}
