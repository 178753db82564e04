"""What a rollup worker leaves for the next owner of a partition."""

import json
import logging
import random
import string

import pytest
from confluent_kafka import Message, TopicPartition

from schemas import codec
from schemas.scan.columns import Words
from schemas.status import FeedStatus
from schemas.words import SECOND
from streams.core import fold
from streams.core.params import Params
from streams.kafka.batches import of_messages
from streams.rollup import bookmark, worker
from streams.rollup.take import Partition, recall, take

START = 1_763_683_200
STAMP_MS = (START + 2_000_000) * 1_000
PARAMS = Params()
LOG = (0, 10**6)
NAME = string.ascii_lowercase + string.digits + "_.-"


def no_time(_: int) -> int:
    raise AssertionError("words are not to be read again")


def written(*payloads: bytes) -> list[Message]:
    return [
        Message(topic="trades", partition=0, offset=n, value=payload, timestamp=(1, STAMP_MS))
        for n, payload in enumerate(payloads)
    ]


def alive(producer: str, second: float, part: int = 0, parts: int = 1) -> bytes:
    at = int((START + second) * SECOND)
    return codec.encode(
        FeedStatus(producer=producer, state="alive", ts_event=at, part=part, parts=parts)
    )


def believed(producer: str, second: float, part: int = 0, parts: int = 1) -> list[bytes]:
    """A word that leaps, and the next, by which it is believed."""
    return [alive(producer, second, part, parts), alive(producer, second + 1e-6, part, parts)]


def trade(event_id: str, second: int) -> bytes:
    at = (START + second) * SECOND
    return json.dumps(
        {
            "type": "trade", "event_id": event_id, "venue": "bybit", "instrument": "BTC-USDT-PERP",
            "venue_symbol": "BTCUSDT", "asset": "BTC", "aggressor_side": "buy", "price": 100.0,
            "quantity": 1.0, "notional_usd": 100.0, "ts_event": at, "ts_recv": at,
        }
    ).encode()  # fmt: skip


def folded(*payloads: bytes) -> Partition:
    part = Partition(0, fold.FoldState(), 0, 0)
    for message in written(*payloads):
        take(PARAMS, Words(), part, of_messages([message]))
    return part


def told_by(producers: list[str], parts: int = 1) -> Partition:
    draw = random.Random(1)
    return folded(
        *(
            clock_word
            for name in producers
            for part in range(parts)
            for clock_word in believed(name, draw.random() * 9, part, parts)
        )
    )


def test_as_many_producers_as_there_may_be_find_room_with_the_longest_names() -> None:
    draw = random.Random(1)
    names = ["".join(draw.choices(NAME[:36], k=1) + draw.choices(NAME, k=39)) for _ in range(64)]
    part = told_by(names)
    assert len(part.state.clock.heard) == 64
    text = bookmark.of(part)
    assert len(text) <= bookmark.ROOM
    again, _ = bookmark.resumed(0, part.position, text, LOG, no_time)
    assert again.state.clock.heard == part.state.clock.heard
    assert again.state.clock.spoke == part.state.clock.spoke


def test_a_producer_of_too_many_parts_is_read_again_and_the_rest_is_kept() -> None:
    part = told_by(["a", "b"], parts=600)
    text = bookmark.of(part)
    assert len(text) <= bookmark.ROOM
    again, begin = bookmark.resumed(0, part.position, text, LOG, lambda _: 7)
    assert (again.state.clock.now, again.state.frontier) == (
        part.state.clock.now, part.state.frontier,
    )  # fmt: skip
    assert begin == 7


def test_words_that_wait_to_be_believed_are_kept_however_long_their_reasons() -> None:
    draw = random.Random(1)
    part = folded(
        *(
            codec.encode(
                FeedStatus(
                    producer=f"p{n}",
                    state="silent",
                    ts_event=(START + 1_000 * n) * SECOND,
                    reason="".join(draw.choices(NAME, k=2_000)),
                )
            )
            for n in range(1, 9)
        )
    )
    again, _ = bookmark.resumed(0, part.position, bookmark.of(part), LOG, no_time)
    assert again.state.clock.pending.keys() == part.state.clock.pending.keys()
    assert len(again.state.clock.pending) == 8


