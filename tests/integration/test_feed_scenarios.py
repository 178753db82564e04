"""Public failures of live feeds, played by scripted venues: what a feed has to show in each.

The tenth, a reorg told badly, is a chain's.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scripted_venues.binance import Binance
from scripted_venues.bybit import Bybit
from scripted_venues.dydx import Dydx
from scripted_venues.ears import Fast, Kept, hearing, until
from scripted_venues.htx import Htx
from scripted_venues.hyperliquid import Hyperliquid
from scripted_venues.server import ScriptedVenue, serving
from scripted_venues.tape import ids


@contextmanager
def trading(
    clock: Fast, *venues: ScriptedVenue, every_s: float = 0.5
) -> Iterator[Callable[[], None]]:
    """Yield what lets each venue print a trade of each symbol, as often as time has passed."""
    number, due = 0, clock.steady()

    def go_on() -> None:
        nonlocal number, due
        if clock.steady() >= due:
            number, due = number + 1, clock.steady() + every_s
            for venue in venues:
                venue.emit(*(clock.event("trade", s, number) for s in venue.script.symbols[:2]))
        time.sleep(0.005)

    yield go_on


def until_while(
    go_on: Callable[[], None], true: Callable[[], object], what: str, seconds: float = 30
) -> None:
    """Wait until something is true, while the venues print."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        go_on()


def subscribed(venue: ScriptedVenue, *names: str) -> bool:
    return all(map(venue.subscribed, names))


def silent_topics(kept: Kept, venue: str) -> set[str]:
    return {
        topic for spoken in list(kept.said) for topic in spoken.topics
        if spoken.status.state == "silent" and spoken.status.producer == venue
    }  # fmt: skip


def test_1_streams_that_are_acknowledged_and_never_come_are_silent_within_a_minute(
    tmp_path: Path,
) -> None:
    clock = Fast(10)
    with serving(Binance()) as binance, serving(Bybit()) as bybit:
        venues = ("binance", binance), ("bybit", bybit)
        with hearing(clock, tmp_path, *venues) as kept, trading(clock, binance, bybit) as go_on:
            until(lambda: subscribed(binance, "!forceOrder@arr", "ethusdt@aggTrade"), "binance")
            until(lambda: bybit.subscribed("allLiquidation.BTCUSDT"), "bybit")
            until_while(go_on, lambda: len(kept.alive("trades")) > 3, "both alive")
            # Connections from now on are acknowledged and get nothing; the old one dies.
            binance.does.mutes_new = True
            connects = len(binance.connects)
            binance.drop()
            began = clock.steady()

            def burn() -> None:
                go_on()
                bybit.emit(clock.event("liquidation", "BTCUSDT", int(clock.steady() * 1000)))

            def is_silent() -> bool:
                return silent_topics(kept, "binance") >= {"trades", "liquidations"}

            until_while(burn, is_silent, "binance's streams are silent")
            assert clock.steady() - began < 60
            until_while(burn, lambda: clock.steady() - began > 180, "three minutes")
            assert len(binance.connects) - connects <= 10, "a storm of connections"
            alive = [
                s.status.ts_event for s in list(kept.said)
                if s.status.state == "alive" and s.status.producer == "binance"
                and set(s.topics) & {"trades", "liquidations"}
            ]  # fmt: skip
            assert max(alive) < clock.micros() - 120_000_000, "silence was counted as calm"


def test_1_forced_orders_alone_that_never_come_are_silent_while_another_venue_burns(
    tmp_path: Path,
) -> None:
    clock = Fast(10)
    with serving(Binance()) as binance, serving(Bybit()) as bybit:
        binance.does.silent = {"!forceOrder@arr"}
        venues = ("binance", binance), ("bybit", bybit)
        with hearing(clock, tmp_path, *venues) as kept, trading(clock, binance, bybit) as go_on:
            until(lambda: subscribed(binance, "!forceOrder@arr", "ethusdt@aggTrade"), "binance")
            until(lambda: bybit.subscribed("allLiquidation.BTCUSDT"), "bybit")
            until_while(go_on, lambda: len(kept.alive("trades")) > 3, "both alive")
            began = clock.steady()

            def burn() -> None:
                go_on()
                bybit.emit(clock.event("liquidation", "BTCUSDT", int(clock.steady() * 1000)))

            until_while(burn, lambda: silent_topics(kept, "binance"), "binance is silent")
            assert clock.steady() - began < 60
            assert silent_topics(kept, "binance") == {"liquidations"}
            assert silent_topics(kept, "bybit") == set()
            binance.does.silent = set()
            binance.emit(clock.event("liquidation", "BTCUSDT", 1))
            until_while(go_on, lambda: kept.states("recovered"), "binance is back")


