"""How far event time has come, told by data alone."""

import pytest

from schemas.status import FeedStatus
from schemas.words import SECOND, FeedState
from streams.core.detectors.watermark import PRODUCERS, InputClock, Observed, note, refusal, step


def say(
    clock: InputClock,
    producer: str,
    second: int,
    state: FeedState = "alive",
    part: int = 0,
    parts: int = 1,
) -> Observed:
    base = 1_763_683_200
    return step(
        clock,
        FeedStatus(
            producer=producer,
            state=state,
            ts_event=(base + second) * SECOND,
            part=part,
            parts=parts,
        ),
        stale_after_s=300,
    )


def refused(clock: InputClock, producer: str, second: int) -> str | None:
    feed_status = FeedStatus(
        producer=producer, state="alive", ts_event=(1_763_683_200 + second) * SECOND
    )
    return refusal(clock, feed_status, 300)


def since_second_zero(*producers: str) -> InputClock:
    """A clock on which each has said twice that it is there."""
    clock = InputClock()
    for second in (-1, 0):
        for producer in producers:
            say(clock, producer, second)
    return clock


def now(clock: InputClock) -> int | None:
    return clock.now // SECOND - 1_763_683_200 if clock.now else None


def test_the_clock_is_the_slowest_producers() -> None:
    clock = since_second_zero("a", "b")
    say(clock, "a", 10)
    say(clock, "b", 5)
    say(clock, "a", 20)
    assert now(clock) == 5
    say(clock, "b", 15)
    assert now(clock) == 15


def test_the_clock_never_goes_back() -> None:
    clock = since_second_zero("a")
    say(clock, "a", 10)
    say(clock, "a", 3)
    say(clock, "latecomer", 1)
    assert now(clock) == 10


def test_a_partitioned_producer_counts_when_all_its_parts_have_spoken() -> None:
    clock = InputClock()
    for second in (9, 10):
        say(clock, "feed", second, part=0, parts=2)
    assert now(clock) is None
    for second in (6, 7):
        say(clock, "feed", second, part=1, parts=2)
    assert now(clock) == 7


def test_a_silent_producer_holds_nobody_up() -> None:
    clock = since_second_zero("a", "b")
    say(clock, "a", 10)
    say(clock, "b", 10)
    say(clock, "b", 12, "silent")
    for second in (20, 30):
        say(clock, "a", second)
    assert now(clock) == 30
    say(clock, "b", 31, "recovered")
    say(clock, "a", 40)
    assert now(clock) == 31


def test_time_in_which_everyone_was_silent_is_not_watched_time() -> None:
    clock = since_second_zero("a")
    say(clock, "a", 10)
    say(clock, "a", 12, "silent")
    say(clock, "a", 112, "recovered")
    say(clock, "a", 113)
    base = 1_763_683_200
    assert clock.dark == [(base + 12, base + 112)]
    assert clock.covered(base + 120) - clock.covered(base + 5) == 15
    assert clock.covered(base + 60) == clock.covered(base + 12)


def test_a_producer_that_died_without_a_word_is_waited_for_no_longer_than_that() -> None:
    clock = since_second_zero("dead", "b")
    say(clock, "dead", 10)
    for second in range(10, 311):
        say(clock, "b", second)
    assert now(clock) == 10
    say(clock, "b", 311)
    assert now(clock) == 311
    say(clock, "dead", 312)
    say(clock, "b", 320)
    assert now(clock) == 312


