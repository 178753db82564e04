"""Messages taken out of librdkafka's memory and as objects: the same ones, whatever happens."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from stages import until

from streams.kafka import clients, reading, topics_admin
from streams.process.settings import Settings

PARTITIONS = 4
BOTH = pytest.mark.parametrize("way", ["memory", "objects"])
#: What a message had: offset, stamp and payload.
Taken = dict[int, list[tuple[int, int, bytes | None]]]


@contextmanager
def reader_of(
    url: str, way: str, group: str, **conf: Any
) -> Iterator[tuple[Consumer, reading.Reader]]:
    settings = Settings(kafka_url=url, kafka_reading=way, group=group)
    consumer = Consumer(clients.consumer_conf(settings, "look") | conf)
    reader = reading.reader(consumer, settings)
    assert isinstance(reader, reading.Memory) == (way == "memory")
    try:
        yield consumer, reader
    finally:
        reader.close()


def assign(consumer: Consumer, reader: reading.Reader, parts: list[TopicPartition]) -> None:
    reader.assigned(parts)
    consumer.assign(parts)


def all_parts(offset: int = OFFSET_BEGINNING) -> list[TopicPartition]:
    return [TopicPartition("trades", number, offset) for number in range(PARTITIONS)]


def take(reader: reading.Reader, taken: Taken, count: int = 1_000) -> int:
    """Take once; return how many came."""
    batches = reader.take(count, 0.1)
    for number, batch in batches.items():
        taken.setdefault(number, []).extend(
            (int(batch.offsets[n]), int(batch.stamps_ms[n]), batch.payload(n))
            for n in range(len(batch))
        )
    return sum(map(len, batches.values()))


def take_until(reader: reading.Reader, taken: Taken, enough: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not enough():
        assert time.monotonic() < deadline, {n: len(of) for n, of in taken.items()}
        take(reader, taken)


def size(taken: Taken) -> int:
    return sum(map(len, taken.values()))


def produce(url: str, payloads: list[bytes | None], partition: int | None = None) -> None:
    producer = clients.producer(Settings(kafka_url=url))
    for n, payload in enumerate(payloads):
        to = n % PARTITIONS if partition is None else partition
        producer.produce("trades", payload, partition=to, timestamp=1_000 + n)
    producer.flush()


def numbered(first: int, last: int) -> list[bytes | None]:
    return [b"%d" % n for n in range(first, last)]


@BOTH
def test_every_message_comes_with_its_offset_stamp_and_payload(clean_topics: str, way: str) -> None:
    odd = [None, b"", b"x", b"\0" * 900_000, b"{}", None, bytes(range(256))]
    payloads: list[bytes | None] = [*odd, *numbered(0, 5_000), *odd]
    produce(clean_topics, payloads)
    taken: Taken = {}
    with reader_of(clean_topics, way, "each") as (consumer, reader):
        assign(consumer, reader, all_parts())
        take_until(reader, taken, lambda: size(taken) >= len(payloads))
    assert taken == {
        number: [
            (at, 1_000 + n, payloads[n])
            for at, n in enumerate(range(number, len(payloads), PARTITIONS))
        ]
        for number in range(PARTITIONS)
    }


@BOTH
def test_after_a_seek_nothing_comes_that_was_fetched_before_it(clean_topics: str, way: str) -> None:
    produce(clean_topics, numbered(0, 20_000), partition=1)
    with reader_of(clean_topics, way, "seek") as (consumer, reader):
        assign(consumer, reader, [TopicPartition("trades", 1, 0)])
        for to in (15_000, 3, 17_000, 0, 7_777):
            until(lambda: take(reader, {}, 100) > 0, "something comes before the seek")
            consumer.seek(TopicPartition("trades", 1, to))
            taken: Taken = {}
            take_until(reader, taken, lambda taken=taken: bool(size(taken)))
            assert taken[1] == [
                (to + n, 1_000 + to + n, b"%d" % (to + n)) for n in range(len(taken[1]))
            ]
            assert consumer.position([TopicPartition("trades", 1)])[0].offset == taken[1][-1][0] + 1


@BOTH
def test_the_error_of_a_partition_is_raised_with_its_code_and_reason(
    clean_topics: str, way: str
) -> None:
    produce(clean_topics, numbered(0, 10), partition=0)
    conf = {"auto.offset.reset": "error"}
    with reader_of(clean_topics, way, "error", **conf) as (consumer, reader):
        assign(consumer, reader, [TopicPartition("trades", 0, 500)])
        with pytest.raises(KafkaException) as raised:
            take_until(reader, {}, lambda: False)
        error = raised.value.args[0]
        assert error.code() == KafkaError._AUTO_OFFSET_RESET
        assert "Offset out of range" in error.str()
        assert not error.fatal()


@BOTH
def test_a_reader_fenced_off_by_its_namesake_is_told_that_this_is_fatal(
    clean_topics: str, way: str
) -> None:
    conf = {"group.instance.id": "the-only-one"}

    def joined(consumer: Consumer, reader: reading.Reader) -> None:
        parts: list[TopicPartition] = []

        def assigned(consumer: Consumer, given: list[TopicPartition]) -> None:
            parts.extend(given)
            assign(consumer, reader, given)

        consumer.subscribe(["trades"], on_assign=assigned)
        until(lambda: (take(reader, {}, 100), bool(parts))[1], "it has partitions")

    with reader_of(clean_topics, way, f"fenced-{way}", **conf) as (consumer, reader):
        joined(consumer, reader)
        with reader_of(clean_topics, way, f"fenced-{way}", **conf) as other:
            joined(*other)
            with pytest.raises(KafkaException) as raised:
                take_until(reader, {}, lambda: False)
    assert raised.value.args[0].code() == KafkaError._FATAL


class Member:
    """One of a group, in a thread: what it took while a partition was its own."""

    def __init__(self, url: str, way: str, group: str) -> None:
        self.stays: list[tuple[int, int, list[int]]] = []
        self._ended = threading.Event()
        self._taking: dict[int, list[int]] = {}
        self._thread = threading.Thread(target=self._run, args=(url, way, group))
        self.failed: BaseException | None = None
        self._thread.start()

    def _run(self, url: str, way: str, group: str) -> None:
        try:
            with reader_of(url, way, group) as (consumer, reader):
                self._take(consumer, reader)
        except BaseException as problem:
            self.failed = problem

    def _take(self, consumer: Consumer, reader: reading.Reader) -> None:
        def on_assign(consumer: Consumer, parts: list[TopicPartition]) -> None:
            if reader.closed:
                return
            for tp in consumer.committed(parts, 30):
                begin = max(0, tp.offset)
                self._taking[tp.partition] = []
                self.stays.append((tp.partition, begin, self._taking[tp.partition]))
                parts[parts.index(TopicPartition("trades", tp.partition))].offset = begin
            assign(consumer, reader, parts)

        def on_revoke(consumer: Consumer, parts: list[TopicPartition]) -> None:
            ends = [
                TopicPartition("trades", tp.partition, self._taking[tp.partition][-1] + 1)
                for tp in parts
                if self._taking.get(tp.partition)
            ]
            if ends:
                consumer.commit(offsets=ends, asynchronous=False)
            for tp in parts:
                self._taking.pop(tp.partition, None)

        consumer.subscribe(["trades"], on_assign=on_assign, on_revoke=on_revoke)
        while not self._ended.is_set():
            for number, batch in reader.take(500, 0.02).items():
                # A message of a partition that is nobody's, or another's by now, is a KeyError.
                self._taking[number] += batch.offsets.tolist()

    def end(self) -> None:
        self._ended.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        assert self.failed is None, self.failed


@BOTH
def test_partitions_that_change_hands_in_a_flood_leave_no_gap_and_nothing_twice(
    clean_topics: str, way: str
) -> None:
    each, group = 40_000, f"hands-{way}"
    flood = threading.Thread(target=produce, args=(clean_topics, numbered(0, PARTITIONS * each)))
    flood.start()
    members = [Member(clean_topics, way, group)]
    everyone, working = list(members), members
    for change in range(6):
        before = sum(len(offsets) for member in everyone for _, _, offsets in member.stays)
        until(
            lambda before=before: (
                sum(len(o) for m in everyone for _, _, o in m.stays)
                >= min(before + 5_000, PARTITIONS * each)
            ),
            "the flood goes on",
            60,
        )
        if change % 3 == 2:
            working.pop(0).end()
        else:
            working.append(Member(clean_topics, way, group))
            everyone.append(working[-1])
    until(
        lambda: sum(len(o) for m in everyone for _, _, o in m.stays) >= PARTITIONS * each,
        "all of it is taken",
        120,
    )
    for member in working:
        member.end()
    flood.join()
    taken: dict[int, list[int]] = {number: [] for number in range(PARTITIONS)}
    for number, begin, offsets in (stay for member in everyone for stay in member.stays):
        assert offsets == list(range(begin, begin + len(offsets)))
        taken[number] += offsets
    assert {number: sorted(of) for number, of in taken.items()} == {
        number: list(range(each)) for number in range(PARTITIONS)
    }


def test_a_partition_whose_queue_was_cut_off_comes_again_once_it_is_named_again(
    clean_topics: str,
) -> None:
    taken: Taken = {}
    with reader_of(clean_topics, "memory", "cut") as (consumer, reader):
        assert isinstance(reader, reading.Memory)
        assign(consumer, reader, [TopicPartition("trades", 2, 0)])
        produce(clean_topics, numbered(0, 100), partition=2)
        take_until(reader, taken, lambda: size(taken) == 100)
        reader._forward("trades", 2, None)
        produce(clean_topics, numbered(100, 200), partition=2)
        for _ in range(10):
            assert take(reader, taken) == 0
        reader.assigned(consumer.assignment())
        produce(clean_topics, numbered(200, 300), partition=2)
        take_until(reader, taken, lambda: size(taken) == 300)
    assert [payload for _, _, payload in taken[2]] == numbered(0, 300)


def test_what_waits_unread_holds_no_end_back(clean_topics: str) -> None:
    """librdkafka's own end waits for every message that is still somebody's."""
    produce(clean_topics, numbered(0, 50_000))
    with reader_of(clean_topics, "memory", "end") as (consumer, reader):
        assert isinstance(reader, reading.Memory)
        assign(consumer, reader, all_parts())
        taken: Taken = {}
        take_until(reader, taken, lambda: bool(taken))
        time.sleep(0.5)  # the queue fills
        ended = threading.Thread(target=reader.close, daemon=True)
        ended.start()
        ended.join(20)
        assert not ended.is_alive()
        with pytest.raises(RuntimeError):
            reader.take(1, 0)
        reader.assigned(all_parts())
        reader.close()


#: Takes until its partitions' errors are logged; by itself, as a fault here ends the process.
_READS_ON = """
import logging, sys, time
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from streams.kafka import clients, reading
from streams.process.settings import Settings

