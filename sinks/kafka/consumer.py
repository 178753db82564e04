"""Kafka to ClickHouse: offsets are committed only behind the write.

    poll ──> buffer of (topic, partition) ──> intent lo..hi ──> insert with token ──> commit hi+1
    restart: the last intent's range is formed again exactly, so its token is the same
    ClickHouse away: all partitions paused, polled on, tried again until it is back or we stop
    ClickHouse refuses a batch: taken apart, what remains alone goes to dead_letters

One consumer owns a partition at a time (the group sees to that); records that are not
decodable belong to the stage before, which has written their dead letters.
"""

import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import groupby
from typing import Any, NamedTuple

import msgspec
import numpy as np
from confluent_kafka import Consumer, Message

from schemas import codec, kafka_closing, metrics
from schemas.codec import InvalidRecord
from schemas.scan import columns as batch
from schemas.scan import trades
from schemas.status import FeedStatus
from schemas.topic_identity import EVERY_S, TopicChanged, TopicWatch, connection_of
from schemas.topics import TOPICS as SCHEMAS
from schemas.words import not_after_message
from sinks.clickhouse import constraints, poison
from sinks.clickhouse.client import Batch, Writer
from sinks.clickhouse.intents import Intents, StoreChanged
from sinks.clickhouse.retry import Retry
from sinks.clickhouse.rows import NOT_STORED, packed, table_of
from sinks.kafka.letters import Letters
from sinks.kafka.membership import (
    SUNK,
    Buffer,
    Lost,
    Membership,
    Place,
    Stopped,
    check,
)

log = logging.getLogger("undertow.sink")
POLL = 20_000
#: Rows held over all partitions before they are written whatever their age.
MAX_BUFFERED = 200_000
#: Rows of a batch at least, where the one before took more than FEW inserts to take apart.
FEWEST, FEW = 64, 32
#: librdkafka's own queue beside that, kilobytes.
QUEUED = {"queued.max.messages.kbytes": 65_536, "fetch.queue.backoff.ms": 10}


class Store(NamedTuple):
    """Where records go: tables, what was meant for them, and what they refuse."""

    writer: Writer
    intents: Intents
    letters: Letters


class Loop(NamedTuple):
    """How a session goes round."""

    batch_rows: int
    flush_s: float
    stopping: Callable[[], bool]
    each_round: Callable[[Consumer], object]


def run(
    conf: dict[str, Any],
    writer: Writer,
    intents: Intents,
    *,
    batch_rows: int,
    flush_s: float,
    stopping: Callable[[], bool],
    each_round: Callable[[Consumer], object] = lambda _: None,
) -> None:
    """Move records until `stopping()`; what was polled by then is written and committed.

    While ClickHouse does not answer it is tried again without end, and `stopping()` then
    ends the run with the last batches not committed. A topic that was made anew is read from
    its beginning, and all of them where the database is another one. Raises SinkError when a
    table, the account or a setting is at fault, TopicsUnfit when a topic stays away,
    KafkaException when the cluster refuses for good.
    """
    letters = Letters(connection_of(conf))
    how = Loop(batch_rows, flush_s, stopping, each_round)
    while not stopping():
        try:
            _session(conf, Store(writer, intents, letters), how)
            return
        except (TopicChanged, StoreChanged) as change:
            log.error("%s; the sink begins anew", change)
        except Stopped:
            log.warning("stopped before all was written; what ClickHouse lacks is not committed")
            return


def _session(conf: dict[str, Any], store: Store, how: Loop) -> None:
    watch = TopicWatch(conf, SUNK, how.stopping)
    consumer = Consumer(QUEUED | conf)
    try:
        store_id = store.intents.store_id(_retry_until(how))
        epochs = {name: began.topic_id for name, began in watch.began.items()}
        ours = Membership(consumer, epochs, how.stopping, how.each_round, store_id, watch.check)
        ours.subscribe()
        asked_at = time.monotonic()
        while not how.stopping():
            how.each_round(consumer)
            if time.monotonic() - asked_at > EVERY_S:
                asked_at = time.monotonic()
                _still_the_same(ours, store)
            move(ours, store, how.batch_rows, how.flush_s)
        rest = [place for place, buffer in ours.buffers.items() if buffer.until < 0]
        _flush(ours, rest, store)
    finally:
        metrics.READY.set(0)
        kafka_closing.close(consumer)


