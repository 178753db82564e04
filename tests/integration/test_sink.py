"""The sink from a real Kafka into a real ClickHouse engine over HTTP, and the audit of it."""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from nights import an_alert

from schemas import codec
from schemas.bars import Bar
from schemas.market import Trade
from schemas.status import FeedStatus, letter
from schemas.words import MAX_AHEAD, SECOND
from sinks.clickhouse.client import Batch, Writer, open_client
from sinks.clickhouse.intents import Intents
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.retry import SinkError
from sinks.kafka import audit, consumer, membership
from sinks.sql.query import query
from streams.kafka.rejoin import rejoining

sys.path.insert(0, str(Path(__file__).parent))
from clickhouse_server import post_fault, running
from stages import until

T = 1_763_683_200_000_000  # 2025-11-21 00:00:00 UTC
GROUP = "undertow-sink"
_databases = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("clickhouse") / "db") as url:
        yield url


@pytest.fixture
def url(server):
    """A fresh, migrated database, whose clients wait two seconds for an answer."""
    post_fault(server, "none")
    name = f"sink_{next(_databases)}"
    client = open_client(f"{server}/{name}")
    migrate(client, name)
    client.close()
    return f"{server}/{name}?timeout=2"


def conf(kafka):
    return {
        "bootstrap.servers": kafka,
        "group.id": GROUP,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "session.timeout.ms": 6_000,
    }


def bar(n, **more):
    fields = {
        "venue": "binance", "instrument": "BTC-USDT-PERP", "asset": "BTC", "ts_open": T + n % 50 * SECOND, "width": SECOND,
        "high": 2.0, "low": 1.0, "quantity": 1.0, "buy_usd": 2.0, "sell_usd": 1.0, "trades": n,
    }  # fmt: skip
    return Bar(**fields | more)


def trade(n, **more):
    fields = {
        "event_id": f"t{n}", "venue": "binance", "instrument": "BTC-USDT-PERP", "venue_symbol": "BTCUSDT", "asset": "BTC",
        "aggressor_side": "buy", "price": 2.0, "quantity": 1.0, "notional_usd": 2.0, "ts_event": T + n, "ts_recv": T + n,
    }  # fmt: skip
    return Trade(**fields | more)


def alert(n):
    return an_alert(
        alert_id=f"a{n}",
        dedup_key="d",
        kind="Cascade: onset",
        severity="warning",
        text="t",
        finding_id=f"f{n}",
        ts_event=T + n,
        ts_detect=T + n,
    )


BEAT = FeedStatus(producer="feed", state="alive", ts_event=T)


def send(kafka, topic, records, partition=0):
    to = Producer({"bootstrap.servers": kafka})
    for record in records:
        value = record if isinstance(record, bytes) else codec.encode(record)
        to.produce(topic, value=value, partition=partition)
    assert to.flush(30) == 0


class Sink:
    """A sink in a thread; `error` is what it ended with."""

    def __init__(self, kafka, url, **more):
        self.stop = threading.Event()
        self.error = None
        self._given = (kafka, url, more)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        kafka, url, more = self._given
        try:
            client = open_client(url)
            options = {"batch_rows": 200, "flush_s": 0.1, "stopping": self.stop.is_set} | more
            consumer.run(conf(kafka), Writer(client), Intents(client), **options)
        except Exception as problem:
            self.error = problem

    def end(self, within=20):
        self.stop.set()
        self._thread.join(within)
        assert not self._thread.is_alive()


@contextmanager
def sinking(kafka, url, **more):
    sink = Sink(kafka, url, **more)
    try:
        yield sink
    finally:
        sink.end()
    assert sink.error is None


def committed(kafka, topic, partition=0):
    asker = Consumer(conf(kafka))
    at = stands_at(asker, TopicPartition(topic, partition))
    asker.close()
    return at


def stands_at(asker, place):
    return membership.answered(lambda: asker.committed([place], timeout=30))[0].offset


