"""Where a minute of flow is kept, alone or packed, changes nothing that is read of it."""

import copy
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.bars import Bar
from schemas.words import MINUTE, grid_usd
from streams.core.detectors import flow, flow_block
from streams.core.detectors.flow import DAY, HOUR, FlowState
from streams.core.detectors.flow_block import MinuteFlow

FIRST = 29_394_720  # a midnight
VENUES = ("binance", "bybit", "okx")


def bar(minute: int, width_min: int = 1, buy_usd: float = 5.0) -> Bar:
    return Bar(
        venue="binance",
        instrument="BTC-USDT-PERP",
        asset="BTC",
        ts_open=minute * MINUTE,
        width=width_min * MINUTE,
        high=101.5,
        low=99.25,
        quantity=1.0,
        buy_usd=buy_usd,
        sell_usd=2.5,
        trades=3,
    )


def twins(seed: int, minutes: int, late: int) -> tuple[FlowState, FlowState]:
    """The same tape, with gaps and venues that come and go, kept minute by minute and packed."""
    draw = random.Random(seed)
    packed = FlowState(changed=set())
    minute = FIRST + draw.randrange(2 * HOUR)
    for _ in range(minutes):
        minute += 1 if draw.random() > 0.01 else draw.randrange(1, 200)
        for venue in draw.sample(VENUES, draw.randrange(0, 4)):
            flow.add(packed, minute, venue, *(grid_usd(draw.lognormvariate(9, 2)) for _ in "ab"))
        price = round(draw.gauss(100, 3), 2)
        flow.add_range(packed, minute, price + draw.random(), price)
    plain = FlowState(minutes=copy.deepcopy(packed.minutes))
    flow.settle(packed, minute - late)
    return plain, packed


@pytest.mark.parametrize("seed", range(8))
def test_packing_changes_no_bit_of_what_is_read(seed: int) -> None:
    plain, packed = twins(seed, 3 * DAY, late=seed * 40)
    assert packed.days
    assert len(packed.minutes) < len(plain.minutes) / 3
    draw = random.Random(seed)
    last = max(plain.minutes)
    for before in (0, FIRST + 100, FIRST + DAY + 700):
        flow.forget(plain, before)
        flow.forget(packed, before)
        assert flow.oldest(packed) == min(plain.minutes)
        for _ in range(30):
            start = draw.randrange(FIRST, last)
            end = draw.randrange(start + 1, last + 10)
            for venue in ("binance", "nowhere"):
                same(flow.matrix(plain, venue, start, end), flow.matrix(packed, venue, start, end))
            assert flow.extremes(plain, end, 60) == flow.extremes(packed, end, 60)
            near = flow.cells(plain, start, min(end, start + 90))
            assert near == flow.cells(packed, start, min(end, start + 90))


def same(one: flow.FlowMatrix, other: flow.FlowMatrix) -> None:
    for name in one.__struct_fields__:
        a, b = getattr(one, name), getattr(other, name)
        assert a.tobytes() == b.tobytes() if isinstance(a, np.ndarray) else a == b


floats = st.floats(allow_nan=False)
minute_cells = st.builds(
    MinuteFlow,
    venues=st.dictionaries(st.sampled_from(VENUES), st.lists(floats, min_size=2, max_size=2)),
    high=floats,
    low=floats,
)


@given(st.dictionaries(st.integers(0, HOUR - 1), minute_cells, min_size=1))
def test_what_is_unpacked_is_what_was_packed(cells: dict[int, MinuteFlow]) -> None:
    kept = {FIRST + minute: cell for minute, cell in cells.items()}
    packed = flow_block.pack(flow_block.of_minutes(kept, FIRST, HOUR))
    assert flow_block.minutes(flow_block.unpack(packed), FIRST) == kept


