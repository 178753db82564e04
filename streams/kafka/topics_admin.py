"""Creates the topics of schemas.topics on a cluster."""

import logging
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata
from confluent_kafka.cimpl import NewTopic

from schemas.topics import TOPICS, Topic

#: librdkafka writes each refused connection to stderr, which waiting does twenty times a second.
_SILENT = logging.getLogger("undertow.librdkafka.admin")
_SILENT.disabled = True

#: How long one request may take, seconds.
REQUEST_TIMEOUT = 30.0
#: How often one who waits is told, seconds; for the first time after a fifth of it.
TELL_EVERY_S = 10.0


class TopicMismatch(Exception):
    """A topic exists with another partition count than the one asked for."""


class NotReady(Exception):
    """The cluster did not answer in time, or will not talk to us; the message says which."""


def admin_client(bootstrap: str, admin_conf: dict[str, Any] | None = None) -> AdminClient:
    """Return a client that is quiet about a broker that isn't up; `admin_conf` wins."""
    return AdminClient({"bootstrap.servers": bootstrap} | (admin_conf or {}) | {"logger": _SILENT})


def wait_ready(
    bootstrap: str,
    timeout: float = 60.0,
    admin_conf: dict[str, Any] | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> ClusterMetadata:
    """Return the cluster's metadata once it answers; `tell` hears why not, while it does not.

    Raises NotReady after `timeout` seconds, or as soon as TLS or our password is refused.
    """
    errors: list[KafkaError] = []
    try:
        admin = admin_client(bootstrap, {"error_cb": errors.append} | (admin_conf or {}))
    except KafkaException as error:  # a certificate that is none, say
        raise NotReady(f"no client for Kafka at {bootstrap}: {error.args[0].str()}") from error
    deadline = time.monotonic() + timeout
    tell_at = time.monotonic() + TELL_EVERY_S / 5
    while True:
        try:
            return admin.list_topics(timeout=1.0)
        except KafkaException as error:
            admin.poll(0)
            # Neither mends itself, and the error at hand says no more than "timed out".
            for reason in (e for e in errors if e.name() in ("_AUTHENTICATION", "_SSL")):
                raise NotReady(f"Kafka at {bootstrap} refused us: {reason.str()}") from error
            if time.monotonic() > deadline:
                raise NotReady(
                    f"Kafka at {bootstrap} did not answer within {timeout:g} s:"
                    f" {_latest(errors, error)}"
                ) from error
            if time.monotonic() > tell_at:
                tell_at += TELL_EVERY_S
                left_s = deadline - time.monotonic()
                tell(
                    f"waiting for Kafka at {bootstrap}, {left_s:.0f} s more:"
                    f" {_latest(errors, error)}"
                )
        # A refused connection answers at once on some errors.
        time.sleep(0.1)


def _latest(errors: list[KafkaError], error: KafkaException) -> str:
    """Return why the cluster does not answer: the connection's reason, not its time-out."""
    return str(errors[-1].str() if errors else error)


def partitions_of(topic: Topic, partitions: int) -> int:
    """Return how many partitions `topic` has in a cluster split into `partitions`."""
    return partitions if topic.split else 1


def create_topics(
    bootstrap: str, partitions: int, admin_conf: dict[str, Any] | None = None
) -> list[str]:
    """Create the topics that don't exist and return their names.

    Existing ones keep their retention: it may have been tuned on purpose.

    Raises TopicMismatch, before anything is created, if one has another partition count;
    KafkaException if the cluster can't be reached or refuses.
    """
    admin = admin_client(bootstrap, admin_conf)
    existing = _existing(admin)
    _check(existing, partitions)
    missing = [topic for topic in TOPICS.values() if topic.name not in existing]
    if not missing:
        return []
    requests = admin.create_topics(
        [_request(topic, partitions) for topic in missing], request_timeout=REQUEST_TIMEOUT
    )
    created = []
    for name, future in requests.items():
        try:
            future.result()
        except KafkaException as error:
            # Another process was faster; whether it agrees with us is checked below.
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                raise
        else:
            created.append(name)
    _await_partitions(admin, partitions)
    return created


def _request(topic: Topic, partitions: int) -> NewTopic:
    # -1: the cluster's own default, which is 1 on a laptop and 3 where it matters.
    return NewTopic(
        topic.name,
        num_partitions=partitions_of(topic, partitions),
        replication_factor=-1,
        config={"retention.ms": str(topic.retention_ms)},
    )


def _existing(admin: AdminClient) -> dict[str, int]:
    metadata = admin.list_topics(timeout=REQUEST_TIMEOUT)
    # A topic being deleted is still listed, with an error or without partitions.
    return {
        name: len(topic.partitions)
        for name, topic in metadata.topics.items()
        if name in TOPICS and topic.error is None and topic.partitions
    }


def _await_partitions(admin: AdminClient, partitions: int) -> None:
    """Wait until every topic is in the metadata: creation returns a moment before that."""
    deadline = time.monotonic() + REQUEST_TIMEOUT
    while len(existing := _existing(admin)) < len(TOPICS):
        if time.monotonic() > deadline:
            missing = ", ".join(sorted(TOPICS.keys() - existing.keys()))
            raise NotReady(f"created, but still not listed by the cluster: {missing}")
        time.sleep(0.05)
    _check(existing, partitions)


def _check(existing: dict[str, int], partitions: int) -> None:
    wrong = [
        f"{name} has {count}, not {wanted}"
        for name, count in sorted(existing.items())
        if count != (wanted := partitions_of(TOPICS[name], partitions))
    ]
    if wrong:
        # Adding partitions would send a key's later records to another worker than its state.
        raise TopicMismatch(
            f"partition counts differ from the {partitions} asked for: {'; '.join(wrong)}. "
            "Ask for the count that exists, or delete the topics (and their data) first."
        )
