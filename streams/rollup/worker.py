"""Rollup as Kafka transactions: consume trades, fold, produce bars, commit, atomically.

    batches ──> fold ──every flush_s──> begin ─ bars, clocks, dead letters ─ offsets ─ commit
                     or as time is told         └── all of it, or none of it ──┘

With each offset goes a bookmark: what a restarted worker, or another owner of the partition,
must know to go on as if nothing had been.
"""

import logging
import math
import time
from collections.abc import Callable
from functools import partial

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaException,
    TopicPartition,
)

from schemas import metrics
from schemas.findings import Alert
from schemas.kafka_failures import catchable
from schemas.scan import columns
from schemas.topic_identity import (
    TopicChanged,
    TopicWatch,
    is_of_other,
    marked,
    unfit,
    unmarked,
)
from streams.core import fold, pipeline, refusals
from streams.core.alerts import dated
from streams.core.params import Params
from streams.kafka import clients, lag, reading, worker_names
from streams.kafka.batches import Batch
from streams.kafka.records import by_partition
from streams.kafka.rejoin import rejoining
from streams.process import clock, health
from streams.process.settings import Settings
from streams.rollup import bookmark
from streams.rollup.commit import ANSWER_S, Commits, Cut, Sent
from streams.rollup.take import Partition, recall, take

log = logging.getLogger("undertow.rollup")
BATCH = 20_000
#: Messages and sums after which bars are flushed before their time.
FLUSH_MESSAGES = 200_000
FLUSH_SUMS = 50_000
#: A queue that was full for a moment is filled again at once: by default librdkafka waits a
#: second, in which a flood's reader has emptied it and idles. A queue of a tenth of a second and
#: answers of 2 MB: with ten times as much half the system's time went into pages for it (twice
#: the memory, 2.4 times the page faults), as many as the host would give at that moment.
FETCH = {
    "fetch.queue.backoff.ms": 10,
    "queued.min.messages": 30_000,
    "fetch.message.max.bytes": 2_000_000,
}
#: Messages before an offset among which one tells the time there; Kafka's own are no messages.
NEAR = 100
#: How often, a second apart, a log that ends too soon is asked for its end again.
ASKED_AGAIN = 10
#: How soon the feeds' word on time is seen, seconds; sooner while a look brings few messages, as
#: it costs a millisecond beside them. At 20,000 trades a second they are few.
LOOK_S, SOON_S, FEW = 0.05, 0.02, 1_000
#: Part of flush_s for which bars wait at least, though everyone's clock has moved.
LEAST = 0.05
TRANSACTION_MS = 15_000
#: How often it is said how far each partition's words have come, seconds.
OBSERVE_S = 1.0


def run(settings: Settings, params: Params, stopping: Callable[[], bool]) -> None:
    """Fold until `stopping()`.

    A transaction that was refused (we were replaced, or a broker went) starts a new session
    from the last commit. Raises KafkaException when the cluster refuses for good, and
    refusals.TooManyRefused.
    """
    worker = worker_names.claim(settings.data_dir, "rollup")
    health.collect_less()
    share = refusals.Share(settings.dead_letter_limit)
    rejoining("rollup", lambda: _session(settings, params, worker, share, stopping), stopping)


def _session(
    settings: Settings,
    params: Params,
    worker: str,
    share: refusals.Share,
    stopping: Callable[[], bool],
) -> None:
    producer = clients.producer(
        settings,
        **{
            "transactional.id": f"{settings.group}-rollup-{worker}",
            # What a worker that died for good leaves open holds readers back for this long.
            "transaction.timeout.ms": TRANSACTION_MS,
        },
    )
    producer.init_transactions(ANSWER_S)
    watch = TopicWatch(clients.connection(settings), ("trades", "bars"), stopping)
    watch.refuse_uneven()
    trades_id = watch.began["trades"].topic_id
    consumer = Consumer(clients.consumer_conf(settings, "rollup", worker) | FETCH)
    reader = reading.reader(consumer, settings)
    owned: dict[int, Partition] = {}
    words = columns.Words()
    commits = Commits(producer)
    assign = catchable(partial(_assigned, settings, params, reader, owned, trades_id))
    try:
        consumer.subscribe(
            ["trades"],
            on_assign=assign,
            on_revoke=lambda c, parts: _dropped(parts, owned, commits),
            on_lost=lambda c, parts: _dropped(parts, owned, commits),
        )
        with commits:
            counts = {name: one.partitions for name, one in watch.began.items()}
            log.info("rollup: partitions of %s", counts)
            round_, observe_at, few = Round(settings.flush_s), 0.0, True
            while not stopping():
                batches = reader.take(BATCH, round_.left_s(few))
                count = sum(map(len, batches.values()))
                taken, refused = _take(params, words, consumer, owned, batches, share)
                round_.note(taken, refused)
                caught_up, few = count < BATCH, count < FEW
                _still_the_same(watch, when_old=True)
                if round_.is_due(owned) or (caught_up and round_.is_told(owned)):
                    _flush(consumer, commits, owned, round_, watch, settings.alert_max_age_s)
                    round_ = Round(settings.flush_s)
                if time.monotonic() >= observe_at:
                    observe_at = time.monotonic() + OBSERVE_S
                    _observe(owned)
                    reader.assigned(consumer.assignment())
                lag.each_round(consumer)
            _flush(consumer, commits, owned, round_, watch, settings.alert_max_age_s)
    finally:
        reader.close()


