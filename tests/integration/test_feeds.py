"""`undertow feeds` and /readyz: who speaks, who does not, and what waits for whom."""

import json
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from nights import START, night, write_ndjson
from runs import OFTEN, run
from stages import get, running, served, undertow, until

from schemas import codec
from schemas.status import FeedStatus
from schemas.words import SECOND, FeedState

PARTITIONS = 4


def speak(
    producer: Producer, topics: tuple[str, ...], second: int, state: FeedState = "alive"
) -> None:
    """Write one word on time to every partition of some topics."""
    feed_status = FeedStatus(producer="ears", state=state, ts_event=second * SECOND)
    for topic in topics:
        for partition in range(PARTITIONS):
            producer.produce(topic, codec.encode(feed_status), partition=partition)
    producer.flush(10)


def feeds_of(*args: str) -> tuple[int, dict[str, Any]]:
    done = undertow({}, "feeds", "--json", *args)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def test_an_input_nobody_speaks_on_is_named_by_readyz_the_log_and_feeds(
    clean_topics: str, tmp_path: Path
) -> None:
    environ = {"UNDERTOW_KAFKA_URL": clean_topics, "UNDERTOW_DATA_DIR": str(tmp_path)}
    producer = Producer({"bootstrap.servers": clean_topics})
    at_kafka = ("--kafka-url", clean_topics)
    code, nobody = feeds_of(*at_kafka)
    assert code == 1
    assert {f["standing"] for f in nobody["feeds"]} == {"never"}
    with (
        running(environ, "rollup", log=tmp_path / "rollup"),
        running(environ, "detect", log=tmp_path / "detect"),
    ):
        logs = tmp_path / "rollup", tmp_path / "detect"
        until(lambda: all(served(log) for log in logs), "their addresses")
        rollup, detect = (str(served(log)) for log in logs)
        until(lambda: "trades[0, 1, 2, 3]" in get(f"{rollup}/readyz")[1], "rollup to say so")
        until(lambda: "nobody has spoken yet" in get(f"{detect}/readyz")[1], "detect to say so")
        assert get(f"{detect}/readyz")[0] == 503
        assert 'age_seconds{partition="0",topic="bars"} +Inf' in get(f"{detect}/metrics")[1]
        now = int(time.time()) - 1_000
        for second in range(40):
            speak(producer, ("trades", "liquidations"), now + second)
        until(lambda: get(f"{rollup}/readyz")[0] == 200, "rollup to be ready")
        until(
            lambda: (
                get(f"{detect}/readyz")
                == (503, "nobody has spoken yet on whale_transfers[0, 1, 2, 3]\n")
            ),
            "detect to name the one that is missing",
        )
        until(lambda: "whale_transfers[0, 1, 2, 3]: nothing is" in logs[1].read_text(), "a line")
        until(lambda: _holds(at_kafka, "whale_transfers", "nobody"), "feeds to show it")
        said = undertow({"UNDERTOW_DATA_DIR": str(tmp_path)}, "doctor", *at_kafka).stdout
        assert "wait for whoever should speak on whale_transfers" in said
        for second in range(40):
            speak(producer, ("whale_transfers",), now + second)
        until(lambda: get(f"{detect}/readyz")[0] == 200, "detect to be ready")
        until(lambda: feeds_of(*at_kafka)[0] == 0, "nobody to be waited for")
        _, seen = feeds_of(*at_kafka)
        assert {(f["topic"], f["producer"]) for f in seen["feeds"]} == {
            ("trades", "ears"), ("bars", "rollup"), ("liquidations", "ears"),
            ("whale_transfers", "ears"),
        }  # fmt: skip
        assert all(f["ts_last"] >= (now + 38) * SECOND for f in seen["feeds"])
        assert {p["judged_until"] for p in seen["partitions"] if p["stage"] == "detect"} == {
            (now + 38) * SECOND
        }
    speak(producer, ("liquidations",), now + 60)
    _, seen = feeds_of(*at_kafka)
    # The sum of what nobody takes now: the word, beside those that were taken.
    behind = [p for p in seen["partitions"] if p["topic"] == "liquidations"]
    assert all(p["lag"] == 1 for p in behind)
    ahead = [f for f in seen["feeds"] if f["topic"] == "liquidations"]
    assert all(f["ts_written"] == (now + 60) * SECOND > f["ts_last"] for f in ahead)


