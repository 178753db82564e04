"""The outbox's copy in Kafka: what the next `notify` goes on from when this one's disk is gone.

    outbox ──what changed since, in one transaction──> <group>-outbox, compacted
    the next one's outbox <──all of it── read once, when it is its turn

Who writes fences whoever wrote before. An outbox that is still the last to have written is ahead
of its copy and is kept; any other is replaced by it.
"""

import logging
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any
from uuid import uuid4

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from schemas.kafka_failures import is_waited_out
from schemas.topic_identity import connection_of
from sinks.kafka.membership import answered
from sinks.webhooks.beside import beside
from sinks.webhooks.outbox import Outbox
from sinks.webhooks.outbox_file import MIRRORED

log = logging.getLogger("undertow.notify")
#: How long Kafka may take to answer, and how often changes are looked for, seconds.
ANSWER_S, LOOK_S = 30.0, 0.05
#: Rows of one transaction at most.
MOST = 2_000

_OWNER = "owner"
_TIMES = ("next_attempt_us", "changed_us", "hold_until_us", "outbox_us", "until_us")
#: Not allowed to us: alerts go out all the same, but nobody else could go on.
_REFUSED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.POLICY_VIOLATION,
    }
)
Row = dict[str, Any]


class Mirror:
    """Keeps the copy of `outbox`; safe to share between threads. Raises KafkaException."""

    def __init__(self, conf: Mapping[str, Any], outbox: Outbox) -> None:
        """`conf` is the consumer's: how to reach the cluster, and which group this is."""
        self.topic = f"{conf['group.id']}-outbox"
        self._conf = dict(conf)
        self._outbox = outbox
        self._lock = threading.Lock()
        self._producer: Producer | None = None

    def take_over(self) -> None:
        """Fence whoever wrote before, and go on from what was written last, if it is not ours."""
        try:
            with self._lock:
                _make(AdminClient(connection_of(self._conf)), self.topic)
                self._producer = self._fencing()
                self._adopt(self._producer, self._copied())
        except KafkaException as problem:
            if problem.args[0].code() not in _REFUSED:
                raise
            log.error(
                "keeps no copy of its outbox in %s, so no other `notify` can go on from it: %s",
                self.topic,
                problem,
            )
            self._producer = None

    def send(self) -> None:
        """Write what has changed since the last time."""
        with self._lock:
            if self._producer is not None:
                self._send(self._producer)

    def _send(self, producer: Producer) -> None:
        while True:
            with self._outbox.rows() as (db, ahead_us):
                changes = db.execute(
                    "SELECT change, row_key FROM changes ORDER BY change LIMIT ?", (MOST,)
                ).fetchall()
                records = [(key, _read(db, key, ahead_us)) for _, key in changes]
            if not changes:
                return
            self._write(producer, records)
            with self._outbox.rows() as (db, _):
                db.executemany(
                    "DELETE FROM changes WHERE change = ?", ((number,) for number, _ in changes)
                )

    def _fencing(self) -> Producer:
        producer = Producer(
            connection_of(self._conf)
            | {
                "transactional.id": self.topic,
                "transaction.timeout.ms": 10_000,
                "linger.ms": 0,
                "message.max.bytes": 4_000_000,
            }
        )
        answered(lambda: producer.init_transactions(ANSWER_S))
        return producer

    def _write(self, producer: Producer, records: list[tuple[str, bytes | None]]) -> None:
        producer.begin_transaction()
        try:
            for key, content in records:
                producer.produce(self.topic, content, key)
            answered(lambda: producer.commit_transaction(ANSWER_S))
        except KafkaException as problem:
            if problem.args[0].txn_requires_abort():
                producer.abort_transaction(ANSWER_S)
            raise

    def _copied(self) -> dict[str, bytes]:
        """Return the latest of each row."""
        latest: dict[str, bytes] = {}
        consumer = Consumer(
            {k: v for k, v in self._conf.items() if k != "group.instance.id"}
            | {"enable.partition.eof": True, "isolation.level": "read_committed"}
        )
        try:
            consumer.assign([TopicPartition(self.topic, 0, 0)])
            deadline = time.monotonic() + ANSWER_S
            while time.monotonic() < deadline:
                for message in consumer.consume(1_000, timeout=0.2):
                    error = message.error()
                    if error and error.code() == KafkaError._PARTITION_EOF:
                        return latest
                    if error and not is_waited_out(error):
                        raise KafkaException(error)
                    if not error:
                        deadline = time.monotonic() + ANSWER_S
                        key = (message.key() or b"").decode()
                        latest.pop(key, None)
                        if (content := message.value()) is not None:
                            latest[key] = content
        finally:
            consumer.close()
        raise KafkaException(
            KafkaError(KafkaError._TIMED_OUT, f"{self.topic} was not read to its end")
        )

    def _adopt(self, producer: Producer, copied: dict[str, bytes]) -> None:
        owner = copied.pop(_OWNER, b"").decode()
        with self._outbox.rows() as (db, ahead_us):
            kept = db.execute("SELECT outbox FROM mirror").fetchone()
            name = kept[0] if kept else uuid4().hex
            if owner and owner != name:
                # While it has no name, nothing in it is noted as changed.
                for table in ("mirror", "changes", *MIRRORED):
                    db.execute(f"DELETE FROM {table}")
                for key, content in copied.items():
                    _put(db, key, content, ahead_us)
                log.warning("goes on from what another `notify` left: %d rows", len(copied))
            db.execute("INSERT OR IGNORE INTO mirror (one, outbox) VALUES (1, ?)", (name,))
            if not owner:
                _note_all(db)
        self._send(producer)
        if owner != name:  # last: until the copy is whole, nobody is said to keep it
            self._write(producer, [(_OWNER, name.encode())])


