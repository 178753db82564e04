"""Market-wide findings: who led, told when the market is calm again."""

import msgspec
import numpy as np
import pytest
from shocks import shock, venues

from schemas.findings import AssetPulse, MarketFinding
from schemas.status import FeedStatus
from schemas.words import SECOND
from streams.core.detectors import contagion
from streams.core.detectors.contagion import MarketState
from streams.core.params import Params

PARAMS, START, ONSET = Params(), 1_763_683_200, 310


def pulses(ahead_s: dict[str, int], **changes: object) -> list[AssetPulse]:
    """Pulses of assets in one shock, from ONSET on; the first tells the seconds before it."""
    rates = [shock(seconds) for seconds in ahead_s.values()]
    rows = venues(np.random.default_rng(41), rates).astype(int).tolist()
    made = []
    for asset, row in zip(ahead_s, rows, strict=True):
        for second in range(ONSET, 700):
            orders = row[ONSET - 299 : ONSET + 1] if second == ONSET else [row[second]]
            pulse = AssetPulse(
                asset=asset, ts_event=(START + second) * SECOND, excess=1.0, feed_class="full",
                coverage="full", orders=orders,
            )  # fmt: skip
            made.append(msgspec.structs.replace(pulse, **changes))
    return sorted(made, key=lambda pulse: pulse.ts_event)


def market_findings(
    evidence: list[AssetPulse], until: int = 1_200
) -> tuple[MarketState, list[MarketFinding]]:
    state, findings = MarketState(), []
    for second in range(START, START + until):
        for pulse in (p for p in evidence if p.ts_event == second * SECOND):
            contagion.step(PARAMS, state, pulse)
        feed_status = FeedStatus(producer="s", state="alive", ts_event=(second + 1) * SECOND)
        findings += contagion.step(PARAMS, state, feed_status)
    return state, findings


def test_the_asset_that_rose_first_is_told_when_the_market_is_calm_again() -> None:
    state, (onset, closed) = market_findings(pulses({"BTC": 0, "ETH": 12, "SOL": -8}))
    assert (onset.lead_assets, onset.lead_p_value) == ([], None)
    assert closed.lead_assets == ["ETH", "BTC", "SOL"]
    assert closed.lead_p_value == pytest.approx(0.025)
    # And what the next pulse would tell again is not kept.
    assert state.counts == {}


def test_a_long_episode_remembers_who_led_after_its_seconds_are_forgotten() -> None:
    evidence = pulses({"BTC": 0, "ETH": 12, "SOL": -8})
    last = [p for p in evidence if p.ts_event == (START + 699) * SECOND]
    for second in range(700, 1_500):
        at = (START + second) * SECOND
        evidence += [msgspec.structs.replace(p, ts_event=at, orders=[3]) for p in last]
    _, findings = market_findings(evidence, 2_000)
    assert findings[-1].phase == "closed"
    assert findings[-1].lead_assets[0] == "ETH"
    assert findings[-1].lead_p_value == pytest.approx(0.025)


def test_without_the_orders_of_two_assets_nobody_leads() -> None:
    _, (_, closed) = market_findings(pulses({"BTC": 0, "ETH": 12, "SOL": -8}, orders=[]))
    assert (closed.lead_assets, closed.lead_p_value) == ([], None)
