"""Shipped thresholds beside those that the engine moves, on series made by hand."""

import numpy as np
import pytest
from msgspec.structs import replace

from streams.core.params import Params
from streams.evaluate import redrawn, self_calibrated
from streams.evaluate.events import SKIP, High, Truth, high
from streams.evaluate.protocol import rows

DAYS = self_calibrated.DAYS
FEED = redrawn.feeds_of(3)[0]


def side(peak: float, rise: float = 0.01) -> High:
    """A series that is calm but for a minute of each day, higher from Monday to Sunday."""
    score = np.full(DAYS * SKIP, -8.0, np.float32)
    for day in range(DAYS):
        score[day * SKIP + 40_000 : day * SKIP + 40_060] = peak + rise * (day % 7)
    return high(score, self_calibrated.FLOOR)


def moved(peak: float, budget: float = 1.0) -> np.ndarray:
    rules = replace(Params().self_calibration, budget=budget)
    return self_calibrated.moved(rules, [side(peak), side(-3.0)], FEED)


def test_nothing_moves_before_two_weeks_are_known() -> None:
    assert not moved(0.8)[:15].any()


def test_a_threshold_that_is_passed_each_day_rises_and_one_never_passed_falls() -> None:
    assert moved(0.8)[-1] == pytest.approx(0.8, abs=0.2)
    assert moved(-0.8)[-1] == pytest.approx(-0.8, abs=0.2)


def test_without_a_budget_nothing_moves() -> None:
    assert not moved(0.8, 0.0).any()


def test_a_moved_threshold_is_what_alarms_are_counted_by() -> None:
    truth = Truth(rows([], 3), rows([], 2), np.zeros(DAYS * SKIP + 1))
    sides = [side(0.0, 0.1), side(-3.0)]
    outcomes = self_calibrated.judged(3, ("deep", FEED), [truth, truth], sides, Params())
    false = {one.source: one.false for one in outcomes}
    assert false["shipped"] == 56
    assert false["self-calibrated, 1 a week"] <= 24
