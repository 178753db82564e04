"""What `detect` has stored of each partition's inputs, read from its changelog by anybody."""

import msgspec
from confluent_kafka import Consumer

from streams.detect.shards import StoredShard
from streams.kafka import tails
from streams.process.settings import Settings

TABLE = "assets"


def changelog_of(settings: Settings) -> str:
    """Return the topic that `detect` stores its state in, as Faust names it."""
    return f"{settings.group}-detect-{TABLE}-changelog"


def stored_shard(settings: Settings, consumer: Consumer, partition: int) -> StoredShard | None:
    """Return the last row of a partition's shard, None where none is. Raises tails.NoAnswer."""
    key = f"{partition}/".encode()
    message = tails.last_where(
        consumer, changelog_of(settings), partition, lambda m: m.key() == key and bool(m.value())
    )
    if message is None:
        return None
    return msgspec.msgpack.decode(message.value() or b"", type=StoredShard)