def until_committed(kafka, topic, offset, partition=0):
    asker, place = Consumer(conf(kafka)), TopicPartition(topic, partition)
    deadline = time.monotonic() + 60
    while (at := stands_at(asker, place)) < offset:
        assert time.monotonic() < deadline, f"{topic} stands at {at}, not {offset}"
        time.sleep(0.1)
    asker.close()


def audited(kafka, url):
    ask = partial(query, fmt="JSONCompactEachRow", url=url)
    return audit.audit(conf(kafka), ask, lambda _: None)


def line_of(report, topic, partition=0):
    [line] = [x for x in report.partitions if (x.topic, x.partition) == (topic, partition)]
    return line


def one(url, sql):
    return open_client(url).query(sql).result_rows[0][0]


def test_what_kafka_holds_is_in_the_tables_once(clean_topics, url):
    send(clean_topics, "bars", [bar(1), BEAT, bar(2), b"not json", bar(2)])
    send(clean_topics, "trades", [trade(1), trade(2), trade(1)])
    send(clean_topics, "alerts", [alert(n) for n in range(1000)], partition=3)
    with sinking(clean_topics, url):
        until_committed(clean_topics, "bars", 5)
        until_committed(clean_topics, "trades", 3)
        until_committed(clean_topics, "alerts", 1000, 3)
    report = audited(clean_topics, url)
    assert report.clean
    bars, trades = line_of(report, "bars"), line_of(report, "trades")
    assert (bars.expected, bars.rows, bars.repeated, bars.to) == (3, 3, 0, 5)
    assert (trades.expected, trades.rows, trades.repeated) == (3, 2, 1)
    assert line_of(report, "alerts", 3).rows == 1000
    assert one(url, "SELECT sum(trades) FROM bars_1s") == 5


def test_no_insert_has_more_rows_than_said_though_messages_have_many(
    clean_topics, url, monkeypatch
):
    sizes, insert = [], Writer.insert

    def noted(self, batch, retry=None):
        sizes.append(batch.rows)
        return insert(self, batch, retry)

    monkeypatch.setattr(Writer, "insert", noted)
    numbers = iter(range(10_000))
    of_many = [
        b"[" + b",".join(codec.encode(trade(next(numbers))) for _ in range(size)) + b"]"
        for size in [1, 30, 7, 120, 199, 200] * 9 + [250]
    ]
    send(clean_topics, "trades", [x for one in of_many for x in (one, trade(next(numbers)), b"{")])
    with sinking(clean_topics, url, flush_s=2.0):
        until_committed(clean_topics, "trades", 3 * len(of_many))
    count = next(numbers)
    assert audited(clean_topics, url).clean
    assert one(url, "SELECT count() FROM trades") == sum(sizes) == count
    # A message is taken as a whole.
    assert sorted(sizes)[-1] == 250
    assert sorted(sizes)[-2] <= 200
    assert len(sizes) < count / 100


@pytest.mark.parametrize("kind", ["503", "reset_before", "reset_after", "timeout_after"])
def test_a_server_that_fails_so_loses_and_doubles_nothing(clean_topics, url, kind):
    with sinking(clean_topics, url):
        for part in range(4):
            # Odd counts: intents fail as well as batches.
            post_fault(url.rsplit("/", 1)[0], kind, count=3)
            send(clean_topics, "bars", [bar(n) for n in range(part * 300, part * 300 + 300)])
            send(clean_topics, "alerts", [alert(n) for n in range(part * 50, part * 50 + 50)])
            until_committed(clean_topics, "bars", part * 300 + 300)
            until_committed(clean_topics, "alerts", part * 50 + 50)
    report = audited(clean_topics, url)
    assert report.clean
    assert line_of(report, "bars").rows == 1200
    assert one(url, "SELECT count() FROM bars") == 1200
    assert line_of(report, "alerts").rows == 200