class Round:
    """What has been taken since the last flush, and how long it may still wait."""

    def __init__(self, flush_s: float) -> None:
        self.taken = 0
        self.letters = 0
        self._flush_s = flush_s
        self._due = 0.0
        self._ripe = time.monotonic() + LEAST * flush_s

    def left_s(self, few: bool) -> float:
        """Return how long to wait for more, seconds; `few` came last time."""
        left = self._due - time.monotonic() if self.taken else self._flush_s
        return max(0.0, min(left, SOON_S if few else LOOK_S))

    def note(self, taken: int, letters: int) -> None:
        """Count what came; the first of it starts the clock."""
        if taken and not self.taken:
            self._due = time.monotonic() + self._flush_s
        self.taken += taken
        self.letters += letters

    def is_due(self, owned: dict[int, Partition]) -> bool:
        """Say whether the oldest has waited long enough, or it has become much."""
        sums = sum(len(part.state.sums) for part in owned.values())
        much = self.taken >= FLUSH_MESSAGES or sums >= FLUSH_SUMS
        return bool(self.taken) and (much or time.monotonic() >= self._due)

    def is_told(self, owned: dict[int, Partition]) -> bool:
        """Say whether the clock of every partition has moved on: detect waits for just that."""
        moved = all(part.state.clock.now > part.clock_told[0] for part in owned.values())
        return bool(self.taken) and moved and time.monotonic() >= self._ripe


def _observe(owned: dict[int, Partition]) -> None:
    for number, part in owned.items():
        metrics.STATE.labels("ids", str(number)).set(sum(map(len, part.state.ids.values())))
        now = part.state.clock.now
        age = (clock.now_us() - now) / 1e6 if now else math.inf
        metrics.WATERMARK_AGE.labels("trades", str(number)).set(age)
    unspoken = [number for number, part in sorted(owned.items()) if not part.state.clock.heard]
    health.note_inputs(f"nobody has spoken yet on trades{unspoken}" if unspoken else "")


def _still_the_same(watch: TopicWatch, when_old: bool = False) -> None:
    """Raise TopicChanged for topics made anew, TopicsUnfit for partitions added."""
    try:
        watch.check_at_times() if when_old else watch.check()
    except TopicChanged as change:
        if change.is_other:
            raise
        raise unfit("rollup", change) from None


def _assigned(
    settings: Settings,
    params: Params,
    reader: reading.Reader,
    owned: dict[int, Partition],
    trades_id: str,
    consumer: Consumer,
    parts: list[TopicPartition],
) -> None:
    if reader.closed:
        return
    # Waits for a transaction that its last owner may have left between two of its steps.
    for tp in consumer.committed(parts, timeout=30):
        kept = _log_of(consumer, tp)
        back = partial(_before, settings, params, tp.partition, kept[0])
        _, text = unmarked(tp.metadata)
        if is_of_other(tp.metadata, trades_id):
            log.error(
                "rollup: trades[%d] was deleted and made anew: read from its beginning",
                tp.partition,
            )
            tp.offset = OFFSET_INVALID
        part, begin = bookmark.resumed(tp.partition, tp.offset, text, kept, back)
        owned[tp.partition] = part
        parts[parts.index(TopicPartition(tp.topic, tp.partition))].offset = begin
        log.info(
            "rollup: trades[%d] from offset %d, ids from %d", tp.partition, part.live_from, begin
        )
    reader.assigned(parts)
    consumer.assign(parts)


def _log_of(consumer: Consumer, committed: TopicPartition) -> tuple[int, int]:
    """Return the first offset of a partition and its end.

    A new leader may not know for a moment how far its log is good: an end before what is
    committed is asked for again.
    """
    low, end = consumer.get_watermark_offsets(committed, timeout=30)
    for _ in range(ASKED_AGAIN):
        if committed.offset <= end:
            break
        time.sleep(1)
        low, end = consumer.get_watermark_offsets(committed, timeout=30)
    return low, end


