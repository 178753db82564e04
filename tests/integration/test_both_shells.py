"""One recording through both shells: the same findings, id for id, on a real Apache Kafka."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from aiohttp import web
from confluent_kafka import Consumer, Producer, TopicPartition
from nights import PARAMS, START, Event, deposit, disturbed_night, in_chinese, trade, write_ndjson
from standardwebhooks import Webhook

from schemas import codec
from schemas.topics import TOPICS
from sinks.kafka.membership import answered
from streams.core.params import MarketParams, WhaleParams

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSBib3RoIHNoZWxscyB0ZXN0"
FINDINGS = ("cascades", "market_cascades", "whale_selling", "scores", "alerts")
WAIT_S = 150
BAD = {
    "trades": [b'{"type":"trade","price":NaN}', b'{"type":"trade"', b"\xff\xfe", b"[]"],
    "liquidations": [b'{"type":"liquidation","position_side":"sideways"}', b""],
    "whale_transfers": [b'{"type":"whale_transfer","quantity":-1}'],
}


class Receiver:
    """A real HTTP server that keeps every webhook it is sent."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def _serve(self) -> None:
        async def take(request: web.Request) -> web.Response:
            self.got.append((dict(request.headers), await request.read()))
            # The first delivery of each alert fails, so each must come again with its id.
            ids = [h["webhook-id"] for h, _ in self.got]
            return web.Response(status=500 if ids.count(ids[-1]) == 1 and len(ids) < 4 else 204)

        async def start() -> None:
            app = web.Application()
            app.router.add_post("/hook", take)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = runner.addresses[0][1]
            self._ready.set()

        self._loop.run_until_complete(start())
        self._loop.run_forever()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


def undertow(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *args],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


