"""A stage stops when nearly everything it reads is refused, and not before."""

import pytest

from streams.refusals import ENOUGH, WINDOW, Share, TooManyRefused


def test_a_few_bad_messages_at_the_start_say_nothing() -> None:
    Share(0.5).note(ENOUGH - 1, ENOUGH - 1)


def test_above_the_limit_it_stops_and_says_what_to_look_at() -> None:
    share = Share(0.5)
    share.note(ENOUGH, ENOUGH // 2)
    with pytest.raises(TooManyRefused, match=r"dead_letter_limit 0\.5"):
        share.note(10, 10)


def test_long_good_times_do_not_hide_what_came_last() -> None:
    share = Share(0.9)
    for _ in range(1_000):
        share.note(WINDOW, 0)
    share.note(WINDOW // 2, WINDOW // 2)
    with pytest.raises(TooManyRefused):
        share.note(WINDOW // 2, WINDOW // 2)


def test_a_limit_of_one_never_stops() -> None:
    share = Share(1.0)
    for _ in range(100):
        share.note(WINDOW, WINDOW)
