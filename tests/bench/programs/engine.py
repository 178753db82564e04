"""The engine alone over what detect reads, from memory: decoded, judged, findings encoded."""

import json
import sys
import time
from collections import deque
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from bench import rig
from schemas import codec
from streams.core import engine, pipeline
from streams.core.params import Params
from streams.core.shard import INPUTS, Shard
from streams.detect import backpressure

Waiting = dict[str, deque[Any]]


def read(url: str, name: str) -> list[Waiting]:
    """Read everything, by partition and topic."""
    conf = {"group.id": name, "enable.partition.eof": True, "isolation.level": "read_committed"}
    reader = Consumer(conf | {"bootstrap.servers": url, "auto.offset.reset": "earliest"})
    places = [TopicPartition(t, n, 0) for t in INPUTS for n in range(rig.PARTITIONS)]
    reader.assign(places)
    waiting: list[Waiting] = [{t: deque() for t in INPUTS} for _ in range(rig.PARTITIONS)]
    left = len(places)
    while left:
        for message in reader.consume(10_000, 1):
            if message.error() is None:
                waiting[message.partition()][message.topic()].append(message)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                left -= 1
    reader.close()
    return waiting


def judge(params: Params, number: int, waiting: Waiting) -> tuple[int, int]:
    """Step a shard with all of a partition; return records and findings."""
    shard, records, findings = Shard(), 0, 0
    while topic := backpressure.next_input(shard, [t for t, those in waiting.items() if those]):
        now = shard.inputs[topic].now
        while waiting[topic] and shard.inputs[topic].now == now:
            message = waiting[topic].popleft()
            decoded, _ = codec.decode_many(topic, message.value(), number, message.offset(), None)
            for record in decoded:
                records += 1
                for _, finding in pipeline.routed(
                    engine.step(params, shard, topic, record).findings
                ):
                    codec.encode(finding)
                    findings += 1
    return records, findings


def main() -> None:
    """Read, then judge partition after partition; tell processor seconds of the latter."""
    url, name = sys.argv[1], sys.argv[3]
    everything = read(url, name)
    messages = {t: sum(len(one[t]) for one in everything) for t in INPUTS}
    began, total = time.process_time(), [0, 0]
    for number, waiting in enumerate(everything):
        counted = judge(Params(), number, waiting)
        total = [a + b for a, b in zip(total, counted, strict=True)]
    result = {"cpu_s": time.process_time() - began, "records": total[0], "findings": total[1]}
    print(json.dumps(result | {"messages": messages}))


main()
