"""The sink killed between any two of its effects, on a real engine and a log of one partition."""

import contextlib
import itertools

import pytest
from confluent_kafka import KafkaError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sink_log import Killed, fresh, live, started, stored

from schemas import codec
from schemas.bars import Bar
from schemas.status import FeedStatus
from schemas.words import SECOND
from sinks.clickhouse.client import open_client
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.retry import SinkError
from sinks.kafka import consumer

T = 1_763_683_200_000_000


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
    at = fresh(engine, values(60))
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
    at = fresh(engine, values(50))
    live(at, 50, 10_000, 0.0, None)
    assert [effect[0] for effect in at.log.effects] == [
        "intent", "written", "insert", "written", "commit",
    ]  # fmt: skip


def test_an_insert_that_fails_for_good_is_not_committed(engine):
    at = fresh(engine, values(50))
    engine.command("RENAME TABLE bars TO away")
    with pytest.raises(SinkError, match="cannot succeed"):
        live(at, 50, 10_000, 0.0, None)
    engine.command("RENAME TABLE away TO bars")
    assert "commit" not in [effect[0] for effect in at.log.effects]
    assert at.log.group < 0


def test_rows_of_a_lost_partition_are_not_committed(engine):
    at = fresh(engine, values(50))
    at.log.step = 50
    ours = started(at)
    insert = at.store.writer.insert

    def losing(batch, retry):
        written = insert(batch, retry)
        ours._gone(at.log, [at.log.place])
        return written

    at.store.writer.insert = losing
    consumer.move(ours, at.store, 10_000, 0.0)
    assert at.log.group < 0
    assert ours.buffers == {}


def test_rows_of_a_partition_lost_and_regained_in_the_middle_of_a_batch_are_not_taken_twice(engine):
    at = fresh(engine, values(50))
    at.log.step = 50
    ours = started(at)
    insert, lost = at.store.writer.insert, []

    def losing(batch, retry):
        written = insert(batch, retry)
        if not lost:
            lost.append(batch)
            ours._gone(at.log, [at.log.place])
            at.log.on_assign(at.log, [at.log.place])
        return written

    at.store.writer.insert = losing
    while at.log.group < at.log.end:
        consumer.move(ours, at.store, 10, 0.0)
    rows, offsets = stored(at, engine)
    assert rows == offsets == 40


def test_a_commit_that_the_group_refuses_drops_the_partition_and_goes_on(engine):
    at = fresh(engine, values(50))
    at.log.step = 50
    ours = started(at)
    at.log.refuse_commit = KafkaError.ILLEGAL_GENERATION
    consumer.move(ours, at.store, 10_000, 0.0)
    assert ours.buffers == {}
    at.log.refuse_commit = None
    at.log.on_assign(at.log, [at.log.place])
    consumer.move(ours, at.store, 10_000, 0.0)
    assert at.log.group == at.log.end
    assert stored(at, engine) == (40, 40)
