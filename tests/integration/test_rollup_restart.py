"""A rollup that is killed in a flood on one partition, its producers seconds apart."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from prometheus_client import REGISTRY
from stages import ROOT, until

from schemas import codec
from schemas.bars import Bar
from schemas.status import DeadLetter, FeedStatus
from schemas.words import SECOND
from sinks.kafka.membership import answered
from streams.core.params import Params
from streams.kafka import clients
from streams.process.settings import Settings
from streams.rollup import bookmark, worker

START = 1_763_683_200
#: Trades a second of event time; one in ten is of a producer that comes so much later, seconds.
RATE, BEHIND_S = 25_000, 5
SECONDS = 9
#: The kill comes after this second, long after the slow producer's word of it.
KILLED_AFTER, TWICE = 6, 2_000


def trade(venue: str, second: int, number: int) -> bytes:
    at = (START + second) * SECOND + number
    return (
        b'{"type":"trade","event_id":"%d.%d","venue":"%s","instrument":"BTC-USDT-PERP",'
        b'"venue_symbol":"BTCUSDT","asset":"BTC","aggressor_side":"buy","price":100.0,'
        b'"quantity":1.0,"notional_usd":100.0,"ts_event":%d,"ts_recv":%d}'
        % (second, number, venue.encode(), at, at)
    )


def time_message(producer: str, second: int) -> bytes:
    at = (START + second) * SECOND
    return codec.encode(FeedStatus(producer=producer, state="alive", ts_event=at))


def flood(second: int) -> Iterator[bytes]:
    """One second as it is received: the slow one's word, its trades and the others', their word."""
    yield time_message("slow", second - BEHIND_S)
    for number in range(RATE):
        slow = number % 10 == 0
        yield trade("bybit", second - BEHIND_S, number) if slow else trade("okx", second, number)
        if number == RATE // 2:
            yield time_message("quick", second)


def rollup(environ: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as err:
        return subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "rollup"],
            cwd=ROOT, env=os.environ | environ, stdin=subprocess.DEVNULL, stdout=err, stderr=err,
        )  # fmt: skip


def has_folded(url: str, group: str, end: int) -> Callable[[], bool]:
    def all_committed() -> bool:
        reader = Consumer(clients.consumer_conf(Settings(kafka_url=url, group=group), "rollup"))
        try:
            places = [TopicPartition("trades", 0)]
            [place] = answered(lambda: reader.committed(places, timeout=10))
            return place.offset >= end
        finally:
            reader.close()

    return all_committed


def read(url: str, topic: str) -> list[object]:
    conf = clients.consumer_conf(Settings(kafka_url=url), "look")
    reader, records = Consumer(conf | {"enable.partition.eof": True}), []
    parts = reader.list_topics(topic, timeout=10).topics[topic].partitions
    reader.assign([TopicPartition(topic, number, 0) for number in parts])
    left, deadline = len(parts), time.monotonic() + 60
    while left:
        assert time.monotonic() < deadline
        for message in reader.consume(10_000, 1):
            if message.error() is not None:
                left -= 1
            else:
                records += codec.decode_many(topic, message.value())[0]
    reader.close()
    return records


@contextmanager
def folding(url: str, group: str, folder: Path) -> Iterator[None]:
    """The worker in a thread of this process, ended in order."""
    ended = threading.Event()
    configured = Settings(kafka_url=url, group=group, data_dir=str(folder))
    thread = threading.Thread(target=worker.run, args=(configured, Params(), ended.is_set))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(20)
        assert not thread.is_alive()


def repeats() -> float:
    """Trades that were counted as duplicates so far."""
    name, labels = "undertow_refused_total", {"topic": "trades", "why": "duplicate"}
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_what_is_closed_is_skipped_and_a_trade_far_ahead_is_known_again(
    clean_topics: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bookmark, "GAP", 100)
    # This process holds the lock on the first worker's name still: be the same member again.
    monkeypatch.setattr(worker.worker_names, "claim", lambda *_: "worker-0")
    recalled = []
    recall = worker.recall
    monkeypatch.setattr(
        worker, "recall", lambda *given: recalled.append(len(given[3])) or recall(*given)
    )
    group, producer = f"ahead-{tmp_path.name}", clients.producer(Settings(kafka_url=clean_topics))
    before = repeats()
    many = 100_000
    payloads = [time_message("feed", 0), time_message("feed", 1), trade("okx", 200, 0)]
    payloads += [trade("okx", 1 + n // 10_000, n) for n in range(many)]
    payloads += [time_message("feed", 6), time_message("feed", 11), time_message("feed", 13)]
    for payload in payloads:
        producer.produce("trades", payload, partition=0)
    producer.flush()
    with folding(clean_topics, group, tmp_path):
        until(has_folded(clean_topics, group, len(payloads)), "all of it is folded")
    assert not recalled
    for payload in (trade("okx", 200, 0), trade("okx", 200, 1), trade("okx", 3, 1)):
        producer.produce("trades", payload, partition=0)
    producer.flush()
    with folding(clean_topics, group, tmp_path):
        until(has_folded(clean_topics, group, len(payloads) + 3), "the rest is folded")
    assert 0 < sum(recalled) < many / 2
    assert sum(bar.trades for bar in read(clean_topics, "bars") if isinstance(bar, Bar)) == many + 2
    assert list(read(clean_topics, "dead_letters")) == []
    assert repeats() == before + 1


def test_without_a_bookmark_reading_begins_as_long_before_as_a_mute_producer_is_waited_for(
    clean_topics: str,
) -> None:
    configured, params = Settings(kafka_url=clean_topics, group="by-hand"), Params()
    producer = clients.producer(configured)
    for second in range(1_000):
        at_ms = (START + second) * 1_000
        producer.produce("trades", b"{}", partition=2, timestamp=at_ms)
    producer.flush()
    back_s = params.stale_after_s + params.grace_ms / 1_000
    # A message a second: the first at or after that moment.
    first = math.ceil(900 - worker.NEAR - back_s)
    assert worker._before(configured, params, 2, 0, 900) == first
    assert worker._before(configured, params, 2, 0, 0) == 0
    assert worker._before(configured, params, 2, 950, 950) == 950


@pytest.mark.parametrize("way", ["memory", "objects"])
def test_a_rollup_killed_in_a_flood_loses_no_trade_and_counts_none_twice(
    clean_topics: str, tmp_path: Path, way: str
) -> None:
    group, log = f"flood-{tmp_path.name}", tmp_path / "rollup.log"
    environ = {
        "KAFKA_URL": clean_topics,
        "UNDERTOW_GROUP": group,
        "UNDERTOW_DATA_DIR": str(tmp_path),
        "UNDERTOW_KAFKA_READING": way,
    }
    producer = clients.producer(Settings(kafka_url=clean_topics))
    written = 0

    def write(payloads: Iterator[bytes]) -> int:
        nonlocal written
        for payload in payloads:
            producer.produce("trades", payload, partition=0)
            written += 1
        producer.flush()
        return written

    process = rollup(environ, log)
    try:
        end = write(payload for second in range(KILLED_AFTER + 1) for payload in flood(second))
        until(has_folded(clean_topics, group, end), "the flood before the kill is folded", 120)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = rollup(environ, log)
        # The quick producer's acknowledgement was lost: it sends the second's first trades again.
        write(trade("okx", KILLED_AFTER, n) for n in range(TWICE) if n % 10)
        write(payload for second in range(KILLED_AFTER + 1, SECONDS) for payload in flood(second))
        end = write(time_message(name, SECONDS + 9) for name in ("slow", "quick"))
        until(has_folded(clean_topics, group, end), "all of it is folded", 120)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()

    trades: Counter[tuple[str, int]] = Counter()
    for bar in read(clean_topics, "bars"):
        if isinstance(bar, Bar):
            trades[bar.venue, bar.ts_open // SECOND - START] += bar.trades
    slow = {("bybit", second - BEHIND_S): RATE // 10 for second in range(SECONDS)}
    assert trades == slow | {("okx", second): RATE - RATE // 10 for second in range(SECONDS)}
    assert not [r for r in read(clean_topics, "dead_letters") if isinstance(r, DeadLetter)]