lines = []
logging.basicConfig(stream=sys.stdout)
logging.getLogger().handlers[0].addFilter(lambda line: lines.append(line.getMessage()) or True)
settings = Settings(kafka_url=sys.argv[1], kafka_reading="memory", group="deleted")
often = {"topic.metadata.refresh.interval.ms": 500, "topic.metadata.propagation.max.ms": 500}
consumer = Consumer(clients.consumer_conf(settings, "look") | often)
reader = reading.reader(consumer, settings)

parts = [TopicPartition("trades", number, OFFSET_BEGINNING) for number in range(4)]
reader.assigned(parts)
consumer.assign(parts)
end = time.monotonic() + 30
while time.monotonic() < end and not any("topic does not exist" in line for line in lines):
    try:
        if reader.take(1_000, 0.1):
            print("reads", flush=True)
    except KafkaException as problem:
        print("raised", problem, flush=True)
reader.close()
"""


def test_a_topic_that_is_deleted_under_a_reader_is_told_and_ends_no_process(
    clean_topics: str,
) -> None:
    """Errors of its partitions are called back within our own call, where that is an abort."""
    produce(clean_topics, numbered(0, 100))
    command = [sys.executable, "-c", _READS_ON, clean_topics]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "reads" in process.stdout.readline()
        admin = topics_admin.admin_client(clean_topics)
        admin.delete_topics(["trades"])["trades"].result(30)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "topic does not exist" in output


@pytest.mark.parametrize(
    ("name", "changed", "why"),
    [
        ("KNOWN", {"9.9.9": (1, 1)}, "confluent_kafka"),
        ("KNOWN", {confluent_kafka.__version__: (1, Consumer.__basicsize__)}, "librdkafka"),
        ("KNOWN", {confluent_kafka.__version__: (1, 8)}, "8"),
        ("_setting", lambda *_: "elsewhere:9092", "pointer"),
        ("_FUNCTIONS", {"rd_kafka_no_such_function": (None, [])}, "rd_kafka_no_such_function"),
    ],
    ids=["another version", "another library", "another object", "another place", "no function"],
)
def test_what_is_not_as_known_is_read_as_objects_and_said_once(
    kafka: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    name: str, changed: Any, why: str,
) -> None:  # fmt: skip
    settings = Settings(kafka_url=kafka)
    consumer = Consumer(clients.consumer_conf(settings, "look"))
    monkeypatch.setattr(reading, name, changed)
    with caplog.at_level(logging.WARNING):
        assert isinstance(reading.reader(consumer, settings), reading.Objects)
    consumer.close()
    [line] = caplog.messages
    assert why in line


def test_the_locked_version_is_known() -> None:
    """Else everyone would read at half the speed, and only a line in the log would say so."""
    settings = Settings(kafka_url="127.0.0.1:1")
    consumer = Consumer(clients.consumer_conf(settings, "look") | {"log_level": 0})
    reader = reading.reader(consumer, settings)
    assert isinstance(reader, reading.Memory)
    reader.close()
