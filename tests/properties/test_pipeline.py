"""Split it anywhere, shuffle it within grace, send it twice: the findings stay the same."""

import random
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.identity import natural_id
from schemas.market import Liquidation, Trade
from schemas.onchain import WhaleTransfer
from schemas.status import FeedStatus
from schemas.topics import RAW_TOPICS
from schemas.words import SECOND, grid_usd
from streams import pipeline
from streams.params import OnsetParams, Params, WhaleParams

START = 1_763_683_200
PARAMS = Params(
    onset=OnsetParams(min_history_s=300),
    whale=WhaleParams(placebos_min=5, window_min=5, scale_min=10),
)


def liquidation(second: int, number: int, usd: float, asset: str, venue: str) -> Liquidation:
    return Liquidation(
        event_id=natural_id(second, number, asset),
        venue=venue,
        instrument=f"{asset}-USDT-PERP",
        venue_symbol=f"{asset}USDT",
        asset=asset,
        position_side="long",
        order_side="sell",
        price=100.0,
        price_kind="bankruptcy",
        quantity=usd / 100,
        notional_usd=usd,
        coverage="full" if venue == "bybit" else "latest_per_second",
        stream="test",
        ts_event=second * SECOND + number,
        ts_recv=second * SECOND + number,
    )


def trade(second: int, venue: str, draw: random.Random, fall: float) -> Trade:
    quantity = draw.lognormvariate(3, 1)
    price = 100.0 - fall + draw.gauss(0, 0.05)
    return Trade(
        event_id=natural_id("t", second, venue),
        venue=venue,
        instrument="BTC-USDT-PERP",
        venue_symbol="BTCUSDT",
        asset="BTC",
        aggressor_side="sell" if draw.random() < 0.5 + min(fall, 2) / 8 else "buy",
        price=price,
        quantity=quantity,
        notional_usd=price * quantity,
        ts_event=second * SECOND + 7,
        ts_recv=second * SECOND + 7,
    )


def night(seed: int = 7, seconds: int = 2_400, burst_at: int = 1_500) -> list[tuple[int, str, msgspec.Struct]]:
    """A short night: calm, one cascade in two assets, one deposit. (second, topic, record)"""
    draw = random.Random(seed)
    events: list[tuple[int, str, msgspec.Struct]] = []
    for second in range(START, START + seconds):
        since = second - START - burst_at
        burst = 0 <= since < 240
        for asset in ("BTC", "ETH"):
            rate = 0.05 + (25.0 if burst else 0.0)
            for number in range(int(rate) + (draw.random() < rate % 1)):
                venue = draw.choice(["bybit", "binance"])
                usd = draw.lognormvariate(8, 1.5)
                events.append((second, "liquidations", liquidation(second, number, usd, asset, venue)))
        for venue in ("bybit", "binance"):
            fall = 3.0 * min(since, 240) / 240 if since > 0 else 0.0
            events.append((second, "trades", trade(second, venue, draw, fall)))
    deposit = START + burst_at - 200
    events.append(
        (
            deposit,
            "whale_transfers",
            WhaleTransfer(
                event_id="deposit",
                provider="test",
                chain="bitcoin",
                asset="BTC",
                transfer_kind="transfer",
                tx_hash="ab",
                leg=0,
                from_owner="unknown",
                from_kind="unknown",
                to_owner="bybit",
                to_kind="exchange",
                quantity=1000.0,
                notional_usd=9e7,
                ts_event=deposit * SECOND,
                ts_recv=deposit * SECOND,
            ),
        )
    )
    return sorted(events, key=lambda e: e[0])


def clocked(events: list[tuple[int, str, msgspec.Struct]], every: int = 1) -> list[tuple[str, msgspec.Struct]]:
    """Put an `alive` of every second (or every few) into the stream, as a replay does."""
    out: list[tuple[str, msgspec.Struct]] = []
    told = events[0][0]
    for second, topic, record in [*events, (events[-1][0] + 30, "", FeedStatus(producer="x", state="alive", ts_event=START * SECOND))]:
        if second >= told + every or not out:
            out += [
                (t, FeedStatus(producer="replay", state="alive", ts_event=(second - 1) * SECOND))
                for t in RAW_TOPICS
            ]
            told = second
        if topic:
            out.append((topic, record))
    return out