def _retry_until(how: Loop) -> Retry:
    """Return a retry without end, for before there is a membership to stay in."""

    def wait(seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if how.stopping():
                raise Stopped
            time.sleep(min(left, 0.2))

    return Retry(give_up_after_s=math.inf, sleep=wait)


def move(ours: Membership, store: Store, batch_rows: int, flush_s: float) -> None:
    """Do one round: begin what is newly ours, take what has come, write what is due."""
    ours.start_new(store.intents)
    _take_all(ours, ours.consume(POLL, min(flush_s, 0.2)), store, batch_rows)
    _flush(ours, _due(ours.buffers, flush_s), store)


def _by_place(messages: list[Message]) -> dict[Place, list[Message]]:
    """Lay out by partition what is no error; raises what `check` does."""
    errors = [message.error() for message in messages]
    if any(errors):
        for error in errors:
            check(error)
        messages = [one for one, error in zip(messages, errors, strict=True) if not error]
    by_place: dict[Place, list[Message]] = {}
    for (topic, number), those in groupby(messages, lambda one: (one.topic(), one.partition())):
        by_place.setdefault((topic or "", number or 0), []).extend(those)
    return by_place


def _take_all(ours: Membership, messages: list[Message], store: Store, batch_rows: int) -> None:
    by_place = _by_place(messages)
    # Bound to the buffers of now: a partition that comes back while a flush below waits
    # has another, which begins at another offset than what we hold of it.
    taken = [(place, those, ours.buffers.get(place)) for place, those in by_place.items()]
    for place, those, buffer in taken:
        metrics.RECORDS.labels(place[0]).inc(len(those))
        while those and buffer is not None and ours.holds(place, buffer):
            if 0 <= buffer.until < (those[0].offset() or 0):
                if buffer.hi < 0:
                    log.warning("%s: Kafka removed the range to be repeated meanwhile", place)
                    buffer.until = -1
                _flush(ours, [place], store)
                continue
            most = min(buffer.most or batch_rows, batch_rows)
            count = _fitting(buffer, those, most)
            if not count:
                also = _filled(ours.buffers, batch_rows)
                _flush(ours, list(dict.fromkeys([place, *also])), store)
                continue
            _take(buffer, place, those[:count])
            those = those[count:]
            if buffer.rows >= most and buffer.until < 0:
                also = _filled(ours.buffers, batch_rows)
                _flush(ours, list(dict.fromkeys([place, *also])), store)


def _filled(buffers: dict[Place, Buffer], batch_rows: int) -> list[Place]:
    """Return the partitions worth writing when one is full: one intent and commit for all."""
    enough = batch_rows // 2
    return [p for p, b in buffers.items() if b.until < 0 and b.rows > enough]


def _fitting(buffer: Buffer, messages: list[Message], batch_rows: int) -> int:
    """Return how many messages go into the buffer before it must be written.

    One token covers no more than a block: a message of many trades counts as all of them.
    """
    if buffer.until >= 0:
        return sum(1 for message in messages if (message.offset() or 0) <= buffer.until)
    values = [message.value() or b"" for message in messages]
    # An object is one record; no array has more of them than braces.
    records = [1 if value[:1] == b"{" else value.count(b"{") or 1 for value in values]
    rows = np.cumsum(records)
    count = int(np.searchsorted(rows, batch_rows - buffer.rows, side="right"))
    return count or int(not buffer.rows)


def _take(buffer: Buffer, place: Place, messages: list[Message]) -> None:
    if buffer.hi < 0:
        buffer.since = time.monotonic()
    buffer.hi = messages[-1].offset() or 0
    alone = _by_the_batch(buffer, messages) if place[0] == "trades" else messages
    for message in alone:
        offset = message.offset() or 0
        records = stored(place, offset, message)
        buffer.records += records
        buffer.offsets += [offset] * len(records)
        buffer.rows += len(records)


def _by_the_batch(buffer: Buffer, messages: list[Message]) -> list[Message]:
    """Take what is plainly trades as columns; return the messages that are to be decoded alone."""
    scanned = trades.scanned(buffer.words, list(map(Message.value, messages)))
    stamps = batch.latest([stamp for _, stamp in map(Message.timestamp, messages)])
    good = batch.sound(buffer.words, scanned.of, stamps[scanned.message])
    # A message of many is taken as a whole, or decoded as one.
    alone = np.zeros(len(messages), np.bool_)
    alone[scanned.odd] = alone[scanned.message[~good]] = True
    good &= ~alone[scanned.message]
    of = scanned.of if good.all() else scanned.of.only(good)
    if len(of.event_id):
        offsets = np.fromiter(map(Message.offset, messages), np.int64, len(messages))
        buffer.pieces.append(packed(buffer.words.labels, of, offsets[scanned.message[good]]))
        buffer.rows += len(of.event_id)
    return [messages[n] for n in np.flatnonzero(alone).tolist()]


def stored(place: Place, offset: int, message: Message) -> list[msgspec.Struct]:
    """Return the records of a message that belong in a table: mostly one, of an array many."""
    not_after = not_after_message(message.timestamp()[1])
    payload = message.value()
    pieces = None
    if SCHEMAS[place[0]].many and payload is not None:
        pieces = codec.elements(payload)
    records = []
    for piece in pieces or (payload,):
        try:
            record: msgspec.Struct = codec.decode(place[0], piece, place[1], offset, not_after)
        except InvalidRecord as problem:
            log.debug("not stored: %s", problem)
            continue
        in_band = isinstance(record, FeedStatus) and place[0] != "feed_status"
        if not in_band and type(record) not in NOT_STORED:
            records.append(record)
    return records


def _due(buffers: dict[Place, Buffer], flush_s: float) -> list[Place]:
    """Return the partitions whose oldest record has waited, or whose repeated range is whole."""
    now = time.monotonic()
    full = sum(buffer.rows for buffer in buffers.values()) >= MAX_BUFFERED
    return [
        place
        for place, buffer in buffers.items()
        if buffer.hi >= 0
        and (
            buffer.hi >= buffer.until
            if buffer.until >= 0
            else full or now - buffer.since >= flush_s
        )
    ]


def _flush(ours: Membership, places: list[Place], store: Store) -> None:
    """Write some partitions' buffers: all intents, then inserts, then the commit."""
    ready = {place: ours.buffers[place] for place in places if ours.buffers[place].hi >= 0}
    if not ready:
        return
    batches = {place: _batches(place, buffer) for place, buffer in ready.items()}
    _still_the_same(ours, store)
    store.intents.write((one for made in batches.values() for one in made), ours.retry)
    for place, made in batches.items():
        buffer, inserts = ready[place], 0
        for one in made:
            # Lost while an insert before it waited: its next owner writes it.
            if ours.holds(place, buffer):
                with suppress(Lost):
                    inserts += _write(ours, one, buffer, store)
                ours.stay()
        buffer.most = _next_most(buffer, inserts)
        if inserts > len(made):
            # Taking apart is slow work: what is done stays done, whatever the others meet.
            ours.commit({place: buffer})
    ours.commit({place: buffer for place, buffer in ready.items() if buffer.hi >= 0})
    ours.resume()


def _next_most(buffer: Buffer, inserts: int) -> int:
    """Return how many rows the next batch may have, 0 for as many as any.

    Where taking apart was slow it will be: small batches are done, and committed, soon.
    """
    if inserts > FEW:
        return max(FEWEST, buffer.rows // 8)
    return 2 * buffer.most if 0 < buffer.most < MAX_BUFFERED else 0


def _still_the_same(ours: Membership, store: Store) -> None:
    """Raise TopicChanged, StoreChanged, Stopped.

    What was fetched by now is then of the topics that its offsets and tokens mean.
    """
    ours.confirm()
    if ours.store_id:
        store.intents.expect(ours.store_id, ours.retry)


def _write(ours: Membership, batch: Batch, buffer: Buffer, store: Store) -> int:
    """Write a batch and tell what ClickHouse refuses of it; return how many inserts it took.

    Raises Lost, Stopped, SinkError.
    """
    known = store.intents.parts(batch.token)

    def wait(seconds: float) -> None:
        # An insert tried again must not go into a database that took the other's place meanwhile.
        ours.wait(seconds)
        _still_the_same(ours, store)

    again = Retry(give_up_after_s=math.inf, sleep=wait)
    how = poison.Insertion(
        put=lambda part: store.writer.insert(part, again),
        stored=lambda whole: store.writer.stored(whole, ours.retry),
        known=known,
        note=lambda parts: store.intents.note_parts(batch.token, parts, ours.retry),
        breach=lambda part, cause: constraints.breach(part, cause, store.writer),
        between=lambda: ours.between((batch.topic, batch.partition), buffer),
    )
    rows, refusals, inserts = poison.insert(batch, how)
    if refusals:
        store.letters.send(poison.letters_of(batch, refusals), ours.wait)
    if rows:
        _note_written(batch, rows)
    return inserts


def _batches(place: Place, buffer: Buffer) -> list[Batch]:
    """Split a range by table: the cascades topic fills two."""
    by_table: dict[str, tuple[list[msgspec.Struct], list[int]]] = {}
    if buffer.pieces:
        by_table["trades"] = [], []
    for record, offset in zip(buffer.records, buffer.offsets, strict=True):
        records, offsets = by_table.setdefault(table_of(record), ([], []))
        records.append(record)
        offsets.append(offset)
    return [
        Batch(
            table, *place, buffer.lo, buffer.hi, records, offsets, buffer.epoch,
            buffer.pieces if table == "trades" else (),
        )
        for table, (records, offsets) in by_table.items()
    ]  # fmt: skip


def _note_written(batch: Batch, rows: int) -> None:
    metrics.BATCHES.labels(batch.table).inc()
    metrics.ROWS.labels(batch.table).inc(rows)
    # Of the first record, which waited longest: one for each would cost more than the
    # insert. Bars carry no receipt.
    if batch.pieces:
        since: float | None = float(batch.pieces[0].of.ts_recv[0])
    else:
        first = batch.records[0]
        since = getattr(first, "ts_detect", None) or getattr(first, "ts_recv", None)
    if since is not None:
        metrics.DELAY.labels("written").observe(max(0.0, time.time() - since / 1e6))