def test_what_the_client_sends_in_several_blocks_is_stored_whole_once_and_as_one_part(server, url):
    # The client cuts an insert at some 2 MB: 2,048 of these rows, and each cut is compressed alone.
    count = 2_500
    reason = "not stored in liquidations: " + "x" * 1_100
    letters = [letter(("liquidations", 3, n), "", reason, b"{}" * 150, T) for n in range(count)]
    batch = Batch("dead_letters", "dead_letters", 1, 0, count - 1, letters, range(count))
    client = open_client(url)
    client.set_client_setting("min_insert_block_size_rows", 1_000)  # as a server's profile may
    post_fault(server, "reset_after")
    assert Writer(client).insert(batch) == count
    assert one(url, "SELECT count() FROM dead_letters") == count
    blocks = (
        "SELECT groupArray(max_block_number - min_block_number) FROM system.parts"
        " WHERE database = currentDatabase() AND table = 'dead_letters' AND active"
    )
    assert one(url, blocks) == [0]


def test_a_server_that_is_away_stops_nothing_for_longer_than_it_is_away(clean_topics, url):
    with sinking(clean_topics, url):
        send(clean_topics, "bars", [bar(n) for n in range(100)])
        until_committed(clean_topics, "bars", 100)
        post_fault(url.rsplit("/", 1)[0], "down", seconds=8)
        send(clean_topics, "bars", [bar(n) for n in range(100, 500)])
        until_committed(clean_topics, "bars", 500)
    assert audited(clean_topics, url).clean
    assert one(url, "SELECT count() FROM bars") == 500


def test_a_stop_while_the_server_is_away_ends_uncommitted_and_the_next_sink_goes_on(
    clean_topics, url
):
    sink = Sink(clean_topics, url)
    send(clean_topics, "bars", [bar(n) for n in range(100)])
    until_committed(clean_topics, "bars", 100)
    post_fault(url.rsplit("/", 1)[0], "503", count=10_000)
    send(clean_topics, "bars", [bar(n) for n in range(100, 300)])
    time.sleep(3)
    sink.end(within=10)
    assert sink.error is None
    assert committed(clean_topics, "bars") == 100
    post_fault(url.rsplit("/", 1)[0], "none")
    with sinking(clean_topics, url):
        until_committed(clean_topics, "bars", 300)
    assert audited(clean_topics, url).clean
    assert one(url, "SELECT count() FROM bars") == 300


def test_partitions_that_move_while_the_server_is_away_are_written_once_by_their_next_owner(
    clean_topics, url
):
    with sinking(clean_topics, url):
        for partition in range(4):
            send(clean_topics, "bars", [bar(n) for n in range(100)], partition)
        until_committed(clean_topics, "bars", 100, 3)
        post_fault(url.rsplit("/", 1)[0], "503", count=10_000)
        for partition in range(4):
            send(clean_topics, "bars", [bar(n) for n in range(100, 400)], partition)
        with sinking(clean_topics, url):
            time.sleep(6)  # the second joins while the first waits
            post_fault(url.rsplit("/", 1)[0], "none")
            for partition in range(4):
                until_committed(clean_topics, "bars", 400, partition)
    report = audited(clean_topics, url)
    assert report.clean
    assert [line_of(report, "bars", p).rows for p in range(4)] == [400] * 4


def test_a_table_that_is_gone_ends_the_sink_with_its_name(clean_topics, url):
    open_client(url).command("DROP TABLE bars")
    send(clean_topics, "bars", [bar(1)])
    sink = Sink(clean_topics, url)
    sink._thread.join(30)
    assert isinstance(sink.error, SinkError)
    assert (sink.error.table, sink.error.gave_up) == ("bars", False)
    assert committed(clean_topics, "bars") < 1