def test_1_a_single_instrument_that_stops_trading_is_asked_for_on_another_connection(
    tmp_path: Path,
) -> None:
    clock = Fast(10)
    with (
        serving(Binance()) as binance,
        hearing(clock, tmp_path, ("binance", binance)) as kept,
        trading(clock, binance) as go_on,
    ):
        until(lambda: subscribed(binance, "btcusdt@aggTrade", "ethusdt@aggTrade"), "subscribed")
        until_while(go_on, lambda: len(kept.ids("trades")) > 120, "trades")
        binance.does.silent = {"ethusdt@aggTrade"}
        until_while(go_on, lambda: len(binance.connects) == 2, "another connection")
        binance.does.silent = set()
        until_while(go_on, lambda: len(binance.clients) == 1, "the old one is left")
        expected = set(ids("binance", Binance(), binance.tape))
        until_while(go_on, lambda: expected <= set(kept.ids("trades")), "every trade")
    heard = kept.ids("trades")
    assert len(heard) == len(set(heard))
    assert kept.states("gap") == []


def test_2_data_that_stops_while_pings_are_answered_is_followed_by_another_connection(
    tmp_path: Path,
) -> None:
    clock = Fast(10)
    with (
        serving(Binance()) as binance,
        hearing(clock, tmp_path, ("binance", binance)) as kept,
        trading(clock, binance) as go_on,
    ):
        until(lambda: subscribed(binance, "!forceOrder@arr", "ethusdt@aggTrade"), "subscribed")
        until_while(go_on, lambda: len(kept.ids("trades")) > 60, "trades")
        binance.mute()
        stopped = clock.micros()
        until_while(go_on, lambda: kept.states("gap"), "the gap is told")
        back = clock.micros()
        alive = len(kept.alive("trades"))
        until_while(go_on, lambda: len(kept.alive("trades")) > alive + 3, "alive again")
        expected = ids("binance", Binance(), binance.tape)
        until_while(lambda: None, lambda: set(expected) <= set(kept.ids("trades")), "every trade")
    assert binance.most_clients <= 2, "more than two connections"
    heard = kept.ids("trades")
    assert len(heard) == len(set(heard))
    [gap] = kept.states("gap")
    assert gap.reason.startswith("liquidations of binance/um until ")
    assert stopped - 4_000_000 < gap.ts_event < back


def test_3_trades_behind_an_abnormal_close_are_filled_page_by_page_and_in_order(
    tmp_path: Path,
) -> None:
    clock = Fast(4)
    script = Binance()
    script.page = 100
    with (
        serving(script) as binance,
        hearing(clock, tmp_path, ("binance", binance), assets={"BTC"}) as kept,
    ):
        until(lambda: binance.subscribed("btcusdt@aggTrade"), "subscribed")
        binance.emit(*(clock.event("trade", "BTCUSDT", n) for n in range(990, 1001)))
        until(lambda: len(kept.ids("trades")) == 11, "before")
        until(lambda: kept.alive("trades"), "alive")
        binance.does.away = True
        binance.drop()
        until(lambda: not binance.clients, "dropped")
        binance.emit(*(clock.event("trade", "BTCUSDT", n) for n in range(1001, 1450)))
        binance.does.too_many = 1
        binance.does.away = False
        until(lambda: binance.subscribed("btcusdt@aggTrade"), "again")
        binance.emit(clock.event("trade", "BTCUSDT", 1450))
        until(lambda: len(kept.ids("trades")) >= 11 + 449 + 1, "all")
        until(lambda: kept.states("gap"), "the gap of forced orders")
        until(lambda: kept.alive("trades")[-1] > kept.states("gap")[0].ts_event, "alive again")
    numbers = [int(event_id.rpartition(":")[2]) for event_id in kept.ids("trades")]
    assert sorted(numbers) == list(range(990, 1451))
    filled = [number for number in numbers if 1001 <= number < 1450]
    assert filled == sorted(filled)
    assert [gap.reason.partition(" ")[0] for gap in kept.states("gap")] == ["liquidations"]
    pages = [request for request in binance.requests if "aggTrades" in request]
    assert len(pages) >= 6


