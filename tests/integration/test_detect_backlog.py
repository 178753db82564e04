"""A worker before a large backlog, on a real broker: slow is not stuck."""

from contextlib import suppress
from pathlib import Path

import stages
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from nights import START

from schemas import codec
from schemas.bars import Bar
from schemas.status import FeedStatus
from schemas.words import SECOND
from streams.core.shard import INPUTS
from streams.kafka import clients
from streams.kafka.records import by_partition, send
from streams.process.settings import Settings

#: A worker that takes a millisecond a message, and may stand still for two seconds.
SLOW = """
import sys, time
from streams.detect import agent as detect, shards
from streams.detect.app import create_app, work
from streams.core.params import Params
from streams.process.settings import Settings

apply, detect.STUCK_S = shards.apply, 2.0

def slow(*told):
    time.sleep(0.001)
    return apply(*told)

shards.apply = slow
work(create_app(Settings(kafka_url=sys.argv[1], data_dir=sys.argv[2], partitions=4), Params()))
"""
MESSAGES = 1_500
ENVIRON = {"PYTHONPATH": str(stages.ROOT)}


def committed(bootstrap: str) -> int:
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "undertow-detect"})
    places = [TopicPartition("liquidations", number) for number in range(4)]
    total = 0
    # Until the group's coordinator is chosen, there is nobody to ask.
    with suppress(KafkaException):
        total = sum(max(0, at.offset) for at in reader.committed(places, timeout=10))
    reader.close()
    return total


def test_one_fetch_that_takes_longer_than_it_may_stand_still_is_worked_through(
    clean_topics: str, tmp_path: Path
) -> None:
    to = Producer({"bootstrap.servers": clean_topics})
    words = [
        codec.encode(FeedStatus(producer="x", state="alive", ts_event=(START + second) * SECOND))
        for second in range(2)
    ]
    for number in range(4):
        for topic in INPUTS:
            for feed_status in words:
                to.produce(topic, feed_status, partition=number)
        for _ in range(MESSAGES - 2):
            to.produce("liquidations", words[1], partition=number)
    assert to.flush(10) == 0
    log = tmp_path / "log"
    with stages.program(ENVIRON, "-c", SLOW, clean_topics, str(tmp_path), log=log) as worker:
        stages.until(
            lambda: worker.poll() is not None or committed(clean_topics) == 4 * MESSAGES,
            "all is committed, or the worker ends itself",
        )
        assert worker.poll() is None


def test_records_put_together_go_where_each_alone_would(clean_topics: str) -> None:
    to = clients.producer(Settings(kafka_url=clean_topics))
    bars = [bar(f"A{number}") for number in range(300)]
    alone: dict[str, int] = {}
    for one in bars:
        send(
            to,
            "bars",
            one,
            on_delivery=lambda _, m, one=one: alone.update({one.asset: m.partition()}),
        )
    assert to.flush(10) == 0
    together = {one.asset: n for n, many in by_partition("bars", bars, 4) for one in many}
    assert together == alone
    assert set(alone.values()) == {0, 1, 2, 3}


def bar(asset: str) -> Bar:
    return Bar(
        venue="okx", instrument=f"{asset}-USDT-PERP", asset=asset, ts_open=START * SECOND,
        width=SECOND, high=2.0, low=1.0, quantity=1.0, buy_usd=2.0, sell_usd=0.0, trades=1,
    )  # fmt: skip