def test_a_bar_of_an_hour_never_opens_in_what_is_packed_already() -> None:
    for close in range(FIRST + 3 * HOUR, FIRST + 4 * HOUR):
        state = FlowState()
        for minute in range(FIRST, close):
            flow.step(state, minute * 60 + 59, [bar(minute)])
        second = close * 60 - 1
        flow.settle(state, second // 60 - 60)
        assert state.hours
        before = sum(sum(cell.venues["binance"]) for cell in state.minutes.values())
        flow.step(state, second + 1, [bar(close - HOUR, width_min=HOUR)])
        after = sum(sum(cell.venues["binance"]) for cell in state.minutes.values())
        assert after == before + 7.5


def test_a_second_is_not_added_again_to_what_is_packed() -> None:
    state = FlowState()
    for minute in range(FIRST, FIRST + 2 * HOUR):
        flow.step(state, minute * 60 + 59, [bar(minute)])
    flow.settle(state, FIRST + HOUR)
    before = copy.deepcopy(state)
    flow.step(state, (FIRST + 5) * 60 + 59, [bar(FIRST + 5)])
    assert state == before


def test_whole_days_and_hours_are_forgotten_and_none_of_their_minutes_is_read() -> None:
    _, state = twins(1, 4 * DAY, late=0)
    days = sorted(state.days)
    flow.forget(state, days[1] + 90)
    assert sorted(state.days) == days[1:]
    assert not flow.cells(state, days[1], days[1] + 89)
    assert (days[0], DAY) in (state.changed or set())
    assert flow.row(state, days[0], DAY) is None


def test_rows_give_back_the_state_with_or_without_the_parts_of_what_was_packed() -> None:
    _, state = twins(2, 2 * DAY, late=0)
    rows = {row: flow.row(state, *row) for row in state.changed or ()}
    kept = {row: content for row, content in rows.items() if content is not None}
    again = FlowState(changed=set())
    flow.restore(again, kept)
    assert (again.minutes, again.hours, again.days) == (state.minutes, state.hours, state.days)
    assert again.changed == set()
    hour = max(state.hours)
    parts = {(hour, 1), (hour + 3, 1), (min(state.days), HOUR), (min(state.days) + HOUR, HOUR)}
    again = FlowState(changed=set())
    flow.restore(again, kept | dict.fromkeys(parts, b"stale"))
    assert (again.minutes, again.hours, again.days) == (state.minutes, state.hours, state.days)
    assert again.changed == parts


def test_an_asset_of_two_venues_needs_less_than_45_kb_a_day_however_long_it_is_kept() -> None:
    draw, state = random.Random(4), FlowState()
    for minute in range(FIRST, FIRST + 4 * DAY):
        for venue in VENUES[:2]:
            flow.add(state, minute, venue, *(grid_usd(draw.lognormvariate(12, 2)) for _ in "ab"))
        flow.add_range(state, minute, round(draw.gauss(9e4, 99), 1), round(draw.gauss(9e4, 99), 1))
        flow.settle(state, minute - HOUR)
    assert len(state.days) == 3
    assert len(state.hours) <= 24
    assert len(state.minutes) <= 2 * HOUR
    assert max(map(len, state.days.values())) < 45_000


def test_days_that_are_put_away_are_brought_back_as_they_were_and_never_read_as_nothing() -> None:
    plain, state = twins(3, 3 * DAY, late=0)
    span = ("binance", FIRST, max(plain.minutes))
    unstored = max(state.days)
    state.changed = {(unstored, DAY)}
    before = dict(state.days)
    flow.put_away(state)
    gone = flow.away(state)
    assert gone == [(start, DAY) for start in before if start != unstored]
    with pytest.raises(LookupError, match="put away"):
        flow.matrix(state, *span)
    # A shell would take nothing for deleted.
    with pytest.raises(LookupError, match="put away"):
        flow.row(state, *gone[0])
    flow.bring_back(state, {start: before[start] or b"" for start, _ in gone})
    assert not flow.away(state)
    same(flow.matrix(plain, *span), flow.matrix(state, *span))
    flow.put_away(state)
    flow.forget(state, gone[0][0] + DAY)
    assert flow.row(state, *gone[0]) is None