def play(items: list[tuple[str, msgspec.Struct]], cuts: tuple[int, ...] = ()) -> list[tuple[str, msgspec.Struct]]:
    state = pipeline.State()
    found = []
    for number, (topic, record) in enumerate(items):
        if number in cuts:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=pipeline.State)
        found += pipeline.step(PARAMS, state, topic, record).outputs
    return [o for o in found if o[0] != "bars"]


def by_id(outputs: list[tuple[str, msgspec.Struct]]) -> list[bytes]:
    return sorted(topic.encode() + msgspec.json.encode(record) for topic, record in outputs)


@pytest.fixture(scope="module")
def events() -> list[tuple[int, str, msgspec.Struct]]:
    return night()


@pytest.fixture(scope="module")
def undisturbed(events: list[tuple[int, str, msgspec.Struct]]) -> list[bytes]:
    return by_id(play(clocked(events)))


def test_the_night_has_an_onset_in_both_assets_a_market_onset_and_a_verdict(events) -> None:  # type: ignore[no-untyped-def]
    outputs = play(clocked(events))
    onsets = {r.asset for t, r in outputs if t == "cascades" and r.phase == "onset" and hasattr(r, "asset")}  # type: ignore[attr-defined]
    assert onsets == {"BTC", "ETH"}
    assert any(type(r).__name__ == "MarketFinding" for _, r in outputs)
    assert [r.verdict for t, r in outputs if t == "whale_selling"] != []  # type: ignore[attr-defined]


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 20_000), max_size=4, unique=True))
def test_state_saved_and_restored_anywhere_gives_the_same_findings(events, undisturbed, cuts) -> None:  # type: ignore[no-untyped-def]
    assert by_id(play(clocked(events), tuple(cuts))) == undisturbed


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32))
def test_permuting_records_within_grace_changes_nothing(events, undisturbed, seed) -> None:  # type: ignore[no-untyped-def]
    draw = random.Random(seed)
    items = clocked(events)
    # A record may move within its heartbeat interval and one interval later (grace is 1 s).
    beats = [i for i, (_, r) in enumerate(items) if isinstance(r, FeedStatus)]
    for low, high in pairwise(beats):
        middle = items[low + 1 : high]
        draw.shuffle(middle)
        items[low + 1 : high] = middle
    late = [i for i, (_, r) in enumerate(items) if not isinstance(r, FeedStatus) and draw.random() < 0.05]
    for i in reversed(late):
        item = items.pop(i)
        after = next((j for j in range(i, len(items)) if isinstance(items[j][1], FeedStatus)), len(items) - 1)
        items.insert(min(after + 3, len(items) - 4), item)
    assert by_id(play(items)) == undisturbed


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32))
def test_a_record_sent_twice_changes_nothing(events, undisturbed, seed) -> None:  # type: ignore[no-untyped-def]
    draw = random.Random(seed)
    items: list[tuple[str, msgspec.Struct]] = []
    for item in clocked(events):
        items.append(item)
        if draw.random() < 0.1:
            items.append(item)
    assert by_id(play(items)) == undisturbed


@settings(max_examples=4, deadline=None)
@given(st.integers(2, 40))
def test_how_often_the_clock_is_told_does_not_matter(events, undisturbed, every) -> None:  # type: ignore[no-untyped-def]
    assert by_id(play(clocked(events, every))) == undisturbed


@given(st.lists(st.floats(0, 1e8), min_size=1, max_size=200), st.randoms())
def test_dollar_sums_do_not_depend_on_order(worths, draw) -> None:  # type: ignore[no-untyped-def]
    grid = [grid_usd(w) for w in worths]
    shuffled = grid[:]
    draw.shuffle(shuffled)
    assert sum(grid) == sum(shuffled)
