"""`undertow run --source live:...`: scripted venues straight into the one process."""

import json
from pathlib import Path

from scripted_venues.binance import Binance
from scripted_venues.bybit import Bybit
from scripted_venues.ears import Fast, process_urls, until
from scripted_venues.server import serving
from scripted_venues.tape import ids
from stages import running, undertow


def rows(given: dict[str, str], query: str) -> list[dict]:
    done = undertow(given, "sql", "--format", "JSONEachRow", query)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_live_run_tells_a_silent_venue_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    clock = Fast(1)
    with serving(Binance()) as binance, serving(Bybit()) as bybit:
        given = {
            "UNDERTOW_DATA_DIR": str(tmp_path / "data"),
            "UNDERTOW_VENUE_URLS": process_urls(binance=binance, bybit=bybit),
            "UNDERTOW_SQL_PORT": "0",
        }
        call = ("run", "--source", "live:binance,bybit", "--no-serve")
        log = tmp_path / "run.log"
        with running(given, *call, log=log):
            until(lambda: binance.subscribed("ethusdt@aggTrade"), "binance", 60)
            until(lambda: bybit.subscribed("allLiquidation.ETHUSDT"), "bybit", 60)
            for number in range(50):
                binance.emit(clock.event("trade", "BTCUSDT", number))
                bybit.emit(clock.event("trade", "BTCUSDT", number))
            until(lambda: len(binance.clients) == 2, "a connection of each product")
            binance.does.away = True
            binance.drop()
            until(lambda: "binance" in log.read_text().partition("warning")[2], "told", 60)
        # Stopped: what came meanwhile is asked for by the next.
        bybit.emit(*(clock.event("trade", "BTCUSDT", number) for number in range(50, 80)))
        binance.does.away = False
        again = tmp_path / "again.log"
        with running(given, *call, log=again):
            until(lambda: bybit.subscribed("allLiquidation.ETHUSDT"), "bybit again", 60)
            bybit.emit(clock.event("trade", "BTCUSDT", 80))
            binance.emit(clock.event("trade", "BTCUSDT", 80))
            until(lambda: bybit.requests[-1].startswith("/v5/market/recent-trade"), "asked", 60)
            until(lambda: clock.steady() > 0 and "resuming" in again.read_text(), "resumed", 60)
            until(lambda: len(binance.clients) == 2, "binance again", 60)
        expected = ids("binance", Binance(), binance.tape) + ids("bybit", Bybit(), bybit.tape)
    event_ids = [row["event_id"] for row in rows(given, "SELECT event_id FROM trades FINAL")]
    assert sorted(event_ids) == sorted(expected)
    states = rows(given, "SELECT producer, state, reason FROM feed_status FINAL ORDER BY ts_event")
    assert {"binance", "bybit"} == {
        row["producer"] for row in states if row["state"] == "connected"
    }
    gaps = [row["reason"] for row in states if row["state"] == "gap"]
    assert any("liquidations of bybit/linear" in reason for reason in gaps)
