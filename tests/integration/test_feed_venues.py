"""Every venue's protocol, spoken with a scripted server of it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from scripted_venues import SCRIPTS
from scripted_venues.binance import Binance
from scripted_venues.ears import Fast, hearing, until
from scripted_venues.server import ScriptedVenue, serving
from scripted_venues.tape import ids

from schemas.market import OpenInterest
from streams.feed.venues import PROTOCOLS

VENUES = sorted(PROTOCOLS)
#: Those that keep no trades for who was away, and those that keep forced orders.
NO_TRADES = {"bitget", "htx"}
KEEPS_FORCED = {"okx", "deribit", "dydx", "bitfinex", "kraken"}
NO_FORCED = {"hyperliquid"}


def wanted(venue: str, server: ScriptedVenue) -> list[str]:
    """Return the names of streams on which a tape's events come."""
    clock = Fast(1)
    events = [clock.event("trade", symbol, 0) for symbol in server.script.symbols]
    if venue not in NO_FORCED:
        events.append(clock.event("liquidation", server.script.symbols[0], 0))
    return [server.script.frame(event)[0] for event in events]


def subscribed(venue: str, server: ScriptedVenue) -> None:
    names = wanted(venue, server)
    until(lambda: all(map(server.subscribed, names)), f"{venue}: {names} subscribed")


def kinds(venue: str) -> list[str]:
    return ["trade"] if venue in NO_FORCED else ["trade", "liquidation"]


@pytest.mark.parametrize("venue", VENUES)
def test_what_a_venue_prints_is_heard_once(venue: str, tmp_path: Path) -> None:
    clock = Fast(1)
    with (
        serving(SCRIPTS[venue]()) as server,
        hearing(clock, tmp_path, (venue, server)) as kept,
    ):
        subscribed(venue, server)
        for number in range(1, 6):
            for symbol in server.script.symbols:
                server.emit(*(clock.event(kind, symbol, number) for kind in kinds(venue)))
        expected = sorted(set(ids(venue, SCRIPTS[venue](), server.tape)))
        until(lambda: len(kept.ids("trades") + kept.ids("liquidations")) >= len(expected), "all")
        until(lambda: len(kept.alive("trades")) >= 2, "alive on trades")
    assert sorted(kept.ids("trades") + kept.ids("liquidations")) == expected
    assert kept.letters == []
    assert kept.states("gap") == []


@pytest.mark.parametrize("venue", VENUES)
def test_what_was_missed_is_asked_for_or_told_as_a_gap(venue: str, tmp_path: Path) -> None:
    clock = Fast(4)
    with (
        serving(SCRIPTS[venue]()) as server,
        hearing(clock, tmp_path, (venue, server)) as kept,
    ):
        symbol = server.script.symbols[0]
        subscribed(venue, server)
        server.emit(*(clock.event("trade", s, 1) for s in server.script.symbols))
        until(lambda: kept.alive("trades") and kept.alive("liquidations"), "alive")
        server.does.away = True
        server.drop()
        until(lambda: not server.clients, "dropped")
        missed = [clock.event(kind, symbol, number) for kind in kinds(venue) for number in (2, 3)]
        server.emit(*missed)
        server.does.away = False
        subscribed(venue, server)
        back = clock.micros()
        server.emit(*(clock.event("trade", s, 4) for s in server.script.symbols))
        until(lambda: max(kept.alive("trades")) > back, "alive again", 40)
        until(lambda: max(kept.alive("liquidations")) > back, "alive again", 40)
    expected = {
        kind: ids(venue, SCRIPTS[venue](), [e for e in server.tape if e.kind == kind])
        for kind in kinds(venue)
    }
    heard = kept.ids("trades") + kept.ids("liquidations")
    assert len(heard) == len(set(heard))
    gaps = " ".join(status.reason for status in kept.states("gap"))
    for kind, topic, is_kept in (
        ("trade", "trades", venue not in NO_TRADES),
        ("liquidation", "liquidations", venue in KEEPS_FORCED),
    ):
        lacking = set(expected.get(kind, [])) - set(heard)
        if is_kept:
            assert not lacking
        if lacking:
            assert f"{topic} of {venue}" in gaps
        assert bool(lacking) == (not is_kept and kind in kinds(venue))