def mirroring(mirror: Mirror) -> AbstractContextManager[Callable[[], None]]:
    """Keep the copy current in a thread; yield what raises the error that ended it, if one did."""

    def keep(ended: threading.Event) -> None:
        while not ended.wait(LOOK_S):
            mirror.send()

    return beside("mirror", keep)


def _make(admin: AdminClient, topic: str) -> None:
    config = {
        "cleanup.policy": "compact",
        "segment.bytes": "20000000",
        "max.message.bytes": "4000000",
    }
    made = admin.create_topics(
        [NewTopic(topic, num_partitions=1, replication_factor=-1, config=config)],
        request_timeout=ANSWER_S,
    )
    try:
        made[topic].result()
    except KafkaException as problem:
        if problem.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def _read(db: Any, key: str, ahead_us: int) -> bytes | None:
    """Return a row as it lies in the copy, None where it is gone."""
    table, *named = msgspec.json.decode(key)
    where = " AND ".join(f"{column} = ?" for column in MIRRORED[table])
    asked = db.execute(f"SELECT rowid AS place, * FROM {table} WHERE {where}", named)
    values = asked.fetchone()
    if values is None:
        return None
    row: Row = dict(zip((column[0] for column in asked.description), values, strict=True))
    return zlib.compress(msgspec.msgpack.encode((ahead_us, row)), 1)


def _put(db: Any, key: str, content: bytes, ahead_us: int) -> None:
    table = msgspec.json.decode(key)[0]
    then_us, row = msgspec.msgpack.decode(zlib.decompress(content), type=tuple[int, Row])
    row["rowid"] = row.pop("place")
    for name in row.keys() & set(_TIMES):
        # Outbox time is each outbox's own; 0 is due whatever the time.
        row[name] = row[name] and row[name] + ahead_us - then_us
    marks = ", ".join("?" * len(row))
    db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def _note_all(db: Any) -> None:
    for table, named in MIRRORED.items():
        db.execute(
            "INSERT OR IGNORE INTO changes (row_key)"
            f" SELECT json_array('{table}', {', '.join(named)}) FROM {table} ORDER BY rowid"
        )
