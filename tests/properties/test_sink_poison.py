"""What ClickHouse refuses is taken apart: all but the refused rows land, once, whatever is killed."""

import contextlib
import json
import re
from collections import Counter

import pytest
from clickhouse_connect.driver.exceptions import OperationalError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import legal
from sink_log import Killed, fresh, live, stored

from schemas import codec
from schemas.bars import Bar
from schemas.words import SECOND
from sinks.clickhouse import client as clickhouse
from sinks.clickhouse import constraints, poison
from sinks.clickhouse.client import open_client
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.retry import SinkError
from sinks.clickhouse.rows import TABLES
from sinks.kafka import consumer

T = 1_763_683_200_000_000
MONTH = 31 * 86_400 * SECOND
COUNT = 40
SAYS = constraints._REFUSAL
POISON = 13  # trades in a bar that the table refuses


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    client = open_client("chdb", tmp_path_factory.mktemp("data"))
    migrate(client, "poison")
    client.command("SYSTEM STOP MERGES")  # rows are counted without FINAL
    yield client
    client.close()


@pytest.fixture
def few_partitions(monkeypatch):
    """An insert may span three of the table's partitions, a batch after a slow one two rows."""
    monkeypatch.setattr(poison, "MAX_PARTITIONS", 3)
    monkeypatch.setattr(consumer, "FEWEST", 2)
    monkeypatch.setattr(consumer, "FEW", 2)
    insert_settings = clickhouse._INSERT_SETTINGS | {"max_partitions_per_insert_block": 3}
    monkeypatch.setattr(clickhouse, "_INSERT_SETTINGS", insert_settings)


@pytest.fixture
def silent(monkeypatch):
    """Make a database that does not say which rows it refuses: its words are not those we know."""
    return lambda yes: monkeypatch.setattr(
        constraints, "_REFUSAL", re.compile("$^") if yes else SAYS
    )


def bar(month, trades):
    return Bar(
        venue="okx", instrument="BTC-USDT-PERP", asset="BTC", ts_open=T - month * MONTH, width=SECOND, high=2.0,
        low=1.0, quantity=1.0, buy_usd=2.0, sell_usd=0.0, trades=trades,
    )  # fmt: skip


def refusing(engine, yes):
    what = f"ADD CONSTRAINT IF NOT EXISTS c CHECK trades != {POISON}"
    engine.command(f"ALTER TABLE bars {what if yes else 'DROP CONSTRAINT IF EXISTS c'}")


def offsets_in(at, engine):
    sql = "SELECT kafka_offset FROM bars WHERE kafka_partition = "
    return {row[0] for row in engine.query(sql + str(at.log.place.partition)).result_rows}


lives = st.lists(st.tuples(st.integers(0, 40), st.booleans(), st.booleans()), max_size=4)
months = st.lists(st.integers(0, 6), min_size=COUNT, max_size=COUNT)
poisoned = st.sets(st.integers(0, COUNT - 1), max_size=5)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lives, months, poisoned)
def test_a_poison_batch_killed_anywhere_leaves_each_record_once_a_row_or_a_letter(
    engine, few_partitions, silent, lives, months, poisoned
):
    at = fresh(
        engine,
        [codec.encode(bar(m, POISON if n in poisoned else 1)) for n, m in enumerate(months)],
    )
    for kill_at, refused, is_silent in lives:
        refusing(engine, refused)
        silent(is_silent)
        with contextlib.suppress(Killed):
            live(at, COUNT, 25, 0.0, kill_at)
    refusing(engine, True)
    live(at, COUNT, 25, 0.0, None)
    rows, unique = stored(at, engine)
    assert rows == unique  # without FINAL: tokens alone have seen to it
    letters, landed = {x.offset for x in at.log.letters}, offsets_in(at, engine)
    bad = {at.log.messages[n].offset() for n in poisoned}
    assert not letters & landed
    assert letters | landed == {message.offset() for message in at.log.messages}
    assert letters <= bad


@pytest.mark.parametrize("is_silent", [False, True])
def test_killed_between_any_two_effects_and_then_refused_nothing_no_row_is_there_twice(
    engine, silent, is_silent
):
    """Had nobody noted what was left out, the whole would now be taken beside its parts."""
    silent(is_silent)
    kill_at, is_killed = 0, True
    while is_killed:
        at = fresh(engine, [codec.encode(bar(n % 2, POISON if n == 3 else 1)) for n in range(6)])
        refusing(engine, True)
        is_killed = False
        try:
            live(at, 6, 100, 0.0, kill_at)
        except Killed:
            is_killed = True
        refusing(engine, False)
        live(at, 6, 100, 0.0, None)
        rows, unique = stored(at, engine)
        assert rows == unique == 6 - len({x.offset for x in at.log.letters}), kill_at
        kill_at += 1
    assert kill_at > 8


def test_a_half_that_landed_unheard_and_was_given_up_is_not_written_again(engine, silent):
    refusing(engine, True)
    silent(True)
    at = fresh(engine, [codec.encode(bar(0, POISON if n == 1 else 1)) for n in range(8)])
    insert, unheard = at.store.writer.insert, []

    def losing(batch, retry=None):
        rows = insert(batch, retry)
        if rows == 4 and not unheard:
            unheard.append(batch)
            raise SinkError(batch.table, batch.token, OperationalError("timed out"), gave_up=False)
        return rows

    at.store.writer.insert = losing
    live(at, 8, 100, 0.0, None)
    assert unheard
    assert stored(at, engine) == (7, 7)