def _before(settings: Settings, params: Params, number: int, low: int, offset: int) -> int:
    """Return the offset at which what leads up to `offset` begins, by the messages' own times.

    That is as long before as a mute producer is waited for: who has not spoken since is held
    for silent, and holds nobody back.
    """
    near = max(low, offset - NEAR)
    reader = Consumer(clients.consumer_conf(settings, "rollup"))
    try:
        reader.assign([TopicPartition("trades", number, near)])
        nearest = reader.consume(1, ANSWER_S) if near < offset else []
        if not nearest or nearest[0].error() is not None or (nearest[0].offset() or 0) >= offset:
            return near
        back_ms = params.stale_after_s * 1_000 + params.grace_ms
        since = max(0, nearest[0].timestamp()[1] - back_ms)
        [begin] = reader.offsets_for_times([TopicPartition("trades", number, since)], ANSWER_S)
    finally:
        reader.close()
    if begin.error is not None:
        raise KafkaException(begin.error)
    return min(max(begin.offset, low), near)


def _dropped(parts: list[TopicPartition], owned: dict[int, Partition], commits: Commits) -> None:
    commits.landed()
    for tp in parts:
        owned.pop(tp.partition, None)


def _take(
    params: Params,
    words: columns.Words,
    consumer: Consumer,
    owned: dict[int, Partition],
    batches: dict[int, Batch],
    share: refusals.Share,
) -> tuple[int, int]:
    """Fold what came, partition by partition; return how many were new, and dead letters."""
    taken = refused = 0
    for part in owned.values():
        new = batches.get(part.number)
        if new is not None and new.offsets[0] < part.live_from:
            new = _recall(params, words, consumer, part, new)
        if new is None:
            continue
        before = len(part.letters)
        taken += len(new)
        refused += take(params, words, part, new)
        unreadable = refusals.unreadable(part.letters[before:])
        share.note("trades", part.number, len(new), unreadable)
    return taken, refused


def _recall(
    params: Params,
    words: columns.Words,
    consumer: Consumer,
    part: Partition,
    messages: Batch,
) -> Batch | None:
    """Take in what is known already, skip what nobody needs again, and return what is new."""
    new = recall(params, words, part, messages)
    if new is None:
        behind = int(messages.offsets[-1]) + 1
        wanted = bookmark.next_wanted(part, behind)
        if wanted > behind:
            consumer.seek(TopicPartition("trades", part.number, wanted))
    return new


def _flush(
    consumer: Consumer,
    commits: Commits,
    owned: dict[int, Partition],
    round_: Round,
    watch: TopicWatch,
    alert_max_age_s: float,
) -> None:
    """Hand what was folded to the next transaction; should that fail, the session ends."""
    moved = [part for part in owned.values() if part.position > part.live_from]
    if not moved:
        return
    # What was folded is of the topic that its offsets mean.
    _still_the_same(watch)
    trades_id, parts = watch.began["trades"]
    out = watch.began["bars"].partitions
    late = sum(part.state.late - part.late_told for part in moved)
    repeats = sum(part.repeats for part in moved)
    records: list[Sent] = []
    offsets = []
    for part in moved:
        part_records, at = cut(part, parts, out)
        records += [_dated(sent, alert_max_age_s) for sent in part_records]
        text = marked(trades_id, at.metadata or "")
        offsets.append(TopicPartition("trades", part.number, at.offset, metadata=text))
    group = consumer.consumer_group_metadata()
    commits.begin(Cut(records, offsets, group, round_.taken, round_.letters, late, repeats))


def _dated(sent: Sent, alert_max_age_s: float) -> Sent:
    topic, record, partition = sent
    if isinstance(record, Alert):
        record = dated(record, clock.now_us(), alert_max_age_s)
    return topic, record, partition


def cut(part: Partition, parts: int, out: int) -> tuple[list[Sent], TopicPartition]:
    """Return what a partition has to say since the last cut, and the offset to commit with it."""
    records: list[Sent] = [("dead_letters", letter, None) for letter in part.letters]
    part.letters.clear()
    news = pipeline.routed(fold.drain_news(part.state))
    records += [(topic, record, None) for topic, record in news]
    bars = by_partition("bars", fold.drain(part.state), out)
    records += [("bars", many, target) for target, many in bars]
    spoken = fold.clock_record(part.state, part.number, parts)
    if spoken is not None and (spoken.ts_event, spoken.state) != part.clock_told:
        records += [("bars", spoken, target) for target in range(out)]
        part.clock_told = spoken.ts_event, spoken.state
    part.late_told, part.repeats = part.state.late, 0
    part.live_from = part.position
    return records, TopicPartition("trades", part.number, part.position, metadata=bookmark.of(part))
