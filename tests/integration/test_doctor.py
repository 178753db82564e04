"""`undertow doctor` names each misconfiguration that is planted, and its mend."""

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from confluent_kafka import Producer
from stages import running, until

sys.path.insert(0, str(Path(__file__).parent))
from clickhouse_server import running as database

from schemas import codec
from schemas.market import Liquidation, Trade
from schemas.onchain import WhaleTransfer
from schemas.status import FeedStatus
from schemas.topics import RAW_TOPICS, TOPICS, key_of
from sinks.webhooks.endpoints import parse_endpoints
from sinks.webhooks.outbox import Outbox
from streams.cli import main
from streams.cli.store import asking
from streams.doctor.examine import examine
from streams.doctor.verdict import Verdict
from streams.kafka import topics_admin
from streams.process.clock import now_us
from streams.process.settings import load

SECRET = "whsec_" + "A" * 32
HOUR_US = 3_600_000_000


def examined(clock: Callable[[], int] = now_us, **given: Any) -> list[Verdict]:
    settings = load(given)
    with asking(settings) as ask:
        return list(examine(settings, ask, clock))


def named(verdicts: list[Verdict], check: str) -> list[tuple[str, str]]:
    """What is wrong by a check, and its mend."""
    return [(v.what, v.next_step) for v in verdicts if v.check.startswith(check) and v.next_step]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("UNDERTOW_") or name in ("KAFKA_URL", "CLICKHOUSE_URL", "WEBHOOK_URLS"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("UNDERTOW_DATA_DIR", str(tmp_path / "data"))


# ------------------------------------------------------------ settings and machine


def asked(*args: str, **environ: str) -> tuple[int, list[dict[str, str]]]:
    done = CliRunner().invoke(main, ["doctor", "--json", *args], env=environ)
    return done.exit_code, json.loads(done.stdout)


def test_a_setting_that_is_misspelt_is_named_with_the_nearest() -> None:
    code, [verdict] = asked(UNDERTOW_PARTITION="4")
    assert (code, verdict["state"]) == (1, "broken")
    assert "did you mean partitions?" in verdict["what"]
    assert "undertow settings" in verdict["next_step"]


def test_a_scheme_that_kafka_has_none_of_is_named_before_anything_is_waited_for() -> None:
    code, [verdict] = asked(KAFKA_URL="kafka://broker:9092")
    assert code == 1
    assert "host:port[,host:port] without a scheme" in verdict["what"]


def test_a_person_reads_one_line_and_below_it_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(main, ["doctor", "--data-dir", str(tmp_path / "file" / "data")])
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    [at] = [number for number, line in enumerate(lines) if line.startswith("broken")]
    assert lines[at].endswith("cannot be written")
    assert lines[at + 1].strip().startswith("-> name another: UNDERTOW_DATA_DIR")


def test_nothing_is_broken_where_nothing_was_asked_for() -> None:
    code, verdicts = asked()
    assert code == 0
    assert {v["check"] for v in verdicts if v["state"] == "look"} >= {"receivers", "kafka"}


def test_an_old_java_is_named_with_how_to_get_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("streams.stack.local_kafka._wheel_java", lambda: None)
    [(what, mend)] = named(examined(), "java")
    assert "JAVA_HOME: Java 11" in what
    assert "openjdk-17" in mend


@pytest.mark.parametrize(
    ("given", "check", "what", "mend"),
    [
        ({"ops_host": "0.0.0.0"}, "http ops", "needs http_token", "UNDERTOW_HTTP_TOKEN"),
        ({"params": "/no/such.json"}, "thresholds", "No such file", "UNDERTOW_PARAMS"),
        ({"webhook_urls": "https://a.example/x"}, "receivers", "whsec_", "WEBHOOK_URLS"),
        ({"webhook_urls": f"https://127.0.0.1/x#{SECRET}"}, "receivers", "not a public address", "WEBHOOK_URLS"),
        ({"webhook_urls": f"https://nobody.invalid/x#{SECRET}"}, "receiver nobody", "cannot be reached", "its name in WEBHOOK_URLS"),
        ({"alert_rules": "/no/such.toml"}, "rules", "No such file", "UNDERTOW_ALERT_RULES"),
        ({"kafka_url": "127.0.0.1:1"}, "kafka", "did not answer within 10 s", "undertow stack"),
        ({"clickhouse_url": "http://127.0.0.1:1/undertow"}, "clickhouse", "does not answer", "CLICKHOUSE_URL"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(
    given: dict[str, str], check: str, what: str, mend: str
) -> None:
    [(said, next_step)] = named(examined(**given), check)
    assert what in said
    assert mend in next_step


def test_a_receiver_on_which_nobody_listens_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x#{SECRET}"
        given = {"webhook_urls": url, "webhook_allow_private": "127.0.0.1"}
        [(what, _)] = named(examined(**given), "receiver 127")
    assert "Connection refused" in what


def test_rules_for_nobody_are_named_with_who_there_is(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nto = ["slak"]\nescalate_to = ["pagerduty"]\n')
    urls = "https://hooks.slack.com/services/T0/B0/x"
    [(what, mend)] = named(examined(webhook_urls=urls, alert_rules=str(rules)), "rules")
    assert "pagerduty, slak" in what
    assert "hooks.slack.com" in mend
    assert "slack" in mend.split(", ")


@pytest.mark.parametrize(
    ("text", "what", "mend"),
    [
        ('[[rule]]\nkinds = ["cascades."]', "rule 1: no alert is of a kind that begins with cascades.", "cascade.onset"),
        ('[[rule]]\n[[rule]]\nkinds = ["cascade.closed"]', "rule 2 lets ends pass alone", "cascade.onset"),
        ('[[rule]]\nassets = ["btc", "ETH"]', "rule 1: no asset is called btc", "write BTC"),
        ('[[rule]]\nquiet = "22:00-22:00 UTC"', "no time at all", "mend the file"),
        ('[[rule]]\nleast_usd = -1', ">= 0", "mend the file"),
        ('board = "https://a.example/?e={epsiode}"', "{epsiode} is nothing; there are {episode}", "mend the file"),
    ],
)  # fmt: skip
def test_rules_that_nothing_will_ever_be_told_by_are_named(
    tmp_path: Path, text: str, what: str, mend: str
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(text)
    [(said, next_step)] = named(examined(alert_rules=str(rules)), "rules")
    assert what in said
    assert mend in next_step


def test_pictures_that_nothing_can_draw_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.report.picture.find_spec", lambda _: None)
    rules = tmp_path / "rules.toml"
    rules.write_text("pictures = true\n")
    [(what, mend)] = named(examined(alert_rules=str(rules)), "rules")
    assert "matplotlib is not installed" in what
    assert mend == "install it, or pictures = false"


def test_a_receiver_that_is_gone_for_good_is_named_with_how_to_let_it_in_again(
    tmp_path: Path,
) -> None:
    [endpoint] = parse_endpoints(f"https://a.example/x#{SECRET}")
    (tmp_path / "data").mkdir()
    with Outbox(tmp_path / "data" / "outbox.sqlite") as outbox:
        outbox.disable(endpoint.name, "disabled: it answered 410 Gone")
    [(what, mend)] = named(examined(), "outbox")
    assert "410 Gone" in what
    assert f"webhooks retry --endpoint {endpoint.name}" in mend


# --------------------------------------------------------------------- ClickHouse


def test_a_database_without_tables_is_named_and_so_are_clocks_that_disagree(
    tmp_path: Path,
) -> None:
    with database(tmp_path / "server") as url:
        [(_, mend)] = named(examined(clickhouse_url=f"{url}/undertow"), "clickhouse")
        assert "undertow migrate" in mend
        migrated = CliRunner().invoke(main, ["migrate", "--clickhouse-url", f"{url}/undertow"])
        assert migrated.exit_code == 0, migrated.output
        wrong = examined(lambda: now_us() - HOUR_US, clickhouse_url=f"{url}/undertow")
        assert not named(wrong, "tables")
        [(what, mend)] = named(wrong, "clocks")
        assert "60 min ahead of ours" in what
        assert "chronyc" in mend


@contextmanager
def refusing(code: int, text: str) -> Iterator[str]:
    """A server that refuses every query as ClickHouse does."""

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = f"Code: {code}. DB::Exception: {text}".encode()
            self.send_response(403)
            self.send_header("X-ClickHouse-Exception-Code", str(code))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://me:wrong@127.0.0.1:{server.server_port}/undertow"
    finally:
        server.shutdown()
        server.server_close()


def test_a_wrong_password_is_named_and_not_printed() -> None:
    with refusing(516, "Authentication failed") as url:
        [(what, mend)] = named(examined(clickhouse_url=url), "clickhouse")
    assert "refuses our user or password" in what
    assert "wrong" not in what
    assert "CLICKHOUSE_URL" in mend


# -------------------------------------------------------------------------- Kafka

TRADE = Trade(
    event_id="1", venue="binance", instrument="BTC-USDT-PERP", venue_symbol="BTCUSDT", asset="BTC", aggressor_side="sell",
    price=90_000.0, quantity=0.25, notional_usd=22_500.0, ts_event=0, ts_recv=0,
)  # fmt: skip
ORDER = Liquidation(
    event_id="1", venue="binance", instrument="BTC-USDT-PERP", venue_symbol="BTCUSDT", asset="BTC", position_side="long",
    order_side="sell", price=90_000.0, price_kind="fill", quantity=0.25, notional_usd=22_500.0, coverage="full",
    stream="orders", ts_event=0, ts_recv=0,
)  # fmt: skip
TRANSFER = WhaleTransfer(
    event_id="1", provider="a", chain="bitcoin", asset="BTC", transfer_kind="transfer", tx_hash="1", leg=0, from_owner="unknown",
    from_kind="unknown", to_owner="unknown", to_kind="unknown", quantity=1.0, notional_usd=1e6, ts_event=0, ts_recv=0,
)  # fmt: skip


class Feed:
    """A producer that does as schemas/README.md says, but for what a test spoils."""

    def __init__(self, kafka: str, partitioner: str = "murmur2_random") -> None:
        self.producer = Producer({"bootstrap.servers": kafka, "partitioner": partitioner})

    def write(self, topic: str, record: Any, key: bytes | None = None) -> None:
        now = now_us()
        record = msgspec.structs.replace(record, ts_event=now, ts_recv=now)
        given = key_of(TOPICS[topic], record) if key is None else key
        self.producer.produce(topic, codec.encode(record), key=given)

    def speak(
        self, ahead_us: int = 0, topics: tuple[str, ...] = RAW_TOPICS, first: int = 0
    ) -> None:
        feed_status = FeedStatus(producer="binance", state="alive", ts_event=now_us() + ahead_us)
        for topic in topics:
            for partition in range(first, 4):
                self.producer.produce(topic, codec.encode(feed_status), partition=partition)

    def done(self) -> None:
        assert self.producer.flush(30) == 0


def wrong_with(kafka: str, check: str) -> list[tuple[str, str]]:
    return named(examined(kafka_url=kafka), check)


def test_a_feed_that_does_as_the_plate_says_has_nothing_to_mend(clean_topics: str) -> None:
    feed = Feed(clean_topics)
    feed.write("liquidations", ORDER)
    feed.write("trades", TRADE)
    feed.speak()
    feed.done()
    verdicts = examined(kafka_url=clean_topics)
    wrong = {v.check for v in verdicts if v.state == "broken"}
    assert wrong == {"rollup", "detect", "sink", "conclusions"}
    assert [v.what for v in verdicts if v.check == "feeds" and v.state == "well"] != []


def test_a_cluster_that_is_spoken_to_in_the_wrong_way_is_named(clean_topics: str) -> None:
    verdicts = examined(kafka_url=clean_topics, kafka_security="ssl")
    [(_, mend)] = named(verdicts, "kafka")
    assert "UNDERTOW_KAFKA_SECURITY" in mend


def test_missing_topics_and_other_partition_counts_are_named(clean_topics: str) -> None:
    [(what, mend)] = named(examined(kafka_url=clean_topics, partitions=8), "partitions")
    assert "trades has 4" in what
    assert mend == "set UNDERTOW_PARTITIONS=4, as they are"
    admin = topics_admin.admin_client(clean_topics)
    admin.delete_topics(["bars"])["bars"].result()
    until(lambda: "bars" not in admin.list_topics(timeout=10).topics, "the topic to go")
    [(what, mend)] = wrong_with(clean_topics, "topics")
    assert what == "missing: bars"
    assert "undertow topics" in mend


def test_records_where_nobody_looks_for_them_are_named(clean_topics: str) -> None:
    feed = Feed(clean_topics, "consistent")
    for number in range(40):
        asset = f"A{number}"
        order = msgspec.structs.replace(ORDER, asset=asset, instrument=f"{asset}-USDT-PERP")
        feed.write("liquidations", order)
        feed.write("trades", TRADE, key=b"BTC")
    feed.speak()
    feed.done()
    keys = wrong_with(clean_topics, "keys")
    assert any("murmur2" in what and "murmur2_random" in mend for what, mend in keys)
    assert any(mend == "write each under its venue:instrument" for _, mend in keys)


def test_what_cannot_be_read_is_named_by_its_field(clean_topics: str) -> None:
    feed = Feed(clean_topics)
    seconds = codec.encode(msgspec.structs.replace(ORDER, ts_event=now_us(), ts_recv=now_us()))
    in_seconds = json.loads(seconds) | {"ts_event": int(time.time())}
    feed.producer.produce("liquidations", json.dumps(in_seconds).encode(), key=b"BTC")
    feed.speak()
    feed.done()
    [(what, mend)] = wrong_with(clean_topics, "records")
    assert "liquidations: 1 of the last" in what
    assert "ts_event: " in what
    assert "schemas/json/liquidations.json" in mend


def test_words_that_are_missing_late_or_ahead_are_named(clean_topics: str) -> None:
    feed = Feed(clean_topics)
    feed.speak(topics=("liquidations",), first=1)
    feed.speak(ahead_us=HOUR_US, topics=("whale_transfers",))
    feed.done()
    feeds = wrong_with(clean_topics, "feeds")
    assert any("nobody says on trades" in what for what, _ in feeds)
    assert any("says nothing to partition 0" in what for what, _ in feeds)
    [(what, _)] = wrong_with(clean_topics, "clocks")
    assert "binance on whale_transfers speaks of 60 min ahead" in what
    feed.speak(topics=("trades",))
    feed.done()
    later = examined(lambda: now_us() + HOUR_US, kafka_url=clean_topics)
    assert any("60 min ago" in what for what, _ in named(later, "feeds"))


def test_transfers_without_labels_are_named(clean_topics: str) -> None:
    feed = Feed(clean_topics)
    feed.write("whale_transfers", TRANSFER)
    feed.speak()
    feed.done()
    [(what, _)] = wrong_with(clean_topics, "labels")
    assert "no deposit is judged" in what


def test_why_nothing_is_concluded_is_said_step_by_step(clean_topics: str, tmp_path: Path) -> None:
    feed = Feed(clean_topics)
    feed.speak()
    feed.done()
    [(what, mend)] = wrong_with(clean_topics, "conclusions")
    assert "no liquidations" in what
    feed.write("liquidations", ORDER)
    feed.write("trades", TRADE)
    feed.done()
    [(what, mend)] = wrong_with(clean_topics, "conclusions")
    assert mend == "start `undertow rollup`"
    [(what, mend)] = wrong_with(clean_topics, "rollup")
    assert "no `undertow rollup` is at work" in what
    environ = {"KAFKA_URL": clean_topics}
    with running(environ, "rollup", log=tmp_path / "rollup.log"):
        until(lambda: not wrong_with(clean_topics, "rollup"), "rollup to be at work")
