"""Whether a topic is still the one a stage began with: its name alone does not say that.

    deleted and made anew   its offsets begin again: what an old offset or token says is of another
    partitions added        keys lie elsewhere than the state that was kept for them

A stage asks when it begins and before it commits, so that nothing is told under an identity that
its records no longer have. What was committed carries the topic's id in its metadata.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from schemas import metrics
from schemas.topics import TOPICS

log = logging.getLogger("undertow.kafka")
#: How often an idle stage asks, how long a topic that is not there is waited for, and an answer,
#: which must come well within the bound of a stop; seconds.
EVERY_S = 3.0
MISSING_S = 60.0
ANSWER_S = 5.0
_CONNECTION = ("bootstrap.", "security.", "sasl.", "ssl.", "logger")
_MARK = "topic:"


class Identity(NamedTuple):
    """Kafka's own id of a topic, and how many partitions it has."""

    topic_id: str
    partitions: int


class TopicChanged(Exception):
    """A topic is not what it was: `topic`, `was`, `now`."""

    def __init__(self, topic: str, was: Identity, now: Identity) -> None:
        how = (
            f"was deleted and made anew (id {was.topic_id}, now {now.topic_id}): its offsets begin"
            " again"
            if was.topic_id != now.topic_id
            else f"had {was.partitions} partitions and has {now.partitions} now: its keys lie"
            " elsewhere"
        )
        super().__init__(f"topic {topic} {how}")
        self.topic = topic
        self.was = was
        self.now = now

    @property
    def is_other(self) -> bool:
        """Whether it is another topic, not the same one with other partitions."""
        return self.was.topic_id != self.now.topic_id


class TopicsUnfit(Exception):
    """A stage cannot work with the topics as they are; the message says why and what to do."""


def connection_of(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a client's settings says how to reach the cluster."""
    return {k: v for k, v in conf.items() if k.startswith(_CONNECTION)}


def identities(admin: AdminClient, topics: Sequence[str]) -> dict[str, Identity]:
    """Return what each topic is now; one that is not there is left out. Raises KafkaException."""
    asked = admin.describe_topics(TopicCollection(list(topics)), request_timeout=ANSWER_S)
    by_name = {}
    for name, future in asked.items():
        try:
            described = future.result()
        except KafkaException as problem:
            if problem.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
        else:
            by_name[name] = Identity(str(described.topic_id), len(described.partitions))
    return by_name


class TopicWatch:
    """The topics of one session: `began` is what they were when it began."""

    def __init__(
        self,
        conf: Mapping[str, Any],
        topics: Sequence[str],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Wait for topics that are not there, for a minute; raises TopicsUnfit, KafkaException."""
        self._admin = AdminClient(connection_of(conf))
        self._topics = topics
        deadline = time.monotonic() + MISSING_S
        while len(began := identities(self._admin, topics)) < len(topics):
            if stopping():
                raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
            missing = ", ".join(sorted(set(topics) - began.keys()))
            if time.monotonic() > deadline:
                raise TopicsUnfit(f"no topic {missing}: make it with `undertow topics`")
            log.error("no topic %s: waiting for it", missing)
            time.sleep(1)
        self.began = began
        self._asked_at = time.monotonic()

    def check(self) -> None:
        """Ask what the topics are now; raises TopicChanged, KafkaException.

        One that is being deleted is no other topic yet.
        """
        self._asked_at = time.monotonic()
        for topic, now in identities(self._admin, self._topics).items():
            if (was := self.began.get(topic, now)) != now:
                metrics.TOPICS_CHANGED.labels(topic).inc()
                raise TopicChanged(topic, was, now)

    def refuse_uneven(self) -> None:
        """As the function of this name, for all topics; raises TopicsUnfit, KafkaException."""
        split = [name for name, topic in TOPICS.items() if topic.split]
        refuse_uneven(identities(self._admin, split))

    def check_at_times(self) -> None:
        """As `check`, but only when the last answer is old."""
        if time.monotonic() - self._asked_at > EVERY_S:
            self.check()


def unfit(stage: str, change: TopicChanged) -> TopicsUnfit:
    """Return what a stage says that cannot go on from the state it has."""
    return TopicsUnfit(
        f"{change}. {stage} keeps state by partition and offset and would go on from a wrong one:"
        " stopping, nothing of it is committed"
    )


def refuse_uneven(began: Mapping[str, Identity]) -> None:
    """Refuse topics of one market that differ in partitions; raises TopicsUnfit."""
    counts = {name: one.partitions for name, one in began.items() if TOPICS[name].split}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} has {count}" for name, count in sorted(counts.items()))
        raise TopicsUnfit(
            f"topics differ in partitions, so that keys do not meet: {listed}. State kept by"
            " partition does not move with its keys: make the topics anew with one count, or take"
            " the one with fewer out of use"
        )


def marked(topic_id: str, text: str = "") -> str:
    """Return the metadata of a committed offset: whose it is, and what else it carries."""
    return f"{_MARK}{topic_id} {text}"


def unmarked(metadata: str | None) -> tuple[str, str]:
    """Return the topic's id ("" where a commit has none) and what else was written with it."""
    if metadata is None or not metadata.startswith(_MARK):
        return "", metadata or ""
    topic_id, _, text = metadata.removeprefix(_MARK).partition(" ")
    return topic_id, text


def is_of_other(metadata: str | None, topic_id: str) -> bool:
    """Say whether an offset was committed in a topic of the same name that is gone."""
    noted, _ = unmarked(metadata)
    return bool(noted) and noted != topic_id
