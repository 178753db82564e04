"""The producer of the Faust shells against a real Kafka."""

import asyncio
import time

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import ConfigResource, NewTopic
from nights import an_alert

from streams.core.params import Params
from streams.detect import faust_transport, topics
from streams.detect.agent import Outgoing
from streams.detect.app import create_app
from streams.detect.faust_transport import CommittedApp
from streams.kafka import topics_admin
from streams.kafka.records import partition_of
from streams.process.settings import Settings

RECORDS = 400


async def deliver(kafka, met_first):
    """Write while the producer meets another topic; return how many of all were delivered."""
    app = CommittedApp("producer-alone", broker=f"kafka://{kafka}", store="memory://")
    producer = app.producer
    await producer.start()
    # As an answer to a lost connection: before any topic is tracked, all are asked for.
    await producer._producer.client.force_metadata_update()
    admin = topics_admin.admin_client(kafka)
    admin.create_topics([NewTopic(met_first, 4, 1)])[met_first].result()

    async def send(topic, number):
        return await producer.send(topic, b"k", b"x" * 300, number % 4, None, None)

    async def store():
        sent = [await send("cascades", number) for number in range(RECORDS)]
        return await asyncio.gather(*sent)

    async def meet():
        return [await (await send(met_first, 0))]

    tasks = [asyncio.create_task(store()), asyncio.create_task(meet())]
    done, stuck = await asyncio.wait(tasks, timeout=20)
    for task in stuck:
        task.cancel()
    delivered = sum(len(task.result()) for task in done)
    if stuck:  # its own stop would wait for them
        await producer._producer.client.close()
    else:
        await producer.stop()
    return delivered


def test_what_waits_to_be_sent_goes_out_though_another_topic_is_met_meanwhile(clean_topics):
    for attempt in range(3):
        delivered = asyncio.run(deliver(clean_topics, f"met-{attempt}"))
        assert delivered == RECORDS + 1


async def write_rows(kafka, rows):
    app = CommittedApp(
        "rows-alone",
        broker=f"kafka://{kafka}",
        store="memory://",
        producer_max_batch_size=faust_transport.BATCH_BYTES,
    )
    producer = app.producer
    await producer.start()
    offsets = await producer.send_rows("cascades", 2, rows, [("term", b"7")])
    await producer.stop()
    return offsets


def test_rows_of_many_batches_come_in_their_order_each_at_the_offset_told(clean_topics):
    rows = [(f"k{number}".encode(), b"x" * 900) for number in range(2_000)]
    rows[1_000] = (b"gone", None)
    rows[1_500] = (b"large", b"y" * 900_000)  # above a batch, below Kafka's bound
    offsets = asyncio.run(write_rows(clean_topics, rows))
    reader = Consumer({"bootstrap.servers": clean_topics, "group.id": "rows"})
    reader.assign([TopicPartition("cascades", 2, 0)])
    came = []
    while len(came) < len(rows):
        came += reader.consume(500, 10)
    reader.close()
    assert [(m.key(), m.value()) for m in came] == rows
    assert [m.offset() for m in came] == offsets
    assert {tuple(m.headers()) for m in came} == {(("term", b"7"),)}


async def send_keyed(kafka, topic, records, split):
    app = CommittedApp("keyed-alone", broker=f"kafka://{kafka}", store="memory://")
    await app.producer.start()
    await app.producer.send_keyed(topic, records, split)
    await app.producer.stop()


def test_records_lie_where_their_keys_belong_in_their_order_or_all_in_the_first(clean_topics):
    records = [(f"A{number % 9}".encode(), str(number).encode()) for number in range(300)]
    for topic, split in (("alerts", True), ("market_evidence", False)):
        asyncio.run(send_keyed(clean_topics, topic, records, split))
        reader = Consumer({"bootstrap.servers": clean_topics, "group.id": "keyed"})
        places = range(len(reader.list_topics(topic, 10).topics[topic].partitions))
        reader.assign([TopicPartition(topic, number, 0) for number in places])
        lies = []
        while len(lies) < len(records):
            lies += reader.consume(len(records) - len(lies), 10)
        reader.close()
        for number in places:
            wanted = [r for r in records if number == (partition_of(r[0], 4) if split else 0)]
            assert [(m.key(), m.value()) for m in lies if m.partition() == number] == wanted


async def send_beside_work(kafka):
    """Send an alert, do other things until it came, send two more; return it, and all there are."""
    app = CommittedApp("beside-work", broker=f"kafka://{kafka}", store="memory://")
    await app.producer.start()
    reader = Consumer({"bootstrap.servers": kafka, "group.id": "beside-work"})
    place = TopicPartition("alerts", partition_of(b"BTC", 4), 0)
    reader.assign([place])
    outgoing = Outgoing(app, alert_max_age_s=0)
    outgoing.add("alerts", an_alert(alert_id="first"))
    outgoing.send()
    came, deadline = [], time.monotonic() + 20
    while not came and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
        came = [message.key() for message in reader.consume(1, 0)]
    outgoing.add("alerts", an_alert(alert_id="second"))
    outgoing.send()
    outgoing.add("alerts", an_alert(alert_id="third"))
    await outgoing.delivered()
    _, end = reader.get_watermark_offsets(place, 10)
    reader.close()
    await app.producer.stop()
    return came, end


def test_what_one_partition_says_goes_out_while_the_next_is_judged(clean_topics):
    assert asyncio.run(send_beside_work(clean_topics)) == ([b"BTC"], 3)


def test_changelogs_are_there_before_anybody_joins_the_group_and_are_compacted(
    clean_topics, tmp_path
):
    """Else who leads assigns them to nobody, and a killed worker's state is gone."""
    group = f"changelogs-{tmp_path.name}"
    settings = Settings(kafka_url=clean_topics, data_dir=str(tmp_path), group=group)
    app = create_app(settings, Params())
    for _ in range(2):  # as two workers, or one started again
        topics.make_changelogs(settings, app)
    admin = topics_admin.admin_client(clean_topics)
    parts = {
        name: len(topic.partitions)
        for name, topic in admin.list_topics(timeout=10).topics.items()
        if name.startswith(group)
    }
    expected = {table.changelog_topic.get_topic_name() for table in app.tables.values()}
    assert parts.keys() == expected
    assert len(expected) == 3
    assert parts[f"{group}-detect-market-changelog"] == 1
    assert sorted(parts.values()) == [1, settings.partitions, settings.partitions]
    for name in expected:
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        config = admin.describe_configs([resource])[resource].result()
        assert config["cleanup.policy"].value == "compact"
        assert config["min.compaction.lag.ms"].value == "600000"
