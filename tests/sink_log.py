"""A log of one partition as the sink's consumer shows it, and the sink on a real engine."""

import itertools
from types import SimpleNamespace

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from sinks.clickhouse.client import Writer
from sinks.clickhouse.intents import Intents
from sinks.kafka import consumer
from sinks.kafka.membership import Membership

_partitions = itertools.count()


class Killed(BaseException):
    """As a kill: nobody on the way may catch it."""


class Message:
    def __init__(self, partition, offset, value):
        self._partition, self._offset, self._value = partition, offset, value

    def topic(self):
        return "bars"

    def partition(self):
        return self._partition

    def offset(self):
        return self._offset

    def value(self):
        return self._value

    def error(self):
        return None

    def timestamp(self):
        return (0, -1)


class Log:
    """A partition of `bars` as a consumer shows it; offsets have holes, as transactions leave."""

    def __init__(self, values):
        self.place = TopicPartition("bars", next(_partitions))
        self.messages = [
            Message(self.place.partition, n + n // 7, value) for n, value in enumerate(values)
        ]
        self.end = self.messages[-1].offset() + 1 if self.messages else 0
        self.group = -1001
        self.position = 0
        self.effects = []
        self.kill_at = None
        self.refuse_commit = None
        self.letters = []

    def effect(self, name, *what):
        """Note one effect; die just before it when told to."""
        if self.kill_at is not None:
            self.kill_at -= 1
            if self.kill_at < 0:
                raise Killed
        self.effects.append((name, *what))

    def join(self, ours):
        self.on_assign, self.on_revoke = ours._assigned, ours._gone
        self.on_assign(self, [self.place])

    def committed(self, parts, timeout):
        return [TopicPartition("bars", self.place.partition, self.group)]

    def get_watermark_offsets(self, tp, timeout):
        return 0, self.end

    def assign(self, parts):
        self.position = parts[0].offset

    def seek(self, tp):
        self.position = tp.offset

    def assignment(self):
        return [self.place]

    def pause(self, parts):
        pass

    def resume(self, parts):
        pass

    def poll(self, timeout):
        return None

    def consume(self, most, timeout):
        came = [m for m in self.messages if m.offset() >= self.position][: self.step]
        if came:
            self.position = came[-1].offset() + 1
        return came

    def commit(self, offsets, asynchronous):
        if self.refuse_commit is not None:
            raise KafkaException(KafkaError(self.refuse_commit))
        self.effect("commit", offsets[0].offset)
        self.group = offsets[0].offset
        return offsets


class Recorded:
    """A client that notes intents and inserts before the real one does them."""

    def __init__(self, client, log):
        self._client, self._log = client, log

    def __getattr__(self, name):
        return getattr(self._client, name)

    def insert(self, table, data, **more):
        token = more["settings"].get("insert_deduplication_token")
        if table == "sink_intent":
            self._log.effect("intent", data[0][4], data[0][5])
        elif table == "sink_splits":
            self._log.effect("split", *(row[1] for row in data))
        else:
            self._log.effect("insert", token)
        self._client.insert(table, data, **more)
        # Killed after the write, before anybody heard of it.
        self._log.effect("written", table)


class Letters:
    """Dead letters in a list."""

    def __init__(self, log):
        self._log = log

    def send(self, letters, wait):
        for letter in letters:
            self._log.effect("letter", letter.offset)
            self._log.letters.append(letter)


def fresh(engine, values):
    """Return a log of these messages and the store that the sink moves them to."""
    log = Log(values)
    client = Recorded(engine, log)
    store = consumer.Store(Writer(client), Intents(client), Letters(log))
    return SimpleNamespace(log=log, store=store)


def stored(at, engine):
    """Rows and offsets of the log's partition, without FINAL."""
    sql = "SELECT count(), uniqExact(kafka_offset) FROM bars WHERE kafka_partition = "
    return engine.query(sql + str(at.log.place.partition)).result_rows[0]


def started(at, stopping=lambda: False):
    ours = Membership(at.log, {"bars": "e1"}, stopping, lambda _: None)
    at.log.join(ours)
    return ours


def live(at, step, batch_rows, flush_s, kill_at):
    """One process: until all is committed, or killed before its effect number `kill_at`."""
    at.log.step, at.log.kill_at = step, kill_at
    ours = started(at)
    while at.log.group < at.log.end:
        consumer.move(ours, at.store, batch_rows, flush_s)
