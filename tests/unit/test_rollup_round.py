"""When rollup's bars go out."""

import pytest

from streams.core import fold
from streams.core.detectors import watermark
from streams.rollup import worker
from streams.rollup.take import Partition

FLUSH_S = 0.5


@pytest.fixture
def clock(monkeypatch):
    """The monotonic clock, seconds, in a list of one."""
    now = [100.0]
    monkeypatch.setattr(worker.time, "monotonic", lambda: now[0])
    return now


def owned(*records_seen):
    """Partitions by (event second now, event second told last)."""
    return {
        number: Partition(
            number,
            fold.FoldState(clock=watermark.InputClock(now=now)),
            live_from=0,
            position=1,
            clock_told=(before, "alive"),
        )
        for number, (now, before) in enumerate(records_seen)
    }


def test_bars_wait_for_flush_s_from_the_first_trade(clock):
    round_ = worker.Round(FLUSH_S)
    clock[0] += 10
    round_.note(1, 0)
    assert not round_.is_due(owned((5, 5)))
    clock[0] += FLUSH_S
    assert round_.is_due(owned((5, 5)))


def test_bars_go_out_once_the_clock_of_every_partition_has_moved(clock):
    round_ = worker.Round(FLUSH_S)
    round_.note(9, 0)
    clock[0] += FLUSH_S / 2
    assert not round_.is_told(owned((6, 5), (5, 5)))
    assert round_.is_told(owned((6, 5), (6, 5)))


def test_words_that_come_in_a_stream_do_not_make_a_transaction_each(clock):
    round_ = worker.Round(FLUSH_S)
    round_.note(9, 0)
    assert not round_.is_told(owned((6, 5)))
    clock[0] += worker.LEAST * FLUSH_S
    assert round_.is_told(owned((6, 5)))


def test_nothing_taken_is_nothing_to_tell(clock):
    round_ = worker.Round(FLUSH_S)
    clock[0] += FLUSH_S
    assert not round_.is_told(owned((6, 5)))
    assert not round_.is_due(owned((6, 5)))
