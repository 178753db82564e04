"""A worker whose changelog is gone reads again what the state was made of."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import stages
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from nights import START

from schemas import codec
from schemas.identity import natural_id
from schemas.market import Liquidation
from schemas.status import FeedStatus
from schemas.words import SECOND
from streams.core.shard import INPUTS
from streams.kafka import topics_admin

SECONDS = 20
MARKET = ["undertow-detect-market-changelog"]
ASSETS = ["undertow-detect-assets-changelog", "undertow-detect-flows-changelog"]


def stored(kafka: str, topic: str) -> dict[tuple[int, bytes], Any]:
    """Return the latest rows of a changelog, decoded, but for those that only begin a term."""
    reader = Consumer({"bootstrap.servers": kafka, "group.id": "lost", "log_level": 0})
    latest: dict[tuple[int, bytes], Any] = {}
    for number in reader.list_topics(topic, 10).topics[topic].partitions:
        try:
            _, end = reader.get_watermark_offsets(TopicPartition(topic, number), 10)
        except KafkaException:  # just made, and nobody leads it yet
            continue
        reader.assign([TopicPartition(topic, number, 0)])
        offset = -1
        while offset + 1 < end:
            for message in reader.consume(1_000, 1):
                offset = message.offset() or 0
                if dict(message.headers() or []).get("term"):
                    latest[number, message.key()] = msgspec.msgpack.decode(message.value())
    reader.close()
    return latest


def write_inputs(kafka: str) -> None:
    to = Producer({"bootstrap.servers": kafka, "partitioner": "murmur2_random"})
    for second in range(SECONDS):
        at = (START + second) * SECOND
        for number in range(3):
            to.produce("liquidations", codec.encode(order(f"A{number}", at)), key=f"A{number}")
        feed_status = codec.encode(FeedStatus(producer="x", state="alive", ts_event=at))
        for topic in INPUTS:
            for number in range(4):
                to.produce(topic, feed_status, partition=number)
    assert to.flush(10) == 0


def order(asset: str, at: int) -> Liquidation:
    return Liquidation(
        event_id=natural_id(asset, at), venue="bybit", instrument=f"{asset}-USDT-PERP",
        venue_symbol=f"{asset}USDT", asset=asset, position_side="long", order_side="sell",
        price=100.0, price_kind="bankruptcy", quantity=500.0, notional_usd=50_000.0,
        coverage="full", stream="test", ts_event=at, ts_recv=at,
    )  # fmt: skip


def asset_rows(kafka: str) -> dict[tuple[int, bytes], Any]:
    """Return the assets' rows, and of the shards' own the offsets that are in them.

    A shard's clocks also say in which order its topics came.
    """
    rows = stored(kafka, ASSETS[0])
    return {place: row["offsets"] if is_shard(place) else row for place, row in rows.items()}


def is_shard(place: tuple[int, bytes]) -> bool:
    return place[1].endswith(b"/")


def market_rows(kafka: str) -> dict[tuple[int, bytes], Any]:
    return stored(kafka, MARKET[0])


@pytest.mark.parametrize(("lost", "rows"), [(MARKET, market_rows), (ASSETS, asset_rows)])
def test_state_whose_changelog_is_lost_is_made_again_from_what_was_committed(
    clean_topics: str, tmp_path: Path, lost: list[str], rows: Any
) -> None:
    environ = {"KAFKA_URL": clean_topics, "UNDERTOW_DATA_DIR": str(tmp_path)}
    write_inputs(clean_topics)
    taken = (SECONDS - 1) * 10**6 + START * SECOND
    with stages.running(environ, "detect", log=tmp_path / "first.log"):
        stages.until(lambda: clocks(clean_topics) == [taken] * 4, "every shard has its clock")
        stages.until(lambda: market_has_all(clean_topics), "the market has all evidence")
    before = rows(clean_topics)
    admin = topics_admin.admin_client(clean_topics)
    for deleted in admin.delete_topics(lost).values():
        deleted.result()
    listed = lambda: set(admin.list_topics(timeout=10).topics) & set(lost)  # noqa: E731
    stages.until(lambda: not listed(), "the changelogs are gone")
    with stages.running(environ, "detect", log=tmp_path / "second.log"):
        stages.until(lambda: listed() == set(lost) and rows(clean_topics) == before, "it is back")
    assert "is lost: read again from its beginning" in (tmp_path / "second.log").read_text()


def clocks(kafka: str) -> list[int]:
    """Return how far the stored clock of liquidations has come, by partition."""
    if ASSETS[0] not in topics_admin.admin_client(kafka).list_topics(timeout=10).topics:
        return []
    rows = sorted(stored(kafka, ASSETS[0]).items(), key=lambda at: at[0])
    return [row["inputs"]["liquidations"]["now"] for place, row in rows if is_shard(place)]


def market_has_all(kafka: str) -> bool:
    reader = Consumer({"bootstrap.servers": kafka, "group.id": "lost", "log_level": 0})
    _, end = reader.get_watermark_offsets(TopicPartition("market_evidence", 0), 10)
    reader.close()
    return any(row["offset"] == end - 1 for row in market_rows(kafka).values())