class Stack:
    """`undertow stack` on an existing Kafka, as its user starts it."""

    def __init__(self, data_dir: Path, environ: dict[str, str]) -> None:
        self.data_dir = data_dir
        data_dir.mkdir(exist_ok=True)
        self.log = data_dir / "stack.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streams.cli", "stack", "--data-dir", str(data_dir)],
                env=os.environ | environ,
                stdout=log,
                stderr=log,
            )
        self._await(lambda: "feed it" in self.log.read_text(), "the stack to be up")

    def rows(self, sql: str) -> list[dict[str, Any]]:
        url = json.loads((self.data_dir / "endpoint.json").read_bytes())["url"]
        with urllib.request.urlopen(
            url, data=f"{sql} FORMAT JSONEachRow".encode(), timeout=30
        ) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]

    def wait_for(self, what: str, sql: str, wanted: Any) -> None:
        self._await(lambda: list(self.rows(sql)[0].values()) == wanted, what)

    def _await(self, done: Any, what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not done():
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < deadline, f"waited for {what}\n{self.log.read_text()[-4000:]}"
            time.sleep(0.3)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


def caught_up(bootstrap: str, group: str, topics: tuple[str, ...]) -> bool:
    """Whether a group has committed all of some topics; a transaction's marker ends a log."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    try:
        for topic in topics:
            for number in range(4 if TOPICS[topic].split else 1):
                tp = TopicPartition(topic, number)
                _, end = consumer.get_watermark_offsets(tp, timeout=10)
                [committed] = answered(partial(consumer.committed, [tp], timeout=10))
                if end and committed.offset < end - (topic == "bars"):
                    return False
        return True
    finally:
        consumer.close()


def columns(table: str) -> str:
    return f"SELECT * EXCEPT (kafka_topic, kafka_partition, kafka_offset) FROM {table} ORDER BY 1"


def embedded_rows(data_dir: Path, table: str) -> list[dict[str, Any]]:
    answer = undertow("sql", columns(table), "--data-dir", str(data_dir), "--format", "JSONEachRow")
    assert answer.returncode == 0, answer.stderr
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_both_shells_conclude_the_same_and_store_every_record(
    clean_topics: str, tmp_path: Path, receiver: Receiver
) -> None:
    sent = write_ndjson(in_chinese(disturbed_night()), tmp_path / "recording")
    market = MarketParams(majors=("币安人生", "ETH"))
    params = msgspec.structs.replace(PARAMS, market=market)
    (tmp_path / "params.json").write_bytes(msgspec.json.encode(params))
    environ = {"UNDERTOW_PARAMS": str(tmp_path / "params.json"), "UNDERTOW_SQL_PORT": "0"}
    ran = undertow(
        "run", "--source", str(tmp_path / "recording"), "--data-dir", str(tmp_path / "a"), **environ
    )
    assert ran.returncode == 0, ran.stderr

    group = f"t{uuid4().hex[:8]}"
    stack = Stack(
        tmp_path / "b",
        environ
        | {
            "KAFKA_URL": clean_topics,
            "UNDERTOW_GROUP": group,
            "UNDERTOW_WEBHOOK_URLS": f"every+http://127.0.0.1:{receiver.port}/hook#{SECRET}",
            "UNDERTOW_WEBHOOK_ALLOW_PRIVATE": "127.0.0.1",
        },
    )
    try:
        fed = undertow("replay", str(tmp_path / "recording"), "--kafka-url", clean_topics)
        assert fed.returncode == 0, fed.stderr
        for table, count in sent.items():
            stack.wait_for(table, f"SELECT toInt32(count()) AS n FROM {table}", [count])
        stack.wait_for("bars", "SELECT toInt32(sum(trades)) AS n FROM bars", [sent["trades"]])
        stack._await(
            lambda: caught_up(
                clean_topics, f"{group}-detect", ("bars", "liquidations", "whale_transfers")
            ),
            "detect to catch up",
        )
        for table in FINDINGS:
            here = embedded_rows(tmp_path / "a", table)
            assert here, f"the recording should lead to rows in {table}"
            assert "币安人生" in json.dumps(here, ensure_ascii=False)
            stack.wait_for(table, f"SELECT toInt32(count()) AS n FROM {table}", [len(here)])
            assert stack.rows(columns(table)) == here
        assert stack.rows("SELECT count() AS n FROM dead_letters")[0]["n"] in (0, "0")

        _webhooks_tell_each_alert(stack, receiver, embedded_rows(tmp_path / "a", "alerts"))
        _bad_messages_become_dead_letters(stack, clean_topics, sent)
    finally:
        code = stack.stop()
    assert code == 0, stack.log.read_text()[-4000:]


def _webhooks_tell_each_alert(
    stack: Stack, receiver: Receiver, alerts: list[dict[str, Any]]
) -> None:
    wanted = {alert["alert_id"] for alert in alerts}
    stack._await(lambda: wanted <= {h["webhook-id"] for h, _ in receiver.got}, "every webhook")
    # The 500s above are retried after five seconds under the same id.
    stack._await(lambda: len(receiver.got) >= len(wanted) + 1, "the retry")
    assert {h["webhook-id"] for h, _ in receiver.got} == wanted
    for headers, body in receiver.got:
        lowered = {k.lower(): v for k, v in headers.items()}
        assert Webhook(SECRET).verify(body, lowered)
    titles = [json.loads(body)["data"]["title"] for _, body in receiver.got]
    assert any(title.startswith("币安人生: long liquidations") for title in titles)


def _bad_messages_become_dead_letters(stack: Stack, bootstrap: str, sent: dict[str, int]) -> None:
    before = {t: stack.rows(f"SELECT count() AS n FROM {t}")[0]["n"] for t in sent}
    producer = Producer({"bootstrap.servers": bootstrap})
    for topic, payloads in BAD.items():
        for payload in payloads:
            producer.produce(topic, payload, partition=1)
    assert producer.flush(10) == 0
    count = sum(map(len, BAD.values()))
    stack.wait_for("dead letters", "SELECT toInt32(count()) AS n FROM dead_letters", [count])
    letters = stack.rows("SELECT topic, partition, offset, reason FROM dead_letters")
    assert {letter["topic"] for letter in letters} == set(BAD)
    assert all(int(x["partition"]) == 1 and int(x["offset"]) >= 0 and x["reason"] for x in letters)
    assert {t: stack.rows(f"SELECT count() AS n FROM {t}")[0]["n"] for t in sent} == before


def days_of_trades() -> list[Event]:
    """A trade a minute on two venues for three days, and deposits on the last two."""
    draw = random.Random(5)
    events: list[Event] = []
    for second in range(START, START + 3 * 86_400, 60):
        events += [
            (second, "trades", trade(second, venue, draw, 0)) for venue in ("binance", "bybit")
        ]
        day, rest = divmod(second - START, 86_400)
        if day and rest in (6 * 3_600, 18 * 3_600):
            made = deposit(second, event_id=f"deposit {day} {rest}")
            events.append((second, "whale_transfers", made))
    return events


def test_days_of_flow_left_in_the_changelog_lead_to_the_same_verdicts(
    clean_topics: str, tmp_path: Path
) -> None:
    events = days_of_trades()
    half = START + 3 * 43_200
    write_ndjson(events, tmp_path / "whole")
    write_ndjson([event for event in events if event[0] < half], tmp_path / "1")
    write_ndjson([event for event in events if event[0] >= half], tmp_path / "2")
    whale = WhaleParams(placebos_min=900, placebos_max=5_000, window_min=5, scale_min=10)
    params = msgspec.structs.replace(PARAMS, whale=whale)
    (tmp_path / "params.json").write_bytes(msgspec.json.encode(params))
    environ = {"UNDERTOW_PARAMS": str(tmp_path / "params.json"), "UNDERTOW_SQL_PORT": "0"}
    source = ("--source", str(tmp_path / "whole"), "--data-dir", str(tmp_path / "a"))
    ran = undertow("run", *source, **environ)
    assert ran.returncode == 0, ran.stderr
    here = embedded_rows(tmp_path / "a", "whale_selling")
    # More placebos than one day and the hours not yet packed have.
    assert sorted(row["placebos"] for row in here) == [596, 836, 1076, 1316]
    assert sum(row["p_value"] is not None for row in here) == 2
    count = "SELECT toInt32(count()) AS n FROM whale_selling"
    for name, copies in (("1", 1), ("2", 4)):
        stack = Stack(tmp_path / "b", environ | {"KAFKA_URL": clean_topics})
        try:
            fed = undertow("replay", str(tmp_path / name), "--kafka-url", clean_topics)
            assert fed.returncode == 0, fed.stderr
            stack.wait_for("verdicts", count, [copies])
            # Behind its commit the first half's day is stored, so that the second reads it back.
            stack._await(
                lambda: caught_up(
                    clean_topics, "undertow-detect", ("bars", "liquidations", "whale_transfers")
                ),
                "detect to catch up",
            )
        finally:
            log = stack.log.read_text()
            rows = stack.rows(columns("whale_selling"))
            stack.stop()
    assert rows == here
    assert "of flow read back" in log


def test_the_bad_messages_are_bad() -> None:
    for topic, payloads in BAD.items():
        for payload in payloads:
            with pytest.raises(codec.InvalidRecord):
                codec.decode(topic, payload)