def test_what_clickhouse_refuses_becomes_letters_and_nothing_behind_it_waits(clean_topics, url):
    client = open_client(url)
    client.command("ALTER TABLE bars ADD CONSTRAINT c CHECK trades % 50 != 7")
    client.command("ALTER TABLE trades ADD CONSTRAINT c CHECK event_id != 't3'")
    send(clean_topics, "bars", [bar(n) for n in range(250)])
    send(
        clean_topics, "trades", [b"[" + b",".join(codec.encode(trade(n)) for n in range(6)) + b"]"]
    )
    send(clean_topics, "trades", [trade(6), trade(7)])
    with sinking(clean_topics, url):
        until_committed(clean_topics, "bars", 250)
        until_committed(clean_topics, "trades", 3)
        send(clean_topics, "bars", [bar(n) for n in range(250, 300)])
        until_committed(clean_topics, "bars", 300)
        until(lambda: one(url, "SELECT count() FROM dead_letters FINAL") == 7, "letters")
    assert one(url, "SELECT count() FROM bars") == 294
    assert one(url, "SELECT count() FROM trades") == 7
    sql = "SELECT topic, offset, reason, raw FROM dead_letters FINAL ORDER BY topic, offset"
    letters = client.query(sql).result_rows
    places = [("bars", 7 + 50 * n) for n in range(6)]
    assert [(topic, offset) for topic, offset, _, _ in letters] == [*places, ("trades", 0)]
    assert all(f"not stored in {topic}: " in reason for topic, _, reason, _ in letters)
    assert codec.decode("trades", letters[-1][3].encode()) == trade(3)


def test_a_sink_fenced_by_its_namesake_joins_again(clean_topics, url, caplog):
    stop, ended = threading.Event(), []
    named = conf(clean_topics) | {"group.instance.id": "worker"}
    client = open_client(url)

    def session():
        consumer.run(
            named,
            Writer(client),
            Intents(client),
            batch_rows=200,
            flush_s=0.1,
            stopping=stop.is_set,
        )

    thread = threading.Thread(target=lambda: ended.append(rejoining("sink", session, stop.is_set)))
    thread.start()
    try:
        send(clean_topics, "bars", [bar(n) for n in range(100)])
        until_committed(clean_topics, "bars", 100)
        usurper = Consumer(named)
        usurper.subscribe(["bars"])
        until(lambda: usurper.poll(0.2) or "fenced" in caplog.text, "fenced")
        usurper.close()
        send(clean_topics, "bars", [bar(n) for n in range(100, 150)])
        until_committed(clean_topics, "bars", 150)
    finally:
        stop.set()
        thread.join(20)
    assert ended == [None]
    assert one(url, "SELECT count() FROM bars") == 150


def test_a_record_ahead_of_its_message_is_not_stored(clean_topics, url):
    now = time.time_ns() // 1000
    far = now + 2 * MAX_AHEAD
    send(
        clean_topics,
        "trades",
        [trade(1, ts_event=far, ts_recv=far), trade(2, ts_event=now, ts_recv=now)],
    )
    with sinking(clean_topics, url):
        until_committed(clean_topics, "trades", 2)
    report = audited(clean_topics, url)
    assert report.clean
    assert (line_of(report, "trades").expected, line_of(report, "trades").rows) == (1, 1)


def test_the_audit_finds_a_row_that_is_gone_and_rows_that_nobody_told(clean_topics, url):
    send(clean_topics, "bars", [bar(n) for n in range(10)])
    send(clean_topics, "alerts", [alert(n) for n in range(10)])
    with sinking(clean_topics, url):
        until_committed(clean_topics, "bars", 10)
        until_committed(clean_topics, "alerts", 10)
    send(clean_topics, "bars", [bar(n) for n in range(10, 17)])
    lagging = audited(clean_topics, url)
    assert lagging.clean
    assert line_of(lagging, "bars").unread == 7
    client = open_client(url)
    client.command("DELETE FROM alerts WHERE alert_id = 'a3'")
    client.command(
        "INSERT INTO bars SELECT * REPLACE (kafka_offset + 1000 AS kafka_offset) FROM (SELECT * FROM bars WHERE kafka_offset = 5)"
    )
    client.command(
        "INSERT INTO bars SELECT * REPLACE (kafka_offset - 1 AS kafka_offset, ts_open + 1000000 AS ts_open) FROM (SELECT * FROM bars WHERE kafka_offset = 5)"
    )
    report = audited(clean_topics, url)
    assert not report.clean
    assert line_of(report, "alerts").gaps == 1
    assert "a3" in line_of(report, "alerts").examples[0]
    assert line_of(report, "bars").strangers == 2


