"""What stands in a topic of a real Kafka."""

from confluent_kafka import Consumer, TopicPartition

from schemas.codec import decode_many


def everything(kafka: str, topic: str) -> list[tuple[int, bytes | None, object]]:
    """Return each record of a topic with its partition and the key of its message."""
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": "test", "enable.partition.eof": True}
    )
    parts = consumer.list_topics(topic, 10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, part, 0) for part in parts])
    records_read, ended = [], 0
    while ended < len(parts):
        message = consumer.poll(10)
        assert message is not None, "Kafka does not answer"
        if message.error():
            ended += 1
            continue
        records, problem = decode_many(topic, message.value())
        assert problem is None
        records_read += [(message.partition(), message.key(), record) for record in records]
    consumer.close()
    return records_read