@pytest.mark.parametrize(
    "text",
    [None, "", "x", "undertow-1:", "undertow-1:AAAA", "undertow-2:eJwDAAAAAAE="],
    ids=["none", "empty", "another's", "cut off", "garbled", "of a later form"],
)
def test_without_a_bookmark_words_and_ids_are_read_again_and_bars_are_not_told_again(text) -> None:
    log = written(
        *believed("b", 5), *believed("a", 10), trade("late", 2), trade("x", 6), trade("y", 9), b"{",
        trade("x", 6), trade("z", 6), trade("late too", 3),
    )  # fmt: skip
    part, begin = bookmark.resumed(0, 8, text, LOG, lambda _: 0)
    assert begin == 0
    new = recall(PARAMS, Words(), part, of_messages(log))
    take(PARAMS, Words(), part, new)
    assert part.state.clock.now // SECOND == START + 5
    assert part.state.late - part.late_told == 1
    assert part.repeats == 1
    records, _ = worker.cut(part, 1, 1)
    [[bar]] = [many for topic, many, _ in records if topic == "bars" and isinstance(many, list)]
    assert bar.trades == 1
    assert not [r for topic, r, _ in records if topic == "dead_letters"]


def test_a_bookmark_of_another_offset_is_none() -> None:
    part = folded(*believed("a", 1))
    assert bookmark.read(bookmark.of(part), part.position) is not None
    assert bookmark.read(bookmark.of(part), part.position + 1) is None


def test_where_nothing_is_open_nothing_is_read_again() -> None:
    many = [trade(str(n), n // 100) for n in range(1_000)]
    part = folded(*many, *believed("a", 20))
    assert not part.state.ids
    _, begin = bookmark.resumed(0, part.position, bookmark.of(part), LOG, no_time)
    assert begin == part.position


def test_a_trade_stamped_far_ahead_costs_its_own_stretch_alone(monkeypatch) -> None:
    monkeypatch.setattr(bookmark, "GAP", 100)
    many = [trade(str(n), n // 100) for n in range(1_000)]
    part = folded(trade("ahead", 250), *many, *believed("a", 9))
    again, begin = bookmark.resumed(0, part.position, bookmark.of(part), LOG, no_time)
    assert begin == 0
    assert bookmark.next_wanted(again, 1) == 801  # the first of second 8


def test_no_more_stretches_than_have_room(monkeypatch) -> None:
    monkeypatch.setattr(bookmark, "GAP", 0)
    part = folded(*(trade(str(n), n if n % 2 else -100) for n in range(600)), alive("a", 0))
    assert len(bookmark.of(part)) <= bookmark.ROOM
    again, _ = bookmark.resumed(0, part.position, bookmark.of(part), LOG, no_time)
    assert len(again.stretches) <= bookmark.STRETCHES
    assert all(any(first <= n < last for first, last in again.stretches) for n in range(1, 600, 2))


def test_what_retention_has_deleted_is_not_read_and_is_told(caplog) -> None:
    part = folded(trade("x", 9), trade("y", 9), *believed("a", 9))
    text = bookmark.of(part)
    caplog.set_level(logging.WARNING, "undertow.rollup")
    again, begin = bookmark.resumed(0, 4, text, (1, 4), no_time)
    assert (begin, again.live_from) == (1, 4)
    assert "begins at offset 1" in caplog.text
    again, begin = bookmark.resumed(0, 4, text, (90, 99), no_time)
    assert (begin, again.live_from) == (90, 90)
    assert again.state.clock.now // SECOND == START + 9
    assert "offsets 4 to 90 were deleted before they were folded" in caplog.text


def test_a_longer_grace_after_a_restart_opens_no_closed_second_again() -> None:
    part = folded(*believed("a", 9), trade("x", 8))
    again, _ = bookmark.resumed(0, part.position, bookmark.of(part), LOG, no_time)
    take(Params(grace_ms=5_000), Words(), again, of_messages(written(alive("a", 10))))
    assert again.state.frontier == part.state.frontier


def test_a_log_that_ends_before_what_was_folded_is_told_and_gone_on_from_its_end(caplog) -> None:
    part = folded(trade("x", 9), trade("y", 9), *believed("a", 9), trade("z", 9))
    again, begin = bookmark.resumed(0, part.position, bookmark.of(part), (0, 3), no_time)
    assert (begin, again.live_from, again.stretches) == (0, 3, [(0, 3)])
    assert "ends at offset 3, before the committed 5" in caplog.text
    log = written(trade("x", 9), trade("y", 9), b"{", trade("new", 9), trade("x", 9))
    new = recall(PARAMS, Words(), again, of_messages(log))
    assert take(PARAMS, Words(), again, new) == 0
    assert again.repeats == 1
    assert [bar.trades for bar in fold.drain(again.state)] == [1]


def test_a_new_leader_that_does_not_know_its_end_yet_is_asked_again(monkeypatch) -> None:
    class Reader:
        ends = iter([(0, 3), (0, 3), (0, 9)])

        def get_watermark_offsets(self, *_: object, **__: object) -> tuple[int, int]:
            return next(self.ends)

    monkeypatch.setattr(worker.time, "sleep", lambda _: None)
    assert worker._log_of(Reader(), TopicPartition("trades", 0, 9)) == (0, 9)
