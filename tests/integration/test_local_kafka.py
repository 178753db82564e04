"""The local broker is a real one: it keeps, orders, isolates, and dies with its owner."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka.partitioner import murmur2
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from schemas.kafka_failures import catchable
from schemas.topics import TOPICS
from streams.kafka import topics_admin
from streams.stack import local_kafka

ROOT = Path(__file__).parents[2]
ASSETS = [f"A{number}".encode() for number in range(12)]


def until(true: Callable[[], object], what: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def producer(bootstrap: str, **extra: object) -> Producer:
    # Java's and Faust's partitioner; librdkafka's own default is another.
    return Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", **extra})


def read_all(bootstrap: str, topic: str, isolation: str = "read_committed") -> list[tuple]:
    """Partition, key and value of every message on `topic` now."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reader",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    parts = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in parts])
    messages, ends = [], 0
    while ends < len(parts):
        message = consumer.poll(10)
        assert message is not None, "the broker stopped answering"
        if message.error():
            ends += 1
        else:
            messages.append((message.partition(), message.key(), message.value()))
    consumer.close()
    return messages


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        # A dead child that nobody waited for answers too.
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def test_no_system_gives_the_brokers_port_to_a_connection(kafka: str) -> None:
    # It did: a broker that was killed found its port taken when it came again.
    assert int(kafka.partition(":")[2]) < 32_768


def test_topics_are_made_once_with_their_partitions_and_retention(clean_topics: str) -> None:
    assert topics_admin.create_topics(clean_topics, 4) == []
    listed = topics_admin.wait_ready(clean_topics).topics
    counts = {name: len(listed[name].partitions) for name in TOPICS}
    assert counts == {name: 4 if topic.split else 1 for name, topic in TOPICS.items()}


def test_only_the_missing_topic_is_made(clean_topics: str) -> None:
    admin = topics_admin.admin_client(clean_topics)
    admin.delete_topics(["alerts"])["alerts"].result()
    until(lambda: "alerts" not in admin.list_topics(timeout=10).topics, "alerts is gone")
    assert topics_admin.create_topics(clean_topics, 4) == ["alerts"]


def test_another_partition_count_is_an_error_that_names_both(clean_topics: str) -> None:
    with pytest.raises(topics_admin.TopicMismatch, match="trades has 4, not 8"):
        topics_admin.create_topics(clean_topics, 8)


def test_a_cluster_that_is_not_there_is_told_in_time() -> None:
    with pytest.raises(topics_admin.NotReady, match="did not answer within 1 s"):
        topics_admin.wait_ready("127.0.0.1:1", timeout=1)


def test_an_assets_records_meet_on_one_partition_of_every_topic(clean_topics: str) -> None:
    sender = producer(clean_topics)
    for topic in ("liquidations", "bars", "whale_transfers"):
        for asset in ASSETS:
            sender.produce(topic, key=asset, value=topic.encode())
    assert sender.flush(10) == 0
    wanted = {asset: (murmur2(asset) & 0x7FFFFFFF) % 4 for asset in ASSETS}
    for topic in ("liquidations", "bars", "whale_transfers"):
        partitions = {key: partition for partition, key, _ in read_all(clean_topics, topic)}
        assert partitions == wanted


def test_an_aborted_transaction_is_never_read(clean_topics: str) -> None:
    sender = producer(clean_topics, **{"transactional.id": "test-rollup"})
    sender.init_transactions(20)
    for round_ in range(4):
        sender.begin_transaction()
        for asset in ASSETS:
            sender.produce("bars", key=asset, value=b"%d" % round_)
        sender.flush(10)
        sender.abort_transaction() if round_ % 2 else sender.commit_transaction()
    committed = {value for _, _, value in read_all(clean_topics, "bars")}
    written = {value for _, _, value in read_all(clean_topics, "bars", "read_uncommitted")}
    assert committed == {b"0", b"2"}
    assert written == {b"0", b"1", b"2", b"3"}


