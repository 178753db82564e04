"""A rollup worker killed at any moment goes on as if nothing had been, trade for trade."""

import json
from collections import Counter
from itertools import pairwise
from typing import Any

import msgspec
from confluent_kafka import Message, TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codec
from schemas.bars import Bar
from schemas.scan.columns import Words
from schemas.status import DeadLetter, FeedStatus
from schemas.words import SECOND
from streams.core import fold
from streams.core.params import Params
from streams.core.refusals import Share
from streams.kafka.batches import by_partition
from streams.rollup import bookmark, worker
from streams.rollup.take import Partition

START = 1_763_683_200
PARAMS = Params(stale_after_s=30)
#: How far each producer's time is behind the messages' own, seconds.
LAGS = (0, 2, 9, 25)

#: What is written next, by which producer, how many seconds later, and a number for the rest.
step = st.tuples(
    st.sampled_from(
        ["trade"] * 8 + ["alive"] * 5 + ["again"] * 3
        + ["array", "silent", "recovered", "ahead", "late", "part", "broken", "worthless"]
    ),
    st.integers(0, len(LAGS) - 1),
    st.sampled_from([0, 0, 0, 0, 1, 1, 2, 5, 40]),
    st.integers(0, 200),
)  # fmt: skip
#: How many messages come at once, and what happens behind them.
blow = st.tuples(
    st.sampled_from([1, 1, 2, 3, 5, 12]),
    st.sampled_from(["nothing", "commit", "commit", "killed", "killed before the commit"]),
)


def trade(number: int, producer: int, ts_event: int, worth: bool = True) -> dict[str, Any]:
    return {
        "type": "trade",
        "event_id": f"{producer}.{number}",
        "venue": f"venue{producer}",
        "instrument": "BTC-USDT-PERP",
        "venue_symbol": "BTCUSDT",
        "asset": "BTC",
        "aggressor_side": "buy" if number % 2 else "sell",
        "price": 100.0 + number % 7,
        "quantity": 1 + number % 4 / 4,
        "notional_usd": (100.0 + number % 7) * (1 + number % 4 / 4) if worth else None,
        "ts_event": ts_event,
        "ts_recv": ts_event,
    }


def tape(steps: list[tuple[str, int, int, int]]) -> list[Message]:
    """The log of one partition: several producers apart from each other, some twice, some late."""
    now, written = START, [(b"{", 0)]
    for number, (kind, producer, later, extra) in enumerate(steps):
        now += later
        at = (now - LAGS[producer]) * SECOND
        if kind in ("alive", "silent", "recovered"):
            feed_status = FeedStatus(producer=f"p{producer}", state=kind, ts_event=at)  # type: ignore[arg-type]
            payload = codec.encode(feed_status)
        elif kind == "part":
            feed_status = FeedStatus(
                producer="q", state="alive", ts_event=at, part=extra % 2, parts=2
            )
            payload = codec.encode(feed_status)
        elif kind == "again":
            payload = written[-1 - extra % min(len(written), 25)][0]
        elif kind == "array":
            few = [trade(1000 * number + i, producer, at + i * SECOND) for i in range(extra % 5)]
            payload = json.dumps([*few, *few[:1]]).encode()
        elif kind == "broken":
            payload = b'{"type":"trade"'
        else:
            moved = {"ahead": 250, "late": -20}.get(kind, 0) * SECOND
            worth = kind != "worthless"
            payload = json.dumps(trade(number, producer, at + moved + extra, worth)).encode()
        written.append((payload, now * 1_000))
    return [
        Message(topic="trades", partition=0, offset=3 * n, value=payload, timestamp=(1, stamp))
        for n, (payload, stamp) in enumerate(written)
    ]


