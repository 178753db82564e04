"""Scores beside their thresholds: how near each side is to its next alarm."""

from collections import defaultdict

import msgspec
from nights import PARAMS, START, clocked, night

from schemas.findings import CascadeFinding, SideScore
from schemas.words import SECOND
from streams.core import pipeline
from streams.core.sides import SCORE_S


def outputs() -> list[pipeline.Output]:
    state = pipeline.State()
    out: list[pipeline.Output] = []
    for topic, record in clocked(night()):
        out += pipeline.step(PARAMS, state, topic, record).outputs
    return out


OUTPUTS = outputs()
SCORES = [record for _, record in OUTPUTS if isinstance(record, SideScore)]


def test_scores_have_a_topic_of_their_own_and_no_alert() -> None:
    assert SCORES
    assert {topic for topic, record in OUTPUTS if isinstance(record, SideScore)} == {"scores"}


def test_the_second_of_an_onset_has_a_score_at_its_threshold_or_above() -> None:
    onsets = [r for _, r in OUTPUTS if isinstance(r, CascadeFinding) and r.phase == "onset"]
    assert onsets
    for onset in onsets:
        [score] = [s for s in SCORES if (s.asset, s.ts_event) == (onset.asset, onset.ts_event)]
        assert score.log_rate >= score.threshold
        for name in ("position_side", "log_rate", "threshold", "threshold_is_default",
                     "score_name", "feed_class", "coverage", "ts_detect"):  # fmt: skip
            assert getattr(score, name) == getattr(onset, name), name


def test_in_ten_seconds_only_higher_scores_are_told_and_the_first() -> None:
    stretches: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for score in SCORES:
        stretch = score.ts_event // SECOND // SCORE_S
        stretches[score.asset, score.position_side, stretch].append(score.log_rate)
    assert any(len(rates) > 1 for rates in stretches.values())
    for rates in stretches.values():
        assert rates == sorted(set(rates))


def test_before_enough_is_learnt_there_is_no_score() -> None:
    learnt = START + PARAMS.onset.min_history_s
    assert min(score.ts_event for score in SCORES) >= learnt * SECOND


def test_a_score_survives_a_restart_of_its_ten_seconds() -> None:
    """The state says what was told: nothing is told twice."""
    items = clocked(night())
    state, again = pipeline.State(), []
    for number, (topic, record) in enumerate(items):
        if number % 997 == 0:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=pipeline.State)
        again += pipeline.step(PARAMS, state, topic, record).outputs
    assert [record for _, record in again if isinstance(record, SideScore)] == SCORES
