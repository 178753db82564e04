"""A name beyond ASCII is the same in every layer: a key in Kafka, a word in SQL, a title in a webhook."""

import json
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

import clickhouse_connect
import pytest
from aiokafka.partitioner import murmur2
from confluent_kafka import Consumer
from nights import in_chinese, night
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from schemas import codec, metrics
from schemas.findings import Alert
from schemas.market import Liquidation, Trade
from schemas.topics import TOPICS, key_of
from sinks.clickhouse.client import Batch, Writer, open_client
from sinks.clickhouse.migrate import migrate
from sinks.sql.endpoint import serve
from sinks.webhooks.body import payload
from streams.kafka import clients, records
from streams.process.settings import Settings

ASSET = "币安人生"


def recorded(kind: type, count: int) -> list:
    return [r for _, _, r in in_chinese(night()) if isinstance(r, kind) and r.asset == ASSET][
        :count
    ]


def test_kafka_gives_a_key_beyond_ascii_the_partition_that_faust_gives_it(
    clean_topics: str,
) -> None:
    order, trade = recorded(Liquidation, 1)[0], recorded(Trade, 1)[0]
    producer = clients.producer(Settings(kafka_url=clean_topics))
    for topic, record in (("liquidations", order), ("trades", trade)):
        records.send(producer, topic, record)
    assert producer.flush(10) == 0
    consumer = Consumer(
        {"bootstrap.servers": clean_topics, "group.id": "names", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["liquidations", "trades"])
    came = {}
    while len(came) < 2:
        message = consumer.poll(10)
        assert message is not None
        came[message.topic()] = message
    consumer.close()
    for topic, record in (("liquidations", order), ("trades", trade)):
        key = key_of(TOPICS[topic], record)
        assert ASSET.encode() in key
        assert came[topic].key() == key
        assert came[topic].partition() == (murmur2(key) & 0x7FFFFFFF) % 4
        assert codec.decode(topic, came[topic].value()) == record


def test_a_record_that_nobody_could_read_arrives_shortened_beside_its_letter(
    clean_topics: str,
) -> None:
    alert = Alert(
        alert_id="a", dedup_key="d", kind="cascade.onset", tier="cascade", severity="critical", asset=ASSET,
        title="t", text="x" * 9_000, finding_id="f", ts_event=1_763_683_200_000_000, ts_detect=1_763_683_200_000_000,
    )  # fmt: skip
    producer = clients.producer(Settings(kafka_url=clean_topics))
    records.send(producer, "alerts", alert, partition=3)
    assert producer.flush(10) == 0
    consumer = Consumer(
        {"bootstrap.servers": clean_topics, "group.id": "short", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["alerts", "dead_letters"])
    came = {}
    while len(came) < 2:
        message = consumer.poll(10)
        assert message is not None
        came[message.topic()] = message
    consumer.close()
    assert came["alerts"].partition() == 3
    assert came["alerts"].key() == ASSET.encode()
    assert len(codec.decode("alerts", came["alerts"].value()).text) == 2_000
    assert codec.decode("dead_letters", came["dead_letters"].value()).field == "text"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory):
    client = open_client("chdb", tmp_path_factory.mktemp("data"))
    migrate(client, "undertow")
    for table, kind in (("trades", Trade), ("liquidations", Liquidation)):
        rows = recorded(kind, 50)
        Writer(client).insert(Batch(table, table, 0, 0, len(rows) - 1, rows, range(len(rows))))
    handle = serve(client.path)
    yield handle
    handle.stop()
    client.close()


def test_sql_finds_a_name_beyond_ascii_however_it_is_asked_for(endpoint) -> None:
    url = f"http://127.0.0.1:{endpoint.port}/"
    wanted = f"SELECT count() FROM trades WHERE asset = '{ASSET}'"
    bound = "SELECT count() FROM trades WHERE asset = {asset:String}"
    answers = [
        urlopen(f"{url}?{urlencode({'query': wanted})}").read(),
        urlopen(Request(url, data=wanted.encode())).read(),
        urlopen(f"{url}?{urlencode({'query': bound, 'param_asset': ASSET})}").read(),
        urlopen(f"{url}?query={quote(bound)}&param_asset={quote(ASSET)}").read(),
    ]
    assert answers == [b"50\n"] * 4
    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=endpoint.port, autogenerate_session_id=False
    )
    asked = client.query(
        "SELECT DISTINCT asset, instrument, venue_symbol FROM liquidations WHERE asset = {a:String}",
        parameters={"a": ASSET},
    )
    assert asked.result_rows == [(ASSET, f"{ASSET}-USDT-PERP", f"{ASSET}USDT")]
    client.close()


def test_a_webhook_tells_a_name_beyond_ascii_in_utf_8() -> None:
    alert = Alert(
        alert_id="a", dedup_key="d", kind="cascade.onset", tier="cascade", severity="critical", asset=ASSET,
        title=f"{ASSET} long liquidations: onset", text="t", finding_id="f", ts_event=1_763_683_200_000_000,
        ts_detect=1_763_683_200_000_000,
    )  # fmt: skip
    body = payload(alert)
    assert ASSET.encode() in body
    assert json.loads(body)["data"]["asset"] == ASSET


def test_a_metric_keeps_a_name_beyond_ascii_in_its_label() -> None:
    metrics.DEAD_LETTERS.labels(f"{ASSET}.ndjson").inc()
    text = generate_latest(REGISTRY).decode()
    (sample,) = (
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "undertow_dead_letters_total" and ASSET in sample.labels["topic"]
    )
    assert sample.labels == {"topic": f"{ASSET}.ndjson"}
