"""One real Kafka broker for the whole run, and its topics made anew for each test that asks."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas import redact
from schemas.topics import TOPICS
from streams.kafka import topics_admin
from streams.stack import local_kafka

PARTITIONS = 4


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of this folder open sockets; no other may."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("enable_socket")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a broker of this run alone."""
    try:
        broker = local_kafka.start(tmp_path_factory.mktemp("kafka"))
    except local_kafka.CannotStart as reason:
        # On a laptop without Java the rest is worth running; CI must not shrink silently.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(reason))
    yield broker.bootstrap
    broker.stop()


@pytest.fixture
def clean_topics(kafka: str) -> str:
    """Address of the broker, with every topic of ours there and empty, in four partitions."""
    admin = topics_admin.admin_client(kafka)
    old = [name for name in admin.list_topics(timeout=10).topics if not name.startswith("__")]
    # Changelogs go too: a Faust app of the same id would recover the last test's state.
    for deleted in (admin.delete_topics(old) if old else {}).values():
        deleted.result()
    deadline = time.monotonic() + 30
    while set(admin.list_topics(timeout=10).topics) & (set(old) | TOPICS.keys()):
        assert time.monotonic() < deadline, "the topics are still listed after their deletion"
        time.sleep(0.05)
    topics_admin.create_topics(kafka, PARTITIONS)
    return kafka


@pytest.fixture(autouse=True)
def secrets_of_this_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process keeps its secrets for ever; another test's would mask what this one reads."""
    for name, none in (("_windows", set()), ("_whole", set()), ("_whole_pattern", None)):
        monkeypatch.setattr(redact, name, none)
