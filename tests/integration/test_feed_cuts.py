"""Links that stall, and end without a word: what their gaps are to cover."""

import json
import ssl
from datetime import datetime
from pathlib import Path

import pytest
import trustme
from scripted_venues.binance import Binance
from scripted_venues.ears import Fast, Kept, hearing, until
from scripted_venues.htx import Htx
from scripted_venues.okx import Okx
from scripted_venues.server import Event, ScriptedVenue, serving
from scripted_venues.tape import ids

#: After the last frame of data a pong comes at 12 s; a stall of trades is noticed after 15 s.
PONG_AT_S, NOTICED_AT_S = 12.0, 15.0
SPEED = 8


def contexts(is_secure: bool) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    """Return what a venue shows and what its client trusts; nothing of either in plain."""
    if not is_secure:
        return None, None
    authority = trustme.CA()
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(shown)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return shown, trusting


def gap_of(kept: Kept, topic: str) -> tuple[int, int]:
    """Return the bounds of a topic's only gap, microseconds."""
    [gap] = [one for one in kept.states("gap") if one.reason.startswith(f"{topic} of")]
    text = gap.reason.partition(" until ")[2].partition("+00:00")[0]
    until_us = datetime.fromisoformat(text + "+00:00").timestamp() * 1e6
    return gap.ts_event, round(until_us)


def pass_on(clock: Fast, seconds: float) -> None:
    end = clock.steady() + seconds
    until(lambda: clock.steady() >= end, f"{seconds} s of the feed's clock")


def cut(clock: Fast, venue: ScriptedVenue, missed: list[Event]) -> None:
    """End every connection without a word, and print what is missed while it is away."""
    venue.does.away = True
    venue.drop()
    until(lambda: not venue.clients, "cut")
    venue.emit(*missed)
    pass_on(clock, 2)
    venue.does.away = False


@pytest.mark.parametrize("is_secure", [False, True])
@pytest.mark.parametrize("stall_s", [0.0, PONG_AT_S + 2.0])
def test_a_link_that_gave_nothing_before_it_was_cut_missed_what_was_printed_since(
    tmp_path: Path, is_secure: bool, stall_s: float
) -> None:
    """Its pings were answered meanwhile: a pong is no sign that nothing was printed."""
    clock = Fast(SPEED)
    shown, trusting = contexts(is_secure)
    with (
        serving(Binance(), tls=shown) as binance,
        hearing(clock, tmp_path, ("binance", binance), tls=trusting) as kept,
    ):
        until(lambda: binance.subscribed("btcusdt@aggTrade"), "subscribed")
        for number in range(10):
            binance.emit(clock.event("trade", "BTCUSDT", number))
        until(lambda: kept.alive("trades"), "alive")
        binance.emit(clock.event("trade", "BTCUSDT", 10))
        until(lambda: len(kept.ids("trades")) == 11, "trades before the stall")
        binance.mute()
        missed = [clock.event("liquidation", "BTCUSDT", 11), clock.event("trade", "BTCUSDT", 12)]
        binance.emit(*missed)
        pass_on(clock, stall_s)
        cut(clock, binance, [clock.event("trade", "BTCUSDT", 13)])
        until(lambda: binance.subscribed("btcusdt@aggTrade"), "subscribed again")
        binance.emit(clock.event("trade", "BTCUSDT", 14))
        until(lambda: kept.states("gap"), "the gap is told")
        trades = [one for one in binance.tape if one.kind == "trade"]
        expected = ids("binance", Binance(), trades)
        until(lambda: len(kept.ids("trades")) >= len(expected), "every trade")
    assert sorted(kept.ids("trades")) == sorted(expected)
    since, end = gap_of(kept, "liquidations")
    assert since <= missed[0].ts * 1000 <= end


