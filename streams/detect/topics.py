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

import msgspec
from confluent_kafka import KafkaException

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