def test_4_a_connection_is_left_before_the_venue_closes_it_and_never_more_than_two_stand(
    tmp_path: Path,
) -> None:
    clock = Fast(10)
    with (
        serving(Binance()) as binance,
        hearing(clock, tmp_path, ("binance", binance), life_s=40.0) as kept,
        trading(clock, binance) as go_on,
    ):
        until(lambda: subscribed(binance, "!forceOrder@arr", "ethusdt@aggTrade"), "subscribed")
        until_while(go_on, lambda: len(binance.connects) >= 5, "four lives", 60)
        until_while(go_on, lambda: len(binance.clients) == 1, "one left")
        expected = ids("binance", Binance(), binance.tape)
        until_while(lambda: None, lambda: set(expected) <= set(kept.ids("trades")), "every trade")
    assert binance.most_clients == 2
    assert len(binance.connects) <= 6
    assert sorted(kept.ids("trades")) == sorted(expected)
    assert kept.states("gap") == []
    assert {spoken.topics for spoken in kept.said if spoken.status.state == "silent"} == {
        ("trades",), ("liquidations",), ("whale_transfers",)
    }  # fmt: skip


def test_5_every_subscription_is_sent_again_after_a_drop_and_what_is_not_confirmed_is_told(
    tmp_path: Path,
) -> None:
    clock = Fast(10)
    with (
        serving(Hyperliquid()) as venue,
        hearing(clock, tmp_path, ("hyperliquid", venue)) as kept,
    ):
        names = ("trades:BTC", "trades:ETH", "activeAssetCtx:BTC", "activeAssetCtx:ETH")
        until(lambda: subscribed(venue, *names), "subscribed")
        venue.emit(clock.event("trade", "BTC", 1))
        until(lambda: kept.ids("trades"), "heard")
        venue.does.ignored = {"activeAssetCtx:ETH"}
        venue.drop()
        until(lambda: subscribed(venue, *names[:3]), "subscribed again")
        venue.emit(clock.event("trade", "ETH", 2))
        until(lambda: len(kept.ids("trades")) == 2, "heard again")
        until(lambda: kept.letters, "the one that is not confirmed is told")
        until(lambda: subscribed(venue, *names[:3]), "the others live")
    assert "activeAssetCtx:ETH" in kept.letters[0].reason


def test_6_a_coin_that_kills_the_connection_and_one_that_is_ignored_are_set_aside(
    tmp_path: Path,
) -> None:
    clock = Fast(10)
    script = Hyperliquid()
    script.symbols = ("BTC", "ETH", "SOL", "BADCOIN", "XRP", "MUTECOIN", "DOGE", "LTC")
    good = [s for s in script.symbols if s not in ("BADCOIN", "MUTECOIN")]
    with serving(script) as venue:
        venue.does.deadly = {"trades:BADCOIN"}
        venue.does.ignored = {"trades:MUTECOIN"}
        with hearing(clock, tmp_path, ("hyperliquid", venue), assets=set(script.symbols)) as kept:
            until(lambda: all(venue.subscribed(f"trades:{s}") for s in good), "the others", 60)
            until(lambda: len(kept.letters) == 2, "both are told", 60)
            venue.emit(*(clock.event("trade", s, 1) for s in good))
            until(lambda: len(kept.ids("trades")) == len(good), "the others are heard")
    reasons = " ".join(letter.reason for letter in kept.letters)
    assert "trades:BADCOIN: the connection dies" in reasons
    assert "trades:MUTECOIN: the venue does not answer" in reasons
    assert len(venue.connects) <= 30


