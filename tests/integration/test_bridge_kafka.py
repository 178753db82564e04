"""`undertow bridge` as a process: cryptofeed's topics on a real Kafka become ours, once each."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic
from scripted_venues.ears import until
from scripted_venues.topics import everything
from stages import running

from schemas.market import Liquidation, Trade
from schemas.status import FeedStatus
from schemas.topics import TOPICS, key_of
from streams.kafka import topics_admin
from streams.kafka.records import partition_of

THEIRS = ("trades-BINANCE_FUTURES-BTC-USDT-PERP", "liquidations-BYBIT-BTC-USDT-PERP")


def produce(kafka: str, first: int, count: int) -> None:
    """Write as cryptofeed 2.4's TradeKafka and LiquidationsKafka do."""
    producer = Producer({"bootstrap.servers": kafka})
    for number in range(first, first + count):
        now = time.time()
        print_ = {
            "exchange": "BINANCE_FUTURES", "symbol": "BTC-USDT-PERP", "side": "buy", "amount": 0.5,
            "price": 90_000.0, "id": str(number), "type": None, "timestamp": now - 0.1,
            "receipt_timestamp": now,
        }  # fmt: skip
        forced = {
            "exchange": "BYBIT", "symbol": "BTC-USDT-PERP", "side": "buy", "quantity": 0.1 + number,
            "price": 90_000.0, "id": None, "status": None, "timestamp": now - 0.1,
            "receipt_timestamp": now,
        }  # fmt: skip
        producer.produce(THEIRS[0], json.dumps(print_))
        producer.produce(THEIRS[1], json.dumps(forced))
    producer.produce(THEIRS[0], b"{broken")
    assert producer.flush(20) == 0


def test_cryptofeeds_topics_become_ours_once_each_also_when_the_bridge_is_killed(
    clean_topics: str, tmp_path: Path
) -> None:
    given = {"KAFKA_URL": clean_topics, "UNDERTOW_DATA_DIR": str(tmp_path / "data")}

    def ids(topic: str, kind: type) -> list[str]:
        records = [record for _, _, record in everything(clean_topics, topic)]
        return [record.event_id for record in records if isinstance(record, kind)]

    def alive() -> list[FeedStatus]:
        records = [record for _, _, record in everything(clean_topics, "liquidations")]
        return [r for r in records if isinstance(r, FeedStatus) and r.state == "alive"]

    admin = topics_admin.admin_client(clean_topics)
    made = admin.create_topics([NewTopic(name, 2, 1) for name in THEIRS])
    for topic in made.values():
        topic.result()
    produce(clean_topics, 0, 50)
    command = [sys.executable, "-m", "streams.cli", "bridge", "cryptofeed"]
    log = (tmp_path / "1.log").open("wb")
    first = subprocess.Popen(command, env=os.environ | given, stderr=log)
    try:
        until(lambda: len(ids("trades", Trade)) >= 50, "trades", 60)
    finally:
        first.kill()
        first.wait()
    produce(clean_topics, 50, 50)
    with running(given, "bridge", "cryptofeed", log=tmp_path / "2.log"):
        until(lambda: len(set(ids("trades", Trade))) == 100, "the others", 60)
        until(lambda: len(set(ids("liquidations", Liquidation))) == 100, "forced orders", 30)
        said = len(alive())
        until(lambda: len(alive()) > said + 4, "words on time while nothing comes", 30)
    assert set(ids("trades", Trade)) == {f"binance:BTCUSDT:{number}" for number in range(100)}
    for partition, key, record in everything(clean_topics, "liquidations"):
        if isinstance(record, Liquidation):
            assert (record.position_side, record.price_kind) == ("long", "bankruptcy")
            assert key == key_of(TOPICS["liquidations"], record)
            assert partition == partition_of(key, 4)
    words = [record for _, _, record in everything(clean_topics, "liquidations")]
    stopped = [r for r in words if isinstance(r, FeedStatus) and r.state == "silent"]
    assert {r.producer for r in stopped} == {"bridge-binance", "bridge-bybit"}
    letters = [record for _, _, record in everything(clean_topics, "dead_letters")]
    assert {letter.topic for letter in letters} == {"trades-BINANCE_FUTURES-BTC-USDT-PERP"}
