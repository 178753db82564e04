"""Topics deleted and made anew, partitions added, a database replaced: handled, or a clear word."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka.admin import NewPartitions
from stages import running as running_stage
from stages import undertow, until

sys.path.insert(0, str(Path(__file__).parent))
from clickhouse_server import running
from test_sink import BEAT, audited, bar, line_of, one, send, sinking, trade, until_committed

from sinks.clickhouse.client import open_client
from sinks.clickhouse.intents import Intents
from sinks.clickhouse.migrate import migrate, migrations
from sinks.clickhouse.retry import Retry
from streams.kafka import topics_admin


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("clickhouse") / "db") as url:
        yield url


@pytest.fixture
def url(server, request):
    name = f"changed_{abs(hash(request.node.name)) % 10**9}"
    migrate(open_client(f"{server}/{name}"), name)
    return f"{server}/{name}?timeout=2"


def made_anew(kafka, topic):
    admin = topics_admin.admin_client(kafka)
    admin.delete_topics([topic])[topic].result(30)
    until(lambda: topic not in admin.list_topics(timeout=10).topics, f"{topic} deleted")
    topics_admin.create_topics(kafka, 4)


def more_partitions(kafka, topic, count):
    admin = topics_admin.admin_client(kafka)
    admin.create_partitions([NewPartitions(topic, count)])[topic].result(30)


def bars_in(url):
    """Rows without FINAL, and the sum of what is in them."""
    return open_client(url).query("SELECT count(), sum(trades) FROM bars").result_rows[0]


def test_a_topic_made_anew_under_a_running_sink_is_stored_from_its_beginning(clean_topics, url):
    first, second = [bar(n) for n in range(30)], [bar(1_000 + n) for n in range(45)]
    total = (75, sum(b.trades for b in first + second))
    with sinking(clean_topics, url):
        send(clean_topics, "bars", first)
        until_committed(clean_topics, "bars", 30)
        made_anew(clean_topics, "bars")
        send(clean_topics, "bars", second[:20])
        until(lambda: bars_in(url)[0] >= 50, "the second topic's first records")
        send(clean_topics, "bars", second[20:])
        until(lambda: bars_in(url) == total, f"{total}")
        until_committed(clean_topics, "bars", 45)
    assert bars_in(url) == total


def test_a_topic_made_anew_while_no_sink_runs_is_stored_from_its_beginning(clean_topics, url):
    with sinking(clean_topics, url):
        send(clean_topics, "bars", [bar(n) for n in range(30)])
        until_committed(clean_topics, "bars", 30)
    made_anew(clean_topics, "bars")
    send(clean_topics, "bars", [bar(1_000 + n) for n in range(60)])
    with sinking(clean_topics, url):
        until_committed(clean_topics, "bars", 60)
    assert bars_in(url)[0] == 90


def test_partitions_added_under_a_running_sink_are_taken_on_at_once(clean_topics, url):
    with sinking(clean_topics, url):
        send(clean_topics, "bars", [bar(n) for n in range(10)])
        until_committed(clean_topics, "bars", 10)
        more_partitions(clean_topics, "bars", 6)
        send(clean_topics, "bars", [bar(100 + n) for n in range(10)], partition=5)
        until_committed(clean_topics, "bars", 10, 5)
    assert bars_in(url)[0] == 20


def test_a_database_replaced_by_an_empty_one_is_given_everything_again(clean_topics, url, caplog):
    with sinking(clean_topics, url):
        send(clean_topics, "bars", [bar(n) for n in range(100)])
        send(clean_topics, "trades", [BEAT, *(trade(n) for n in range(50))])
        until_committed(clean_topics, "bars", 100)
        until_committed(clean_topics, "trades", 51)
        client = open_client(url)
        name = client.database
        client.command(f"RENAME DATABASE {name} TO {name}_gone")
        migrate(client, name)
        send(clean_topics, "bars", [bar(n) for n in range(100, 130)])
        until(lambda: bars_in(url)[0] == 130, "all bars")
        until(lambda: one(url, "SELECT count() FROM trades") == 50, "all trades")
        until_committed(clean_topics, "bars", 130)
    report = audited(clean_topics, url)
    assert report.clean
    assert line_of(report, "bars").rows == 130
    assert "may not be in this one; read again" in caplog.text


def environ(kafka, tmp_path):
    return {
        "UNDERTOW_KAFKA_URL": kafka,
        "UNDERTOW_DATA_DIR": str(tmp_path),
        "UNDERTOW_PARTITIONS": "4",
    }


@contextmanager
def begun(settings, stage, log):
    """A stage that is expected to end by itself."""
    with log.open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", stage], env=os.environ | settings, stderr=err
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ended(process, log):
    """Return the exit code and what was logged of a stage that ends by itself."""
    try:
        code = process.wait(60)
    except subprocess.TimeoutExpired:
        pytest.fail(f"still running: {log.read_text()}")
    return code, log.read_text()


@pytest.mark.parametrize("stage", ["rollup", "detect"])
def test_partitions_added_under_a_stage_with_state_end_it_with_what_changed(
    clean_topics, tmp_path, stage
):
    settings, log = environ(clean_topics, tmp_path), tmp_path / "log"
    topic = {"rollup": "trades", "detect": "liquidations"}[stage]
    with begun(settings, stage, log) as process:
        begun_at = {"rollup": lambda: "partitions of" in log.read_text(),
                    "detect": (tmp_path / "detect-topics.json").exists}  # fmt: skip
        until(begun_at[stage], f"{stage} has begun")
        more_partitions(clean_topics, topic, 7)
        code, output = ended(process, log)
    assert code in (2, 70)
    assert f"topic {topic} had 4 partitions and has 7 now" in output
    assert "Traceback" not in output
    again = undertow(settings, stage)
    assert again.returncode == 2
    assert f"{topic} has 7" in again.stderr


def test_trades_made_anew_under_a_running_rollup_are_folded_from_their_beginning(
    clean_topics, tmp_path, url
):
    now = time.time_ns() // 1000

    def trades(count, first):
        return [trade(n, ts_event=now + n, ts_recv=now + n) for n in range(first, first + count)]

    with (
        running_stage(environ(clean_topics, tmp_path), "rollup", log=tmp_path / "log"),
        sinking(clean_topics, url),
    ):
        send(clean_topics, "trades", trades(30, 0))
        until(lambda: bars_in(url)[1] == 30, "30 trades in bars")
        made_anew(clean_topics, "trades")
        send(clean_topics, "trades", trades(50, 1_000))
        until(lambda: bars_in(url)[1] == 80, "80 trades in bars")
        time.sleep(5)
        assert bars_in(url)[1] == 80
    assert "was deleted and made anew" in (tmp_path / "log").read_text()


def test_detect_does_not_go_on_from_a_state_that_is_of_another_topic(clean_topics, tmp_path):
    settings, log = environ(clean_topics, tmp_path), tmp_path / "log"
    with begun(settings, "detect", log) as process:
        until(lambda: (tmp_path / "detect-topics.json").exists(), "detect has begun")
        made_anew(clean_topics, "bars")
        code, output = ended(process, log)
    assert code == 70
    assert "topic bars was deleted and made anew" in output
    again = undertow(settings, "detect")
    assert again.returncode == 2
    known = json.loads((tmp_path / "detect-topics.json").read_bytes())["ids"]["undertow"]["bars"]
    assert f"topic bars was deleted and made anew (id {known}" in again.stderr


def test_a_database_that_is_being_migrated_is_waited_for(url):
    """Some migrations copy a table: a row written meanwhile goes with the old one."""
    client = open_client(url)
    last = migrations()[-1].name
    client.command(
        f"ALTER TABLE schema_migrations DELETE WHERE name = '{last}' SETTINGS mutations_sync = 2"
    )
    waited = []

    def finish(seconds):
        waited.append(seconds)
        migrate(client, client.database)

    made_at = Intents(client, Retry(sleep=finish)).store_id()
    assert len(waited) == 1
    assert made_at == Intents(client, Retry(sleep=finish)).store_id()
    assert len(waited) == 1
