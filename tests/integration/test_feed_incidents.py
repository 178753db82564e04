"""What venues do now and then beside the ten public failures: bans, moves, resets, old snapshots."""

import time
from pathlib import Path

import pytest
from scripted_venues.binance import Binance
from scripted_venues.bybit import Bybit
from scripted_venues.dydx import Dydx
from scripted_venues.ears import Fast, hearing, until
from scripted_venues.htx import Htx
from scripted_venues.okx import Okx
from scripted_venues.server import Request, serving
from scripted_venues.tape import ids


@pytest.mark.parametrize("retry_after_s", ["180", "in 180", ""])
def test_an_address_that_is_banned_leaves_the_venue_alone_and_then_fills_what_it_missed(
    tmp_path: Path, retry_after_s: str
) -> None:
    clock = Fast(20)
    with serving(Binance()) as venue, hearing(clock, tmp_path, ("binance", venue)) as kept:
        until(lambda: venue.subscribed("ethusdt@aggTrade"), "subscribed")
        venue.emit(clock.event("trade", "BTCUSDT", 1))
        until(lambda: kept.alive("trades"), "alive")
        venue.does.banned_with, venue.does.retry_after_s = 418, retry_after_s
        connects, requests = len(venue.connects), len(venue.requests)
        venue.drop()
        began = clock.steady()
        venue.emit(*(clock.event("trade", "BTCUSDT", n) for n in range(2, 50)))
        until(lambda: clock.steady() - began > 110, "most of two minutes")
        assert len(venue.connects) - connects <= 2
        assert len(venue.requests) - requests <= 1
        venue.does.banned_with = 0
        until(lambda: venue.subscribed("btcusdt@aggTrade"), "back", 60)
        venue.emit(clock.event("trade", "BTCUSDT", 50))
        expected = ids("binance", Binance(), venue.tape)
        until(lambda: sorted(kept.ids("trades")) == sorted(expected), "all of it", 60)


def test_an_endpoint_that_moved_is_followed(tmp_path: Path) -> None:
    clock = Fast(1)
    with serving(Bybit()) as venue:
        venue.does.moved = True
        with hearing(clock, tmp_path, ("bybit", venue)) as kept:
            until(lambda: venue.subscribed("publicTrade.BTCUSDT"), "subscribed")
            venue.emit(clock.event("trade", "BTCUSDT", 1))
            until(lambda: kept.ids("trades"), "heard")


def test_an_instrument_that_is_delisted_makes_no_storm_of_connections(tmp_path: Path) -> None:
    clock = Fast(40)
    with serving(Bybit()) as venue, hearing(clock, tmp_path, ("bybit", venue)) as kept:
        until(lambda: venue.subscribed("allLiquidation.ETHUSDT"), "subscribed")
        began, number = clock.steady(), 0
        while clock.steady() - began < 900:
            number += 1
            venue.emit(clock.event("trade", "BTCUSDT", number))
            if clock.steady() - began < 100:
                venue.emit(clock.event("trade", "ETHUSDT", number))
            time.sleep(0.02)
        assert len(venue.connects) <= 6
        assert len(kept.ids("trades")) == len(venue.tape)


def test_a_snapshot_of_thousands_of_old_trades_gives_none_of_them(tmp_path: Path) -> None:
    clock = Fast(1)
    script = Bybit()
    with serving(script) as venue:
        old = [clock.event("trade", "BTCUSDT", n) for n in range(5_000)]
        frames = [script.frame(one._replace(ts=one.ts - 3_600_000))[1] for one in old]
        venue.does.on_subscribe = lambda name: frames if name == "publicTrade.BTCUSDT" else []
        with hearing(clock, tmp_path, ("bybit", venue)) as kept:
            until(lambda: venue.subscribed("publicTrade.BTCUSDT"), "subscribed")
            venue.emit(clock.event("trade", "BTCUSDT", 9_999))
            until(lambda: kept.ids("trades"), "heard", 60)
        expected = ids("bybit", script, venue.tape)
    assert kept.ids("trades") == expected
    assert kept.letters == []


def test_a_corrupt_piece_of_gzip_costs_itself(tmp_path: Path) -> None:
    clock = Fast(1)
    script = Htx()
    with serving(script) as venue, hearing(clock, tmp_path, ("htx", venue)) as kept:
        until(lambda: venue.subscribed("market.BTC-USDT.trade.detail"), "subscribed")
        sound = script.frame(clock.event("trade", "BTC-USDT", 1))[1]
        assert isinstance(sound, bytes)
        middle = len(sound) // 2
        venue.send_raw(sound[:middle] + b"\xff\xff\xff" + sound[middle + 3 :])
        venue.send_raw(sound[:middle])
        venue.emit(clock.event("trade", "BTC-USDT", 2))
        until(lambda: kept.ids("trades"), "the next is heard")
        assert kept.ids("trades") == ids("htx", Htx(), venue.tape)
        until(lambda: kept.letters, "told")
        assert len(venue.clients) == len(kept.links or venue.clients)


