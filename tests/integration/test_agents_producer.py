"""The producer of the Faust shells against a real Kafka."""

import asyncio

from confluent_kafka.admin import NewTopic

from streams.detect.faust_transport import CommittedApp
from streams.kafka import topics_admin

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