def test_7_one_unknown_topic_of_fifty_costs_itself(tmp_path: Path) -> None:
    clock = Fast(4)
    script = Bybit()
    script.symbols = tuple(f"C{number}USDT" for number in range(25))
    with serving(script) as bybit:
        bybit.does.refused = {"publicTrade.C7USDT"}
        names = [f"{c}.{s}" for c in ("publicTrade", "allLiquidation") for s in script.symbols]
        names.remove("publicTrade.C7USDT")
        assets = {symbol.removesuffix("USDT") for symbol in script.symbols}
        began = clock.steady()
        with hearing(clock, tmp_path, ("bybit", bybit), assets=assets) as kept:
            until(lambda: subscribed(bybit, *names), "49 live")
            assert clock.steady() - began < 30
            until(lambda: kept.letters, "the other is told")
    [letter] = kept.letters
    assert "publicTrade.C7USDT: error:handler not found" in letter.reason


def test_8_markets_beyond_a_connections_limit_go_over_several_and_holes_are_seen(
    tmp_path: Path,
) -> None:
    clock = Fast(4)
    script = Dydx()
    script.symbols = tuple(f"C{number}-USD" for number in range(119))
    with serving(script) as dydx:
        dydx.does.most_names = 32
        assets = {symbol.removesuffix("-USD") for symbol in script.symbols}
        with hearing(clock, tmp_path, ("dydx", dydx), assets=assets) as kept:
            names = [f"v4_trades:{symbol}" for symbol in script.symbols]
            until(lambda: subscribed(dydx, *names), "every market confirmed", 60)
            assert dydx.most_clients == 4
    assert kept.letters == []


def test_8_a_hole_in_the_numbers_of_a_connection_is_filled(tmp_path: Path) -> None:
    clock = Fast(4)
    script = Dydx()
    with serving(script) as dydx, hearing(clock, tmp_path, ("dydx", dydx)) as kept:
        until(lambda: dydx.subscribed("v4_trades:ETH-USD"), "subscribed")
        dydx.emit(clock.event("trade", "BTC-USD", 1))
        until(lambda: kept.alive("trades"), "alive")
        lost = [clock.event("trade", "BTC-USD", 2), clock.event("liquidation", "ETH-USD", 1)]
        dydx.emit(*lost, to_clients=False)
        script.message += 2
        dydx.emit(clock.event("trade", "BTC-USD", 3))
        expected = set(ids("dydx", Dydx(), dydx.tape))
        until(lambda: set(kept.ids("trades") + kept.ids("liquidations")) == expected, "filled")
    assert kept.states("gap") == []


def test_9_a_ping_is_echoed_byte_for_byte(tmp_path: Path) -> None:
    script = Htx()
    with serving(script) as htx, hearing(Fast(1), tmp_path, ("htx", htx)):
        until(lambda: htx.subscribed("public.*.liquidation_orders"), "subscribed")
        htx.send_raw(script.wrap('{"op":"ping","ts":"1791400320591"}'))
        htx.send_raw(script.wrap('{"ping":18212558000}'))
        until(
            lambda: (
                {'{"op":"pong","ts":"1791400320591"}', '{"pong":18212558000}'} <= set(script.pongs)
            ),
            "pongs",
        )


def test_9_a_feed_that_is_cut_again_and_again_is_silent_not_quiet(tmp_path: Path) -> None:
    clock = Fast(10)
    script = Htx()
    with serving(script) as htx, hearing(clock, tmp_path, ("htx", htx), assets={"BTC"}) as kept:
        for cut in range(7):
            until(lambda: htx.subscribed("public.*.liquidation_orders"), f"life {cut}")
            time.sleep(0.8)
            htx.drop()
            until(lambda: not htx.clients, "cut")
        until(lambda: htx.subscribed("public.*.liquidation_orders"), "once more")
        began = clock.micros()
        until(lambda: clock.micros() - began > 20_000_000, "20 s of standing")
        states = [s.status.state for s in kept.said if "liquidations" in s.topics]
    assert states[-1] == "silent", "called back though it was cut again and again"