def test_a_producer_that_lags_but_goes_on_is_waited_for() -> None:
    clock = InputClock()
    for second in range(0, 4_000, 5):
        say(clock, "catching up", second // 2)
        say(clock, "ahead", 10_000 + second)
    assert now(clock) == 3_995 // 2


def test_a_producer_that_repeats_one_word_for_ever_is_not_waited_for() -> None:
    clock = since_second_zero("stuck", "b")
    for second in range(1, 400):
        say(clock, "stuck", 0)
        say(clock, "b", second)
    assert now(clock) == 399


def test_parts_of_one_producer_lag_each_other_as_far_as_they_like() -> None:
    clock = InputClock()
    for second in (-1, 0):
        say(clock, "rollup", second, part=1, parts=2)
    for second in range(4_000):
        say(clock, "rollup", second, part=0, parts=2)
    assert now(clock) == 0


def test_when_the_others_are_silent_or_dead_nobody_watches() -> None:
    clock = since_second_zero("dead", "a")
    for second in range(10, 400):
        say(clock, "a", second)
    say(clock, "a", 400, "silent")
    assert clock.dark_since == 1_763_683_200 + 400


@pytest.mark.parametrize("ahead", [15, 290, 86_400])
def test_a_word_that_leaps_and_is_contradicted_by_the_next_changes_nothing(ahead: int) -> None:
    clock, clean = since_second_zero("a"), since_second_zero("a")
    refuted = []
    for second in range(1, 100):
        say(clean, "a", second)
        if second == 50:
            say(clock, "a", second + ahead)
        refuted.append(say(clock, "a", second).refuted)
        assert clock.now == clean.now
    [feed_status] = filter(None, refuted)
    assert feed_status.ts_event == (1_763_683_200 + 50 + ahead) * SECOND


def test_a_first_word_that_leaps_is_not_believed_either() -> None:
    clock = InputClock()
    say(clock, "a", 86_400)
    for second in range(3):
        say(clock, "a", second)
    assert now(clock) == 2


def test_time_leaps_when_records_and_words_leap_together() -> None:
    clock = since_second_zero("a")
    say(clock, "a", 9_000)
    assert now(clock) == 0
    note(clock, (1_763_683_200 + 9_001) * SECOND)
    assert say(clock, "a", 9_001).moved
    assert now(clock) == 9_001


def test_words_that_run_ahead_of_all_records_are_never_believed() -> None:
    clock = InputClock()
    for second in range(100):
        say(clock, "skewed", second + 120)
        note(clock, (1_763_683_200 + second) * SECOND)
    assert now(clock) is None


def test_a_feed_that_speaks_every_fifteen_seconds_is_one_word_late_at_most_once() -> None:
    clock = InputClock()
    for second in range(0, 300, 15):
        say(clock, "slow", second)
        assert second < 30 or now(clock) == second


def test_a_newcomer_holds_nobody_back_before_it_has_kept_pace() -> None:
    clock = since_second_zero("a")
    for second in range(1, 400):
        say(clock, "a", second)
    say(clock, "new", 380)
    say(clock, "a", 400)
    assert now(clock) == 400
    for second in range(400, 420):
        say(clock, "a", second)
        say(clock, "new", second - 2)
    assert now(clock) == 417


@pytest.mark.parametrize("years", [1, 10])
def test_a_word_of_years_ago_from_an_unknown_name_is_refused(years: int) -> None:
    clock = since_second_zero("a")
    assert refused(clock, "old", -years * 31_536_000) == "behind"
    early = InputClock()
    for second in range(3):
        say(early, "old", second - years * 31_536_000)
    for second in range(100):
        say(early, "a", second)
    assert now(early) == 99


def test_names_without_end_leave_the_clock_as_large_as_it_may_be() -> None:
    clock = since_second_zero(*(f"p{number}" for number in range(PRODUCERS)))
    assert refused(clock, "p0", 10) is None
    assert refused(clock, "one more", 10) == "crowded"
    for number in range(200):
        say(clock, f"random{number}", 5)
    assert len(clock.heard) == PRODUCERS
    for second in range(400):
        say(clock, "p0", second)
    for second in (398, 399):
        say(clock, "newcomer", second)
    assert now(clock) == 399
    assert "newcomer" in clock.heard
    assert len(clock.heard) == len(clock.spoke) == PRODUCERS


def test_ten_thousand_names_of_one_word_each_take_no_place() -> None:
    clock = since_second_zero("a")
    for second in range(1, 100):
        say(clock, "a", second)
        for number in range(100):
            say(clock, f"{second}-{number}", second)
    assert now(clock) == 99
    assert len(clock.pending) <= PRODUCERS


@pytest.mark.parametrize("ahead", [15, 290, 86_400])
def test_words_that_repeat_a_leap_without_a_record_between_are_not_believed(ahead: int) -> None:
    clock = since_second_zero("a")
    for repeated in range(5):
        say(clock, "a", ahead + repeated)
    note(clock, (1_763_683_200 + 1) * SECOND)
    assert say(clock, "a", 2).refuted is not None
    assert now(clock) == 2


def test_another_producers_time_speaks_against_a_leap_of_one_that_has_no_records() -> None:
    clock = since_second_zero("a", "b")
    for second in range(1, 100):
        say(clock, "a", second + 3_600)
        say(clock, "b", second)
    assert clock.lead < (1_763_683_200 + 100) * SECOND


def test_a_quiet_feed_that_leaps_and_goes_on_is_believed_after_ten_seconds() -> None:
    clock = since_second_zero("a")
    for second in range(3_600, 3_612):
        say(clock, "a", second)
    assert now(clock) == 3_611
