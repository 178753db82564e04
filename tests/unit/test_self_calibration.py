"""Thresholds that move by themselves: towards the budget, bounded, and the same when replayed."""

import itertools
import random
from collections.abc import Iterator

import msgspec
import pytest
from nights import liquidation

from schemas.findings import CascadeFinding, ThresholdFinding
from schemas.status import FeedStatus
from schemas.words import SECOND
from streams.core import engine
from streams.core.detectors import self_calibration
from streams.core.detectors.self_calibration import Blocks
from streams.core.params import OnsetParams, Params, SelfCalibrationParams
from streams.core.shard import Shard

HOUR = 3_600
START = 1_763_683_200
#: Blocks of an hour, so that a day has 24 of them; one alarm in four hours is wanted.
MOVES = SelfCalibrationParams(
    budget=42.0, block_s=HOUR, blocks=12, least_blocks=4, weight_blocks=2.0, step=0.2, reach=0.7
)
LOW = OnsetParams(cascade={"*": dict.fromkeys(("full", "mixed", "throttled"), 3.0)})
ON = Params(onset=LOW, self_calibration=MOVES)
Item = tuple[str, msgspec.Struct]


def hours(count: int, burst: int, silent: range = range(0)) -> Iterator[Item]:
    """BTC's orders: a few a minute, and a burst of so many in each hour; words every 10 s."""
    draw = random.Random(5)
    for second in range(START, START + count * HOUR):
        since = second - START
        number = 3 if since % HOUR in range(1_800, 1_800 + burst) else int(draw.random() < 0.05)
        for n in range(number):
            if since not in silent:
                yield "liquidations", liquidation(second, n, 5_000.0, "BTC", "bybit")
        if since % 10 == 9:
            for topic in ("liquidations", "bars", "whale_transfers"):
                state = "silent" if since in silent and topic == "liquidations" else "alive"
                yield topic, FeedStatus(producer="f", state=state, ts_event=(second + 1) * SECOND)


def played(
    params: Params, items: Iterator[Item], restart_every: int = 0
) -> tuple[Shard, list[object]]:
    shard, findings = Shard(), []
    for number, (topic, record) in enumerate(items):
        if restart_every and number % restart_every == 0:
            shard = msgspec.msgpack.decode(msgspec.msgpack.encode(shard), type=Shard)
        findings += engine.step(params, shard, topic, record).findings
    return shard, findings


def moves(findings: list[object]) -> list[ThresholdFinding]:
    return [f for f in findings if isinstance(f, ThresholdFinding)]


LOUD = played(ON, hours(11, burst=90))
CALM = played(ON, hours(11, burst=2))


def test_a_threshold_that_is_passed_every_hour_rises_and_each_step_is_a_finding() -> None:
    told = moves(LOUD[1])
    assert {f.feed_class for f in told} == {"full"}
    assert told[0].threshold_before == 3.0 < told[0].threshold
    for before, after in itertools.pairwise(told):
        assert after.threshold_before == pytest.approx(before.threshold)
    assert max(f.threshold for f in told) > 3.3
    assert all(f.blocks >= MOVES.least_blocks and f.budget_per_week == 42.0 for f in told)


def test_a_threshold_that_is_never_neared_falls_but_no_farther_than_it_may() -> None:
    told = moves(CALM[1])
    assert told[-1].threshold == pytest.approx(3.0 - MOVES.reach)
    assert all(abs(f.threshold - f.threshold_before) <= MOVES.step + 1e-9 for f in told)


def test_the_threshold_that_moved_is_the_one_that_calls() -> None:
    now, called = 3.0, 0
    for finding in LOUD[1]:
        if isinstance(finding, ThresholdFinding):
            now = finding.threshold
        elif isinstance(finding, CascadeFinding) and finding.phase == "onset":
            assert finding.threshold == pytest.approx(now)
            called += now > 3.0
    assert called


def test_nothing_moves_while_a_cascade_is_open() -> None:
    opened = False
    for finding in LOUD[1]:
        if isinstance(finding, CascadeFinding):
            opened = finding.phase != "closed"
        assert not (isinstance(finding, ThresholdFinding) and opened)
    assert any(isinstance(f, CascadeFinding) for f in LOUD[1])


def test_without_a_budget_nothing_moves_and_nothing_is_remembered() -> None:
    shard, findings = played(Params(onset=LOW), hours(8, burst=90))
    assert not moves(findings)
    assert shard.assets["BTC"].blocks == Blocks()


def test_a_restart_changes_nothing() -> None:
    assert played(ON, hours(11, burst=90), restart_every=997)[1] == LOUD[1]


def test_hours_in_which_nobody_watched_are_not_among_the_blocks() -> None:
    seen, _ = played(ON, hours(9, burst=2))
    dark, _ = played(ON, hours(9, burst=2, silent=range(4 * HOUR + 60, 5 * HOUR - 60)))
    [all_of] = seen.assets["BTC"].blocks.maxima.values()
    [fewer] = dark.assets["BTC"].blocks.maxima.values()
    assert len(fewer) == len(all_of) - 1


def test_a_block_of_two_classes_of_feed_says_nothing_of_either() -> None:
    state = Blocks()
    self_calibration.note(MOVES, state, (HOUR, HOUR), "full", 0.5)
    self_calibration.note(MOVES, state, (HOUR + 60, HOUR + 60), "mixed", 0.7)
    assert self_calibration.close(MOVES, state, 2 * HOUR, 2 * HOUR) is None
    assert state.maxima == {}
    self_calibration.note(MOVES, state, (2 * HOUR, 2 * HOUR), "mixed", 0.3)
    self_calibration.close(MOVES, state, 4 * HOUR, 4 * HOUR)
    assert state.maxima == {"mixed": [0.3, self_calibration.NOTHING]}


def test_of_many_days_the_quantile_keeps_the_budget() -> None:
    draw = random.Random(1)
    maxima = [draw.gauss(0, 1) for _ in range(700)]
    at = self_calibration.quantile(maxima, 0.8669)
    assert sum(m > at for m in maxima) / 100 == pytest.approx(1.0, abs=0.08)
