"""`undertow stack --live`: from scripted venues to rows, with one command."""

import re
import time
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

from scripted_venues.binance import Binance
from scripted_venues.bybit import Bybit
from scripted_venues.ears import Fast, process_urls, until
from scripted_venues.server import serving
from scripted_venues.tape import ids
from stages import running


def test_a_stack_that_hears_venues_stores_what_they_print(
    clean_topics: str, tmp_path: Path
) -> None:
    clock = Fast(1)
    log = tmp_path / "stack.log"
    with serving(Binance()) as binance, serving(Bybit()) as bybit:
        given = {
            "KAFKA_URL": clean_topics,
            "UNDERTOW_DATA_DIR": str(tmp_path / "data"),
            "UNDERTOW_VENUE_URLS": process_urls(binance=binance, bybit=bybit),
            "UNDERTOW_SQL_PORT": "0",
        }

        def stored() -> set[str]:
            address = re.search(r"sql +(http://\S+)", log.read_text())
            if address is None:
                return set()
            query = "SELECT event_id FROM trades UNION ALL SELECT event_id FROM liquidations"
            with urlopen(f"{address[1]}/?query={quote(query)}", timeout=20) as answer:
                return set(answer.read().decode().split())

        with running(given, "stack", "--live", "binance,bybit", log=log):
            until(lambda: binance.subscribed("ethusdt@aggTrade"), "binance", 120)
            until(lambda: bybit.subscribed("allLiquidation.ETHUSDT"), "bybit", 120)
            for number in range(20):
                binance.emit(clock.event("trade", "BTCUSDT", number))
                bybit.emit(clock.event("liquidation", "ETHUSDT", number))
                time.sleep(0.05)
            expected = set(ids("binance", Binance(), binance.tape))
            expected |= set(ids("bybit", Bybit(), bybit.tape))
            until(lambda: expected <= stored(), "rows of both", 60)
        assert "hears      binance,bybit: BTC,ETH" in log.read_text()
