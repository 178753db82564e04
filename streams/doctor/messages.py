"""What lies at the end of each topic: who spoke last, where records lie, what cannot be read."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from schemas import codec
from schemas.findings import AssetPulse
from schemas.onchain import WhaleTransfer
from schemas.status import FeedStatus
from schemas.topics import RAW_TOPICS, TOPICS, key_of
from schemas.words import MAX_MICROS, SECOND
from streams.doctor.verdict import Verdict, broken, look, span, well
from streams.kafka import clients
from streams.kafka.records import partition_of
from streams.process.settings import Settings

#: Messages of each partition that are read, and for how long at most, seconds.
LAST = 500
WITHIN_S = 20.0
#: A clock further ahead of ours than this is wrong, or ours is.
SKEW_US = 5 * SECOND
#: A producer that has not spoken for so long is held for silent.
QUIET_US = 60 * SECOND
READ = (*RAW_TOPICS, "bars", "market_evidence", "cascades", "dead_letters")


class Word(NamedTuple):
    """The latest word of a producer in a partition, and when it was written (both microseconds)."""

    status: FeedStatus
    written_us: int


class Tail(msgspec.Struct):
    """What the last messages of one topic hold; written between two times, microseconds.

    `cut`: there are older ones, so that what is not among these may be a moment before them.
    """

    records: list[msgspec.Struct] = []
    words: dict[tuple[str, int], Word] = {}
    keyed: int = 0
    misplaced: int = 0
    other_key: int = 0
    unreadable: Counter[str] = msgspec.field(default_factory=Counter)
    messages: int = 0
    first_us: int = MAX_MICROS
    last_us: int = 0
    cut: bool = False

    @property
    def says_all(self) -> bool:
        """Whether who speaks once a second must be among these."""
        return not self.cut or self.last_us - self.first_us > 5 * SECOND


def tails(settings: Settings, counts: dict[str, int]) -> dict[str, Tail]:
    """Return what the last messages of the topics hold; `counts` are their partitions."""
    conf = clients.consumer_conf(settings, "doctor") | {"enable.partition.eof": True}
    consumer = Consumer(conf)
    by_topic: dict[str, Tail] = {name: Tail() for name in READ if name in counts}
    try:
        places = []
        for name in by_topic:
            for number in range(counts[name]):
                low, high = consumer.get_watermark_offsets(TopicPartition(name, number), timeout=10)
                start = max(low, high - LAST)
                by_topic[name].cut |= start > low
                if high > low:
                    places.append(TopicPartition(name, number, start or OFFSET_BEGINNING))
        consumer.assign(places)
        open_places, deadline = len(places), time.monotonic() + WITHIN_S
        while open_places and time.monotonic() < deadline:
            for message in consumer.consume(1_000, timeout=0.5):
                error = message.error()
                if error and error.code() == KafkaError._PARTITION_EOF:
                    open_places -= 1
                elif not error:
                    _note(by_topic[message.topic() or ""], message, counts)
    finally:
        consumer.close()
    return by_topic


def _note(tail: Tail, message: Message, counts: dict[str, int]) -> None:
    topic, partition = message.topic() or "", message.partition() or 0
    tail.messages += 1
    written_us = message.timestamp()[1] * 1_000
    tail.first_us, tail.last_us = min(tail.first_us, written_us), max(tail.last_us, written_us)
    place = (topic, message.value(), partition, message.offset() or 0)
    if TOPICS[topic].many:
        records, problem = codec.decode_many(*place)
    else:
        try:
            records, problem = [codec.decode(*place)], None
        except codec.InvalidRecord as refused:
            records, problem = [], refused
    if problem is not None:
        tail.unreadable[f"{problem.field or 'message'}: {problem.reason}"] += 1
    for record in records:
        if isinstance(record, FeedStatus):
            tail.words[record.producer, partition] = Word(record, written_us)
        else:
            tail.records.append(record)
    _note_key(tail, topic, partition, message.key(), records, counts)


def _note_key(
    tail: Tail,
    topic: str,
    partition: int,
    key: bytes | str | None,
    records: list[msgspec.Struct],
    counts: dict[str, int],
) -> None:
    if topic not in RAW_TOPICS or not records or isinstance(records[0], FeedStatus):
        return
    given = key.encode() if isinstance(key, str) else key or b""
    tail.keyed += 1
    if given != key_of(TOPICS[topic], records[0]):
        tail.other_key += 1
    elif partition_of(given, counts[topic]) != partition:
        tail.misplaced += 1


def places(by_topic: dict[str, Tail]) -> Iterator[Verdict]:
    """Yield which producers write records where nobody looks for them."""
    for name in RAW_TOPICS:
        tail = by_topic.get(name, Tail())
        key = ":".join(TOPICS[name].key)
        if tail.other_key:
            what = f"{name}: {tail.other_key} of the last {tail.keyed} records have another key"
            yield broken("keys", what, f"write each under its {key}")
        if tail.misplaced:
            what = (
                f"{name}: {tail.misplaced} of the last {tail.keyed} records lie where murmur2 of"
                " their key does not put them"
            )
            yield broken("keys", what, "librdkafka: partitioner=murmur2_random, in every producer")


def unreadable(by_topic: dict[str, Tail]) -> Iterator[Verdict]:
    """Yield what could not be read of the last messages, by its most frequent reason."""
    for name, tail in by_topic.items():
        if tail.unreadable:
            reason, _ = tail.unreadable.most_common(1)[0]
            bad = tail.unreadable.total()
            what = f"{name}: {bad} of the last {tail.messages} messages cannot be read: {reason}"
            yield broken("records", what, f"write as schemas/json/{name}.json says")


def feeds(by_topic: dict[str, Tail], counts: dict[str, int], now_us: int) -> Iterator[Verdict]:
    """Yield when each producer spoke last, what it left out, and whose clock is wrong."""
    for name in RAW_TOPICS:
        if name not in counts:
            continue
        words = by_topic[name].words
        if not words and not by_topic[name].says_all:
            continue
        if not words:
            what = f"nobody says on {name} how far they have come, so others are held back by 90 s"
            next_step = "write `alive` once a second to every partition, as schemas/README.md says"
            yield broken("feeds", what, next_step)
        by_producer: dict[str, dict[int, Word]] = defaultdict(dict)
        for (producer, partition), word in words.items():
            by_producer[producer][partition] = word
        for producer, of_partition in sorted(by_producer.items()):
            partitions = counts[name] if by_topic[name].says_all else 0
            yield _of_producer(name, producer, of_partition, partitions, now_us)


def _of_producer(
    topic: str, producer: str, words: dict[int, Word], partitions: int, now_us: int
) -> Verdict:
    who = f"{producer} on {topic}"
    latest = max(words.values(), key=lambda word: word.written_us)
    ahead_us = max(word.status.ts_event - word.written_us for word in words.values())
    if ahead_us > SKEW_US:
        what = f"{who} speaks of {span(ahead_us)} ahead of the time at which it was written"
        return broken("clocks", what, "set the clock of its machine (`chronyc tracking`)")
    if latest.written_us - now_us > SKEW_US:
        what = f"{who} wrote {span(latest.written_us - now_us)} ahead of this machine's clock"
        return broken("clocks", what, "set the clock of one of the two (`chronyc tracking`)")
    if missing := sorted({*range(partitions)} - words.keys()):
        what = f"{who} says nothing to partition {', '.join(map(str, missing))}: it holds all back"
        return broken("feeds", what, f"write its `alive` to all {partitions} partitions")
    ago_us = now_us - latest.written_us
    behind_us = latest.written_us - latest.status.ts_event
    of_past = f", of {span(behind_us)} before" if behind_us > QUIET_US else ""
    what = f"{who} spoke last {span(ago_us)} ago{of_past}: {latest.status.state}"
    if ago_us > QUIET_US or latest.status.state == "silent":
        return look("feeds", what, f"start {producer} again, if it should run")
    return well("feeds", what)


def labels(by_topic: dict[str, Tail], now_us: int) -> Iterator[Verdict]:
    """Yield how old the last transfer is whose owner a provider named: without, none is judged."""
    records = by_topic.get("whale_transfers", Tail()).records
    transfers = [record for record in records if isinstance(record, WhaleTransfer)]
    if not transfers:
        return
    named = [t for t in transfers if {t.from_kind, t.to_kind} != {"unknown"}]
    if not named:
        what = f"none of the last {len(transfers)} transfers names an owner: no deposit is judged"
        yield broken("labels", what, "take a provider that labels: `undertow parse whale_alert`")
        return
    newest = max(transfer.ts_event for transfer in named)
    yield well("labels", f"the last labelled transfer is of {span(now_us - newest)} ago")


def conclusions(by_topic: dict[str, Tail]) -> Verdict:
    """Say what was concluded last, or which link of the chain is the first that is missing."""
    raw = {name: len(by_topic.get(name, Tail()).records) for name in RAW_TOPICS}
    evidence = by_topic.get("market_evidence", Tail())
    if by_topic.get("cascades", Tail()).messages:
        return well("conclusions", "there are findings on cascades")
    if not raw["liquidations"]:
        what = "nothing can be concluded: there are no liquidations"
        return broken("conclusions", what, "start a feed, or `undertow replay SOURCE`")
    if raw["trades"] and not by_topic.get("bars", Tail()).messages:
        what = "trades come, but no bars: nothing folds them"
        return broken("conclusions", what, "start `undertow rollup`")
    if not evidence.messages:
        what = "liquidations come, but no second was judged yet"
        return broken(
            "conclusions", what, "mend what is broken above; else start `undertow detect`"
        )
    pulses = [record for record in evidence.records if isinstance(record, AssetPulse)]
    if not pulses:
        return well("conclusions", "seconds are judged; no asset is near its threshold: calm")
    strongest = max(pulses, key=lambda pulse: pulse.excess)
    what = f"calm: {strongest.asset} came nearest, {strongest.excess:+.1f} nats from its threshold"
    return well("conclusions", what)