class Log:
    """The reader of one partition and what a group has committed to it: all that outlives a kill."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.at = 0
        self.read = 0
        self.committed = TopicPartition("trades", 0, -1)
        self.records: list[worker.Sent] = []
        self.late = 0

    def seek(self, place: TopicPartition) -> None:
        self.at = next(
            (n for n, m in enumerate(self.messages) if m.offset() >= place.offset),
            len(self.messages),
        )

    def next(self, count: int) -> list[Message]:
        few = self.messages[self.at : self.at + count]
        self.at += len(few)
        self.read += len(few)
        return few

    def commit(self, part: Partition) -> None:
        late = part.state.late - part.late_told
        records, self.committed = worker.cut(part, 1, 1)
        self.late += late
        self.records += records

    def owner(self, back: int = 0) -> Partition:
        """A new process: it knows the log and what is committed, and nothing else."""
        part, begin = bookmark.resumed(
            0, self.committed.offset, self.committed.metadata, (0, 10**6), lambda _: back
        )
        self.seek(TopicPartition("trades", 0, begin))
        return part


def play(messages: list[Message], blows: list[tuple[int, str]]) -> tuple[Log, Partition]:
    log = Log(messages)
    part, words = log.owner(), Words()
    while few := log.next(blows[0][0] if blows else 50):
        worker._take(PARAMS, words, log, {0: part}, by_partition(few), Share(1.0))  # type: ignore[arg-type]
        what = blows.pop(0)[1] if blows else "nothing"
        if what == "killed before the commit":
            worker.cut(part, 1, 1)
        elif what == "commit" and part.position > part.live_from:
            log.commit(part)
        if what.startswith("killed"):
            part, words = log.owner(), Words()
    log.commit(part)
    return log, part


def bars(log: Log) -> dict[tuple[str, int], list[Any]]:
    sums: dict[tuple[str, int], list[Any]] = {}
    for record in (
        one for _, records, _ in log.records if isinstance(records, list) for one in records
    ):
        if isinstance(record, Bar):
            none = [0, 1e9, (1e18, 0), (0, 0), 0, 0, 0, 0]
            high, low, opened, closed, *rest = sums.get((record.venue, record.ts_open), none)
            begin, end = (record.ts_first, record.open), (record.ts_last, record.close)
            more = record.quantity, record.buy_usd, record.sell_usd, record.trades
            sums[record.venue, record.ts_open] = [
                max(high, record.high),
                min(low, record.low),
                begin if begin[0] < opened[0] else opened,
                end if end[0] >= closed[0] else closed,
                *(a + b for a, b in zip(rest, more, strict=True)),
            ]
    return sums


def letters(log: Log) -> Counter[tuple[int, str, str]]:
    return Counter(
        (r.offset, r.field, r.reason) for _, r, _ in log.records if isinstance(r, DeadLetter)
    )


def clock_words(log: Log) -> list[FeedStatus]:
    """The words on time among the bars; those on `feed_status` tell people who fell silent."""
    return [
        record
        for topic, record, _ in log.records
        if topic == "bars" and isinstance(record, FeedStatus)
    ]


def same_time(clock: Any) -> Any:
    return msgspec.structs.replace(clock, dark=[], quiet={}, joined={})


@settings(max_examples=150, deadline=None)
@given(
    st.lists(step, min_size=60, max_size=200),
    st.lists(blow, min_size=20, max_size=100),
    st.sampled_from([1, 1, 9, 10**6]),
)
def test_a_worker_killed_anywhere_tells_what_an_undisturbed_one_tells(steps, blows, gap) -> None:
    messages = tape(steps)
    calm, calm_end = play(messages, [])
    bookmark_gap, bookmark.GAP = bookmark.GAP, gap
    try:
        log, end = play(messages, blows)
    finally:
        bookmark.GAP = bookmark_gap
    assert bars(log) == bars(calm)
    assert letters(log) == letters(calm)
    assert log.late == calm.late
    assert clock_words(log)[-1:] == clock_words(calm)[-1:]
    times = [(feed_status.ts_event, feed_status.state) for feed_status in clock_words(log)]
    assert [at for at, _ in times] == sorted(at for at, _ in times)
    assert all(before != after for before, after in pairwise(times))
    assert same_time(end.state.clock) == same_time(calm_end.state.clock)
    assert end.state.frontier == calm_end.state.frontier
    assert end.state.ids == calm_end.state.ids


@settings(max_examples=50, deadline=None)
@given(st.lists(step, min_size=20, max_size=80), st.integers(1, 20))
def test_each_committed_word_on_time_is_the_clock_at_its_offset(steps, every) -> None:
    messages = tape(steps)
    log, words = Log(messages), Words()
    calm = Partition(0, fold.FoldState(), 0, 0)
    expected = None
    for message in messages:
        worker._take(PARAMS, words, log, {0: calm}, by_partition([message]), Share(1.0))  # type: ignore[arg-type]
        if message.offset() // 3 % every == 0:
            part = log.owner()
            while few := log.next(7):
                few = [m for m in few if m.offset() <= message.offset()]
                if few:
                    worker._take(PARAMS, words, log, {0: part}, by_partition(few), Share(1.0))  # type: ignore[arg-type]
            before = len(clock_words(log))
            if part.position > part.live_from:
                log.commit(part)
            expected = (clock_words(log)[before:] or [expected])[-1]
            assert expected == fold.clock_record(calm.state, 0, 1)