OWNER = """
import sys, time
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
from streams.stack import local_kafka
from streams.kafka import topics_admin
# From a pool's thread that ends before its process does: the broker must outlive the thread.
with ThreadPoolExecutor() as pool:
    broker = pool.submit(local_kafka.start, Path(sys.argv[1])).result()
topics_admin.create_topics(broker.bootstrap, 4)
print(broker.pid, broker.bootstrap, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of our end")
def test_a_killed_owner_takes_the_broker_along_and_the_data_stays(
    kafka: str, tmp_path: Path
) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout
    pid, bootstrap = owner.stdout.readline().split()
    sender = producer(bootstrap)
    for asset in ASSETS:
        sender.produce("liquidations", key=asset, value=b"kept")
    assert sender.flush(60) == 0
    assert alive(int(pid))
    owner.kill()
    owner.wait()
    owner.stdout.close()
    until(lambda: not alive(int(pid)), "the broker is gone", 60)

    # Another port than before, and then an orderly stop in between.
    for _ in range(2):
        broker = local_kafka.start(tmp_path)
        try:
            assert len(read_all(broker.bootstrap, "liquidations")) == len(ASSETS)
            with pytest.raises(local_kafka.CannotStart, match="another Kafka is running"):
                local_kafka.start(tmp_path)
            assert topics_admin.create_topics(broker.bootstrap, 4) == []
        finally:
            broker.stop()
        assert not broker.running


APP = """
import faust
app = faust.App(
    "recovery", broker="kafka://{bootstrap}", store="memory://", topic_partitions=4,
    topic_disable_leader=True, topic_replication_factor=1, broker_session_timeout=6.0,
    broker_heartbeat_interval=1.0, broker_commit_interval=0.2, stream_recovery_delay=0.0,
    consumer_auto_offset_reset="earliest", web_enabled=False,
)
topic = app.topic("liquidations", key_serializer="raw", value_serializer="raw")
totals = app.Table("totals", default=int, partitions=4, key_type=bytes)

@app.agent(topic)
async def add(stream):
    async for key, value in stream.items():
        totals[key] += int(value)
        with open("totals.txt", "a") as out:
            out.write(f"{{key.decode()}} {{totals[key]}}\\n")
"""


@contextlib.contextmanager
def faust_worker(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker that dies by `kill -9`, as a crash would."""
    command = (sys.executable, "-m", "faust", "-A", "app", "worker", "--without-web")
    with (folder / "worker.log").open("ab") as log:
        worker = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield worker
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()


def test_what_kafka_answers_within_a_rebalance_can_be_caught_outside(clean_topics: str) -> None:
    consumer = Consumer({"bootstrap.servers": clean_topics, "group.id": "catchable"})

    def assigned(_: Consumer, parts: list[TopicPartition]) -> None:
        consumer.committed(parts, timeout=1e-6)

    consumer.subscribe(["alerts"], on_assign=catchable(assigned))
    with pytest.raises(KafkaException, match="_TIMED_OUT"):
        consumer.poll(60)
    consumer.close()


def test_a_faust_table_survives_kill_9_by_its_changelog(clean_topics: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP.format(bootstrap=clean_topics))
    totals = tmp_path / "totals.txt"
    totals.touch()
    sender = producer(clean_topics)
    # Two keys, so that some changelog partitions stay empty: recovery must not wait for them.
    keys = ASSETS[:2]

    def send(times: int) -> None:
        for key in keys * times:
            sender.produce("liquidations", key=key, value=b"1")
        assert sender.flush(10) == 0

    def committed() -> int:
        reader = Consumer({"bootstrap.servers": clean_topics, "group.id": "recovery"})
        where = [TopicPartition("liquidations", number) for number in range(4)]
        total = 0
        # Until the group has a coordinator, there is nobody to ask.
        with contextlib.suppress(KafkaException):
            total = sum(max(0, at.offset) for at in reader.committed(where, timeout=10))
        reader.close()
        return total

    send(100)
    with faust_worker(tmp_path):
        until(lambda: committed() == 200, "all 200 are committed")
    totals.write_text("")
    with faust_worker(tmp_path):
        send(1)
        until(lambda: len(totals.read_text().splitlines()) == 2, "one more of each key")
    assert sorted(totals.read_text().splitlines()) == ["A0 101", "A1 101"]
