"""Links to scripted venues: what they hear once, what they miss, and what they say of it."""

import asyncio
import json
from pathlib import Path

from scripted_venues.binance import Binance
from scripted_venues.bybit import Bybit
from scripted_venues.ears import Fast, hearing, until
from scripted_venues.okx import Okx
from scripted_venues.server import serving
from scripted_venues.tape import ids

from streams.feed.link import _end


def test_what_two_venues_print_is_heard_once_each_in_order(tmp_path: Path) -> None:
    clock = Fast(1)
    with serving(Binance()) as binance, serving(Bybit()) as bybit:
        venues = ("binance", binance), ("bybit", bybit)
        with hearing(clock, tmp_path, *venues) as kept:
            until(lambda: binance.subscribed("btcusdt@aggTrade"), "binance subscribed")
            until(lambda: bybit.subscribed("allLiquidation.ETHUSDT"), "bybit subscribed")
            binance.does.copies = 2
            for number in range(20):
                binance.emit(clock.event("trade", "BTCUSDT", number))
                bybit.emit(clock.event("trade", "ETHUSDT", number))
            binance.emit(clock.event("liquidation", "BTCUSDT", 1))
            bybit.emit(clock.event("liquidation", "ETHUSDT", 1, "buy"))
            until(lambda: len(kept.ids("trades")) == 40, "all trades")
            until(lambda: len(kept.ids("liquidations")) == 2, "both forced orders")
            until(lambda: len(kept.alive("trades")) >= 4, "words on time")
        expected = ids("binance", Binance(), binance.tape) + ids("bybit", Bybit(), bybit.tape)
    assert sorted(kept.ids("trades") + kept.ids("liquidations")) == sorted(expected)
    assert {s.producer for s in kept.states("connected")} == {"binance", "bybit"}
    assert kept.states("gap") == []
    assert kept.letters == []


def test_a_dropped_connection_loses_no_trade_and_says_which_forced_orders_are_missing(
    tmp_path: Path,
) -> None:
    clock = Fast(1)
    with (
        serving(Binance()) as binance,
        hearing(clock, tmp_path, ("binance", binance)) as kept,
    ):
        until(lambda: binance.subscribed("btcusdt@aggTrade"), "subscribed")
        binance.emit(clock.event("trade", "BTCUSDT", 1))
        until(lambda: kept.alive("trades"), "alive")
        binance.does.away = True
        binance.drop()
        until(lambda: not binance.clients, "dropped")
        lost = clock.micros()
        missed = clock.event("liquidation", "BTCUSDT", 2)
        binance.emit(missed, *(clock.event("trade", "BTCUSDT", n) for n in range(2, 2_500)))
        binance.does.too_many = 1
        binance.does.away = False
        until(lambda: binance.subscribed("btcusdt@aggTrade"), "subscribed again")
        back = clock.micros()
        binance.emit(clock.event("trade", "BTCUSDT", 2_500))
        until(lambda: kept.states("gap"), "the gap is told")
        until(lambda: max(kept.alive("trades")) > back, "alive again")
        tape = [event for event in binance.tape if event.kind == "trade"]
        expected = ids("binance", Binance(), tape)
    assert sorted(kept.ids("trades")) == sorted(expected)
    [gap] = kept.states("gap")
    assert "liquidations of binance/um until" in gap.reason
    assert gap.ts_event <= missed.ts * 1000 <= back
    assert lost - gap.ts_event < 5_000_000
    alive = kept.alive("liquidations")
    assert not [at for at in alive if lost < at < back], "alive was said of the gap"
    in_band = [s.status.state for s in kept.said if s.topics == ("liquidations",)]
    assert in_band[:2] == ["silent", "recovered"]


def test_of_open_interest_one_reading_in_ten_seconds_is_handed_on(tmp_path: Path) -> None:
    clock = Fast(1)
    with serving(Okx()) as okx, hearing(clock, tmp_path, ("okx", okx)) as kept:
        until(lambda: okx.subscribed("open-interest:BTC-USDT-SWAP"), "subscribed")
        now = clock.micros() // 1000
        for later in (0, 3_000, 6_000, 9_000, 12_000, 15_000):
            row = {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "oi": "2510442.7",
                   "oiCcy": "25104.427", "oiUsd": "2116580241.1", "ts": str(now + later)}  # fmt: skip
            arg = {"channel": "open-interest", "instId": "BTC-USDT-SWAP"}
            okx.send_raw(json.dumps({"arg": arg, "data": [row]}))
        until(lambda: len(kept.ids("liquidations")) >= 2, "two readings")
        until(lambda: len(kept.alive("liquidations")) >= 2, "alive")
    times = [record.ts_event // 1000 - now for record in kept.records_of["liquidations"]]
    assert times == [0, 12_000]


def test_a_link_that_is_ending_a_connection_ends_itself_when_it_is_told_to() -> None:
    """Waiting for another's end must not swallow one's own."""

    async def ends_slowly() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)

    async def play() -> bool:
        slow = asyncio.create_task(ends_slowly())
        await asyncio.sleep(0)
        ending = asyncio.create_task(_end(slow))
        await asyncio.sleep(0.01)
        ending.cancel()
        await asyncio.wait([ending])
        return ending.cancelled()

    assert asyncio.run(play())
