"""Whose positions were closed, where the feed does not say."""

import msgspec
import pytest
from nights import PARAMS, START, Event, clocked, night

from schemas.findings import CascadeFinding
from schemas.market import Liquidation, Trade
from streams.core import pipeline
from streams.core.detectors import direction, flow
from streams.core.params import EpisodeParams


def tape(*minutes: tuple[float, float, float]) -> flow.FlowState:
    """(bought USD, sold USD, price) of minutes 100, 101, ..."""
    state = flow.FlowState()
    for minute, (bought, sold, price) in enumerate(minutes, 100):
        flow.add(state, minute, "v", bought, sold)
        flow.add_range(state, minute, price, price)
    return state


@pytest.mark.parametrize(
    ("bought", "sold", "price", "side", "why"),
    [
        (9e6, 4e6, 101.0, "short", "takers bought"),
        (4e6, 9e6, 99.0, "long", "takers sold"),
        (9e6, 4e6, 99.0, "unknown", "disagree"),
        (9e6, 4e6, 100.01, "unknown", "too little"),
        (5e6, 5.05e6, 99.0, "unknown", "too little"),
    ],
)
def test_a_side_is_named_where_price_and_flow_agree_on_it(bought, sold, price, side, why) -> None:
    inferred = direction.infer(
        EpisodeParams(), tape((1, 1, 100.0), (bought, sold, price)), 101 * 60
    )
    assert inferred.side == side
    assert why in inferred.reason


def test_without_a_tape_the_side_stays_unknown() -> None:
    inferred = direction.infer(EpisodeParams(), flow.FlowState(), 6_000)
    assert inferred == ("unknown", "no trades in the 5 min before to tell by")


def unsided(event: Event, mirror: bool) -> Event:
    """The same without its side; mirrored, prices rise and takers buy where they sold."""
    second, topic, record = event
    if isinstance(record, Liquidation):
        record = msgspec.structs.replace(record, position_side="unknown", order_side=None)
    elif isinstance(record, Trade) and second - START > 1_500:
        price = 200.0 - record.price if mirror else record.price
        worth = record.quantity * price
        record = msgspec.structs.replace(
            record, price=price, notional_usd=worth, aggressor_side="buy" if mirror else "sell"
        )
    return second, topic, record


@pytest.mark.parametrize(("mirror", "side"), [(False, "long"), (True, "short")])
def test_an_episode_of_unknown_side_says_which_it_is_and_why(mirror, side) -> None:
    state = pipeline.State()
    inferences = [
        record
        for topic, item in clocked([unsided(e, mirror) for e in night(burst_at=1_500)])
        for _, record in pipeline.step(PARAMS, state, topic, item).outputs
        if isinstance(record, CascadeFinding)
    ]
    ends = [f for f in inferences if f.phase in ("peak", "exhausted") and f.asset == "BTC"]
    assert ends
    assert {f.position_side for f in ends} == {side}
    assert all(f.side_reason.startswith("not told by the feed; price") for f in ends)
    assert all(f.drawdown_bps > 100 for f in ends)
    assert {f.position_side for f in inferences if f.asset == "ETH"} == {"unknown"}
    assert {f.side_reason for f in inferences if f.asset == "ETH"} == {
        "no trades in the 5 min before to tell by"
    }
