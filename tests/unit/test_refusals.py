"""A stage stops when nearly all of a partition is refused, and not before."""

import pytest

from streams.core.refusals import ENOUGH, WINDOW, Share, TooManyRefused


def test_a_few_bad_messages_at_the_start_say_nothing() -> None:
    Share(0.5).note("trades", 0, ENOUGH - 1, ENOUGH - 1)


def test_above_the_limit_it_stops_and_says_where_and_what_to_look_at() -> None:
    share = Share(0.5)
    share.note("trades", 3, ENOUGH, ENOUGH // 2)
    with pytest.raises(TooManyRefused, match=r"trades\[3\].*dead_letter_limit 0\.5"):
        share.note("trades", 3, 10, 10)


def test_long_good_times_do_not_hide_what_came_last() -> None:
    share = Share(0.9)
    for _ in range(1_000):
        share.note("trades", 0, WINDOW, 0)
    for _ in range(ENOUGH - 1):
        share.note("trades", 0, 1, 1)
    with pytest.raises(TooManyRefused, match="1,000 of the last 1,000"):
        share.note("trades", 0, 1, 1)


def test_a_poisoned_partition_is_not_hidden_by_eleven_good_ones() -> None:
    share = Share(0.9)
    for _ in range(9):
        for good in range(11):
            share.note("trades", good, 100, 0)
        share.note("trades", 11, 100, 99)  # a feed's words on time between can be read
    with pytest.raises(TooManyRefused, match=r"trades\[11\]"):
        share.note("trades", 11, 100, 99)


def test_some_bad_messages_in_a_row_between_good_ones_stop_nothing() -> None:
    share = Share(0.9)
    for _ in range(1_000):
        share.note("trades", 0, ENOUGH - 1, ENOUGH - 1)
        share.note("trades", 0, ENOUGH, 0)


def test_a_limit_of_one_never_stops() -> None:
    share = Share(1.0)
    for _ in range(100):
        share.note("trades", 0, WINDOW, WINDOW)
