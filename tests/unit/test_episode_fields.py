"""Fields that explain an episode, as its findings tell them."""

import msgspec
import pytest
from nights import PARAMS, Event, clocked, night

from schemas.findings import CascadeFinding
from schemas.market import Liquidation
from streams import pipeline


def findings(events: list[Event]) -> list[CascadeFinding]:
    state = pipeline.State()
    return [
        record
        for topic, item in clocked(events)
        for _, record in pipeline.step(PARAMS, state, topic, item).outputs
        if isinstance(record, CascadeFinding)
    ]


def complete(events: list[Event]) -> list[Event]:
    """The same night through feeds that show every order."""
    return [
        (second, topic, msgspec.structs.replace(record, coverage="full"))
        if isinstance(record, Liquidation)
        else (second, topic, record)
        for second, topic, record in events
    ]


@pytest.fixture(scope="module")
def whole() -> list[CascadeFinding]:
    return findings(complete(night()))


@pytest.fixture(scope="module")
def throttled() -> list[CascadeFinding]:
    return findings(night())


def test_a_branching_ratio_needs_every_venue_complete_and_enough_orders(
    whole: list[CascadeFinding], throttled: list[CascadeFinding]
) -> None:
    assert {f.branching_ratio for f in throttled} == {None}
    # Of BTC there is a watch only, of which nothing is told.
    assert {f.branching_ratio for f in whole if f.asset == "BTC"} == {None}
    for finding in (f for f in whole if f.asset == "ETH"):
        if finding.phase in ("peak", "exhausted", "closed"):
            assert finding.branching_ratio is not None
            assert finding.branching_low is not None
            assert finding.branching_high is not None
            assert finding.branching_low <= finding.branching_ratio <= finding.branching_high
        if finding.orders < 100:
            assert finding.branching_ratio is None
    assert {f.phase for f in whole} >= {"watch", "onset", "peak", "exhausted", "closed"}