def test_message_numbers_that_begin_anew_are_no_hole_and_a_later_hole_is_seen(
    tmp_path: Path,
) -> None:
    clock = Fast(4)
    script = Dydx()
    with serving(script) as venue, hearing(clock, tmp_path, ("dydx", venue)) as kept:
        until(lambda: venue.subscribed("v4_trades:ETH-USD"), "subscribed")
        venue.emit(clock.event("trade", "BTC-USD", 1))
        until(lambda: kept.alive("trades"), "alive")
        script.message = 0
        venue.emit(clock.event("trade", "BTC-USD", 2))
        until(lambda: len(kept.ids("trades")) == 2, "heard")
        requests = len(venue.requests)
        venue.emit(clock.event("trade", "BTC-USD", 3), to_clients=False)
        script.message += 1
        venue.emit(clock.event("trade", "BTC-USD", 4))
        until(lambda: len(kept.ids("trades")) == 4, "the hole is filled")
        assert len(venue.requests) > requests
    assert kept.states("gap") == []


def test_a_venue_that_changes_its_format_costs_a_bounded_number_of_letters_and_nothing_good(
    tmp_path: Path,
) -> None:
    clock = Fast(20)
    script = Bybit()
    with serving(script) as venue, hearing(clock, tmp_path, ("bybit", venue)) as kept:
        until(lambda: venue.subscribed("publicTrade.BTCUSDT"), "subscribed")
        for number in range(1, 501):
            frame = str(script.frame(clock.event("trade", "BTCUSDT", number))[1])
            venue.send_raw(frame.replace('"p":', '"price":'))
            if number % 5 == 0:
                venue.emit(clock.event("trade", "BTCUSDT", 1_000 + number))
        until(lambda: any("not told" in one.reason for one in kept.letters), "the share told", 30)
        expected = ids("bybit", script, venue.tape)
        until(lambda: sorted(kept.ids("trades")) == sorted(expected), "nothing good lost")
    shares = [one for one in kept.letters if "not told" in one.reason]
    assert len(kept.letters) - len(shares) <= 60 * len(shares)
    assert len(shares) <= 2
    assert "items" in shares[0].reason


def test_a_notice_of_maintenance_and_then_silence_is_told_and_filled_when_it_is_over(
    tmp_path: Path,
) -> None:
    clock = Fast(20)
    with serving(Okx()) as venue, hearing(clock, tmp_path, ("okx", venue)) as kept:
        symbol = venue.script.symbols[0]
        until(lambda: venue.subscribed(f"trades-all:{symbol}"), "subscribed")
        venue.emit(clock.event("trade", symbol, 1))
        until(lambda: kept.alive("trades"), "alive")
        venue.does.mutes_new = True
        venue.send_raw(
            '{"event":"notice","code":"64008","msg":"The connection will soon be closed for a '
            'service upgrade. Please reconnect.","connId":"c"}'
        )
        venue.mute()
        venue.emit(*(clock.event("trade", symbol, n) for n in range(2, 40)))
        until(lambda: any("trades" in s.topics for s in list(kept.said) if s.status.state == "silent"),
              "silence told", 60)  # fmt: skip
        venue.does.mutes_new = False
        expected = set()

        def is_whole() -> bool:
            venue.emit(clock.event("trade", symbol, 100 + len(venue.tape)))
            time.sleep(0.05)
            expected.update(ids("okx", Okx(), venue.tape))
            return set(kept.ids("trades")) >= set(ids("okx", Okx(), venue.tape[:39]))

        until(is_whole, "all of it", 60)
    assert len(kept.ids("trades")) == len(set(kept.ids("trades")))
    assert set(kept.ids("trades")) <= expected
    assert [s for s in kept.states("gap") if "trades" in s.reason] == []


class Limited(Okx):
    """Tells that there are too many subscriptions, and not which of them it does not serve."""

    def refuse(self, request: Request, names: list[str]) -> tuple[list[str], list[str]]:
        served = [name for name in request.names if name not in names]
        error = '{"event":"error","code":"60030","msg":"Subscription limit exceeded","connId":"c"}'
        return [error, *self.confirm(Request(served, None))], served


def test_a_limit_of_subscriptions_costs_those_beyond_it_and_is_told(tmp_path: Path) -> None:
    clock = Fast(20)
    with serving(Limited()) as venue:
        good, bad = venue.script.symbols
        venue.does.refused = {f"trades-all:{bad}"}
        with hearing(clock, tmp_path, ("okx", venue)) as kept:
            until(lambda: venue.subscribed(f"trades-all:{good}"), "the good one subscribed")
            began = clock.steady()
            while clock.steady() - began < 120:
                venue.emit(clock.event("trade", good, len(venue.tape)))
                time.sleep(0.02)
            expected = ids("okx", Okx(), venue.tape)
            until(lambda: sorted(kept.ids("trades")) == sorted(expected), "the good one heard")
            until(lambda: kept.letters, "the bad one told")
    assert any(f"trades-all:{bad}" in letter.reason for letter in kept.letters)
    assert any("limit exceeded" in letter.reason for letter in kept.letters)
    assert not any(f"trades-all:{good}" in letter.reason for letter in kept.letters)
    assert len(venue.connects) <= 8
