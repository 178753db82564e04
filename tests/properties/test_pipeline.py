"""Split it anywhere, shuffle it within grace, send it twice: the findings stay the same."""

import random
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nights import PARAMS, Event, Item, clocked, complete_night, disturbed_night, night

from schemas.findings import CascadeFinding, MarketFinding, WhaleFinding
from schemas.status import FeedStatus
from schemas.words import grid_usd
from streams.core import pipeline


def play(items: list[Item], cuts: tuple[int, ...] = ()) -> list[Item]:
    state = pipeline.State()
    outputs = []
    for number, (topic, record) in enumerate(items):
        if number in cuts:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=pipeline.State)
        outputs += pipeline.step(PARAMS, state, topic, record).outputs
    return [o for o in outputs if o[0] != "bars"]


def by_id(outputs: list[Item]) -> list[bytes]:
    return sorted(topic.encode() + msgspec.json.encode(record) for topic, record in outputs)


@pytest.fixture(scope="module", params=[night, disturbed_night, complete_night])
def events(request: pytest.FixtureRequest) -> list[Event]:
    made: list[Event] = request.param()
    return made


@pytest.fixture(scope="module")
def undisturbed(events: list[Event]) -> list[bytes]:
    return by_id(play(clocked(events)))


def test_the_night_has_an_onset_in_both_assets_a_market_onset_and_a_verdict() -> None:
    outputs = play(clocked(night()))
    records = [record for _, record in outputs]
    onsets = [r.asset for r in records if isinstance(r, CascadeFinding) and r.phase == "onset"]
    assert sorted(onsets) == ["BTC", "ETH"]
    assert [r.phase for r in records if isinstance(r, MarketFinding)] == ["onset", "closed"]
    assert len([r for r in records if isinstance(r, WhaleFinding)]) == 1


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 20_000), max_size=4, unique=True))
def test_state_saved_and_restored_anywhere_gives_the_same_findings(
    events, undisturbed, cuts
) -> None:
    assert by_id(play(clocked(events), tuple(cuts))) == undisturbed


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32))
def test_permuting_records_within_grace_changes_nothing(events, undisturbed, seed) -> None:
    draw = random.Random(seed)
    items = clocked(events)
    # A record may move within its heartbeat interval and one interval later (words come once a second).
    beats = [i for i, (_, r) in enumerate(items) if isinstance(r, FeedStatus)]
    for low, high in pairwise(beats):
        middle = items[low + 1 : high]
        draw.shuffle(middle)
        items[low + 1 : high] = middle
    late = [
        i
        for i, (_, r) in enumerate(items)
        if not isinstance(r, FeedStatus) and draw.random() < 0.05
    ]
    for i in reversed(late):
        item = items.pop(i)
        after = next(
            (j for j in range(i, len(items)) if isinstance(items[j][1], FeedStatus)), len(items) - 1
        )
        items.insert(min(after + 3, len(items) - 4), item)
    assert by_id(play(items)) == undisturbed


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32))
def test_a_record_sent_twice_changes_nothing(events, undisturbed, seed) -> None:
    draw = random.Random(seed)
    items: list[Item] = []
    for item in clocked(events):
        items.append(item)
        if draw.random() < 0.1:
            items.append(item)
    assert by_id(play(items)) == undisturbed


@settings(max_examples=4, deadline=None)
@given(st.integers(2, 40))
def test_how_often_the_clock_is_told_does_not_matter(events, undisturbed, every) -> None:
    assert by_id(play(clocked(events, every))) == undisturbed


@given(st.lists(st.floats(0, 1e8), min_size=1, max_size=200), st.randoms())
def test_dollar_sums_do_not_depend_on_order(worths, draw) -> None:
    grid = [grid_usd(w) for w in worths]
    shuffled = grid[:]
    draw.shuffle(shuffled)
    assert sum(grid) == sum(shuffled)