def test_a_letter_names_the_place_the_table_the_reason_and_the_record(engine):
    refusing(engine, True)
    at = fresh(engine, [codec.encode(bar(0, POISON if n == 3 else 1)) for n in range(8)])
    live(at, 8, 100, 0.0, None)
    [letter] = at.log.letters
    assert (letter.topic, letter.partition, letter.offset) == ("bars", at.log.place.partition, 3)
    assert "not stored in bars" in letter.reason
    assert "469" in letter.reason
    assert json.loads(letter.raw)["trades"] == POISON


def test_of_a_refused_batch_all_but_the_rows_at_fault_land_in_one_insert(engine, monkeypatch):
    monkeypatch.setattr(constraints, "ROWS", 64)  # asked in eleven queries
    refusing(engine, True)
    bad = set(range(3, 700, 7))
    months = [n % 2 for n in range(700)]
    at = fresh(
        engine, [codec.encode(bar(m, POISON if n in bad else 1)) for n, m in enumerate(months)]
    )
    live(at, 700, 1_000, 0.0, None)
    assert stored(at, engine) == (600, 600)
    assert {x.offset for x in at.log.letters} == {at.log.messages[n].offset() for n in bad}
    names = [effect[0] for effect in at.log.effects if effect[0] not in ("written", "letter")]
    # The whole, what is at fault, and the rest of the one month and of the other.
    assert names == ["intent", "insert", "split", "insert", "insert", "commit"]


@pytest.mark.parametrize("kind", TABLES)
@settings(max_examples=4, deadline=None)
@given(st.data())
def test_of_any_record_the_rows_that_break_a_constraint_are_told(engine, kind, data):
    table, records = TABLES[kind], data.draw(st.lists(legal(kind), min_size=10, max_size=10))
    engine.command(f"ALTER TABLE {table} ADD CONSTRAINT third CHECK kafka_offset % 5 != 3")
    batch = clickhouse.Batch(table, "t", 0, 0, 9, records, range(len(records)), "any")
    writer = clickhouse.Writer(engine)
    try:
        with pytest.raises(SinkError) as refusal:
            writer.insert(batch)
    finally:
        engine.command(f"ALTER TABLE {table} DROP CONSTRAINT third")
    breach = constraints.breach(batch, refusal.value.cause, writer)
    assert breach.rows == [3, 8]
    assert "`third`" in breach.reason


def test_parts_are_noted_before_their_halves_and_letters_come_before_the_commit(engine, silent):
    refusing(engine, True)
    silent(True)
    at = fresh(engine, [codec.encode(bar(0, POISON if n == 2 else 1)) for n in range(4)])
    live(at, 4, 100, 0.0, None)
    names = [effect[0] for effect in at.log.effects if effect[0] != "written"]
    assert names[:3] == ["intent", "insert", "split"]
    assert names[-3:] == ["split", "letter", "commit"]


def test_where_taking_apart_is_slow_batches_are_small_and_committed_soon_until_it_is_not(
    engine, few_partitions, silent
):
    refusing(engine, True)
    silent(True)
    at = fresh(engine, [codec.encode(bar(0, POISON if n in (3, 22) else 1)) for n in range(40)])
    live(at, 40, 20, 0.0, None)
    lengths = [
        sum(lo <= message.offset() <= hi for message in at.log.messages)
        for name, lo, hi in (effect for effect in at.log.effects if effect[0] == "intent")
    ]
    assert lengths == [20, 2, 4, 2, 4, 8]
    assert [e[0] for e in at.log.effects].count("commit") == len(lengths)
    assert stored(at, engine) == (38, 38)


def test_more_partitions_than_an_insert_may_make_are_no_poison(engine, few_partitions):
    refusing(engine, False)
    at = fresh(engine, [codec.encode(bar(n, 1)) for n in range(20)])
    live(at, 20, 100, 0.0, None)
    assert stored(at, engine) == (20, 20)
    tokens = Counter(e[1] for e in at.log.effects if e[0] == "insert")
    assert at.log.letters == []
    assert len(tokens) == 1  # whole partitions keep the batch's token: a torn insert is repaired


def test_a_torn_insert_of_many_partitions_is_repaired_though_it_is_then_taken_apart(engine):
    refusing(engine, True)
    at = fresh(engine, [codec.encode(bar(n % 4, POISON if n == 9 else 1)) for n in range(12)])
    # A crash between two parts of the whole: the batch's token, but one partition's rows.
    insert = at.store.writer.insert

    def tearing(batch, retry=None):
        if batch.rows == 12:
            months = [record.ts_open for record in batch.records]
            kept = [n for n, month in enumerate(months) if month == months[0]]
            insert(
                batch._replace(
                    records=[batch.records[n] for n in kept],
                    offsets=[batch.offsets[n] for n in kept],
                ),
                retry,
            )
        return insert(batch, retry)

    at.store.writer.insert = tearing
    live(at, 12, 100, 0.0, None)
    assert stored(at, engine) == (11, 11)
    assert [letter.offset for letter in at.log.letters] == [at.log.messages[9].offset()]
