"""Every bar of a whole market before one `detect`: is it kept up with, and does memory stay flat?

    6,000 instruments, each told twice a second ──┐
    20 forced orders a second                   ──┼──> Kafka ──> detect, on a core of its own
    words on time, ten a second                 ──┘                └──> its word on each second

Before that, two hours of a bar a minute: a worker's memory is full only then, as it packs an hour's
minutes when another hour has passed.
How late a second is judged is read off detect's own words to the market detector: Kafka's stamp
on one, less the second that it says is judged. The least possible is grace and a word's tenth.
"""

import json
import random
import re
import time
from pathlib import Path
from statistics import median
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from say import say

from bench import load, rig
from schemas import codec
from schemas.bars import Bar
from schemas.status import FeedStatus
from schemas.topics import TOPICS, key_of
from schemas.words import SECOND, WORD_EVERY
from streams.core.shard import INPUTS
from streams.kafka.records import partition_of

INSTRUMENTS = 6_000
ORDERS_A_SECOND = 20
LOOK_S = 2.0
#: Words of the history, seconds apart: longer leaps would wait to be borne out.
STEP_S = 10
#: How long the history may take, and how near to the present it ends, seconds.
PATIENCE_S, NEAR_S = 300.0, 2.0


def measure(folder: Path, quick: bool) -> dict[str, Any]:
    """Return how late seconds are judged by tenths of the run, memory, and the core's share."""
    seconds, history_min = (30, 5) if quick else (600, 130)
    core = min(rig.OURS)
    with rig.broker(folder) as url, rig.stage("detect", url, folder, "market", core) as worker:
        feed = Feed(url)
        looks = []
        feed.play_history(int(time.time()) // 60 - history_min, history_min)
        _until_it_keeps_up(feed, rig.log_of(folder, "detect", core))
        feed.bars, began = 0, time.time()
        while (now := time.time()) < began + seconds:
            feed.play(now)
            if worker.poll() is not None:
                raise rig.Failed(rig.log_of(folder, "detect", core).read_text()[-600:])
            if len(looks) * LOOK_S < now - began:
                looks.append((now, rig.cpu_s(worker.pid), rig.rss_mb(worker.pid)))
            time.sleep(max(0.0, now + 0.05 - time.time()))
        time.sleep(2.0)
        late = _judged_late_s(url, began)
    tenths = [late[at * len(late) // 10 : (at + 1) * len(late) // 10] for at in range(10)]
    rss = [mb for _, _, mb in looks]
    fifth = max(1, len(rss) // 5)
    middle, end = looks[len(looks) // 5], looks[-1]
    figures = {
        "market_late_s": {"median": _of_all(late, 0.99), "min": median(late), "max": max(late)},
        "market_saturated": {"median": median(tenths[-1]) / median(tenths[1])},
        "market_core": {"median": (end[1] - middle[1]) / (end[0] - middle[0])},
        "market_rss": {"median": median(rss[-fifth:]) / median(rss[fifth : 2 * fifth])},
        "market": {
            "bars_a_second": feed.bars / (looks[-1][0] - began),
            "late_s_by_tenth": [round(median(tenth), 3) for tenth in tenths],
            "rss_mb": [round(mb) for mb in rss],
        },
    }
    say(f"market: {json.dumps(figures)}")
    return figures


class Feed:
    """Writes what rollup and the feeds would, stamped with the wall clock."""

    def __init__(self, url: str) -> None:
        self._to: Producer = load.producer(url)
        self._draw = random.Random(1)
        assets = [f"A{number}" for number in range(INSTRUMENTS)]
        self._forms: list[list[tuple[bytes, float]]] = [[] for _ in range(rig.PARTITIONS)]
        for asset in assets:
            bar, price = _bar(asset), self._draw.uniform(1, 1_000)
            where = partition_of(key_of(TOPICS["bars"], bar), rig.PARTITIONS)
            self._forms[where].append((_form(bar), price))
        self._assets = assets
        self._half, self._said, self._orders = 0, 0, 0
        self.bars = 0

    def play_history(self, minute: int, minutes: int) -> None:
        """Write a bar a minute of every instrument, as fast as it goes."""
        for second in range(60 * minute, 60 * (minute + minutes), STEP_S):
            if second % 60 == 0:
                self._tell_bars(second)
            self._say((second + STEP_S) * SECOND)
        self._to.flush()

    def play(self, now: float) -> None:
        """Write what is due by now: half-seconds of bars that ended, orders, words."""
        half = int(now * 2)
        if half > self._half:
            if self._half:
                self._tell_bars(self._half // 2)
            self._half = half
            for _ in range(ORDERS_A_SECOND // 2):
                self._order(int(now * 1e6))
        spoken = int(now * SECOND) // WORD_EVERY * WORD_EVERY
        if spoken != self._said:
            self._said = spoken
            self._say(spoken)
        self._to.poll(0)

    def _tell_bars(self, second: int) -> None:
        stamp = second * SECOND
        move = 1 + 0.001 * self._draw.gauss(0, 1)
        for partition, forms in enumerate(self._forms):
            bars = [form % (stamp, price * move, price * move) for form, price in forms]
            self.bars += len(bars)
            for at in range(0, len(bars), 500):
                self._put("bars", partition, b"[" + b",".join(bars[at : at + 500]) + b"]")

    def _order(self, stamp: int) -> None:
        asset = self._assets[int(self._draw.paretovariate(0.5)) % len(self._assets)]
        self._orders += 1
        order = load.forced_order(asset, self._orders, stamp, 50.0)
        where = partition_of(key_of(TOPICS["liquidations"], order), rig.PARTITIONS)
        self._put("liquidations", where, codec.encode(order))

    def _say(self, spoken: int) -> None:
        for topic in INPUTS:
            parts = rig.PARTITIONS if topic == "bars" else 1
            producer = "rollup" if topic == "bars" else "bench"
            for part in range(parts):
                status = FeedStatus(
                    producer=producer, state="alive", ts_event=spoken, part=part, parts=parts
                )
                for partition in range(rig.PARTITIONS):
                    self._put(topic, partition, codec.encode(status))

    def _put(self, topic: str, partition: int, value: bytes) -> None:
        while True:
            try:
                self._to.produce(topic, value, partition=partition)
                return
            except BufferError:
                self._to.poll(0.05)


def _bar(asset: str) -> Bar:
    stamp = load.START * SECOND
    return Bar(
        venue="binance",
        instrument=f"{asset}-USDT-PERP",
        asset=asset,
        ts_open=stamp,
        width=SECOND,
        high=7.125,
        low=7.125,
        quantity=3.25,
        buy_usd=331.5,
        sell_usd=210.25,
        trades=4,
    )


def _form(bar: Bar) -> bytes:
    """Return a bar with its time and both prices left open."""
    text = codec.encode(bar).replace(b"%d" % bar.ts_open, b"%d")
    return text.replace(b'"high":7.125,"low":7.125', b'"high":%.4f,"low":%.4f')


def _until_it_keeps_up(feed: Feed, log: Path) -> None:
    """Write on until detect has come to the present."""
    deadline, look = time.time() + PATIENCE_S, 0.0
    while (now := time.time()) < deadline:
        feed.play(now)
        if now >= look:
            look = now + 1.0
            ages = re.findall(r"^undertow_watermark_age_seconds\{.*\} (\S+)", _metrics(log), re.M)
            if ages and max(map(float, ages)) < NEAR_S:
                return
        time.sleep(0.05)
    raise rig.Failed(f"detect does not keep up: {log.read_text()[-600:]}")


def _metrics(log: Path) -> str:
    return (rig.metrics(log, "detect") or "") if log.exists() else ""


def _judged_late_s(url: str, since: float) -> list[float]:
    """Return, in order, how long after a second's end detect said that it is judged."""
    conf = {"group.id": "look", "enable.partition.eof": True, "bootstrap.servers": url}
    reader = Consumer(conf)
    reader.assign([TopicPartition("market_evidence", 0, 0)])
    late, ended = [], False
    while not ended:
        for message in reader.consume(10_000, 1):
            if message.error() is not None:
                ended = message.error().code() == KafkaError._PARTITION_EOF
                continue
            record = codec.decode("market_evidence", message.value())
            if isinstance(record, FeedStatus) and record.ts_event >= since * SECOND:
                late.append(message.timestamp()[1] / 1e3 - record.ts_event / 1e6)
    reader.close()
    return late


def _of_all(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]
