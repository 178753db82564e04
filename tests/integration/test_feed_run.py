"""`undertow run --source live:...`: scripted venues straight into the one process."""

import json
import time
from itertools import count
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


#: A minute of history is enough, and any sudden burst is an onset.
QUICK = {
    "onset": {
        "min_history_s": 10,
        "least_history_s": 10,
        "cascade": {"*": dict.fromkeys(("full", "mixed", "throttled"), 3.0)},
    }
}


def test_a_cascade_that_venues_print_is_called_and_told_while_it_lasts(tmp_path: Path) -> None:
    clock, log = Fast(1), tmp_path / "run.log"
    params = tmp_path / "params.json"
    params.write_text(json.dumps(QUICK))
    with serving(Binance()) as binance, serving(Bybit()) as bybit:
        given = {
            "UNDERTOW_DATA_DIR": str(tmp_path / "data"),
            "UNDERTOW_VENUE_URLS": process_urls(binance=binance, bybit=bybit),
            "UNDERTOW_PARAMS": str(params),
            "UNDERTOW_SQL_PORT": "0",
        }
        with running(given, "run", "--source", "live:binance,bybit", "--no-serve", log=log):
            until(lambda: binance.subscribed("ethusdt@aggTrade"), "binance", 60)
            until(lambda: bybit.subscribed("allLiquidation.ETHUSDT"), "bybit", 60)
            numbers = count()

            def go_on(orders: int) -> None:
                """Have each venue print a trade and so many forced orders of bitcoin."""
                for venue in (binance, bybit):
                    venue.emit(clock.event("trade", "BTCUSDT", next(numbers)))
                    for _ in range(orders):
                        venue.emit(clock.event("liquidation", "BTCUSDT", next(numbers)))
                time.sleep(0.1)

            began = time.monotonic()
            while time.monotonic() - began < 20:
                go_on(0)
            began_at = clock.micros()
            until(lambda: go_on(5) or "liquidations begin" in log.read_text(), "the alert", 60)
            called_at = clock.micros()
    found = rows(
        given,
        "SELECT asset, position_side, venues, toUnixTimestamp64Micro(ts_onset) AS ts_onset "
        "FROM cascades FINAL WHERE phase = 'onset'",
    )
    [onset] = found
    assert (onset["asset"], onset["position_side"]) == ("BTC", "long")
    assert onset["venues"] == ["binance", "bybit"]
    assert began_at - 2_000_000 <= int(onset["ts_onset"]) <= called_at
