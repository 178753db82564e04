"""How far event time has come, told by data alone."""

from schemas.status import FeedStatus
from schemas.words import SECOND, FeedState
from streams.core.detectors.watermark import PRODUCERS, InputClock, crowded, observe


def say(
    clock: InputClock,
    producer: str,
    second: int,
    state: FeedState = "alive",
    part: int = 0,
    parts: int = 1,
) -> None:
    base = 1_763_683_200
    observe(
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


def now(clock: InputClock) -> int | None:
    return clock.now // SECOND - 1_763_683_200 if clock.now else None


def test_the_clock_is_the_slowest_producers() -> None:
    clock = InputClock()
    say(clock, "a", 10)
    say(clock, "b", 5)
    say(clock, "a", 20)
    assert now(clock) == 10
    say(clock, "b", 15)
    assert now(clock) == 15


def test_the_clock_never_goes_back() -> None:
    clock = InputClock()
    say(clock, "a", 10)
    say(clock, "a", 3)
    say(clock, "latecomer", 1)
    assert now(clock) == 10


def test_a_partitioned_producer_counts_when_all_its_parts_have_spoken() -> None:
    clock = InputClock()
    say(clock, "rollup", 10, part=0, parts=2)
    assert now(clock) is None
    say(clock, "rollup", 7, part=1, parts=2)
    assert now(clock) == 7


def test_a_silent_producer_holds_nobody_up() -> None:
    clock = InputClock()
    say(clock, "a", 10)
    say(clock, "b", 10)
    say(clock, "b", 12, "silent")
    say(clock, "a", 30)
    assert now(clock) == 30
    say(clock, "b", 31, "recovered")
    say(clock, "a", 40)
    assert now(clock) == 31


def test_time_in_which_everyone_was_silent_is_not_watched_time() -> None:
    clock = InputClock()
    say(clock, "a", 10)
    say(clock, "a", 12, "silent")
    say(clock, "a", 112, "recovered")
    base = 1_763_683_200
    assert clock.dark == [(base + 12, base + 112)]
    assert clock.covered(base + 120) - clock.covered(base + 5) == 15
    assert clock.covered(base + 60) == clock.covered(base + 12)


def test_a_producer_that_died_without_a_word_is_waited_for_no_longer_than_that() -> None:
    clock = InputClock()
    say(clock, "dead", 10)
    for second in range(10, 311):
        say(clock, "b", second)
    assert now(clock) == 10
    say(clock, "b", 311)
    assert now(clock) == 311
    say(clock, "dead", 312)
    say(clock, "b", 320)
    assert now(clock) == 312


def test_a_producer_that_lags_but_speaks_is_waited_for() -> None:
    clock = InputClock()
    for second in range(0, 4_000, 5):
        say(clock, "catching up", second // 2)
        say(clock, "ahead", 10_000 + second)
    assert now(clock) == 3_995 // 2


def test_one_clock_that_leaps_silences_nobody() -> None:
    clock = InputClock()
    say(clock, "a", 10)
    say(clock, "b", 86_400)
    assert now(clock) == 10
    say(clock, "a", 11)
    assert now(clock) == 11


def test_parts_of_one_producer_lag_each_other_as_far_as_they_like() -> None:
    clock = InputClock()
    say(clock, "rollup", 0, part=1, parts=2)
    for second in range(4_000):
        say(clock, "rollup", second, part=0, parts=2)
    assert now(clock) == 0


def test_when_the_others_are_silent_or_dead_nobody_watches() -> None:
    clock = InputClock()
    say(clock, "dead", 10)
    for second in range(10, 400):
        say(clock, "a", second)
    say(clock, "a", 400, "silent")
    assert clock.dark_since == 1_763_683_200 + 400


def test_names_without_end_leave_the_clock_as_large_as_it_may_be() -> None:
    clock = InputClock()
    for number in range(PRODUCERS):
        say(clock, f"p{number}", 10)
    assert not crowded(clock, "p0", 300)
    assert crowded(clock, "one more", 300)
    for number in range(200):
        say(clock, f"random{number}", 5)
    assert len(clock.heard) == PRODUCERS
    for second in range(400):
        say(clock, "p0", second)
    say(clock, "newcomer", 399)
    assert now(clock) == 399
    assert "newcomer" in clock.heard
    assert len(clock.heard) == len(clock.spoke) == PRODUCERS
