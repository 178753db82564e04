"""Stress by minute bars: told at its own tier, once, and never called a liquidation."""

import msgspec
from minutes import CALM_MIN, START_MIN, crash, kline

from schemas.bars import Bar
from schemas.findings import Alert, CascadeFinding, StressFinding
from schemas.words import SECOND
from streams.core import pipeline
from streams.core.detectors import stress
from streams.core.params import Params
from streams.sources import Source
from streams.sources.lines import BARS_CLOCKED
from streams.sources.pace import paced


def play(bars: list[Bar]) -> list[msgspec.Struct]:
    source = Source("klines", "k", iter([("bars", b) for b in bars]), None, 7_200, BARS_CLOCKED)
    state = pipeline.State()
    return [
        record
        for topic, item in paced(source, 2**53)
        for at, record in pipeline.step(Params(), state, topic, item).outputs
        if at != "bars"
    ]


def test_a_crash_in_minute_bars_is_told_as_stress_and_its_end_half_an_hour_later() -> None:
    outputs = play(crash())
    onset, closed = [r for r in outputs if isinstance(r, StressFinding)]
    assert (onset.phase, closed.phase) == ("onset", "closed")
    assert onset.episode_id == closed.episode_id
    minute = (START_MIN + CALM_MIN) * 60
    assert minute < onset.ts_event // SECOND < minute + 3 * 60
    assert closed.ts_event - onset.ts_event > Params().stress.rearm_s * SECOND
    assert onset.cvd_usd < -1e7
    assert onset.move_bps < -50
    assert onset.stress >= onset.threshold == 2.49


def test_stress_is_no_cascade_in_any_word_that_people_read() -> None:
    outputs = play(crash())
    assert not [r for r in outputs if isinstance(r, CascadeFinding)]
    alerts = [r for r in outputs if isinstance(r, Alert) and r.asset]
    assert [(a.kind, a.tier, a.severity) for a in alerts] == [
        ("stress.onset", "stress", "warning"),
        ("stress.closed", "stress", "info"),
    ]
    assert "no liquidation" in alerts[0].text
    assert alerts[0].title == "BTC: market under stress"
    assert alerts[0].move_bps is not None
    assert alerts[0].move_bps < 0


def test_price_without_flow_and_flow_without_price_are_no_stress() -> None:
    assert not [r for r in play(crash(net_usd=2e7)) if isinstance(r, StressFinding)]
    assert not [r for r in play(crash(fall_bps=0.0)) if isinstance(r, StressFinding)]


def test_bars_of_a_second_are_of_no_kline_and_give_no_stress() -> None:
    seconds = [msgspec.structs.replace(bar, width=SECOND) for bar in crash()]
    assert not [r for r in play(seconds) if isinstance(r, StressFinding)]


def test_after_a_gap_the_minutes_before_it_make_no_move() -> None:
    state, params = stress.StressState(), Params()
    for minute in range(200):
        assert not stress.step(params, state, "BTC", 0, [kline(minute, 100.0, 1e3)])
    # An hour later 10 % lower: what happened between is not known to have taken five minutes.
    assert not stress.step(params, state, "BTC", 0, [kline(260, 90.0, -3e7)])
    assert len(state.middles) == 1