def test_the_audit_knows_each_table_by_its_sorting_key(url):
    client = open_client(url)
    sql = "SELECT name, sorting_key FROM system.tables WHERE database = currentDatabase() AND sorting_key != ''"
    keys = {name: tuple(key.split(", ")) for name, key in client.query(sql).result_rows}
    assert {name: keys[name] for name in audit.KEYS} == audit.KEYS


def command(*words, kafka, data_dir):
    environ = os.environ | {"UNDERTOW_KAFKA_URL": kafka, "UNDERTOW_DATA_DIR": str(data_dir)}
    return subprocess.Popen(
        [sys.executable, "-m", "streams.cli", *words],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_commands_move_and_audit_an_embedded_database(clean_topics, tmp_path):
    call = partial(command, kafka=clean_topics, data_dir=tmp_path)
    empty = call("audit")
    assert (empty.wait(60), "nothing has been stored" in empty.stderr.read()) == (2, True)
    assert call("migrate").wait(60) == 0
    send(clean_topics, "bars", [bar(n) for n in range(100)])
    sink = call("sink")
    try:
        until_committed(clean_topics, "bars", 100)
    finally:
        sink.terminate()
        assert sink.wait(30) == 0
    shown, _ = (audit_ := call("audit", "--format", "json")).communicate(timeout=120)
    report = json.loads(shown)
    assert (audit_.returncode, report["clean"]) == (0, True)
    [bars] = [p for p in report["partitions"] if (p["topic"], p["partition"]) == ("bars", 0)]
    assert (bars["from"], bars["to"], bars["rows"]) == (0, 100, 100)
    table, _ = call("audit").communicate(timeout=120)
    assert "clean: 100 expected, 100 rows" in table


def test_a_commit_within_the_last_range_is_gone_back_behind_and_the_range_formed_again(
    clean_topics, url
):
    send(clean_topics, "bars", [bar(n) for n in range(100)])
    with sinking(clean_topics, url):
        until_committed(clean_topics, "bars", 100)
    [[lo, hi]] = open_client(url).query("SELECT lo, hi FROM sink_intent FINAL").result_rows
    setter = Consumer(conf(clean_topics))
    setter.commit(offsets=[TopicPartition("bars", 0, hi)], asynchronous=False)
    setter.close()
    send(clean_topics, "bars", [bar(n) for n in range(100, 120)])
    with sinking(clean_topics, url):
        until_committed(clean_topics, "bars", 120)
    assert lo < hi
    assert one(url, "SELECT count() FROM bars") == 120
    assert audited(clean_topics, url).clean


def test_a_range_that_kafka_removes_as_it_is_to_be_repeated_holds_nothing_up(
    clean_topics, url, monkeypatch
):
    send(clean_topics, "bars", [bar(n) for n in range(100)])
    with sinking(clean_topics, url):
        until_committed(clean_topics, "bars", 100)
    [[lo]] = open_client(url).query("SELECT lo FROM sink_intent FINAL").result_rows
    setter = Consumer(conf(clean_topics))
    setter.commit(offsets=[TopicPartition("bars", 0, lo)], asynchronous=False)
    setter.close()
    send(clean_topics, "bars", [bar(n) for n in range(100, 120)])
    lowest = membership.Membership._low

    def then_removed(ours, place):
        low = lowest(ours, place)
        if place.topic == "bars" and place.partition == 0:
            admin = AdminClient({"bootstrap.servers": clean_topics})
            [removed] = admin.delete_records([TopicPartition("bars", 0, 100)]).values()
            removed.result(30)
        return low

    monkeypatch.setattr(membership.Membership, "_low", then_removed)
    with sinking(clean_topics, url):
        until_committed(clean_topics, "bars", 120)
    assert one(url, "SELECT count() FROM bars") == 120
