"""Producers and consumers of every stage: how they reach the cluster, and as whom."""

import logging
from typing import Any

from confluent_kafka import Producer

from streams.process.settings import Settings

#: Java's, aiokafka's and Faust's partitioner. librdkafka's own default differs, and an
#: asset whose topics disagree on its partition would meet nobody.
PARTITIONER = "murmur2_random"
#: Where librdkafka's own lines go; without it they pass every format by, on stderr.
_LINES = logging.getLogger("undertow.librdkafka")


def connection(settings: Settings) -> dict[str, Any]:
    """Return librdkafka's settings for reaching the cluster, as the person that we are to it."""
    named = {
        "ssl.ca.location": settings.kafka_ca_file,
        "ssl.certificate.location": settings.kafka_cert_file,
        "ssl.key.location": settings.kafka_key_file,
        "sasl.username": settings.kafka_username,
        "sasl.password": settings.kafka_password,
        "sasl.mechanism": settings.kafka_sasl if settings.kafka_username else "",
    }
    return {
        "bootstrap.servers": settings.kafka_url,
        "security.protocol": settings.kafka_security,
        "logger": _LINES,
    } | {name: value for name, value in named.items() if value}


def producer(settings: Settings, **extra: Any) -> Producer:
    """Return an idempotent producer that partitions as Java does."""
    return Producer(
        connection(settings)
        | {
            "enable.idempotence": True,
            "partitioner": PARTITIONER,
            "linger.ms": 5,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 500_000,
        }
        | extra
    )


def consumer_conf(settings: Settings, stage: str, worker: str = "") -> dict[str, Any]:
    """Return the settings of a consumer of committed records that commits nothing by itself.

    `worker` is a name that it keeps when it is started again: its partitions wait for it,
    for as long as a session lasts.
    """
    kept = {"group.instance.id": worker} if worker else {}
    return (
        connection(settings)
        | kept
        | {
            "group.id": f"{settings.group}-{stage}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "session.timeout.ms": 10_000,
        }
    )
