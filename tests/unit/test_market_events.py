"""Alarms are matched, counted and bounded as detection.md section 2 says."""

import numpy as np
import pytest

from streams.evaluate.calibrate import threshold
from streams.evaluate.events import (
    SKIP,
    WEEK,
    Truth,
    Weeks,
    alarms,
    alarms_of_high,
    difference,
    false_alarms,
    figures,
    high,
    judge,
)

T = SKIP + 4 * WEEK
AT = SKIP + 100_000


def truth_of(cascades: list[tuple[int, int, int]], grey: list[tuple[int, int]]) -> Truth:
    usd = np.zeros(T + 1)
    for t0, t95, _ in cascades:
        usd[t0 + 1 : t95 + 2] += 1.0
    return Truth(
        np.array(cascades, np.int64).reshape(-1, 3),
        np.array(grey, np.int64).reshape(-1, 2),
        np.cumsum(usd),
    )


ONE = truth_of([(AT, AT + 400, AT + 500)], [(AT + 50_000, AT + 50_100)])


def judged(*at: int) -> Weeks:
    return judge([(0, ONE)], [np.array(at, np.int64)])


def test_an_alarm_is_armed_again_only_after_five_minutes_below() -> None:
    score = np.zeros(3000, np.float32)
    score[[100, 300, 1000]] = 6
    score[1100:2500] = 5
    score[2600] = 6
    assert alarms(score, 5.5, 1.4, 300).tolist() == [100, 1000]


@pytest.mark.parametrize("rearm_s", [1, 5, 120])
def test_a_series_without_its_calm_has_the_same_alarms(rearm_s: int) -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        score = np.cumsum(rng.normal(size=5_000) * 0.1).astype(np.float32)
        at = float(rng.uniform(0.0, 2.0))
        cut = high(score, at - 1.6)
        assert (
            alarms_of_high(cut, at, 1.4, rearm_s).tolist()
            == alarms(score, at, 1.4, rearm_s).tolist()
        )
    with pytest.raises(ValueError, match="armed again"):
        alarms_of_high(cut, at - 1.0, 1.4, rearm_s)


def test_an_alarm_from_five_minutes_before_onset_until_t95_finds_the_cascade() -> None:
    for at, matched in ((AT - 301, False), (AT - 300, True), (AT + 400, True), (AT + 401, False)):
        assert judged(at).caught.tolist() == [matched], at


def test_damage_to_come_is_counted_from_the_alarm() -> None:
    assert judged(AT - 100).left.tolist() == [1.0]
    assert judged(AT + 199).left[0] == pytest.approx(201 / 401, abs=0.003)
    assert judged().left.tolist() == [0.0]


def test_alarms_near_a_cascade_or_a_grey_burst_are_excused() -> None:
    at = np.array([5, AT - 300, AT + 2300, AT + 2301, AT + 49_700, AT + 90_000], np.int64)
    assert false_alarms(ONE, at).tolist() == [AT + 2301, AT + 90_000]


def test_false_alarms_are_counted_for_each_watched_asset_week() -> None:
    weeks = judge([(0, ONE), (0, ONE)], [np.array([AT + 90_000]), np.array([AT])])
    assert weeks.watched.tolist() == [2, 2, 2, 2]
    assert weeks.false.sum() == 1
    assert figures(weeks).false_a_week.value == pytest.approx(1 / 8)


def test_equal_detectors_differ_by_nothing_and_intervals_hold_their_value() -> None:
    rng = np.random.default_rng(3)
    spans = [(s, s + 400, s + 500) for s in range(SKIP + 10_000, T - 10_000, 60_000)]
    truth = truth_of(spans, [])
    at = np.array([s + int(rng.integers(-200, 600)) for s, _, _ in spans])
    one = judge([(0, truth)], [at])
    rates = figures(one)
    assert rates.recall.low < rates.recall.value < rates.recall.high
    assert rates.rem_usd.low < rates.rem_usd.value < rates.rem_usd.high
    same = difference(one, one, lambda w: w.left)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_the_threshold_meets_the_budget_and_stands_in_its_interval() -> None:
    rng = np.random.default_rng(4)
    score = rng.normal(size=T).astype(np.float32)
    spikes = np.sort(rng.choice(np.arange(SKIP, T, 3600), 80, replace=False))
    score[spikes] = rng.uniform(6, 9, 80)
    fitted = threshold([(truth_of([], []), score)], budget=2.0)
    count = len(alarms(score, fitted.value, 1.4, 300)) / 4
    assert count <= 2.0
    assert fitted.low <= fitted.value <= fitted.high
    assert len(alarms(score, fitted.value - 0.1, 1.4, 300)) / 4 >= 2.0