@pytest.mark.parametrize("mute_s", [25.0, 100.0])
def test_a_link_of_forced_orders_alone_is_asked_for_all_since_it_last_gave_one(
    tmp_path: Path, mute_s: float
) -> None:
    """Calm and a stall are the same there, as pings go on; at first, since it was acknowledged."""
    clock = Fast(20)
    with serving(Okx()) as okx, hearing(clock, tmp_path, ("okx", okx)) as kept:
        until(lambda: okx.subscribed("liquidation-orders:SWAP"), "subscribed")
        until(lambda: okx.subscribed("trades-all:BTC-USDT-SWAP"), "trades subscribed")
        until(lambda: kept.alive("liquidations"), "alive")
        public = okx.script.path_of["public"]
        okx.does.silent_paths = {public}
        missed = clock.event("liquidation", "BTC-USDT-SWAP", 1)
        okx.emit(missed)
        pass_on(clock, mute_s)  # pongs come meanwhile
        okx.does.silent_paths = set()
        okx.drop(public)
        until(lambda: kept.ids("liquidations"), "the forced order by history")
        expected = ids("okx", Okx(), [missed])
    assert kept.ids("liquidations") == expected


def test_what_a_mute_link_of_forced_orders_may_have_lost_is_a_gap(tmp_path: Path) -> None:
    """HTX keeps no history that is asked for: it begins where the link was acknowledged."""
    clock = Fast(20)
    with serving(Htx()) as htx, hearing(clock, tmp_path, ("htx", htx), assets={"BTC"}) as kept:
        until(lambda: htx.subscribed("public.*.liquidation_orders"), "subscribed")
        until(lambda: kept.alive("liquidations"), "alive")
        paths = {path for name, path in htx.script.path_of.items() if name.endswith("_orders")}
        htx.does.silent_paths = paths
        missed = clock.event("liquidation", "BTC-USDT", 1)
        htx.emit(missed)
        pass_on(clock, 100)
        htx.does.silent_paths = set()
        for path in paths:
            htx.drop(path)
        until(lambda: kept.states("gap"), "a gap")
    gaps = [one for one in kept.states("gap") if one.reason.startswith("liquidations of")]
    assert min(one.ts_event for one in gaps) <= missed.ts * 1000
    assert all("a calm, or lost" in one.reason for one in gaps)


def test_readings_that_stop_beside_forced_orders_renew_the_link_and_what_it_lost_is_asked_for(
    tmp_path: Path,
) -> None:
    """Its pings are answered for ever, and forced orders alone might be rare."""
    clock = Fast(20)
    with serving(Okx()) as okx, hearing(clock, tmp_path, ("okx", okx)) as kept:
        until(lambda: okx.subscribed("liquidation-orders:SWAP"), "subscribed")
        until(lambda: okx.subscribed("trades-all:BTC-USDT-SWAP"), "trades subscribed")
        until(lambda: kept.alive("liquidations"), "alive")
        for _ in range(12):
            okx.send_raw(reading(clock))
        okx.does.silent_paths = {okx.script.path_of["public"]}
        missed = clock.event("liquidation", "BTC-USDT-SWAP", 1)
        okx.emit(missed)
        [expected] = ids("okx", Okx(), [missed])
        until(lambda: expected in kept.ids("liquidations"), "the forced order by history")
    assert kept.ids("liquidations").count(expected) == 1


def test_what_a_venue_whose_clock_runs_ahead_printed_meanwhile_is_filled_or_in_the_gap(
    tmp_path: Path,
) -> None:
    clock = Fast(8)

    def event(kind: str, number: int) -> Event:
        plain = clock.event(kind, "BTCUSDT", number)
        return plain._replace(ts=plain.ts + 20_000)

    with serving(Binance()) as binance, hearing(clock, tmp_path, ("binance", binance)) as kept:
        until(lambda: binance.subscribed("btcusdt@aggTrade"), "subscribed")
        for number in range(10):
            binance.emit(event("trade", number))
        until(lambda: kept.alive("trades"), "alive")
        until(lambda: len(kept.ids("trades")) == 10, "trades before the cut")
        missed = event("liquidation", 11)
        cut(clock, binance, [event("trade", 10), missed, event("trade", 11)])
        until(lambda: binance.subscribed("btcusdt@aggTrade"), "subscribed again")
        binance.emit(event("trade", 12))
        until(lambda: len(kept.ids("trades")) >= 13, "every trade")
        until(lambda: kept.states("gap"), "the gap is told")
    since, end = gap_of(kept, "liquidations")
    assert since <= missed.ts * 1000 <= end


def reading(clock: Fast) -> str:
    row = {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "oi": "2500", "oiCcy": "25"}
    row |= {"oiUsd": "2000000", "ts": str(clock.micros() // 1000)}
    arg = {"channel": "open-interest", "instId": "BTC-USDT-SWAP"}
    return json.dumps({"arg": arg, "data": [row]})
