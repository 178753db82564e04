"""What `make bench` calls saturated."""

from bench.backlog import READS, Seen, behind_s, saturated


def seen(at, written, committed):
    """Everyone at the same place, but detect."""
    level = dict.fromkeys(READS, written)
    return Seen(at, level, level | {"detect": committed})


def test_a_stage_is_behind_by_the_seconds_it_took_to_write_what_it_has_left():
    assert behind_s(seen(0, 0, 0), seen(10, 1_000, 700), "detect") == 3.0


def test_a_stage_that_falls_behind_is_saturated():
    verdict = saturated(seen(0, 0, 0), seen(10, 1_000, 900), seen(20, 2_000, 1_500))
    assert verdict == ["detect"]


def test_a_stage_that_stays_as_far_behind_is_not():
    assert not saturated(seen(0, 0, 0), seen(10, 1_000, 700), seen(20, 2_000, 1_700))


def test_nothing_written_is_nothing_to_be_behind():
    assert behind_s(seen(0, 5, 0), seen(10, 5, 0), "detect") == 0.0