def _holds(at_kafka: tuple[str, ...], topic: str, producer: str) -> bool:
    _, seen = feeds_of(*at_kafka)
    waited = [f for f in seen["feeds"] if f["holds_back"]]
    return bool(waited) and all((f["topic"], f["producer"]) == (topic, producer) for f in waited)


def test_a_run_tells_who_spoke_in_it_once_it_is_done(tmp_path: Path) -> None:
    write_ndjson(night(seconds=600), tmp_path / "recording")
    (tmp_path / "recording" / "trades.ndjson").unlink()
    code, said = run(tmp_path / "a", OFTEN, "--source", str(tmp_path / "recording"), "--no-serve")
    assert code == 0, said
    code, seen = feeds_of("--data-dir", str(tmp_path / "a"))
    assert code == 0
    assert {(f["topic"], f["producer"], f["standing"]) for f in seen["feeds"]} >= {
        ("liquidations", "replay", "alive"), ("whale_transfers", "replay", "alive"),
    }  # fmt: skip
    shown = undertow({}, "feeds", "--data-dir", str(tmp_path / "a"))
    assert "at its end" in shown.stdout
    late = undertow({}, "feeds", "--lateness", "--json", "--data-dir", str(tmp_path / "a"))
    assert json.loads(late.stdout)["grace_ms"] == 250
    assert {row["venue"] for row in json.loads(late.stdout)["venues"]} >= {"bybit", "binance"}
    assert undertow({}, "feeds", "--data-dir", str(tmp_path / "b")).returncode == 2


def test_an_old_file_is_not_replayed_onto_a_live_cluster_unless_that_is_asked_for(
    clean_topics: str, tmp_path: Path
) -> None:
    write_ndjson(night(seconds=30), tmp_path / "recording")
    call = ("replay", str(tmp_path / "recording"), "--kafka-url", clean_topics)
    assert undertow({}, *call).returncode == 0
    # A replay's own words are no live feed: it may be sent again.
    assert undertow({}, *call).returncode == 0
    producer = Producer({"bootstrap.servers": clean_topics})
    speak(producer, ("liquidations",), int(time.time()))
    refused = undertow({}, *call)
    assert refused.returncode == 2
    assert "ears feeds liquidations[0]" in refused.stderr
    assert "--onto-live" in refused.stderr
    assert refused.stdout == ""
    asked = undertow({}, *call, "--onto-live")
    assert (asked.returncode, "trades" in asked.stdout) == (0, True)


def test_orders_under_librdkafka_s_own_partitioner_are_noticed_and_the_mend_is_told(
    clean_topics: str, tmp_path: Path
) -> None:
    environ = {"UNDERTOW_KAFKA_URL": clean_topics, "UNDERTOW_DATA_DIR": str(tmp_path)}
    by_crc = Producer({"bootstrap.servers": clean_topics})
    orders = [r for _, topic, r in night(seconds=400) if topic == "liquidations"]
    with running(environ, "detect", log=tmp_path / "detect"):
        until(lambda: served(tmp_path / "detect"), "its address")
        url = str(served(tmp_path / "detect"))
        for second in range(10):
            speak(by_crc, ("liquidations", "bars", "whale_transfers"), START - 10 + second)
        for order in orders:
            by_crc.produce("liquidations", codec.encode(order), key=order.asset)
        assert by_crc.flush(10) == 0
        until(lambda: "partitioner=murmur2_random" in (tmp_path / "detect").read_text(), "a line")
        until(lambda: "undertow_misplaced_total{" in get(f"{url}/metrics")[1], "a metric")
    alerts = records_of(clean_topics, "alerts")
    [misplaced] = {
        alert.alert_id: alert for alert in alerts if alert.kind == "feed.misplaced"
    }.values()
    assert "liquidations" in misplaced.title


def records_of(bootstrap: str, topic: str) -> list[Any]:
    """Every record of a topic that the broker holds, of all partitions."""
    reader = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "t", "enable.partition.eof": True}
    )
    try:
        reader.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        values, ended = [], 0
        while ended < PARTITIONS:
            for message in reader.consume(100, 5):
                if message.error() is None:
                    values.append(codec.decode(topic, message.value()))
                ended += message.error() is not None
        return values
    finally:
        reader.close()