@pytest.mark.parametrize("venue", VENUES)
def test_a_subscription_that_is_refused_costs_itself(venue: str, tmp_path: Path) -> None:
    clock = Fast(4)
    with serving(SCRIPTS[venue]()) as server:
        good, bad = server.script.symbols
        name = server.script.frame(clock.event("trade", bad, 0))[0]
        server.does.refused = {name}
        with hearing(clock, tmp_path, (venue, server)) as kept:
            first = server.script.frame(clock.event("trade", good, 0))[0]
            until(lambda: server.subscribed(first), "the good one subscribed")
            server.emit(clock.event("trade", good, 1))
            until(lambda: kept.ids("trades"), "the good one heard")
            until(lambda: kept.letters, "the bad one told")
    [letter] = kept.letters
    assert letter.field == "subscription"
    assert name in letter.reason


def test_what_no_stream_tells_of_open_interest_is_asked_for(tmp_path: Path) -> None:
    clock = Fast(20)
    script = Binance()
    script.clock = lambda: clock.micros() // 1000
    with (
        serving(script) as server,
        hearing(clock, tmp_path, ("binance", server)) as kept,
    ):
        until(lambda: len(kept.ids("liquidations")) >= 4, "two readings of two")
    readings = kept.records_of["liquidations"]
    assert {type(one) for one in readings} == {OpenInterest}
    assert {(one.asset, one.quantity) for one in readings} == {("BTC", 7.5), ("ETH", 7.5)}
    asked = [request for request in server.requests if "openInterest" in request]
    assert len(asked) <= 4 + len(readings)
    assert kept.letters == []


#: A reading of what is open in bitcoin, by the stream it comes on; <ms> and <iso> are its time.
READINGS = {
    "bybit": ("tickers.BTCUSDT", '{"topic":"tickers.BTCUSDT","type":"snapshot","ts":<ms>,"data":'
              '{"symbol":"BTCUSDT","markPrice":"90000","openInterest":"7.5"}}'),
    "deribit": ("ticker.BTC-PERPETUAL.agg2", '{"jsonrpc":"2.0","method":"subscription","params":'
                '{"channel":"ticker.BTC-PERPETUAL.agg2","data":{"timestamp":<ms>,"instrument_name"'
                ':"BTC-PERPETUAL","open_interest":675000,"mark_price":90000}}}'),
    "gate": ("futures.tickers:BTC_USDT", '{"time_ms":<ms>,"channel":"futures.tickers",'
             '"event":"update","result":[{"contract":"BTC_USDT","mark_price":"90000",'
             '"total_size":"75000"}]}'),
    "bitget": ("ticker:usdt-futures:BTCUSDT", '{"action":"snapshot","arg":{"instType":'
               '"usdt-futures","topic":"ticker","symbol":"BTCUSDT"},"data":[{"markPrice":"90000",'
               '"openInterest":"7.5"}],"ts":<ms>}'),
    "bitmex": ("instrument:XBTUSDT", '{"table":"instrument","action":"update","data":[{"symbol":'
               '"XBTUSDT","openInterest":7500000,"markPrice":90000,"timestamp":"<iso>"}]}'),
}  # fmt: skip


@pytest.mark.parametrize("venue", READINGS)
def test_what_is_open_is_heard_once_in_ten_seconds(venue: str, tmp_path: Path) -> None:
    clock = Fast(4)
    name, frame = READINGS[venue]
    with (
        serving(SCRIPTS[venue]()) as server,
        hearing(clock, tmp_path, (venue, server), assets={"BTC"}) as kept,
    ):
        until(lambda: server.subscribed(name), "subscribed")
        for _ in range(5):
            now = clock.micros()
            moment = datetime.fromtimestamp(now / 1e6, UTC).isoformat(timespec="milliseconds")
            iso = moment.replace("+00:00", "Z")
            server.send_raw(frame.replace("<ms>", str(now // 1000)).replace("<iso>", iso))
        until(lambda: kept.ids("liquidations"), "heard")
        server.emit(clock.event("trade", server.script.symbols[0], 1))
        until(lambda: kept.ids("trades"), "what came behind them")
    [reading] = kept.records_of["liquidations"]
    assert isinstance(reading, OpenInterest)
    assert (reading.asset, reading.quantity) == ("BTC", pytest.approx(7.5))
    assert kept.letters == []
