"""The cluster: does it answer, has it our topics, and does anybody work on them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from schemas.topics import TOPICS
from streams.doctor.verdict import Verdict, broken, look, well
from streams.kafka import clients, topics_admin
from streams.process.settings import Settings

#: How long the cluster may take to answer, seconds.
WITHIN_S = 10.0
#: Messages behind, from where on a stage is not merely busy.
FAR_BEHIND = 100_000
STAGES = ("rollup", "detect", "sink", "notify")


def reachable(settings: Settings) -> tuple[Verdict, dict[str, int]]:
    """Say whether the cluster answers, and return how many partitions each topic of ours has."""
    url = settings.kafka_url
    try:
        metadata = topics_admin.wait_ready(url, WITHIN_S, clients.connection(settings))
    except topics_admin.NotReady as problem:
        if "did not answer" not in str(problem):
            next_step = "check UNDERTOW_KAFKA_SECURITY, _SASL, _USERNAME, _PASSWORD and _CA_FILE"
        elif settings.kafka_security == "plaintext":
            next_step = (
                "start it (`undertow stack`), or set KAFKA_URL to where it listens; a cluster that"
                " wants TLS or a password also looks like this: UNDERTOW_KAFKA_SECURITY"
            )
        else:
            next_step = (
                "start it, or set KAFKA_URL to where it listens; one that speaks otherwise looks"
                " like this too: UNDERTOW_KAFKA_SECURITY"
            )
        return broken("kafka", str(problem), next_step), {}
    counts = {
        name: len(topic.partitions)
        for name, topic in metadata.topics.items()
        if name in TOPICS and topic.error is None and topic.partitions
    }
    brokers = len(metadata.brokers)
    return well("kafka", f"{brokers} broker{'' if brokers == 1 else 's'} at {url}"), counts


def topics(settings: Settings, counts: dict[str, int]) -> Iterator[Verdict]:
    """Yield whether every topic is there, in as many partitions as the settings say."""
    if missing := sorted(TOPICS.keys() - counts.keys()):
        yield broken("topics", f"missing: {', '.join(missing)}", "make them: `undertow topics`")
    wanted = {n: topics_admin.partitions_of(TOPICS[n], settings.partitions) for n in counts}
    wrong = {name: count for name, count in counts.items() if count != wanted[name]}
    if wrong:
        named = ", ".join(f"{name} has {count}" for name, count in sorted(wrong.items()))
        split = Counter(count for name, count in counts.items() if TOPICS[name].split)
        [(usual, number)] = split.most_common(1)
        if number == split.total() and all(TOPICS[name].split for name in wrong):
            next_step = f"set UNDERTOW_PARTITIONS={usual}, as they are"
        else:
            next_step = "delete those topics with their data, then `undertow topics`"
        what = f"{named}, not as UNDERTOW_PARTITIONS={settings.partitions} says"
        yield broken("partitions", what, next_step)
    elif not missing:
        yield well("topics", f"all {len(TOPICS)}, in {settings.partitions} partitions")


def stages(settings: Settings) -> Iterator[Verdict]:
    """Yield for each stage whether anybody does its work, and how far behind it is."""
    admin = topics_admin.admin_client(settings.kafka_url, clients.connection(settings))
    groups = [f"{settings.group}-{stage}" for stage in STAGES]
    described = admin.describe_consumer_groups(groups, request_timeout=WITHIN_S)
    for stage, group in zip(STAGES, groups, strict=True):
        try:
            members = len(described[group].result().members)
        except KafkaException:  # a group that nobody has ever joined
            members = 0
        if not members:
            yield _idle(settings, stage)
            continue
        behind = _behind(admin, group)
        what = f"{members} at work, {behind:,} messages behind"
        if behind > FAR_BEHIND:
            next_step = f"start more: `undertow {stage}`, up to {settings.partitions}"
            yield look(stage, what, next_step)
        else:
            yield well(stage, what)


def _idle(settings: Settings, stage: str) -> Verdict:
    what = f"no `undertow {stage}` is at work in group {settings.group}-{stage}"
    next_step = f"start it: `undertow {stage}`; or name its group: UNDERTOW_GROUP"
    if stage == "notify" and not settings.webhook_urls:
        return look(stage, what, "nobody is told of alerts: set WEBHOOK_URLS, then start it")
    return broken(stage, what, next_step)


def _behind(admin: AdminClient, group: str) -> int:
    """Return how many messages a group has yet to commit, on the partitions it has begun."""
    asked = admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group)], request_timeout=WITHIN_S
    )
    committed = [p for p in asked[group].result().topic_partitions if p.offset >= 0]
    latest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    places = {TopicPartition(p.topic, p.partition): latest for p in committed}
    if not places:
        return 0
    ends = admin.list_offsets(places, request_timeout=WITHIN_S)
    latest_at = {(p.topic, p.partition): future.result().offset for p, future in ends.items()}
    return sum(max(0, latest_at[p.topic, p.partition] - p.offset) for p in committed)
