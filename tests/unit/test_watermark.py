"""How far event time has come, told by data alone."""

from schemas.status import FeedStatus
from schemas.words import SECOND, FeedState
from streams.detectors.watermark import InputClock, observe


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
