"""Detect's state is of certain topics, by partition and offset: of others it must not go on.

start    counts are those of the settings, ids those that the state was made of (a file says)
running  a thread asks; a change ends the process before it commits anything of the new one
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from schemas.kafka_failures import is_waited_out
from schemas.topic_identity import (
    EVERY_S,
    Identity,
    TopicChanged,
    TopicsUnfit,
    TopicWatch,
    unfit,
)
from schemas.topics import TOPICS
from streams.core.shard import INPUTS as SHARD_INPUTS
from streams.kafka import clients
from streams.process.settings import Settings

log = logging.getLogger("undertow.detect")
#: How long Kafka may take over one question, seconds.
ASK_S = 30.0
INPUTS = (*SHARD_INPUTS, "market_evidence")


class OfTopics(msgspec.Struct):
    """The ids of the topics that each group's state is of."""

    ids: dict[str, dict[str, str]] = {}


def fit(settings: Settings) -> TopicWatch:
    """Return the watch over detect's inputs; raises TopicsUnfit where its state is of others."""
    watch = TopicWatch(clients.connection(settings), INPUTS)
    wrong = [
        f"{name} has {began.partitions}"
        for name, began in sorted(watch.began.items())
        if TOPICS[name].split and began.partitions != settings.partitions
    ]
    if wrong:
        raise TopicsUnfit(
            f"detect keeps state for {settings.partitions} partitions, but {', '.join(wrong)}: set"
            " UNDERTOW_PARTITIONS to what all of them have, or make the topics anew"
        )
    _remember(settings, watch.began)
    return watch


def _remember(settings: Settings, began: dict[str, Identity]) -> None:
    path = Path(settings.data_dir) / "detect-topics.json"
    try:
        known = msgspec.json.decode(path.read_bytes(), type=OfTopics)
    except (FileNotFoundError, msgspec.MsgspecError):
        known = OfTopics()
    before = known.ids.get(settings.group, {})
    for name, now in began.items():
        if before.get(name, now.topic_id) != now.topic_id:
            change = TopicChanged(name, Identity(before[name], now.partitions), now)
            raise TopicsUnfit(
                f"{change}. The state of group {settings.group} is of the first: begin a new one"
                f" (UNDERTOW_GROUP), or delete the topics {settings.group}-detect-*-changelog and"
                f" then {path}"
            )
    now_known = {name: one.topic_id for name, one in began.items()}
    if before == now_known:
        return  # a start at a full disk needs no room
    known.ids[settings.group] = now_known
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(msgspec.json.encode(known))
    os.replace(beside, path)


def make_changelogs(settings: Settings, app: Any) -> None:
    """Make the changelogs of `app` that are not there; return when Kafka shows all of them.

    Faust makes them as well, beside joining the group: who leads it and has not seen one yet
    assigns it to nobody, for minutes, and its state goes with the worker that has it. Raises
    KafkaException for what does not pass.
    """
    admin = AdminClient(clients.connection(settings))
    wanted = {
        table.changelog_topic.get_topic_name(): NewTopic(
            table.changelog_topic.get_topic_name(),
            num_partitions=table.partitions or settings.partitions,
            replication_factor=-1,
            config={"cleanup.policy": "compact"}
            | {name: str(value) for name, value in table.extra_topic_configs.items()},
        )
        for table in app.tables.values()
    }
    while True:
        try:
            listed = admin.list_topics(timeout=ASK_S).topics
            seen = {name for name, topic in listed.items() if topic.partitions}
            missing = [one for name, one in wanted.items() if name not in seen]
            if not missing:
                return
            for made in admin.create_topics(missing, request_timeout=ASK_S).values():
                made.result()
        except KafkaException as problem:
            error = problem.args[0]
            if error.code() != KafkaError.TOPIC_ALREADY_EXISTS and not is_waited_out(error):
                raise
            log.info("changelogs: %s", error)
        time.sleep(0.2)


def guard(watch: TopicWatch, end: Callable[[], object]) -> None:
    """Watch the topics in a thread; a change is told, and `end` called."""

    def look() -> None:
        while True:
            time.sleep(EVERY_S)
            try:
                watch.check()
            except KafkaException as problem:
                log.debug("cannot ask for the topics: %s", problem)
            except TopicChanged as change:
                log.critical("%s", unfit("detect", change))
                end()

    threading.Thread(target=look, name="topics", daemon=True).start()
