"""Many assets forced at once are one market-wide call; one asset alone never is."""

import random
from collections.abc import Iterator

import pytest

from schemas.findings import AssetPulse, MarketFinding
from schemas.status import FeedStatus
from schemas.words import SECOND, PositionSide
from streams.core.detectors import breadth, contagion
from streams.core.detectors.contagion import MarketState
from streams.core.params import MarketParams, Params

PARAMS, START, HOURS = Params(), 1_763_683_200, 3
SMALL = [f"A{n:03d}" for n in range(60)]


def pulse(second: int, asset: str, usd: float, side: PositionSide = "long") -> AssetPulse:
    return AssetPulse(
        asset=asset, ts_event=second * SECOND, excess=-2.0, feed_class="throttled",
        coverage="latest_per_second", position_side=side, forced_usd=usd,
    )  # fmt: skip


def calm(seed: int, minutes: int = HOURS * 60) -> Iterator[AssetPulse]:
    """Now and then an asset of sixty is forced, for $30,000."""
    draw = random.Random(seed)
    for minute in range(minutes):
        for _ in range(draw.choice((0, 0, 1, 2))):
            second = START + 60 * minute + draw.randrange(60)
            yield pulse(second, draw.choice(SMALL), 3e4, draw.choice(("long", "short")))


def flush(at: int, assets: int, usd: float = 2e5, side: PositionSide = "long") -> list[AssetPulse]:
    """So many assets forced within a minute, one after another, and each again a minute later."""
    return [pulse(at + n * 60 // assets + again, SMALL[n], usd, side)
            for n in range(assets) for again in (0, 60)]  # fmt: skip


def market_findings(evidence: list[AssetPulse], hours: int = HOURS + 1) -> list[MarketFinding]:
    state, findings = MarketState(), []
    by_second: dict[int, list[AssetPulse]] = {}
    for one in evidence:
        by_second.setdefault(one.ts_event // SECOND, []).append(one)
    for second in range(START, START + hours * 3600):
        for one in by_second.get(second, []):
            contagion.step(PARAMS, state, one)
        feed_status = FeedStatus(producer="detect", state="alive", ts_event=(second + 1) * SECOND)
        findings += contagion.step(PARAMS, state, feed_status)
    return findings


AT = START + HOURS * 3600


def test_small_assets_forced_at_once_are_one_call_whose_members_grow() -> None:
    onset, *waves, closed = market_findings([*calm(1), *flush(AT, 48)])
    assert (onset.phase, onset.score_name, onset.position_side) == ("onset", "breadth", "long")
    assert onset.ts_onset < (AT + 60) * SECOND
    assert [w.phase for w in waves] == ["wave"] * len(waves)
    sizes = [len(f.assets) for f in (onset, *waves, closed)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 30
    assert set(closed.assets) >= set(SMALL[:48])
    assert closed.phase == "closed"
    assert closed.excess >= closed.threshold > 0
    assert closed.notional_usd == pytest.approx(48 * 2 * 2e5, rel=0.2)
    assert {f.episode_id for f in waves} == {onset.episode_id} == {closed.episode_id}
    assert len({f.finding_id for f in (onset, *waves, closed)}) == 2 + len(waves)


def test_one_asset_is_never_the_market_whatever_it_loses() -> None:
    alone = [pulse(AT + n, "A000", 5e7) for n in range(60)]
    assert market_findings([*calm(2), *alone]) == []


def test_an_ordinary_hour_calls_nothing() -> None:
    assert market_findings(list(calm(3, (HOURS + 1) * 60))) == []


def test_the_two_sides_are_two_markets() -> None:
    """Half of each side at once is neither; all of one side names it."""
    half = flush(AT, 12) + flush(AT + 1, 12, side="short")
    assert market_findings([*calm(4), *half]) == []
    onset = market_findings([*calm(4), *flush(AT, 48, side="short")])[0]
    assert onset.position_side == "short"


def test_the_usual_is_that_of_whole_minutes_empty_ones_too() -> None:
    params, state = MarketParams(), breadth.begin(0, 0)
    for minute in range(0, 600, 3):
        for second in (5, 35):
            breadth.step(params, state, 60 * minute + second, {"A": 1e4, "B": 2e4})
    breadth.step(params, state, 60 * 600, {})
    assert state.usual.minutes == 600
    assert state.usual.assets == pytest.approx(2 / 3, rel=0.01)
    assert state.usual.usd == pytest.approx(2e4 / 3, rel=0.01)


def test_hours_in_which_nothing_came_teach_as_much_as_one() -> None:
    params, state = MarketParams(), breadth.begin(0, 0)
    for minute in range(120):
        breadth.step(params, state, 60 * minute, {"A": 1e4, "B": 1e4})
    breadth.step(params, state, 60 * 10_000, {})
    assert state.usual.minutes == 180
    assert state.usual.assets == pytest.approx(2 * 120 / 180)


def test_sums_of_the_last_minute_come_back_to_nothing() -> None:
    params, state = MarketParams(), breadth.begin(0, 0)
    draw = random.Random(5)
    for second in range(0, 9_000, 7):
        forced = {a: round(draw.lognormvariate(9, 3) * 65536) / 65536 for a in SMALL[:5]}
        breadth.step(params, state, second, forced)
    breadth.step(params, state, 9_100, {})
    assert (state.last, state.sums) == ([], {})
