"""The sink killed between any two of its effects, on a real engine and a log of one partition."""

import contextlib
import itertools
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import codec
from schemas.bars import Bar
from schemas.status import FeedStatus
from schemas.words import SECOND
from sinks.clickhouse.client import Intents, SinkError, Writer, open_client
from sinks.clickhouse.migrate import migrate
from sinks.kafka import consumer
from sinks.kafka.membership import Membership

T = 1_763_683_200_000_000
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
        else:
            self._log.effect("insert", token)
        self._client.insert(table, data, **more)
        # Killed after the write, before anybody heard of it.
        self._log.effect("written", table)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    client = open_client("chdb", tmp_path_factory.mktemp("data"))
    migrate(client, "order")
    yield client
    client.close()


def bar(n):
    return Bar(
        venue="okx", instrument="BTC-USDT-PERP", asset="BTC", ts_open=T + n // 3 * SECOND, width=SECOND, high=2.0,
        low=1.0, quantity=1.0, buy_usd=2.0, sell_usd=0.0, trades=1,
    )  # fmt: skip


def values(count):
    beat = codec.encode(FeedStatus(producer="feed", state="alive", ts_event=T))
    return [beat if n % 5 == 0 else codec.encode(bar(n)) for n in range(count)]


def fresh(engine, count):
    log = Log(values(count))
    client = Recorded(engine, log)
    return SimpleNamespace(log=log, writer=Writer(client), intents=Intents(client))


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
        consumer.move(ours, at.writer, at.intents, batch_rows, flush_s)


lives = st.lists(
    st.tuples(
        st.integers(5, 40), st.integers(4, 25), st.sampled_from([0.0, 0.3]), st.integers(0, 20)
    ),
    max_size=3,
)


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lives)
def test_whenever_it_is_killed_each_record_lands_once_under_a_range_formed_once(engine, lives):
    at = fresh(engine, 60)
    for step, batch_rows, flush_s, kill_at in lives:
        with contextlib.suppress(Killed):
            live(at, step, batch_rows, flush_s, kill_at)
    live(at, 30, 10, 0.0, None)
    # Without FINAL: tokens alone must have seen to it.
    rows, offsets = stored(at, engine)
    assert rows == offsets == sum(n % 5 != 0 for n in range(60))
    ranges = sorted({e[1] for e in at.log.effects if e[0] == "insert"})
    spans = sorted(tuple(map(int, token.split(":")[2].split("-"))) for token in ranges)
    assert all(left[1] < right[0] for left, right in itertools.pairwise(spans))


def test_the_intent_is_told_before_the_insert_and_the_offset_after_it(engine):
    at = fresh(engine, 50)
    live(at, 50, 10_000, 0.0, None)
    assert [effect[0] for effect in at.log.effects] == [
        "intent", "written", "insert", "written", "commit",
    ]  # fmt: skip


def test_an_insert_that_fails_for_good_is_not_committed(engine):
    at = fresh(engine, 50)
    engine.command("RENAME TABLE bars TO away")
    with pytest.raises(SinkError, match="cannot succeed"):
        live(at, 50, 10_000, 0.0, None)
    engine.command("RENAME TABLE away TO bars")
    assert "commit" not in [effect[0] for effect in at.log.effects]
    assert at.log.group < 0


def test_rows_of_a_lost_partition_are_not_committed(engine):
    at = fresh(engine, 50)
    at.log.step = 50
    ours = started(at)
    insert = at.writer.insert

    def losing(batch, retry):
        written = insert(batch, retry)
        ours._gone(at.log, [at.log.place])
        return written

    at.writer.insert = losing
    consumer.move(ours, at.writer, at.intents, 10_000, 0.0)
    assert at.log.group < 0
    assert ours.buffers == {}


def test_rows_of_a_partition_lost_and_regained_in_the_middle_of_a_batch_are_not_taken_twice(engine):
    at = fresh(engine, 50)
    at.log.step = 50
    ours = started(at)
    insert, lost = at.writer.insert, []

    def losing(batch, retry):
        written = insert(batch, retry)
        if not lost:
            lost.append(batch)
            ours._gone(at.log, [at.log.place])
            at.log.on_assign(at.log, [at.log.place])
        return written

    at.writer.insert = losing
    while at.log.group < at.log.end:
        consumer.move(ours, at.writer, at.intents, 10, 0.0)
    rows, offsets = stored(at, engine)
    assert rows == offsets == 40


def test_a_commit_that_the_group_refuses_drops_the_partition_and_goes_on(engine):
    at = fresh(engine, 50)
    at.log.step = 50
    ours = started(at)
    at.log.refuse_commit = KafkaError.ILLEGAL_GENERATION
    consumer.move(ours, at.writer, at.intents, 10_000, 0.0)
    assert ours.buffers == {}
    at.log.refuse_commit = None
    at.log.on_assign(at.log, [at.log.place])
    consumer.move(ours, at.writer, at.intents, 10_000, 0.0)
    assert at.log.group == at.log.end
    assert stored(at, engine) == (40, 40)
